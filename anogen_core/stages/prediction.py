"""A trained detector at work: scores and heat maps of new photos, here and as an ONNX file."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from anogen_core.arrays import Image
from anogen_core.config import stored_config
from anogen_core.data.files import PIXEL_CEILING
from anogen_core.data.fit import fit_problems
from anogen_core.data.frame import DECODING, FrameSettings, to_frame, to_rgb
from anogen_core.data.inspection import inspect_photo
from anogen_core.data.problems import Problem
from anogen_core.detectors.onnx_file import TOLERANCE, compare_onnx, to_onnx
from anogen_core.detectors.regions import Region, find_regions
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.errors import AnogenError, InputError
from anogen_core.evaluation import CheckpointRef
from anogen_core.records import Record
from anogen_core.resizing import RULE, resize
from anogen_core.stages.calibration import Calibration, calibrate
from anogen_core.stages.detection import load_detector
from anogen_core.stages.result import choose_category, read_result
from anogen_core.storage import Dataset
from anogen_core.storage.uri import name_of

_TRIED = 8


class Prediction(Record):
    """What a detector says of one photo."""

    image: str
    score: float
    """A greater score is more anomalous."""
    anomalous: bool
    """Whether the score is at or above the threshold."""
    threshold: float
    regions: tuple[Region, ...] = ()
    """Where the defects are, the clearest first; nowhere on a photo that is not anomalous."""
    warnings: tuple[Problem, ...] = ()
    """What makes this photo another than those of the run, or is not used of it."""


@dataclass(frozen=True)
class Inspector:
    """A detector ready for photos as they come from the camera."""

    category: str
    arm: str
    calibration: Calibration
    detector: TrainedDetector
    frame: tuple[int, int]
    usual: tuple[int, int] | None
    """Height and width as stored of most photos of the run; None where they are not known."""
    white_level: int
    dataset: Dataset
    """What the run generated for the category."""
    warning: str | None = None
    """That it is a detector of an earlier run, because the last one failed or left the category out."""

    def inspect(self, path: Path) -> tuple[Prediction, Image, Float[np.ndarray, "H W"]]:
        """Return the answer to one photo, the photo (H, W, 3) as it is, and its anomaly map (H, W) at that size.

        The photo is inspected and framed as the training photos were.

        Raises:
            UnusableFileError: the file cannot be decoded, or is none that a run would read.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # what matters of them is told as a problem
            settings = FrameSettings(white_level=self.white_level, max_pixels=PIXEL_CEILING)
            pixels, problems = inspect_photo(path, settings)
        photo = to_rgb(pixels, white_level=self.white_level)
        if self.usual is not None:
            size = (photo.shape[0], photo.shape[1])
            problems += fit_problems(path, size, category=self.category, frame=self.frame, usual=self.usual)
        scores, maps = self.detector.predict_coarse(to_frame(photo, self.frame)[None])
        heat = cv2.resize(maps[0], photo.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
        score, threshold = float(scores[0]), self.calibration.threshold
        # The mean of equal values may be rounded to one above them.
        least = min(threshold, float(maps[0].max()))
        marked = find_regions(maps[0], least, (photo.shape[0], photo.shape[1])) if score >= threshold else ()
        said = Prediction(
            image=str(path),
            score=score,
            anomalous=score >= threshold,
            threshold=threshold,
            regions=marked,
            warnings=tuple(problems),
        )
        return said, photo, heat


def load_inspector(
    output: str, *, category: str | None = None, arm: str | None = None, false_alarms: float | None = None
) -> Inspector:
    """Return the detector of a finished run, calibrated.

    For a category that failed in the last run or was not part of it, it is that of an earlier one.

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
    found = choose_category(result, category, output)
    config, chosen = stored_config(found.settings, output=output, source=f"{output}/run.json"), found.made
    if chosen.dataset is None:
        raise InputError(
            f"{output}: the last run generated nothing of {chosen.category}, and thresholds come from generated "
            "images. Run `anogen run` with its run file; finished work is found again."
        )
    checkpoint = _choose_arm(chosen.checkpoints, arm, output)
    detector = load_detector(checkpoint, config)
    dataset = Dataset(f"{output}/datasets/{name_of(chosen.dataset.uri)}")
    frame = (dataset.spec.height, dataset.spec.width)
    calibration = calibrate(detector, checkpoint, dataset, chosen, config, false_alarms=false_alarms)
    return Inspector(
        category=chosen.category,
        arm=checkpoint.arm,
        calibration=calibration,
        detector=detector,
        frame=frame,
        usual=frame if config.frame.size is None else calibration.photo_size,
        white_level=config.frame.white_level,
        dataset=dataset,
        warning=found.warning,
    )


def deploy_onnx(inspector: Inspector) -> tuple[bytes, float, int]:
    """Return a detector as an ONNX file, its largest difference from PyTorch, and on how many images it was seen.

    The file's metadata hold, under `anogen` as JSON, how a photo file becomes RGB (`decode`: the rule; `white_level`),
    how that is resized (`resize`: the rule, and its steps to the input) and the threshold of `score`. Compared are
    images of the run and a photo of other proportions, resized by these steps, with what `Inspector.inspect` would say
    of them.

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
        "decode": {"rule": DECODING},
        "white_level": inspector.white_level,
        "resize": {"rule": RULE, "steps": steps},
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


def _choose_arm(checkpoints: Sequence[CheckpointRef], arm: str | None, output: str) -> CheckpointRef:
    # The first of an arm is the one with the run's own seed.
    known = {c.arm: c for c in reversed(checkpoints)}
    if not known:
        raise InputError(f"{output}: the run trained no detector. Set `evaluation.enabled: true` and run again.")
    chosen = arm or ("generated" if "generated" in known else checkpoints[0].arm)
    if chosen not in known:
        raise InputError(f"--arm {arm}: the run trained no such detector. Expected one of: {', '.join(sorted(known))}.")
    return known[chosen]
