"""From where the light falls on the defects of a kind: all dents and drops below one lamp are bright at the same side.

A defect's lightness, less that of the surface around it, is compared with a linear ramp: one that is bright at one side
and dark at the other nearly is such a ramp, a stain or a scratch is not. Bubbles that are dark all round have a
highlight instead, away from their middle.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import window_around
from anogen_core.masks.deformation import Change
from anogen_core.masks.direction import PHOTOS, Axes, agree
from anogen_core.masks.sampler import Region, Segmented, largest_regions
from anogen_core.quality.contrast import to_lab

_SHADED: Final = 0.3
"""Share of the variance of a defect's lightness that the ramp explains where it has a bright and a dark side."""
_BRIGHTEST: Final = 0.1
"""Share of a defect's pixels that is its highlight..."""
_OFF: Final = 0.3
"""... where their middle lies this far from its own, in radii of a disc of its area..."""
_STANDS_OUT: Final = 2.0
"""... and they are brighter than the surface by this many of its standard deviations."""
_TOLERANCE: Final = math.radians(20)
"""Directions point the same way within this deviation from their mean."""
_LEAST: Final = 60
"""Pixels of a defect from which its lightness tells something."""
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
    spots: bool
    """Whether it is told by highlights, which are moved with a defect that is scaled, as the edges of a slope are."""

    def on(self, change: Change) -> float:
        """Return where a region that is changed is bright, in radians."""
        own = self.shown.get(change.region.photo, self.direction.mean)
        return change.along(own) if self.spots else change.across(own)


class _Relief(NamedTuple):
    """How light a defect is, beside the surface around it."""

    places: np.ndarray
    """(n, 3): (x, y, 1) of its pixels."""
    lightness: np.ndarray
    """(n,): less the plane of the surface."""
    noise: float
    """Standard deviation of the surface from its plane."""


def find_light(found: Sequence[Region], shown: Sequence[Segmented]) -> Light | None:
    """Return where the largest defects of all photos are bright; None where some have no such side or they differ.

    All have to tell it in the same way, by ramps or by highlights.

    Args:
        found: Regions that lie on the product.
        shown: Each support photo.
    """
    largest = largest_regions(found)
    if len(largest) < PHOTOS:
        return None
    for find in (find_ramp, find_highlight):
        ways = {}
        for region in largest:
            photo, foreground = shown[region.photo]
            way = find(photo, region.within((photo.shape[0], photo.shape[1])), foreground)
            if way is not None:
                ways[region.photo] = way
        direction = agree(list(ways.values()), 2 * math.pi, _TOLERANCE) if len(ways) == len(largest) else None
        if direction is not None:
            return Light(direction, ways, spots=find is find_highlight)
    return None


def find_ramp(photo: Image, mask: Mask, foreground: Mask) -> float | None:
    """Return the direction in which a defect gets brighter, in radians from x towards y; None where it is in none.

    Args:
        photo: (H, W, 3).
        mask: (H, W), True at the defect.
        foreground: (H, W), True where the product is.
    """
    relief = _relief(photo, mask, foreground)
    if relief is None:
        return None
    own, ramp = relief.lightness, _ramp(relief.places, relief.lightness)
    varies, left = (float(np.square(values - values.mean()).sum()) for values in (own, own - relief.places @ ramp))
    return None if left > (1 - _SHADED) * varies or varies == 0 else math.atan2(ramp[1], ramp[0])


def find_highlight(photo: Image, mask: Mask, foreground: Mask) -> float | None:
    """Return the direction from the middle of a defect to its highlight; None where it has none. See `find_ramp`."""
    relief = _relief(photo, mask, foreground)
    if relief is None:
        return None
    bright = relief.lightness >= np.quantile(relief.lightness, 1 - _BRIGHTEST)
    if relief.lightness[bright].mean() <= _STANDS_OUT * relief.noise:
        return None
    right, down, _ = relief.places[bright].mean(axis=0) - relief.places.mean(axis=0)
    return math.atan2(down, right) if math.hypot(right, down) >= _OFF * math.sqrt(len(bright) / math.pi) else None


def _relief(photo: Image, mask: Mask, foreground: Mask) -> _Relief | None:
    """Return the relief of a defect; None where it is too small or lies beside too little surface."""
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
    places, beside = _places(inside), _places(around & surface)
    plane = _ramp(beside, lightness[around & surface])
    noise = float((lightness[around & surface] - beside @ plane).std())
    return _Relief(places, lightness[inside] - places @ plane, noise)


def _places(counts: Mask) -> np.ndarray:
    """Return (x, y, 1) of every pixel that counts, (n, 3)."""
    rows, columns = np.nonzero(counts)
    return np.column_stack([columns, rows, np.ones(len(rows))])


def _ramp(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return by how much values (n,) grow with each column of their places (n, 3)."""
    return np.asarray(np.linalg.lstsq(places, values, rcond=None)[0])
