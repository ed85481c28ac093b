"""A trained detector at work: scores and heat maps of new photos, against a threshold that needed no real defect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from anogen_core.arrays import Image
from anogen_core.config import RunConfig, stored_config
from anogen_core.data.files import PIXEL_CEILING, read_header
from anogen_core.data.frame import load_image, read_photo, to_frame
from anogen_core.detectors.onnx_file import TOLERANCE, compare_onnx, to_onnx
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.errors import AnogenError, InputError
from anogen_core.metrics.predictions import Predictions
from anogen_core.records import CheckpointRef, Decision, Record
from anogen_core.resizing import RULE, mixed_mark, resize
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.detection import load_detector
from anogen_core.stages.result import CategoryResult, choose_category, read_result
from anogen_core.storage import Dataset
from anogen_core.storage.artifacts import ArtifactStore, artifact_key

CALIBRATION_VERSION = 2
"""Raised by hand when a change here changes thresholds."""

_CALIBRATION_IMAGES = 256
_BATCH = 16
_TRIED = 8


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
    real_false_alarms: float | None = None
    """Share of held-out good photos at or above the threshold; null where the run evaluated none."""
    real_misses: float | None = None
    """Share of held-out real defective photos below it; null where the run evaluated none."""
    num_real: tuple[int, int] = (0, 0)
    """Good and defective photos behind these shares."""


class Prediction(Record):
    """What a detector says of one photo."""

    image: str
    score: float
    """A greater score is more anomalous."""
    anomalous: bool
    """Whether the score is at or above the threshold."""
    threshold: float


@dataclass(frozen=True)
class Inspector:
    """A detector ready for photos as they come from the camera."""

    category: str
    arm: str
    calibration: Calibration
    detector: TrainedDetector
    frame: tuple[int, int]
    white_level: int
    dataset: Dataset
    """What the run generated for the category."""

    def inspect(self, path: Path) -> tuple[Prediction, Image, Float[np.ndarray, "H W"]]:
        """Return the answer to one photo, the photo (H, W, 3) as it is, and its anomaly map (H, W) at that size.

        The photo is framed as the training photos were.

        Raises:
            UnusableFileError: the file cannot be decoded, or is none that a run would read.
        """
        read_header(path, max_pixels=PIXEL_CEILING)
        photo = read_photo(path, white_level=self.white_level)
        scores, maps = self.detector.predict(to_frame(photo, self.frame)[None])
        heat = cv2.resize(maps[0], photo.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
        score, threshold = float(scores[0]), self.calibration.threshold
        said = Prediction(image=str(path), score=score, anomalous=score >= threshold, threshold=threshold)
        return said, photo, heat


def load_inspector(
    output: str, *, category: str | None = None, arm: str | None = None, false_alarms: float | None = None
) -> Inspector:
    """Return the detector of a finished run, calibrated.

    Args:
        output: Where the run wrote, a directory or s3:// prefix.
        category: May be left out when the run has one.
        arm: What the detector learned from; default: generated data where there is such a detector.
        false_alarms: Share of normal photos that may be called defective; default: what parts generated defects from
            normal photos best.

    Raises:
        InputError: no run has finished there, it trained no detector, or the choice is not one of it.
    """
    result = read_result(output)
    config = stored_config(result.settings, output=output, source=f"{output}/run.json")
    chosen = choose_category(result, category, output)
    checkpoint = _choose_arm(chosen.checkpoints, arm, output)
    detector = load_detector(checkpoint, config)
    dataset = Dataset(f"{output}/datasets/{_name(chosen.dataset.uri)}")
    return Inspector(
        category=chosen.category,
        arm=checkpoint.arm,
        calibration=_calibrate(detector, checkpoint, dataset, chosen, config, false_alarms=false_alarms),
        detector=detector,
        frame=(dataset.spec.height, dataset.spec.width),
        white_level=config.frame.white_level,
        dataset=dataset,
    )


def deploy_onnx(inspector: Inspector) -> tuple[bytes, float, int]:
    """Return a detector as an ONNX file, its largest difference from PyTorch, and on how many images it was seen.

    The file's metadata hold, under `anogen` as JSON, how a photo is resized (`resize`: the rule, and its steps from the
    photo to the input) and the threshold of `score`. Compared are images of the run and a photo of other proportions,
    resized by these steps, with what `Inspector.inspect` would say of them.

    Raises:
        InputError: the `onnx` extra is not installed.
        AnogenError: the answers differ by more than rounding.
    """
    trained, side = inspector.detector, inspector.detector.settings.image_size
    steps: list[dict[str, Any]] = [
        {"size": list(inspector.frame), "growing": "INTER_CUBIC"},
        {"size": [side, side], "growing": "INTER_LINEAR"},
    ]
    about = {
        "category": inspector.category,
        "arm": inspector.arm,
        "frame": list(inspector.frame),
        "image_size": side,
        "resize": {"rule": RULE, "steps": steps},
        "white_level": inspector.white_level,
        "calibration": inspector.calibration.model_dump(mode="json"),
    }
    data = to_onnx(trained, about)
    rows = inspector.dataset.made()[:_TRIED]
    photos = [sample.image for sample in inspector.dataset.read(rows)]
    photos.append(np.repeat(photos[0][::2], 2, axis=1))
    squares = np.stack([_follow(steps, photo) for photo in photos])
    expected = trained.predict_coarse(np.stack([to_frame(photo, inspector.frame) for photo in photos]))
    difference = compare_onnx(data, squares, expected)
    if difference > TOLERANCE:
        raise AnogenError(
            f"The ONNX file differs from PyTorch by {difference:.2g}, expected at most {TOLERANCE:g}. "
            "Nothing was written."
        )
    return data, difference, len(squares)


def _follow(steps: Sequence[dict[str, Any]], photo: Image) -> Image:
    for step in steps:
        height, width = step["size"]
        photo = resize(photo, (height, width), growing=getattr(cv2, step["growing"]))
    return photo


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


def _calibrate(
    detector: TrainedDetector,
    checkpoint: CheckpointRef,
    dataset: Dataset,
    made: CategoryResult,
    config: RunConfig,
    *,
    false_alarms: float | None,
) -> Calibration:
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    evaluation = next((e for e in made.evaluations if e.arm == checkpoint.arm and e.predictions), None)
    real = evaluation.predictions if evaluation is not None else None
    rejected = {row for row, verdict in dataset.verdicts().items() if verdict.decision is Decision.REJECT}
    decided = [checkpoint.digest, made.dataset.digest, real, false_alarms, *([sorted(rejected)] if rejected else [])]
    frame, side = (dataset.spec.height, dataset.spec.width), detector.settings.image_size
    decided += mixed_mark([frame], (side, side))
    key = artifact_key("calibration", CALIBRATION_VERSION, *decided)
    stored = artifacts.get(key)
    if stored is not None:
        return Calibration.model_validate(stored.metadata["calibration"])
    rows = [row for row in dataset.made() if row.row not in rejected]
    if not rows:
        raise InputError(
            f"{dataset.uri}: holds no image to calibrate on, or all were rejected in review. "
            "See its ledger for the reasons."
        )
    rows = rows[:: -(-len(rows) // _CALIBRATION_IMAGES)]
    generated = _scores(detector, (sample.image for sample in dataset.read(rows)))
    try:
        by_id = {s.sample_id: s for s in read_category(config, made.category).normals}
    except InputError as error:
        raise InputError(
            f"{error} The threshold of `{checkpoint.arm}` is not known yet: run `anogen predict` once where the run's "
            "photos are, with the same options; it is stored with the results."
        ) from error
    wanted = [by_id[name] for name in dict.fromkeys(row.normal_id for row in rows) if name in by_id]
    normal = _scores(detector, (load_image(s, frame, white_level=config.frame.white_level) for s in wanted))
    if not len(normal):
        raise InputError(f"{dataset.uri}: none of the normal photos under its images is in the data any more.")
    threshold = best_threshold(generated, normal) if false_alarms is None else lenient_threshold(normal, false_alarms)
    calibration = Calibration(
        threshold=threshold,
        generated_misses=float((generated < threshold).mean()),
        normal_false_alarms=float((normal >= threshold).mean()),
        num_generated=len(generated),
        num_normal=len(normal),
    )
    if real is not None:
        tested = Predictions.from_bytes(artifacts.read(real, "predictions.npz"))
        good, bad = tested.score[~tested.defective], tested.score[tested.defective]
        calibration = calibration.model_copy(
            update={
                "real_false_alarms": float((good >= threshold).mean()) if len(good) else None,
                "real_misses": float((bad < threshold).mean()) if len(bad) else None,
                "num_real": (len(good), len(bad)),
            }
        )
    artifacts.put(key, {}, {"kind": "calibration", "calibration": calibration.model_dump(mode="json")})
    return calibration


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


def _choose_arm(checkpoints: Sequence[CheckpointRef], arm: str | None, output: str) -> CheckpointRef:
    # The first of an arm is the one with the run's own seed.
    known = {c.arm: c for c in reversed(checkpoints)}
    if not known:
        raise InputError(f"{output}: the run trained no detector. Set `evaluation.enabled: true` and run again.")
    chosen = arm or ("generated" if "generated" in known else checkpoints[0].arm)
    if chosen not in known:
        raise InputError(f"--arm {arm}: the run trained no such detector. Expected one of: {', '.join(sorted(known))}.")
    return known[chosen]


def _name(uri: str) -> str:
    """Return the last part of an address: results may have been moved as a whole since."""
    return uri.rstrip("/").rsplit("/", 1)[-1]
