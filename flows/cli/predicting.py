"""`anogen predict` and `onnx`: a trained detector's word on photos, here and on machines without PyTorch."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.arguments import output_of

if TYPE_CHECKING:
    from anogen_core.stages.calibration import Calibration
    from anogen_core.stages.prediction import Inspector

_NAMED = 5
"""Skipped files that are named; the others are counted."""


def predict(
    output: str,
    images: Sequence[Path],
    *,
    category: str | None,
    arm: str | None,
    false_alarms: float | None,
    heat: Path | None,
    as_json: bool,
) -> int:
    """Print score and verdict of every photo, then what is odd about some; return 1 when one could not be read."""
    from anogen_core.data.problems import Problem, UnusableFileError, told_once  # noqa: PLC0415
    from anogen_core.report.figures import encode_png, heat_overlay  # noqa: PLC0415
    from anogen_core.stages.prediction import load_inspector  # noqa: PLC0415
    from anogen_core.storage.local import explained  # noqa: PLC0415

    inspector = load_inspector(output_of(output), category=category, arm=arm, false_alarms=false_alarms)
    sys.stderr.write(_explain(inspector))
    paths, failed, answers = _photos(images), 0, []
    warnings: list[Problem] = []
    names = _file_names(paths)
    for path in paths:
        try:
            said, photo, anomaly_map = inspector.inspect(path)
        except UnusableFileError as error:
            sys.stderr.write(f"error: {error}\n")
            failed += 1
            continue
        warnings += said.warnings
        answers.append(said.model_dump(mode="json"))
        if not as_json:
            sys.stdout.write(f"{said.score:.4f} {'DEFECT' if said.anomalous else 'good  '} {path}\n")
        if heat is not None:
            # Nothing is tinted up to half the threshold; the colour is full at one and a half.
            level = (anomaly_map - said.threshold / 2).clip(min=0)
            picture = heat_overlay(photo, level, peak=said.threshold, side=max(photo.shape[:2]))
            with explained(heat):
                heat.mkdir(parents=True, exist_ok=True)
                file = heat / names[path]
                file.write_bytes(encode_png(picture))
            answers[-1]["heat_map"] = str(file)
    if as_json:
        calibration = inspector.calibration.model_dump(mode="json")
        about = {"category": inspector.category, "arm": inspector.arm, "warning": inspector.warning}
        sys.stdout.write(json.dumps({**about, "calibration": calibration, "predictions": answers}, indent=1) + "\n")
    sys.stderr.write("".join(f"warning: {problem}\n" for problem in told_once(warnings)))
    return 1 if failed else 0


def write_onnx(output: str, file: Path, *, category: str | None, arm: str | None, false_alarms: float | None) -> None:
    """Write a run's detector as ONNX and say how far it is from PyTorch on the run's own images."""
    from anogen_core.stages.prediction import deploy_onnx, load_inspector  # noqa: PLC0415
    from anogen_core.storage.local import explained  # noqa: PLC0415

    inspector = load_inspector(output_of(output), category=category, arm=arm, false_alarms=false_alarms)
    data, difference, count = deploy_onnx(inspector)
    with explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    sys.stderr.write(_explain(inspector))
    sys.stderr.write(f"differs from PyTorch by at most {difference:.1e} on {count} images (onnxruntime, CPU)\n")
    sys.stdout.write(f"{file}\n")


def _photos(given: Sequence[Path]) -> list[Path]:
    """Return the photos: files as they are, directories searched for the formats that a run reads; say what is not."""
    from anogen_core.data.files import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES  # noqa: PLC0415
    from anogen_core.errors import InputError  # noqa: PLC0415

    found: list[Path] = []
    skipped: list[Path] = []
    for path in given:
        inside = sorted(path.rglob("*")) if path.is_dir() else []
        found += [p for p in inside if p.suffix.lower() in IMAGE_SUFFIXES] if path.is_dir() else [path]
        skipped += [p for p in inside if p.suffix.lower() in OTHER_IMAGE_SUFFIXES]
    if skipped:
        names = ", ".join(map(str, skipped[:_NAMED])) + (", ..." if len(skipped) > _NAMED else "")
        what = f"{len(skipped)} files of formats that are not read are skipped: {names}."
        sys.stderr.write(f"warning: {what} Save them as PNG to have an answer.\n")
    if not found:
        raise InputError(f"{given[0]}: holds no photo. Expected png, jpg, bmp or tif files.")
    return found


def _file_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the name of each photo's heat map: the photo's, with its directory and a number where names repeat."""
    stems = Counter(path.stem for path in paths)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in dict.fromkeys(paths):
        plain = path.stem if stems[path.stem] == 1 else f"{path.resolve().parent.name}-{path.stem}"
        name = next(n for i in count() if (n := f"{plain}-{i}.png" if i else f"{plain}.png") not in taken)
        taken.add(name)
        names[path] = name
    return names


def _explain(inspector: "Inspector") -> str:
    """Return whose detector it is, where that is not the last run's, and what is known of its threshold."""
    whose = "" if inspector.warning is None else f"warning: {inspector.warning}\n"
    return f"{whose}{_threshold(inspector.calibration)}\n"


def _threshold(calibration: "Calibration") -> str:
    counts = f"{calibration.num_generated} generated images and {calibration.num_normal} normal photos"
    text = f"threshold {calibration.threshold:.4f}, calibrated on {counts}"
    good, bad = calibration.num_real
    if calibration.real_misses is None and calibration.real_false_alarms is None:
        return f"{text}; its error on real photos was not measured"
    if calibration.real_misses is None:
        alarms = f"alarmed at {calibration.real_false_alarms:.0%} of {good} good ones"
        return f"{text}; on held-out real photos it {alarms}, and no defective one was held out"
    if calibration.real_false_alarms is None:
        missed = f"missed {calibration.real_misses:.0%} of {bad} defective ones"
        return f"{text}; on held-out real photos it {missed}, and no good one was held out"
    return (
        f"{text}; on held-out real photos it missed {calibration.real_misses:.0%} of {bad} defective ones "
        f"and alarmed at {calibration.real_false_alarms:.0%} of {good} good ones"
    )
