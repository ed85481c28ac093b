"""Faint defects of smooth surfaces: how they are told from others, and that they change what lies below them."""

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.faint import changed, faint_change
from anogen_core.transplant import transplant

_SIDE = 160
_DARKENED = -0.18
"""Logarithm of how many times as bright the crack makes its surface."""


def _cell(level: float, bars: tuple[int, ...], *, grain: float = 1.0) -> Image:
    """Return a smooth cell that is brighter to the right, crossed by dark busbars at these rows."""
    light = level * np.linspace(0.9, 1.1, _SIDE)[None, :, None] * np.ones((_SIDE, _SIDE, 3))
    for row in bars:
        light[row : row + 6] *= 0.4
    noise = np.random.default_rng(len(bars)).normal(0, grain, (_SIDE, _SIDE, 1))
    return np.clip(np.rint(light + noise), 0, 255).astype(np.uint8)


def _line(width: int) -> Mask:
    drawn = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.line(drawn, (30, 25), (120, 135), 255, width)
    return drawn > 0


def _cracked(photo: Image, factor: float = _DARKENED) -> Image:
    """Return a photo with a crack that is thinner than its label."""
    change = np.where(_line(2)[..., None], np.float32(factor), np.float32(0)) * np.ones(3, np.float32)
    return np.clip(np.rint(changed(photo, change)), 0, 255).astype(np.uint8)


def test_a_faint_crack_is_taken_without_what_crosses_it() -> None:
    """The change is that of the crack where it is, and next to nothing else where busbars cross the label."""
    photo, label = _cracked(_cell(90, (50, 100))), _line(7)

    change = faint_change(photo, label, label)

    assert change is not None
    assert np.median(change[_line(1)]) == pytest.approx(_DARKENED, abs=0.05)
    assert np.abs(change).max() < 0.3
    assert not change[~label].any()


def test_a_faint_crack_darkens_the_new_surface_and_its_busbars() -> None:
    """Neither the old busbars come along, nor do the new ones vanish; brightness is that of the new photo."""
    photo, label = _cracked(_cell(90, (50, 100))), _line(7)
    normal = _cell(170, (72,))

    shown = transplant(normal, label, photo, label, [1, 0, 0, 0, 1, 0]).image

    after, before = (np.log(of.astype(np.float64).mean(axis=2) + 1) for of in (shown, normal))
    change = after - before
    assert np.array_equal(shown[~label], normal[~label])
    core = _line(1)
    assert np.median(change[core]) == pytest.approx(_DARKENED, abs=0.06)
    rows = np.arange(_SIDE)[:, None]
    for bar in (50, 72, 100):
        crossing = change[core & (rows >= bar) & (rows < bar + 6)]
        assert -0.4 < crossing.min() <= crossing.max() < 0.15


@pytest.mark.parametrize(
    ("photo", "label"),
    [
        pytest.param(_cracked(_cell(90, (50,)), -1.5), _line(7), id="clear"),
        pytest.param(_cracked(_cell(90, (50,), grain=9)), _line(7), id="rough"),
        pytest.param(_cracked(_cell(90, (50,))), _line(31), id="thick"),
        pytest.param(_cell(90, (50,)), np.zeros((_SIDE, _SIDE), bool), id="none"),
    ],
)
def test_other_defects_are_shown_by_their_pixels(photo: Image, label: Mask) -> None:
    """What is clear hides its surface; what is rough or thick leaves no good guess of it."""
    assert faint_change(photo, label, label) is None
