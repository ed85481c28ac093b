"""The threshold of a trained detector: it needs no real defect, and says how often it is wrong."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anogen_core.arrays import Image
from anogen_core.config import RunConfig
from anogen_core.data.files import PIXEL_CEILING, read_header
from anogen_core.data.frame import load_image
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.errors import FullStoreError, InputError, RefusedStoreError
from anogen_core.evaluation import CheckpointRef
from anogen_core.metrics.predictions import Predictions
from anogen_core.records import Decision, LedgerRow, Record, Sample
from anogen_core.resizing import mixed_mark
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.result import CategoryResult
from anogen_core.storage import Dataset
from anogen_core.storage.artifacts import ArtifactStore, artifact_key

CALIBRATION_VERSION = 2
"""Raised by hand when a change here changes thresholds."""

log = logging.getLogger(__name__)

_CALIBRATION_IMAGES = 256
_BATCH = 16


class Calibration(Record):
    """The score from which a photo is called defective, and how often that is wrong."""

    threshold: float
    """The one that parts generated images best from the normal photos under them, or that gives the asked share of
    false alarms on these photos; no real defect was looked at."""
    generated_misses: float
    """Share of those images below it; the detector may have learned from them, so it is optimistic."""
    normal_false_alarms: float
    """Share of those photos at or above it."""
    num_generated: int
    num_normal: int
    photo_size: tuple[int, int] | None = None
    """Height and width in pixels of those photos as stored, the median of each; null where it is not known."""
    real_false_alarms: float | None = None
    """Share of held-out good photos at or above the threshold; null where the run evaluated none."""
    real_misses: float | None = None
    """Share of held-out real defective photos below it; null where the run evaluated none."""
    num_real: tuple[int, int] = (0, 0)
    """Good and defective photos behind these shares."""


def calibrate(
    detector: TrainedDetector,
    checkpoint: CheckpointRef,
    dataset: Dataset,
    made: CategoryResult,
    config: RunConfig,
    *,
    false_alarms: float | None,
) -> Calibration:
    """Return the threshold of a run's detector and its errors.

    What was found once with these options is stored, where the output may be written to.

    Raises:
        InputError: there is no image or normal photo to calibrate on, or the photos are not here.
    """
    artifacts = ArtifactStore.of_run(config.output)
    evaluation = next((e for e in made.evaluations if e.arm == checkpoint.arm and e.predictions), None)
    real = evaluation.predictions if evaluation is not None else None
    rejected = {row for row, verdict in dataset.verdicts().items() if verdict.decision is Decision.REJECT}
    decided = [checkpoint.digest, dataset.ref().digest, real, false_alarms, *([sorted(rejected)] if rejected else [])]
    frame, side = (dataset.spec.height, dataset.spec.width), detector.settings.image_size
    decided += mixed_mark([frame], (side, side))
    key = artifact_key("calibration", CALIBRATION_VERSION, *decided)
    stored = artifacts.get(key)
    if stored is not None:
        return Calibration.model_validate(stored.metadata["calibration"])
    rows = _choose_rows(dataset, rejected)
    photos = _normals_of(rows, dataset, checkpoint, made.category, config)
    generated = _scores(detector, (sample.image for sample in dataset.read(rows)))
    normal = _scores(detector, (load_image(s, frame, white_level=config.frame.white_level) for s in photos))
    threshold = best_threshold(generated, normal) if false_alarms is None else lenient_threshold(normal, false_alarms)
    calibration = Calibration(
        threshold=threshold,
        generated_misses=float((generated < threshold).mean()),
        normal_false_alarms=float((normal >= threshold).mean()),
        num_generated=len(generated),
        num_normal=len(normal),
        photo_size=_usual_size([read_header(Path(s.image_uri), max_pixels=PIXEL_CEILING).size for s in photos]),
    )
    if real is not None:
        tested = Predictions.from_bytes(artifacts.read(real, "predictions.npz"))
        calibration = calibration.model_copy(update=_real_errors(tested, threshold))
    try:
        artifacts.put(key, {}, {"kind": "calibration", "calibration": calibration.model_dump(mode="json")})
    except (RefusedStoreError, FullStoreError) as error:
        log.info("the threshold is computed each time, because it cannot be stored: %s", error)
    return calibration


def _choose_rows(dataset: Dataset, rejected: set[int]) -> list[LedgerRow]:
    """Return up to 256 images to calibrate on, evenly spread over those that were not rejected."""
    rows = [row for row in dataset.made() if row.row not in rejected]
    if not rows:
        raise InputError(
            f"{dataset.uri}: holds no image to calibrate on, or all were rejected in review. "
            "See its ledger for the reasons."
        )
    return rows[:: -(-len(rows) // _CALIBRATION_IMAGES)]


def _normals_of(
    rows: Sequence[LedgerRow], dataset: Dataset, checkpoint: CheckpointRef, category: str, config: RunConfig
) -> list[Sample]:
    """Return the normal photos under generated images, each once."""
    try:
        by_id = {s.sample_id: s for s in read_category(config, category).normals}
    except InputError as error:
        raise InputError(
            f"{error} The threshold of `{checkpoint.arm}` is not known yet: run `anogen predict` once where the run's "
            "photos are, with the same options; it is stored with the results."
        ) from error
    found = [by_id[name] for name in dict.fromkeys(row.normal_id for row in rows) if name in by_id]
    if not found:
        raise InputError(
            f"{dataset.uri}: none of the normal photos under its images is in the data any more. "
            "Put them back, or run again on the photos there are."
        )
    return found


def _real_errors(tested: Predictions, threshold: float) -> dict[str, Any]:
    """Return the fields of a calibration that held-out real photos decide."""
    good, bad = tested.score[~tested.defective], tested.score[tested.defective]
    return {
        "real_false_alarms": float((good >= threshold).mean()) if len(good) else None,
        "real_misses": float((bad < threshold).mean()) if len(bad) else None,
        "num_real": (len(good), len(bad)),
    }


def _usual_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    heights, widths = zip(*sizes, strict=True)
    return round(median(heights)), round(median(widths))


def best_threshold(defective: NDArray[np.float32], normal: NDArray[np.float32]) -> float:
    """Return the threshold of `score >= threshold` that parts two sets of scores best, halfway to the next lower score.

    Best is the largest difference between the shares that are found (Youden's J, 1950). How many there are of either
    does not matter: unlike F1 it does not call everything defective where generated images outnumber normal photos.

    Args:
        defective: (N,) scores, at least one.
        normal: (M,) scores, at least one.
    """
    levels = np.unique(np.concatenate([defective, normal]).astype(np.float64))
    found = 1 - np.searchsorted(np.sort(defective), levels) / len(defective)
    alarms = 1 - np.searchsorted(np.sort(normal), levels) / len(normal)
    best = int(np.argmax(found - alarms))
    return float((levels[best] + levels[max(0, best - 1)]) / 2)


def lenient_threshold(normal: NDArray[np.float32], false_alarms: float) -> float:
    """Return the lowest threshold of `score >= threshold` that at most this share of normal scores (M,) reaches."""
    ordered = np.sort(normal.astype(np.float64))[::-1]
    allowed = int(false_alarms * len(ordered))
    if allowed >= len(ordered):
        return float(ordered[-1])
    return float(np.nextafter(np.float32(ordered[allowed]), np.float32(np.inf)))


def _scores(detector: TrainedDetector, photos: Iterator[Image]) -> NDArray[np.float32]:
    scores: list[float] = []
    batch: list[Image] = []
    for photo in photos:
        batch.append(photo)
        if len(batch) == _BATCH:
            scores += detector.predict_coarse(np.stack(batch))[0].tolist()
            batch = []
    if batch:
        scores += detector.predict_coarse(np.stack(batch))[0].tolist()
    return np.array(scores, np.float32)
