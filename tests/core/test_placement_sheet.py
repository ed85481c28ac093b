"""The picture of a plan."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.config import parse_config
from anogen_core.stages.placement_sheet import placement_sheet


def test_each_defect_has_a_row_with_supports_and_planned_boxes(photos: Path, tmp_path: Path) -> None:
    """Two categories with two defects each: four rows of equal width, outlines of both colours in each."""
    run = {
        "output": str(tmp_path / "out"),
        "reader": {"kind": "mvtec", "root": str(photos)},
        "generation": {"images_per_defect": 8},
    }

    png = placement_sheet(parse_config(run, source="test"))

    sheet = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None
    rows = np.array_split(sheet[..., ::-1], 4)
    for colour in ((0, 214, 255), (255, 176, 0)):
        assert all((row == colour).all(axis=2).any() for row in rows)


def test_few_planned_images_are_each_shown_once(photos: Path, tmp_path: Path) -> None:
    """With fewer requests than free places in a row, no request stands there twice."""
    run = {
        "output": str(tmp_path / "out"),
        "reader": {"kind": "mvtec", "root": str(photos)},
        "support": {"defects": ["bolt/cut"]},
        "generation": {"images_per_defect": 4},
    }

    png = placement_sheet(parse_config(run, source="test"))

    sheet = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None
    tiles = [sheet[26:186, 166 * column : 166 * column + 160].tobytes() for column in range(3, 7)]
    assert len(set(tiles)) == 4


@pytest.mark.parametrize(("size", "height"), [((32, 96), 53), ((96, 32), 480), ((160, 32), 480)])
def test_tall_photos_are_shown_as_wide_as_others(
    photos: Path, tmp_path: Path, size: tuple[int, int], height: int
) -> None:
    """Thin defects of long narrow photos could not be told from the lines around them; there is an end to it."""
    run = {
        "output": str(tmp_path / "out"),
        "reader": {"kind": "mvtec", "root": str(photos)},
        "frame": {"size": size},
        "support": {"defects": ["bolt/cut"]},
        "generation": {"images_per_defect": 1},
    }

    sheet = cv2.imdecode(np.frombuffer(placement_sheet(parse_config(run, source="test")), np.uint8), cv2.IMREAD_COLOR)

    assert sheet is not None
    assert sheet.shape == (26 + height + 6, 1660, 3)
