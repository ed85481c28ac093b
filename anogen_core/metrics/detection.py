"""Exact detection metrics in bounded memory, from scores where a greater one is more anomalous.

Every metric here changes only at scores that some positive has (TP rises there alone), so the curve of a test set needs
one row per distinct positive score, and negatives are merely counted against these. Scores are kept in the type they
come in (float32 maps: four bytes per pixel); none is rounded, binned or thresholded on a grid.

Notation: for a distinct positive score v,
    positives[v]    positives with score v
    negatives_ge    negatives with a score >= v (false positives at threshold v)
    negatives_gt    negatives with a score > v
"""

from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from anogen_core.errors import InputError
from anogen_core.records import Record

_RUN = 1 << 24
"""Negatives per sorted run."""

Metric = Annotated[float, Field(ge=0, le=1)] | None


class ScoreMetrics(Record):
    """How well scores separate two classes; None where only one class is present."""

    auroc: Metric
    """Area under the ROC curve; ties count half."""
    ap: Metric
    """Average precision, as scikit-learn defines it: the sum of precision times recall gained."""
    f1_max: Metric
    """The best F1 over all thresholds."""


class PixelMetrics(ScoreMetrics):
    """How well anomaly maps separate pixels."""

    aupro: Metric
    """Area under the per-region-overlap curve up to a false-positive rate of 0.3, divided by 0.3 (MVTec AD)."""


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
    return ScoreMetrics(auroc=None, ap=None, f1_max=None) if curve is None else curve.metrics()


@final
class PixelEvaluation:
    """Collects anomaly maps batch by batch; the order of images and the batches do not change the result."""

    def __init__(self, *, fpr_limit: float = 0.3) -> None:
        self._counts = _Counts()
        self._fpr_limit = fpr_limit

    def add(self, maps: NDArray[Any], masks: NDArray[Any]) -> None:
        """Take anomaly maps (N, H, W) and their masks (N, H, W), not 0 where anomalous.

        Raises:
            InputError: the shapes differ or a score is not finite.
        """
        if maps.ndim != 3:
            raise InputError(f"Anomaly maps must have the shape (N, H, W), found {maps.shape}.")
        self._counts.add(maps, masks, weights=np.concatenate([np.zeros(0), *map(_region_weights, masks)]))

    def metrics(self) -> PixelMetrics:
        """Return the metrics of all pixels so far."""
        curve = self._counts.curve()
        if curve is None:
            return PixelMetrics(auroc=None, ap=None, f1_max=None, aupro=None)
        return PixelMetrics(**curve.metrics().model_dump(), aupro=curve.area_under_overlap(self._fpr_limit))


@final
@dataclass(frozen=True, slots=True)
class _Curve:
    """One row per distinct positive score, the greatest first."""

    positives: NDArray[np.int64]
    negatives_ge: NDArray[np.int64]
    negatives_gt: NDArray[np.int64]
    overlap: NDArray[np.float64]
    """Mean overlap of the regions gained at this score; sums to 1."""
    num_negatives: int

    def metrics(self) -> ScoreMetrics:
        found = np.cumsum(self.positives)
        total = int(found[-1])
        below = self.num_negatives - (self.negatives_ge + self.negatives_gt) / 2
        precision = found / (found + self.negatives_ge)
        f1 = 2 * found / (found + self.negatives_ge + total)
        return ScoreMetrics(
            auroc=float(self.positives @ below / (total * self.num_negatives)),
            ap=min(1.0, float(self.positives @ precision / total)),
            f1_max=float(f1.max()),
        )

    def area_under_overlap(self, limit: float) -> float:
        """Return the area under (false-positive rate, mean overlap) from 0 to the limit, divided by the limit."""
        overlap = np.cumsum(self.overlap)
        x = np.stack((self.negatives_gt, self.negatives_ge), axis=1).ravel() / self.num_negatives
        y = np.stack((overlap - self.overlap, overlap), axis=1).ravel()
        x, y = np.append(x, 1.0), np.append(y, 1.0)
        inside = int(np.searchsorted(x, limit, side="right"))
        if inside < len(x):
            share = (limit - x[inside - 1]) / (x[inside] - x[inside - 1]) if inside else 0.0
            end = y[inside - 1] + share * (y[inside] - y[inside - 1]) if inside else 0.0
            x, y = np.append(x[:inside], limit), np.append(y[:inside], end)
        return min(1.0, float(np.trapezoid(y, x) / limit))


@final
class _Counts:
    """Positive scores, and negative scores in sorted runs."""

    def __init__(self) -> None:
        self._positives: list[NDArray[Any]] = []
        self._weights: list[NDArray[np.float64]] = []
        self._runs: list[NDArray[Any]] = []
        self._waiting: list[NDArray[Any]] = []

    def add(self, scores: NDArray[Any], labels: NDArray[Any], *, weights: NDArray[np.float64] | None = None) -> None:
        """Take scores and labels of one shape, and one weight per positive in the order of the array."""
        if scores.shape != labels.shape:
            raise InputError(f"Scores and labels must have one shape, found {scores.shape} and {labels.shape}.")
        if not np.isfinite(scores).all():
            raise InputError("Scores must be finite numbers; found NaN or infinity. The detector's weights are broken.")
        positive = labels != 0
        found = scores[positive]
        self._positives.append(found)
        self._weights.append(np.ones(len(found)) if weights is None else weights)
        self._waiting.append(scores[~positive])
        if sum(map(len, self._waiting)) >= _RUN:
            self._close_run()

    def curve(self) -> _Curve | None:
        """Return the curve, None when a class is missing."""
        self._close_run()
        num_negatives = sum(map(len, self._runs))
        scores = np.concatenate(self._positives) if self._positives else np.zeros(0)
        if num_negatives == 0 or len(scores) == 0:
            return None
        values, rows, positives = np.unique(scores, return_inverse=True, return_counts=True)
        weights = np.bincount(rows, weights=np.concatenate(self._weights))
        less = np.sum([np.searchsorted(run, values, side="left") for run in self._runs], axis=0)
        less_or_equal = np.sum([np.searchsorted(run, values, side="right") for run in self._runs], axis=0)
        return _Curve(
            positives=positives[::-1],
            negatives_ge=num_negatives - less[::-1],
            negatives_gt=num_negatives - less_or_equal[::-1],
            overlap=weights[::-1] / weights.sum(),
            num_negatives=num_negatives,
        )

    def _close_run(self) -> None:
        """Sort what is waiting into a run: counts below a value add up over runs, so runs are never merged."""
        if self._waiting:
            run = np.concatenate(self._waiting)
            self._waiting.clear()
            run.sort()
            self._runs.append(run)


def _region_weights(mask: NDArray[Any]) -> NDArray[np.float64]:
    """Return 1 / area of its 8-connected region for every anomalous pixel, in the order of the mask."""
    regions, _ = ndimage.label(mask != 0, structure=np.ones((3, 3)))
    members = regions[regions > 0]
    return 1.0 / np.bincount(members)[members] if len(members) else np.zeros(0)
