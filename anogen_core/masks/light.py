"""From where the light falls on the defects of a kind: all dents and drops below one lamp are bright at the same side.

A defect's lightness, less that of the surface around it, is compared with a linear ramp: one that is bright at one side
and dark at the other nearly is such a ramp, a stain or a scratch is not.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import window_around
from anogen_core.masks.direction import PHOTOS, Axes, agree
from anogen_core.masks.sampler import Region, Shown, largest_regions
from anogen_core.quality.contrast import to_lab

_SHADED: Final = 0.3
"""Share of the variance of a defect's lightness that the ramp explains where it has a bright and a dark side."""
_TOLERANCE: Final = math.radians(20)
"""Ramps point the same way within this deviation from their mean."""
_LEAST: Final = 60
"""Pixels of a defect from which its ramp tells something."""
_CLEAR: Final = 3
"""Pixels beside a defect that may still belong to it..."""
_AROUND: Final = 0.5
"""... and width of the ring of surface beyond these, relative to the side of a square of the defect's area..."""
_LEAST_AROUND: Final = 4
"""... and at least this many pixels."""
_SURFACE: Final = 0.5
"""Share of that ring that lies on the product at least."""


class Light(NamedTuple):
    """From where the light falls, as far as it can be told."""

    direction: Axes
    """Towards the bright side of defects; its period is a whole turn."""
    shown: dict[int, float]
    """The same on each support photo that has a part in it, in radians from x towards y."""


def find_light(found: Sequence[Region], shown: Sequence[Shown]) -> Light | None:
    """Return where the largest defects of all photos are bright; None where some have no such side or they differ.

    Args:
        found: Regions that lie on the product.
        shown: Each support photo.
    """
    ramps = {}
    for region in largest_regions(found):
        photo, foreground = shown[region.photo]
        ramp = find_ramp(photo, region.within((photo.shape[0], photo.shape[1])), foreground)
        if ramp is None:
            return None
        ramps[region.photo] = ramp
    direction = agree(list(ramps.values()), 2 * math.pi, _TOLERANCE) if len(ramps) >= PHOTOS else None
    return None if direction is None else Light(direction, ramps)


def find_ramp(photo: Image, mask: Mask, foreground: Mask) -> float | None:
    """Return the direction in which a defect gets brighter, in radians from x towards y; None where it is in none.

    Args:
        photo: (H, W, 3).
        mask: (H, W), True at the defect.
        foreground: (H, W), True where the product is.
    """
    if mask.sum() < _LEAST:
        return None
    wide = max(_LEAST_AROUND, round(_AROUND * math.sqrt(mask.sum())))
    window = window_around(mask, _CLEAR + wide)
    inside, surface = mask[window], foreground[window]
    away = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    around = (away > _CLEAR) & (away <= _CLEAR + wide)
    if not (around & surface).any() or surface[around].mean() < _SURFACE:
        return None
    lightness = cv2.GaussianBlur(to_lab(photo[window])[..., 0], (0, 0), 1.0).astype(float)
    places = _places(inside)
    own = lightness[inside] - places @ _ramp(_places(around & surface), lightness[around & surface])
    ramp = _ramp(places, own)
    varies, left = (float(np.square(values - values.mean()).sum()) for values in (own, own - places @ ramp))
    return None if left > (1 - _SHADED) * varies or varies == 0 else math.atan2(ramp[1], ramp[0])


def _places(counts: Mask) -> np.ndarray:
    """Return (x, y, 1) of every pixel that counts, (n, 3)."""
    rows, columns = np.nonzero(counts)
    return np.column_stack([columns, rows, np.ones(len(rows))])


def _ramp(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return by how much values (n,) grow with each column of their places (n, 3)."""
    return np.asarray(np.linalg.lstsq(places, values, rcond=None)[0])
