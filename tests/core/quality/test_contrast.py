"""Contrast: measured the same whatever the exposure, blind to texture, reached by generated images."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anogen_core.quality.contrast import ContrastSettings, contrast, draw_contrast, gain, restore, support_contrast
from anogen_core.quality.gates import Gates, QualitySettings
from anogen_core.seeding import numpy_generator

MASK = np.zeros((96, 96), bool)
MASK[40:56, 30:60] = True


def _surface(light: float, noise: float = 0.0) -> np.ndarray:
    """Return linear reflectance under some light, as an sRGB photo."""
    linear = np.full((96, 96), light) * (1 + numpy_generator(0).normal(0, noise, (96, 96)))
    return _encode(linear)


def _encode(linear: np.ndarray) -> np.ndarray:
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.clip(linear, 1e-6, None) ** (1 / 2.4) - 0.055)
    return np.repeat(np.rint(255 * srgb.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def _defect(light: float, reflectance: float, noise: float = 0.0) -> np.ndarray:
    linear = np.full((96, 96), light) * (1 + numpy_generator(0).normal(0, noise, (96, 96)))
    return _encode(np.where(MASK, linear * reflectance, linear))


@given(light=st.floats(0.1, 0.9), reflectance=st.floats(0.2, 0.9))
def test_contrast_does_not_depend_on_the_exposure(light: float, reflectance: float) -> None:
    """A surface that reflects a share of the light has contrast 1 - share^(1/3), bright or dark (CIE 1976)."""
    found = contrast(_surface(light), _defect(light, reflectance), MASK)

    assert found == pytest.approx(1 - reflectance ** (1 / 3), abs=0.03)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.15])
def test_a_support_photo_shows_the_contrast_without_its_normal_photo(noise: float) -> None:
    """What lies below the defect is guessed; the texture around it does not count as contrast."""
    expected = contrast(_surface(0.5), _defect(0.5, 0.5), MASK)

    assert support_contrast(_defect(0.5, 0.5, noise), MASK) == pytest.approx(expected, rel=0.3)


def test_holes_beside_a_defect_do_not_make_it_faint() -> None:
    """A guess misses much where the part has edges; that is no texture that would hide the defect."""
    plain = _defect(0.5, 0.6, 0.05)
    drilled = plain.copy()
    for x, y in ((20, 28), (45, 26), (70, 28), (18, 48), (45, 70)):
        cv2.circle(drilled, (x, y), 5, (0, 0, 0), -1)

    alone, beside_holes = (support_contrast(photo, MASK) for photo in (plain, drilled))

    assert alone is not None
    assert beside_holes == pytest.approx(alone, rel=0.1)


def test_texture_alone_has_hardly_any_contrast() -> None:
    """A mask on a normal surface shows far less than one on a faint defect."""
    texture, defect = (support_contrast(photo, MASK) for photo in (_surface(0.5, 0.1), _defect(0.5, 0.6, 0.1)))

    assert texture is not None
    assert defect is not None
    assert texture < 0.5 * defect


def test_gain_reaches_what_is_wanted_and_is_bounded() -> None:
    """Too strong is weakened as far as needed, too faint is amplified by `max_gain` at most."""
    settings = ContrastSettings(max_gain=2)

    assert gain(0.8, 0.2, settings) == pytest.approx(0.25)
    assert gain(0.2, 0.3, settings) == pytest.approx(1.5)
    assert gain(0.01, 0.3, settings) == 2


def test_drawn_contrasts_are_those_of_the_support_photos_within_the_spread() -> None:
    """Every support photo is drawn from; nothing is drawn when contrasts are not matched."""
    settings, rng = ContrastSettings(spread=1.2), numpy_generator(1)

    drawn = np.array([draw_contrast([0.1, 0.4], settings, rng) for _ in range(200)])

    assert ((drawn >= 0.1 / 1.2 - 1e-3) & (drawn <= 0.1 * 1.2 + 1e-3) | (drawn >= 0.4 / 1.2 - 1e-3)).all()
    assert drawn.max() <= 0.4 * 1.2 + 1e-3
    assert 0.3 < (drawn < 0.2).mean() < 0.7
    assert draw_contrast([0.1], ContrastSettings(match=False), rng) is None
    assert draw_contrast([], settings, rng) is None


def test_a_defect_that_fills_its_photo_has_no_known_contrast() -> None:
    """Nothing shows the bare surface; then nothing is matched and nothing filtered, instead of everything."""
    photo = cv2.resize(_defect(0.5, 0.5), (24, 24))
    everywhere = np.ones((24, 24), bool)

    assert support_contrast(photo, everywhere) is None
    assert support_contrast(photo, ~everywhere) is None
    assert draw_contrast([None], ContrastSettings(), numpy_generator(1)) is None
    assert Gates.calibrate([(photo, everywhere)], QualitySettings()) is None


def test_what_lies_far_away_does_not_matter() -> None:
    """A large frame gives the numbers of a small one: measures look at the mask and a margin alone."""
    photo = _defect(0.4, 0.5, 0.1)
    tall = np.concatenate([photo, np.full((300, 96, 3), 255, np.uint8)])
    tall_mask = np.concatenate([MASK, np.zeros((300, 96), bool)])
    hole = cv2.dilate(MASK.astype(np.uint8), np.ones((3, 3), np.uint8))

    assert (restore(tall, tall_mask)[:96] == restore(photo, MASK)).all()
    assert (restore(photo, MASK) == cv2.inpaint(photo, hole, 3, cv2.INPAINT_TELEA)).all()
    assert (restore(tall, tall_mask)[96:] == 255).all()
