"""Photos taken apart into bands, and how far a model may change each of them."""

import cv2
import numpy as np
import pytest

from anogen_core import bands
from anogen_core.seeding import numpy_generator

SHAPE = (64, 64, 3)
BEFORE = np.full(SHAPE, 120, np.float32)
INSIDE = cv2.circle(np.zeros(SHAPE[:2], np.uint8), (32, 32), 20, 1, -1) > 0
"""Where the defect is."""
SMOOTH = BEFORE - 40 * cv2.GaussianBlur(INSIDE.astype(np.float32), (0, 0), 6)[..., None]
"""A grey shade without detail."""


def _rms(change: np.ndarray) -> float:
    return float(np.sqrt(np.square(change[INSIDE]).mean()))


def test_a_small_change_is_left_alone() -> None:
    """A model that knows a material changes less than it may."""
    made = SMOOTH + 0.1 * (SMOOTH - BEFORE)

    assert np.allclose(bands.limit(made, SMOOTH, BEFORE, INSIDE, 0.5), made, atol=1e-3)


def test_blotches_on_a_smooth_defect_go_and_its_shade_may_vary() -> None:
    """Fine detail is limited by the fine detail of the defect, of which there is none, and its shade by its shade."""
    blotches = 30 * numpy_generator(0).standard_normal((*SHAPE[:2], 1)).astype(np.float32)
    made = SMOOTH + blotches + 0.3 * (SMOOTH - BEFORE)

    limited = bands.limit(made, SMOOTH, BEFORE, INSIDE, 0.5)

    assert _rms(bands.split(limited - SMOOTH, 2)[0]) < 0.05 * _rms(bands.split(blotches, 2)[0])
    assert np.mean((limited - SMOOTH)[INSIDE]) == pytest.approx(0.3 * np.mean((SMOOTH - BEFORE)[INSIDE]), rel=0.2)


def test_a_grey_defect_gets_no_tint() -> None:
    """Colours are limited by the colours of the defect, whatever its brightness may do."""
    made = SMOOTH + np.array([25, -10, -15], np.float32)

    limited = bands.limit(made, SMOOTH, BEFORE, INSIDE, 0.5)

    assert np.abs(limited - SMOOTH).max() < 1e-3


def test_foil_on_a_rough_surface_gets_no_detail() -> None:
    """What stands out of it in fine detail is that the surface's is missing, which is none to vary."""
    random = numpy_generator(2)
    rough = BEFORE + 30 * random.standard_normal((*SHAPE[:2], 1)).astype(np.float32)
    foil = np.where(INSIDE[..., None], np.float32(60), rough)
    blotches = 30 * random.standard_normal((*SHAPE[:2], 1)).astype(np.float32)

    limited = bands.limit(foil + blotches, foil, rough, INSIDE, 0.4)

    core = cv2.erode(INSIDE.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    finest = bands.split(limited - foil, 1)[0]
    assert np.sqrt(np.square(finest[core]).mean()) < 1


def test_colours_change_less_than_brightness() -> None:
    """A blue defect may be made brighter by the share, and redder by less than half of it."""
    blue = BEFORE + np.where(INSIDE[..., None], np.array([-60, 0, 90], np.float32), 0)
    brighter, redder = np.array([30, 30, 30], np.float32), np.array([30, -15, -15], np.float32)

    shade = bands.limit(blue + brighter * INSIDE[..., None], blue, BEFORE, INSIDE, 0.4) - blue
    tint = bands.limit(blue + redder * INSIDE[..., None], blue, BEFORE, INSIDE, 0.4) - blue

    grey, colour = 10.0, np.sqrt(np.mean(np.square([-70, -10, 80])))
    assert _rms(shade) <= 0.4 * grey * 1.3
    assert _rms(tint) <= 0.4 * 0.4 * colour * 1.3


def test_no_band_exceeds_its_share() -> None:
    """Whatever is made, each band's change is at most the share of what stands out there; a share of 0 leaves none."""
    random = numpy_generator(1)
    start = BEFORE + 20 * random.standard_normal(SHAPE).astype(np.float32)
    made = BEFORE + 60 * random.standard_normal(SHAPE).astype(np.float32)

    for share in (0.0, 0.2, 0.6):
        limited = bands.limit(made, start, BEFORE, INSIDE, share)
        assert _rms(limited - start) <= 1.05 * share * _rms(start - BEFORE) + 1e-3


def test_an_empty_mask_changes_nothing() -> None:
    """Where no defect is there is nothing to compare with: what was made stays."""
    assert np.allclose(bands.limit(SMOOTH + 9, SMOOTH, BEFORE, np.zeros_like(INSIDE), 0.5), SMOOTH + 9)


def test_each_part_is_held_to_its_own_share() -> None:
    """A drop beside a stain is not wiped away, though all of it is little of both."""
    drop = cv2.circle(np.zeros(SHAPE[:2], np.uint8), (58, 6), 4, 1, -1) > 0
    before = BEFORE + 15 * numpy_generator(1).standard_normal((64, 64, 1)).astype(np.float32)
    start = np.where((INSIDE | drop)[..., None], before - 60, before)
    wiped = np.where(drop[..., None], before, start)

    limited = bands.limit(wiped, start, before, INSIDE | drop, 0.4)

    assert 0 < (limited - start)[drop].mean() < 0.45 * 60
