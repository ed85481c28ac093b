"""Soft shade beside a part is no product; a dark part is."""

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.masks.foreground import ForegroundSettings, find_foreground, learn_background
from anogen_core.seeding import numpy_generator

FRAME = (160, 200)
TRAY, RED, STEEL = (205, 205, 200), (170, 40, 40), (90, 90, 88)


def _part() -> Mask:
    return cv2.ellipse(np.zeros(FRAME, np.uint8), (90, 75), (45, 20), 20, 0, 360, 1, -1) > 0


def _photo(colour: tuple[int, int, int], *, shade: float = 0.4, seed: int = 0) -> Image:
    """Return a photo of a part on a tray, which it shades at the lower right."""
    dark = cv2.GaussianBlur(np.roll(_part(), (9, 9), axis=(0, 1)).astype(np.float32), (0, 0), 5)
    ground = np.array(TRAY) * (1 - shade * dark[..., None])
    photo = np.where(_part()[..., None], colour, ground) + numpy_generator(seed).normal(0, 2, (*FRAME, 3))
    return cv2.GaussianBlur(np.clip(photo, 0, 255).astype(np.uint8), (0, 0), 0.7)


def _overlap(found: Mask) -> float:
    return float((found & _part()).sum() / (found | _part()).sum())


@pytest.mark.parametrize("method", ["border", "statistics"])
@pytest.mark.parametrize(("colour", "shade"), [(RED, 0.4), (RED, 0.0), (STEEL, 0.0)])
def test_shade_beside_a_part_is_background(method: str, colour: tuple[int, int, int], shade: float) -> None:
    """A part that is a darker tray by its colour has a sharp outline, and is kept."""
    settings = ForegroundSettings.model_validate({"method": method})
    background = learn_background([_photo(colour, shade=shade, seed=seed) for seed in range(3)])

    found = find_foreground(_photo(colour, shade=shade), settings, background=background)

    assert _overlap(found) > 0.88


def test_a_part_that_fades_out_is_kept() -> None:
    """What is all shade by its looks, such as a stain that lies on the tray, is what there is to find."""
    dark = cv2.GaussianBlur(_part().astype(np.float32), (0, 0), 6)[..., None]
    noise = numpy_generator(0).normal(0, 2, (*FRAME, 3))
    photo = np.clip(np.array(TRAY) * (1 - 0.5 * dark) + noise, 0, 255).astype(np.uint8)

    assert _overlap(find_foreground(photo, ForegroundSettings(method="border"))) > 0.6
