"""Masks that are white where the surface is normal and black where it is defective."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.config import load_config
from anogen_core.data import FolderReaderSettings, MvtecReaderSettings
from anogen_core.data.files import decode
from anogen_core.data.frame import load_mask
from anogen_core.run_file import write_run_file
from anogen_core.stages.detection import _labelled
from tests.core.data.reading import SIZE, audited

_DEFECT = np.zeros(SIZE, bool)
_DEFECT[8:16, 10:20] = True


def _invert(*masks: Path) -> None:
    for path in masks:
        cv2.imwrite(str(path), np.where(decode(path) > 0, 0, 255).astype(np.uint8))


def test_init_reads_masks_that_are_all_inverted(mvtec_root: Path, tmp_path: Path) -> None:
    """It says so, `check` finds nothing, and what is black is the defect."""
    _invert(*mvtec_root.glob("bottle/ground_truth/crack/*"))

    notes = write_run_file(tmp_path / "run.yaml", mvtec_root)

    reader = load_config(tmp_path / "run.yaml", []).reader
    assert reader.mask_inverted
    assert [note for note in notes if note.startswith("reader.mask_inverted: true (every mask is white along")]
    assert audited(reader) == []
    masks = [load_mask(sample, SIZE) for sample in reader.build().read() if sample.is_labelled]
    assert len(masks) == 4
    for mask in masks:
        np.testing.assert_array_equal(mask, _DEFECT)


@pytest.mark.parametrize("kind", ["one of four", "whole photos", "large defects", "as usual"])
def test_init_inverts_nothing_where_it_is_not_clear(mvtec_root: Path, tmp_path: Path, kind: str) -> None:
    """Some masks alone, masks that mark whole photos, and defects that reach two sides of the photo."""
    masks = sorted(mvtec_root.glob("bottle/ground_truth/crack/*"))
    large = np.zeros(SIZE, np.uint8)
    large[4:] = 255
    for path in masks:
        if kind in ("whole photos", "large defects"):
            cv2.imwrite(str(path), np.full(SIZE, 255, np.uint8) if kind == "whole photos" else large)
    if kind == "one of four":
        _invert(masks[0])

    notes = write_run_file(tmp_path / "run.yaml", mvtec_root)

    assert not load_config(tmp_path / "run.yaml", []).reader.mask_inverted
    assert not any("inverted" in note for note in notes)


def test_inverted_masks_of_normal_photos_mark_nothing(folder_root: Path, tmp_path: Path) -> None:
    """Where masks tell normal photos from defective ones, those that are white all over are of normal ones."""
    for photo in sorted(folder_root.glob("images/*/*.png")):
        mask = folder_root / "masks" / photo.name
        cv2.imwrite(str(mask), 255 * (~_DEFECT if photo.stem[0] == "d" else np.ones(SIZE)).astype(np.uint8))
        photo.rename(folder_root / "images" / photo.name)
    for folder in ("images/good", "images/dent"):
        (folder_root / folder).rmdir()
    for mask in folder_root.glob("masks/dent/*"):
        mask.unlink()

    notes = write_run_file(tmp_path / "run.yaml", folder_root)

    assert notes[0] == "caps: 10 normal photos; defect 4"
    assert audited(load_config(tmp_path / "run.yaml", []).reader) == []


def test_inverted_masks_with_soft_edges_need_both_settings(mvtec_root: Path, tmp_path: Path) -> None:
    """As JPEG stores them."""
    for path in mvtec_root.glob("bottle/ground_truth/crack/*"):
        cv2.imwrite(str(path), cv2.GaussianBlur(np.where(_DEFECT, 0, 255).astype(np.uint8), (0, 0), 0.8))

    notes = write_run_file(tmp_path / "run.yaml", mvtec_root)

    reader = load_config(tmp_path / "run.yaml", []).reader
    assert (reader.mask_threshold, reader.mask_inverted) == (128, True)
    assert sum("reader.mask_" in note for note in notes) == 2
    assert audited(reader) == []


def test_several_inverted_masks_of_a_photo_are_one(loco_root: Path) -> None:
    """What any of them leaves black."""
    _invert(*loco_root.glob("bag/ground_truth/*/*/*"))

    reader = MvtecReaderSettings(root=str(loco_root), mask_inverted=True)

    marked = {s.sample_id: int(load_mask(s, SIZE).sum()) for s in reader.build().read() if s.is_labelled}
    assert marked["bag/test/logical_anomalies/000"] == 120
    assert marked["bag/test/logical_anomalies/001"] == 80


def test_a_mask_that_marks_too_much_when_inverted_is_told(folder_root: Path) -> None:
    """Ordinary masks with that setting; and evaluations of both are not the same."""
    plain, inverted = (FolderReaderSettings(root=str(folder_root), mask_inverted=on) for on in (False, True))

    (problem,) = audited(inverted)

    assert "`reader.mask_inverted` is set" in problem.fix
    first = [next(s for s in r.build().read() if s.is_labelled) for r in (plain, inverted)]
    assert _labelled(first[0]) != _labelled(first[1])
