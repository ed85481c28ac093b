"""Legal and illegal regions: what people drew decides where defects lie, and a bad file is one clear message."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.errors import InputError
from anogen_core.masks.foreground import ForegroundSettings
from anogen_core.masks.regions import find_region, region_digests
from anogen_core.masks.sampler import render
from anogen_core.masks.transplant import TransplantSamplerSettings
from anogen_core.seeding import numpy_generator

PHOTO = np.full((64, 96, 3), 128, np.uint8)


def _draw(path: Path, rows: slice, columns: slice, *, shape: tuple[int, int] = (64, 96)) -> str:
    mask = np.zeros(shape, np.uint8)
    mask[rows, columns] = 255
    cv2.imwrite(str(path), mask)
    return str(path)


def test_defects_lie_inside_the_legal_and_outside_the_illegal_region(tmp_path: Path) -> None:
    """Both apply, in the category's and the defect's own file, whatever the size they were drawn at."""
    legal = _draw(tmp_path / "tile.png", slice(0, 64), slice(0, 96), shape=(128, 192))
    _draw(tmp_path / "tile-crack.png", slice(0, 10), slice(0, 10))
    settings = ForegroundSettings(
        legal=legal.replace("tile.png", "{category}.png"), illegal=str(tmp_path / "{category}-{defect}.png")
    )

    region = find_region(PHOTO, settings, "tile", "crack")

    expected = np.zeros((64, 96), bool)
    expected[:32, :48] = True
    expected[:10, :10] = False
    assert (region == expected).all()
    sampler = TransplantSamplerSettings(min_overlap=1).build([np.pad(np.ones((6, 9), bool), 20)])
    for seed in range(20):
        assert region[render(sampler.sample(region, numpy_generator(seed)), (64, 96))].all()


def test_another_drawing_is_another_dataset(tmp_path: Path) -> None:
    """The content of the files counts, not their names."""
    settings = ForegroundSettings(legal=_draw(tmp_path / "a.png", slice(0, 9), slice(0, 9)))
    before = region_digests(settings, "tile", "crack")

    _draw(tmp_path / "a.png", slice(0, 8), slice(0, 8))

    assert region_digests(settings, "tile", "crack") != before
    assert region_digests(ForegroundSettings(), "tile", "crack") == []


@pytest.mark.parametrize("fault", ["missing", "empty", "grey"])
def test_a_bad_region_is_one_message_with_its_file(tmp_path: Path, fault: str) -> None:
    """The message names the file and what is wrong."""
    path = tmp_path / f"{fault}.png"
    if fault != "missing":
        pixels = np.zeros((64, 96), np.uint8)
        pixels[:, :40] = 0 if fault == "empty" else np.arange(40)
        cv2.imwrite(str(path), pixels)

    with pytest.raises(InputError, match=f"{fault}.png") as error:
        find_region(PHOTO, ForegroundSettings(legal=str(path)), "tile", "crack")

    assert {"missing": "cannot be read", "empty": "is empty", "grey": "not binary"}[fault] in str(error.value)
