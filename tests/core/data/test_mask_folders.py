"""Folders of masks beside the folders of photos that they are of, or inside these: never kinds of defects."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.data.problems import Problem
from tests.core.data.reading import scan_as_init

_SIZE = (32, 48)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory."""
    return tmp_path / "welds"


def _photos(folder: Path, name: str = "b", *, count: int = 4) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng([number, *str(folder).encode()]).integers(0, 256, (*_SIZE, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}{number}.jpg"), noise)


def _masks(folder: Path, name: str = "b{}.png", *, marks: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(_SIZE, np.uint8)
    mask[8:16, 10:20] = 255 * marks
    for number in range(4):
        cv2.imwrite(str(folder / name.format(number)), mask)


def _read(root: Path) -> tuple[Counter[tuple[str, bool]], list[Problem]]:
    """Return how many photos of each defect there are with a mask and without, read by what `anogen init` writes."""
    scan = scan_as_init(root)
    return Counter((s.defect, s.mask_uri is not None) for s in scan.samples), scan.problems


@pytest.mark.parametrize(
    ("good", "bad", "masks"),
    [
        ("good", "bad", "bad_mask"),
        ("good", "bad", "BAD_Masks"),
        ("good", "bad", "bad-gt"),
        ("good", "bad", "gt_bad"),
        ("good", "bad", "bad_ground_truth"),
        ("good", "bad", "defect_mask"),
        ("good", "bad", "bad/masks"),
        ("good", "bad", "bad/labels"),
        ("images/good", "images/bad", "images/bad_mask"),
        ("images/good", "images/bad", "images/masks"),
        ("images/good", "images/bad", "bad_masks"),
        ("train/good", "test/bad", "test/bad_mask"),
        ("train/good", "test/bad", "ground_truth/test/bad"),
        ("images/train/good", "images/train/bad", "images/train/bad_mask"),
        ("train/images/good", "valid/images/bad", "valid/masks"),
    ],
)
def test_masks_are_those_of_the_photos_beside(root: Path, good: str, bad: str, masks: str) -> None:
    """Whether their folder has the name of the photos' with a word of masks, or lies in that of the photos."""
    _photos(root / good, "g")
    _photos(root / bad)
    _masks(root / masks)

    assert _read(root) == ({("good", False): 4, ("bad", True): 4}, [])


def test_masks_of_each_defect_beside_it(root: Path) -> None:
    """Photos of two defects may have the same names; empty masks of normal photos say nothing."""
    _photos(root / "good", "g")
    _masks(root / "good_mask", "g{}.png", marks=False)
    for defect in ("crack", "hole"):
        _photos(root / defect)
        _masks(root / f"{defect}_gt")

    assert _read(root) == ({("good", False): 4, ("crack", True): 4, ("hole", True): 4}, [])


def test_masks_beside_photos_of_other_names_are_errors(root: Path) -> None:
    """Each names the file; in the layout of MVTec AD so does a folder whose photos are not there."""
    _photos(root / "plain/good", "g")
    _photos(root / "plain/bad")
    _masks(root / "plain/bad_mask", "c{}.png")
    _photos(root / "mvtec/train/good", "g")
    _photos(root / "mvtec/test/bad")
    _masks(root / "mvtec/test/defect_mask")

    of_plain, plain = _read(root / "plain")
    of_mvtec, mvtec = _read(root / "mvtec")

    assert of_plain == of_mvtec == {("good", False): 4, ("bad", False): 4}
    assert {p.what for p in plain} == {"is a mask without a photo."}
    assert [(p.severity, Path(p.file).name, p.what) for p in mvtec] == [
        ("error", "defect_mask", "holds masks of a defect that has no photos.")
    ]


@pytest.mark.parametrize("defect", ["solder_mask", "missing_label", "label", "label_bad"])
def test_photos_of_a_defect_of_masks_or_labels_are_photos(root: Path, defect: str) -> None:
    """Its name alone does not make them masks."""
    _photos(root / "images/good", "g")
    _photos(root / "images" / defect)
    _photos(root / "images/bad")
    _masks(root / "masks" / defect)

    assert _read(root) == ({("good", False): 4, (defect, True): 4, ("bad", False): 4}, [])


def test_defective_photos_in_train_are_told_with_where_to_move_them(root: Path) -> None:
    """Their masks, too; those in `ground_truth/test` are of the photos of `test`."""
    _photos(root / "train/good", "g")
    for split in ("train", "test"):
        _photos(root / split / "bad")
        _masks(root / "ground_truth" / split / "bad")

    found, problems = _read(root)

    assert found == {("good", False): 4, ("bad", True): 4}
    assert [(p.severity, p.file) for p in problems] == [("warning", str(root / "train/bad"))]
    assert str(root / "test") in problems[0].fix
    assert str(root / "ground_truth") in problems[0].fix


def test_masks_of_a_split_are_of_its_photos(root: Path) -> None:
    """As in ADE20K's layout, where both splits count from the same number."""
    for split in ("training", "test"):
        _photos(root / "images" / split)
        _masks(root / "annotations" / split, marks=split == "test")

    counts, problems = _read(root)

    assert problems == []
    assert counts == {("defect", True): 4, ("good", False): 4}
