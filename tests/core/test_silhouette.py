"""Bites out of a part show what is behind the part in the new photo."""

import math

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.seeding import numpy_generator
from anogen_core.silhouette import background_share, fill_background, find_sides
from anogen_core.transplant import transplant

FRAME = (120, 140)
PART = np.zeros(FRAME, bool)
PART[50:] = True
"""Everything below the edge at row 50."""
BITE = cv2.fillConvexPoly(np.zeros(FRAME, np.uint8), np.array([(50, 50), (90, 50), (80, 66), (60, 66)]), 1) > 0
MASK = cv2.dilate(BITE.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
EDGE = (70.0, 50.0, -math.pi / 2)
STILL = (1, 0, 0, 0, 1, 0)
RED, GREY, BLUE = (180, 40, 40), (120, 120, 120), (60, 90, 200)


def _photo(background: tuple[int, int, int], part: Mask = PART, *, seed: int = 0) -> Image:
    photo = np.where(part[..., None], RED, background) + numpy_generator(seed).normal(0, 3, (*FRAME, 3))
    return np.clip(photo, 0, 255).astype(np.uint8)


def test_sides_lie_across_the_edge_wherever_it_goes() -> None:
    """The direction follows a map that turns, mirrors and stretches."""
    sides = find_sides(EDGE, np.array([STILL], float).reshape(2, 3), FRAME)
    assert not sides.part[:48].any()
    assert sides.part[54:].all()
    assert sides.beyond[:46].all()
    assert not sides.beyond[50:].any()

    turned = find_sides(EDGE, np.array([[0.0, 1, 20], [2, 0, 0]]), FRAME)  # row 50 becomes column 70, which it leaves
    assert turned.beyond[:, :66].all()
    assert turned.part[:, 74:].all()


def test_background_is_told_by_its_colours() -> None:
    """Inside a bite it shows, although nothing there was said to be background."""
    photo = _photo(GREY, PART & ~BITE)

    share = background_share(photo, PART & ~MASK, ~PART & ~MASK)

    assert share is not None
    assert share[cv2.erode(BITE.astype(np.uint8), np.ones((3, 3))) > 0].mean() > 0.95
    assert share[PART & ~MASK].mean() < 0.05
    assert background_share(photo, PART, np.zeros(FRAME, bool)) is None


def test_the_background_goes_on_behind_the_part() -> None:
    """A part that is painted over with it leaves no trace of its own colour."""
    behind = fill_background(_photo(BLUE), ~PART)

    assert np.abs(behind[55:70].mean(axis=(0, 1)) - BLUE).max() < 6


@pytest.mark.parametrize("edge", [EDGE, None])
def test_a_bite_shows_the_new_background(edge: tuple[float, float, float] | None) -> None:
    """Blue behind the part, not the grey of the support photo; without an edge the grey comes along."""
    normal = _photo(BLUE, seed=1)

    shown = transplant(normal, MASK, _photo(GREY, PART & ~BITE), BITE, STILL, edge).image

    inside = cv2.erode(BITE.astype(np.uint8), np.ones((7, 7))) > 0
    off = np.abs(shown[inside].mean(axis=0) - BLUE).max()
    assert off < 12 if edge else off > 40
    assert np.array_equal(shown[~MASK], normal[~MASK])


def test_a_burr_is_the_part_on_the_new_background() -> None:
    """What stands out of the part in the support photo does so in the new one, with nothing of the grey beside it."""
    burr = cv2.fillConvexPoly(np.zeros(FRAME, np.uint8), np.array([(60, 52), (80, 52), (74, 36), (66, 36)]), 1) > 0
    mask = cv2.dilate(burr.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0

    shown = transplant(_photo(BLUE, seed=1), mask, _photo(GREY, PART | burr), mask, STILL, EDGE).image

    middle, rim = cv2.erode(burr.astype(np.uint8), np.ones((5, 5))) > 0, mask & ~PART
    rim &= cv2.dilate(burr.astype(np.uint8), np.ones((5, 5))) == 0
    assert np.abs(shown[middle].mean(axis=0) - RED).max() < 15
    assert np.abs(shown[rim].mean(axis=0) - BLUE).max() < 15
