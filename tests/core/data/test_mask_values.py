"""Masks of several values: what the error says of them, and what `init` chooses."""

from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import pytest

from anogen_core.config import load_config
from anogen_core.data import MvtecReaderSettings
from anogen_core.data.frame import read_mask
from anogen_core.data.problems import UnusableFileError
from anogen_core.run_file import write_run_file
from tests.core.data.reading import SIZE, audited

_Value: TypeAlias = int | tuple[int, int, int]

_RED, _BLUE, _WHITE = (0, 0, 255), (255, 0, 0), (255, 255, 255)
"""As OpenCV writes them."""
_ALL = "reader.mask_threshold: 1 (all but"


def _mask(first: _Value, second: _Value, *, surface: _Value = 0) -> np.ndarray:
    mask = np.zeros((*SIZE, np.size(first)), np.uint8) + np.array(surface, np.uint8)
    mask[4:12, 4:12], mask[20:28, 4:12] = first, second
    return mask.squeeze()


def _soft() -> np.ndarray:
    disc = cv2.circle(np.zeros(SIZE, np.uint8), (24, 16), 13, (255,), -1)
    return cv2.GaussianBlur(disc, (0, 0), 1)


def _fault(path: Path, mask: np.ndarray) -> str:
    cv2.imwrite(str(path), mask)
    with pytest.raises(UnusableFileError) as failure:
        read_mask(path)
    return str(failure.value)


@pytest.mark.parametrize(
    ("mask", "what", "fix"),
    [
        (
            _mask(1, 2),
            "2 values besides 0.",
            "if all of 1, 2 are defects, in a plain folder `reader.mask_classes: {1: NAME, 2: NAME}` if they tell",
        ),
        (_mask(80, 160), "2 values besides 0.", "80, 160 are defects (128 if they are shades of soft edges)"),
        (_mask(_RED, _BLUE), "2 colours besides black.", '{"#0000ff": NAME, "#ff0000": NAME}'),
        (
            np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE),
            "255 values besides 0.",
            "`reader.mask_threshold: 128`",
        ),
        (_mask(2, 2, surface=1), "2 values and no 0", "Set `reader.mask_threshold: 2` if 1 is the normal surface, or"),
        (_mask(_RED, _RED, surface=_WHITE), "2 colours and no black", "Save it with 0 for normal and 255"),
    ],
)
def test_a_mask_of_several_values_is_an_error_that_names_them_and_the_setting(
    tmp_path: Path, mask: np.ndarray, what: str, fix: str
) -> None:
    """Colours, too: which of them is a defect is not guessed."""
    said = _fault(tmp_path / "m.png", mask)

    assert f"is not binary: it holds {what}" in said
    assert fix in said
    assert said.endswith("as a PNG (JPEG blurs edges).")


def test_the_setting_that_the_error_names_is_enough(tmp_path: Path) -> None:
    """Where 1 is the surface."""
    _fault(tmp_path / "m.png", _mask(2, 2, surface=1))

    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", threshold=2), _mask(1, 1) > 0)


@pytest.mark.parametrize(
    ("mask", "threshold", "note"),
    [
        (
            _mask(1, 2),
            1,
            f"{_ALL} 0 is defect, since masks hold several values, such as 1, 2)",
        ),
        (
            _mask(_RED, _BLUE),
            1,
            f"{_ALL} black is defect, since masks hold several colours, such as #0000ff, #ff0000)",
        ),
        (_soft(), 128, "reader.mask_threshold: 128 (masks have soft edges)"),
        (_mask(80, 160), None, None),
        (_mask(80, 255), None, None),
        (_mask(2, 2, surface=1), None, None),
        (_mask(_RED, _RED, surface=_WHITE), None, None),
        (_mask(255, 255), None, None),
    ],
)
def test_init_chooses_the_threshold_where_it_is_clear(
    mvtec_root: Path, tmp_path: Path, mask: np.ndarray, threshold: int | None, note: str | None
) -> None:
    """And says so; then `check` has nothing to say of such masks. Nothing is chosen where a value is doubtful."""
    for path in sorted((mvtec_root / "bottle/ground_truth/crack").iterdir()):
        cv2.imwrite(str(path), mask)

    notes = write_run_file(tmp_path / "run.yaml", mvtec_root)

    reader = load_config(tmp_path / "run.yaml", []).reader
    assert reader.mask_threshold == threshold
    assert [line for line in notes if "mask_threshold" in line] == ([note] if note else [])
    if note:
        assert audited(reader) == []


def test_init_sees_the_one_mask_that_differs(mvtec_root: Path, tmp_path: Path) -> None:
    """As one of the 52 of KolektorSDD does, which has soft edges."""
    photos, masks = (mvtec_root / "bottle" / name / "crack" for name in ("test", "ground_truth"))
    for number in range(30):
        cv2.imwrite(str(photos / f"more{number:02}.png"), np.full((*SIZE, 3), number, np.uint8))
        cv2.imwrite(str(masks / f"more{number:02}_mask.png"), _mask(255, 255) if number != 18 else _soft())

    write_run_file(tmp_path / "run.yaml", mvtec_root)

    assert load_config(tmp_path / "run.yaml", []).reader.mask_threshold == 128


@pytest.mark.parametrize(("odd", "threshold"), [(2, 128), (6, None)])
def test_a_few_traces_hinder_no_choice(mvtec_root: Path, tmp_path: Path, odd: int, threshold: int | None) -> None:
    """As in 2 of the 388 masks of magnetic tiles as they are downloaded; of many nobody knows what they mean."""
    photos, masks = (mvtec_root / "bottle" / name / "crack" for name in ("test", "ground_truth"))
    for number in range(30):
        cv2.imwrite(str(photos / f"more{number:02}.png"), np.full((*SIZE, 3), number, np.uint8))
        cv2.imwrite(str(masks / f"more{number:02}_mask.png"), _mask(3, 176) if number < odd else _soft())

    write_run_file(tmp_path / "run.yaml", mvtec_root)

    assert load_config(tmp_path / "run.yaml", []).reader.mask_threshold == threshold


def test_init_counts_what_the_threshold_leaves(folder_root: Path, tmp_path: Path) -> None:
    """A mask of faint traces marks nothing: its photo is normal."""
    for path in sorted((folder_root / "masks/dent").iterdir()):
        path.rename(folder_root / "masks" / path.name)
    for path in sorted((folder_root / "images/dent").iterdir()):
        path.rename(folder_root / "images" / path.name)
    mask = _soft()
    for number in range(4):
        cv2.imwrite(str(folder_root / f"masks/d{number}.png"), mask if number else 3 * (mask > 0))

    notes = write_run_file(tmp_path / "run.yaml", folder_root)

    assert notes[0] == "caps: 11 normal photos; defect 3"


def test_a_mask_that_cannot_be_read_hinders_no_choice(mvtec_root: Path, tmp_path: Path) -> None:
    """`check` tells of it."""
    first, *others = sorted((mvtec_root / "bottle/ground_truth/crack").iterdir())
    first.write_bytes(first.read_bytes()[:40])
    for path in others:
        cv2.imwrite(str(path), _mask(1, 2))

    write_run_file(tmp_path / "run.yaml", mvtec_root)

    reader = load_config(tmp_path / "run.yaml", []).reader
    assert isinstance(reader, MvtecReaderSettings)
    assert [(p.severity, p.file) for p in audited(reader)] == [("error", str(first))]
