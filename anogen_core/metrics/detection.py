"""Exact metrics of scores of any precision, in memory bounded by the scores themselves.

Scores are kept in the type they come in (float32 maps: four bytes per pixel); none is rounded, binned or thresholded on
a grid. A greater score is more anomalous. Stored predictions have 65,536 levels and take `histograms.py` instead.
"""

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from anogen_core.errors import InputError
from anogen_core.metrics.curve import Curve, PixelMetrics, ScoreMetrics
from anogen_core.metrics.regions import find_regions

_RUN = 1 << 24
"""Negatives per sorted run."""


def evaluate_scores(scores: NDArray[Any], labels: NDArray[Any]) -> ScoreMetrics:
    """Return the metrics of one score per image.

    Args:
        scores: (N,) finite numbers.
        labels: (N,) not 0 where defective.

    Raises:
        InputError: the shapes differ or a score is not finite.
    """
    counts = _Counts()
    counts.add(scores, labels)
    curve = counts.curve()
    return ScoreMetrics() if curve is None else curve.score_metrics()


@final
class PixelEvaluation:
    """Collects anomaly maps batch by batch; the order of images and the batches do not change the result."""

    def __init__(self) -> None:
        self._counts = _Counts()

    def add(self, maps: NDArray[Any], masks: NDArray[Any]) -> None:
        """Take anomaly maps (N, H, W) and their masks (N, H, W), not 0 where anomalous.

        Raises:
            InputError: the shapes differ or a score is not finite.
        """
        if maps.ndim != 3:
            raise InputError(f"Anomaly maps must have the shape (N, H, W), found {maps.shape}.")
        self._counts.add(maps, masks)
        for anomaly_map, mask in zip(maps, masks, strict=True):
            regions = find_regions(anomaly_map, mask)
            self._counts.add_regions(regions.overlap, regions.found_at)

    def metrics(self) -> PixelMetrics:
        """Return the metrics of all pixels so far."""
        curve = self._counts.curve()
        return PixelMetrics() if curve is None else curve.pixel_metrics()


@final
class _Counts:
    """Positive scores, and negative scores in sorted runs."""

    def __init__(self) -> None:
        self._positives: list[NDArray[Any]] = []
        self._overlap: list[NDArray[np.float64]] = []
        self._found_at: list[NDArray[Any]] = []
        self._runs: list[NDArray[Any]] = []
        self._waiting: list[NDArray[Any]] = []

    def add(self, scores: NDArray[Any], labels: NDArray[Any]) -> None:
        """Take scores and labels of one shape."""
        if scores.shape != labels.shape:
            raise InputError(f"Scores and labels must have one shape, found {scores.shape} and {labels.shape}.")
        if not np.isfinite(scores).all():
            raise InputError("Scores must be finite numbers; found NaN or infinity. The detector's weights are broken.")
        positive = labels != 0
        self._positives.append(scores[positive])
        self._waiting.append(scores[~positive])
        if sum(map(len, self._waiting)) >= _RUN:
            self._close_run()

    def add_regions(self, overlap: NDArray[np.float64], found_at: NDArray[Any]) -> None:
        """Take what each positive adds to its region's overlap, in order, and the score that finds each region."""
        self._overlap.append(overlap)
        self._found_at.append(found_at)

    def curve(self) -> Curve | None:
        """Return the curve, None when a class is missing."""
        self._close_run()
        num_negatives = sum(map(len, self._runs))
        scores = np.concatenate(self._positives) if self._positives else np.zeros(0)
        if num_negatives == 0 or len(scores) == 0:
            return None
        values, rows, positives = np.unique(scores, return_inverse=True, return_counts=True)
        overlap = np.bincount(rows, weights=np.concatenate(self._overlap) if self._overlap else None)
        found_at = np.concatenate(self._found_at) if self._found_at else values
        less = np.sum([np.searchsorted(run, values, side="left") for run in self._runs], axis=0)
        less_or_equal = np.sum([np.searchsorted(run, values, side="right") for run in self._runs], axis=0)
        return Curve(
            positives=positives[::-1],
            negatives_ge=num_negatives - less[::-1],
            negatives_gt=num_negatives - less_or_equal[::-1],
            num_negatives=num_negatives,
            overlap=overlap[::-1].astype(np.float64),
            instances=np.bincount(np.searchsorted(values, found_at), minlength=len(values))[::-1],
        )

    def _close_run(self) -> None:
        """Sort what is waiting into a run: counts below a value add up over runs, so runs are never merged."""
        if self._waiting:
            run = np.concatenate(self._waiting)
            self._waiting.clear()
            run.sort()
            self._runs.append(run)
