"""Doubtful support photos are told before a run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from anogen_core.config import RunConfig
from anogen_core.evaluation import EvaluationSettings
from anogen_core.stages.support_doubts import support_doubts


def _config(small_run: dict[str, object], root: Path, **detector: object) -> RunConfig:
    settings = {**small_run, "output": "out", "reader": {"kind": "mvtec", "root": str(root)}}
    settings["support"] = {"images": {"bolt/cut": ["000.png", "001.png", "002.png"]}, "defects": ["bolt/cut"]}
    if detector:
        settings["detector"] = detector
    return RunConfig.model_validate(settings)


def test_true_labels_raise_no_doubt(small_run: dict[str, object], photos: Path) -> None:
    """Clear cuts under their masks."""
    assert support_doubts(_config(small_run, photos)) == []


def test_a_label_beside_its_defect_is_named(small_run: dict[str, object], photos: Path, tmp_path: Path) -> None:
    """One of three masks lies on the bare surface: its file, its contrast and those of the others are told."""
    shutil.copytree(photos / "bolt", tmp_path / "bolt")
    file = tmp_path / "bolt" / "ground_truth" / "cut" / "001_mask.png"
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    cv2.imwrite(str(file), np.roll(mask, 32, axis=0))

    (doubt,) = support_doubts(_config(small_run, tmp_path))

    assert doubt.severity == "warning"
    assert doubt.file == str(file)
    assert "looks like what surrounds it" in doubt.what
    assert "bolt/cut" in doubt.what


@pytest.mark.parametrize(("side", "expected"), [(256, None), (160, "is found less well"), (32, "cannot be found")])
def test_defects_that_shrink_to_nothing_are_told(
    small_run: dict[str, object], tmp_path: Path, photos: Path, side: int, expected: str | None
) -> None:
    """16x5 pixels of a photo of 256 px are one pixel at 32 px, and a square of 5.6 px at 160."""
    root = tmp_path / "bolt"
    for file in (photos / "bolt").rglob("*.png"):
        photo = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert photo is not None
        rows, columns = photo.shape[:2]
        wide = np.pad(photo, ((0, 256 - rows), (0, 256 - columns), (0, 0))[: photo.ndim], mode="wrap")
        if photo.ndim == 2:
            wide[rows:], wide[:, columns:] = 0, 0
        target = root / file.relative_to(photos / "bolt")
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), wide)

    found = support_doubts(_config(small_run, tmp_path, kind="fpn", image_size=side))

    assert len(found) == (expected is not None)
    assert all(f"`detector.image_size` {side}" in doubt.what and str(expected) in doubt.what for doubt in found)
    assert all("Set `detector.image_size: 256`" in doubt.fix for doubt in found)


def test_defects_without_a_test_photo_are_told(
    small_run: dict[str, object], photos: Path, tmp_path: Path, anogen: Callable[..., Any]
) -> None:
    """With three photos of the only defect nothing can be compared: said before a run, and `evaluate` begins none."""
    shutil.copytree(photos / "bolt", tmp_path / "bolt")
    for folder in ("test", "ground_truth"):
        for other in (tmp_path / "bolt" / folder).iterdir():
            if other.name not in {"good", "cut"}:
                shutil.rmtree(other)
        for number, file in enumerate(sorted((tmp_path / "bolt" / folder / "cut").iterdir())):
            if number > 2:
                file.unlink()
    config = _config(small_run, tmp_path)

    (doubt,) = support_doubts(config)

    assert doubt.file == "bolt"
    assert "no defective photo left to test on" in doubt.what
    assert "`evaluation.enabled: false`" in doubt.fix
    assert support_doubts(config.model_copy(update={"evaluation": EvaluationSettings(enabled=False)})) == []
    run_file = tmp_path / "run.yaml"
    settings = config.model_dump(mode="json") | {"output": str(tmp_path / "out")}
    run_file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    said = anogen("evaluate", run_file)
    assert said.returncode == 2
    assert "nothing can be compared" in said.stderr
    assert not (tmp_path / "out" / "datasets").exists()
