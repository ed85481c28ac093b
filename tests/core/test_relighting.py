"""Light that varies along a band is that of the photo it comes to."""

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.relighting import is_band, uneven_light
from anogen_core.transplant import transplant

SIZE = (160, 200)
STILL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
MIRRORED = (-1.0, 0.0, 199.0, 0.0, 1.0, 0.0)
STREAKS = 1.3
"""How many times as bright as the surface the streaks of the band are."""


def _part(left: float, right: float, seed: int = 0) -> Image:
    """Return a surface that is lit from one side."""
    grain = np.random.Generator(np.random.PCG64(seed)).normal(0, 2, (*SIZE, 1))
    lit = np.geomspace(left, right, SIZE[1])[None, :, None] + grain
    return np.repeat(np.clip(np.rint(lit), 0, 255), 3, axis=2).astype(np.uint8)


def _band(photo: Image, rows: slice) -> tuple[Image, Mask]:
    mask = np.zeros(SIZE, bool)
    mask[rows] = True
    streaks = np.where(np.arange(SIZE[1]) % 8 < 4, STREAKS, 1.0)[None, :, None]
    return np.where(mask[..., None], np.clip(photo * streaks, 0, 255), photo).astype(np.uint8), mask


@pytest.mark.parametrize("rows", [slice(60, 100), slice(100, 160)])
@pytest.mark.parametrize("warp", [STILL, MIRRORED])
def test_a_band_follows_the_light_of_the_part_it_comes_to(rows: slice, warp: tuple[float, ...]) -> None:
    """Everywhere along it the band stands out of the new surface as it does of its own, lit from elsewhere."""
    photo, mask = _band(_part(60, 160), rows)
    ends = (160, 50) if warp is STILL else (50, 160)
    normal = _part(*ends, seed=1)

    shown = transplant(normal, mask, photo, mask, warp)

    middle = slice(rows.start + 8, min(rows.stop, SIZE[0] - 8) - 8)
    ratio = shown.image[middle].mean(axis=(0, 2)) / normal[middle].mean(axis=(0, 2))
    pieces = ratio.reshape(10, -1).mean(axis=1)
    assert pieces == pytest.approx((1 + STREAKS) / 2, rel=0.12)
    assert np.array_equal(shown.image[~mask], normal[~mask])
    assert not shown.unlike


def test_where_light_is_alike_one_factor_does() -> None:
    """Factors that bring the surroundings no nearer to each other are noise."""
    photo, mask = _band(_part(60, 160), slice(60, 100))

    assert not uneven_light(_part(40, 110, seed=1), mask, photo, mask, STILL).any()


def test_where_nothing_surrounds_a_band_one_factor_does() -> None:
    """No light is known of a photo that a defect covers."""
    everywhere = np.ones(SIZE, bool)

    assert not uneven_light(_part(160, 50), everywhere, _part(60, 160), everywhere, STILL).any()


def test_small_thin_and_ragged_defects_are_no_bands() -> None:
    """Cracks and pits are too small, a tile's broken corner fills no rectangle; a turned strip is a band."""
    drawn = {name: np.zeros(SIZE, np.uint8) for name in ("pit", "crack", "corner", "strip")}
    cv2.circle(drawn["pit"], (50, 50), 20, 1, -1)
    cv2.line(drawn["crack"], (0, 20), (199, 140), 1, 5)
    cv2.fillPoly(drawn["corner"], [np.array([[199, 0], [199, 159], [120, 0]])], 1)
    cv2.line(drawn["strip"], (10, 40), (180, 120), 1, 25)

    assert [name for name, mask in drawn.items() if is_band(mask > 0)] == ["strip"]
