"""Bites out of a part show what is behind the part in the new photo."""

import math

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.seeding import numpy_generator
from anogen_core.silhouette import are_alike, background_share, fill_background, find_sides
from anogen_core.transplant import transplant

FRAME = (120, 140)
PART = np.zeros(FRAME, bool)
PART[50:] = True
"""Everything below the edge at row 50."""
BITE = cv2.fillConvexPoly(np.zeros(FRAME, np.uint8), np.array([(50, 50), (90, 50), (80, 66), (60, 66)]), 1) > 0
MASK = cv2.dilate(BITE.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
EDGE = (70.0, 50.0, -math.pi / 2)
STILL = (1, 0, 0, 0, 1, 0)
RED, GREY, BLUE, GREEN = (180, 40, 40), (120, 120, 120), (60, 90, 200), (40, 160, 60)


def _photo(background: tuple[int, int, int], part: Mask = PART, *, seed: int = 0) -> Image:
    photo = np.where(part[..., None], RED, background) + numpy_generator(seed).normal(0, 3, (*FRAME, 3))
    return np.clip(photo, 0, 255).astype(np.uint8)


def _blurred(photo: Image, sigma: float = 1.3) -> Image:
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), sigma))


def _on_cloth(part: Mask, *, seed: int) -> Image:
    """Return a photo of a part on a mottled cloth."""
    mottles = cv2.GaussianBlur(numpy_generator(seed).normal(0, 1, FRAME), (0, 0), 1.2)
    photo = np.where(part[..., None], RED, (110, 100, 80) + 110 * mottles[..., None])
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


@pytest.mark.parametrize("thickness", [4, 24])
@pytest.mark.parametrize("clothed", [False, True])
def test_paint_over_the_edge_is_shown_with_its_own_colour(thickness: int, *, clothed: bool) -> None:
    """Green belongs neither to the red part nor to what is behind it, however many colours that has."""
    paint = cv2.line(np.zeros(FRAME, np.uint8), (60, 80), (80, 40), 1, thickness) > 0
    photo = _on_cloth(PART, seed=0) if clothed else _photo(GREY)
    photo[paint] = GREEN

    shown = transplant(_photo(BLUE, seed=1), paint, photo, paint, STILL, EDGE)

    middle = cv2.distanceTransform(paint.astype(np.uint8), cv2.DIST_L2, 5) >= min(4, thickness / 2)
    middle[44:56] = False
    before = _photo(BLUE, seed=1)[middle & PART].mean(axis=0)
    assert np.linalg.norm(shown.image[middle & PART] - before, axis=1).min() > 40
    if thickness > 7:
        assert np.abs(shown.image[middle].mean(axis=0) - GREEN).max() < 15


@pytest.mark.parametrize("thickness", [2, 3])
@pytest.mark.parametrize(("off", "grain"), [(0, 4), (8, 15)])
def test_a_crack_from_the_edge_is_no_background(thickness: int, off: int, grain: int) -> None:
    """Thin as a blurred edge is, it is black, which lies not between brown and blue, even if the edge is known ill."""
    crack = cv2.line(np.zeros(FRAME, np.uint8), (60, 90), (80, 50), 1, thickness) > 0
    noise = numpy_generator(0).normal(0, grain, (*FRAME, 1))
    shade = np.where(PART, 1, np.clip((50 - np.indices(FRAME)[0]) / 20, 0.4, 1))[..., None]
    photo = shade * (np.where(PART[..., None], (190, 140, 80), (45, 85, 140)) + noise)
    photo[crack] = (40, 25, 15)
    photo = _blurred(np.clip(photo, 0, 255).astype(np.uint8), 0.8)
    near = cv2.dilate(crack.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    beyond = np.roll(~PART, off, axis=0) & ~near
    beyond[:22] = False

    share = background_share(photo, PART & ~near, beyond)

    assert share is not None
    assert share[crack & PART].mean() < 0.1
    assert share[:40][~near[:40]].mean() > 0.9


@pytest.mark.parametrize("colour", [GREEN, (235, 235, 235)])
def test_a_thin_line_keeps_its_colour_up_to_the_edge(colour: tuple[int, int, int]) -> None:
    """It is as thin as the blurred edge is, but its colour lies not between those of both sides."""
    line = cv2.line(np.zeros(FRAME, np.uint8), (60, 90), (80, 50), 1, 2) > 0
    photo = _photo(GREY)
    photo[line] = colour
    near = cv2.dilate(line.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0

    share = background_share(_blurred(photo, 0.8), PART & ~near, ~PART & ~near)

    assert share is not None
    assert share[50:58][line[50:58]].mean() < 0.1


@pytest.mark.parametrize("sigma", [0.8, 1.3, 1.8])
def test_a_blurred_edge_leaves_no_outline(sigma: float) -> None:
    """Pixels that are mixed of a light part and a dark background are of neither, and no paint."""
    plate, bite, dark, white = (180, 180, 180), BITE[..., None], (30, 30, 30), (235, 235, 235)
    photo = np.where(PART[..., None] & ~bite, plate, dark).astype(np.uint8)
    normal = np.where(PART[..., None], plate, white).astype(np.uint8)
    mask = cv2.dilate(BITE.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0

    shown = transplant(_blurred(normal, sigma), mask, _blurred(photo, sigma), mask, STILL, EDGE)

    assert shown.image.min() > 90


def test_a_blurred_edge_is_not_spread_behind_the_part() -> None:
    """Its pixels are no background, although they lie beside the part."""
    behind = fill_background(_blurred(_photo(BLUE), 1.5), ~PART)

    assert np.abs(behind[48:70].mean(axis=(0, 1)) - BLUE).max() < 4


def test_no_background_leaves_the_photo_as_it_is() -> None:
    """Two pixels of it are no colour to fill a part with."""
    photo, background = _photo(BLUE), np.zeros(FRAME, bool)
    background[10, 10:12] = True

    assert np.array_equal(fill_background(photo, background), photo)


def test_a_strip_of_background_is_enough() -> None:
    """Where all that is known is next to the edge, it is taken nevertheless."""
    strip = np.zeros(FRAME, bool)
    strip[20:25] = True

    assert np.abs(fill_background(_photo(BLUE), strip)[55:70].mean(axis=(0, 1)) - BLUE).max() < 6


def test_backgrounds_are_alike_by_mean_and_spread() -> None:
    """Cloths are, but not a cloth and a sheet of its mean colour, nor two sheets."""
    cloth, beyond = _on_cloth(PART, seed=0), ~PART
    mean = tuple(int(value) for value in cloth[beyond].mean(axis=0))
    assert are_alike(cloth, _on_cloth(PART, seed=1), beyond)
    assert are_alike(_photo(GREY), _photo(GREY, seed=1), beyond)
    assert not are_alike(cloth, _photo((mean[0], mean[1], mean[2])), beyond)
    assert not are_alike(_photo(GREY), _photo(BLUE), beyond)


def test_a_bite_on_the_same_cloth_shows_its_mottles() -> None:
    """They are those of the support photo, as inpainting would smear them; the light is that of the new photo."""
    photo, normal = _on_cloth(PART & ~BITE, seed=0), (_on_cloth(PART, seed=1) * 0.9).astype(np.uint8)

    shown = transplant(normal, MASK, photo, BITE, STILL, EDGE)

    inside = cv2.erode(BITE.astype(np.uint8), np.ones((9, 9))) > 0
    assert np.corrcoef(shown.image[inside][:, 0], photo[inside][:, 0])[0, 1] > 0.9
    assert shown.image[inside].mean() < photo[inside].mean()


def test_a_round_part_gets_no_outline() -> None:
    """Background on the side of the part, where the edge curves away, is not taken for colours of the part."""
    disc = cv2.circle(np.zeros(FRAME, np.uint8), (70, 64), 30, 1, -1) > 0
    bite = cv2.ellipse(np.zeros(FRAME, np.uint8), (70, 34), (20, 8), 0, 0, 360, 1, -1) > 0
    plate, dark, white = (180, 180, 180), (30, 30, 30), (235, 235, 235)
    photo = np.where((disc & ~bite)[..., None], plate, dark).astype(np.uint8)
    normal = np.where(disc[..., None], plate, white).astype(np.uint8)

    shown = transplant(_blurred(normal, 0.8), bite, _blurred(photo, 0.8), bite, STILL, (70.0, 34.0, -math.pi / 2))

    assert shown.image.min() > 150


def test_a_highlight_with_the_colour_of_the_background_stays() -> None:
    """What is enclosed by the part is part: a grey glint of a paint drop at the edge is no hole that shows blue."""
    drop = cv2.circle(np.zeros(FRAME, np.uint8), (70, 62), 16, 1, -1) > 0
    glint = cv2.circle(np.zeros(FRAME, np.uint8), (70, 64), 6, 1, -1) > 0
    photo = _photo(GREY)
    photo[drop] = GREEN
    photo[glint] = GREY

    shown = transplant(_photo(BLUE, seed=1), drop, photo, drop, STILL, EDGE).image

    middle = cv2.erode(glint.astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(shown[middle].mean(axis=0) - GREY).max() < 25


def test_a_bite_takes_light_and_shade_of_the_new_photo() -> None:
    """The same cloth is lighter at the left here and at the right there: its threads are taken along, its light not."""
    threads = 25 * np.sin(np.arange(FRAME[0]) * 1.3)[:, None, None]
    light = np.linspace(-12, 12, FRAME[1])[None, :, None]
    normal, photo = (
        np.clip(np.where(part[..., None], RED, 110 + threads + side * light), 0, 255).astype(np.uint8)
        for part, side in ((PART, 1), (PART & ~BITE, -1))
    )

    shown = transplant(normal, MASK, photo, BITE, STILL, EDGE).image

    inside = cv2.erode(BITE.astype(np.uint8), np.ones((5, 5))) > 0
    off = shown.astype(float) - np.clip(110 + threads + light, 0, 255)
    left, right = (off[inside & (np.arange(FRAME[1]) < 66)], off[inside & (np.arange(FRAME[1]) > 74)])
    assert abs(left.mean() - right.mean()) < 4
    assert off[inside].std() < 12
