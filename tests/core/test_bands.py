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
