"""How much of the surface below its label a support defect hides: between the branches of a crack all of that shows.

The surface is guessed from around the label, as for contrasts; a defect is as opaque as it differs from that guess.
Where the guess tells nothing, what the label covers counts as the defect's own: a part that is missing on a board hides
the part that is there on other photos.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, window_around
from anogen_core.quality.contrast import around, moved_beside, restore

_CLEAREST = 90
"""Percentile of how far pixels are off the guess: that of the clearest ones."""
_OPAQUE = 0.8
"""Share of how far the clearest pixels of a defect are off from which one hides the surface."""
_CALM = 25
"""Percentile of bare places, by how far they are off: others lie on edges and holes of the part."""
_TOLD = 2.0, 3.0
"""A defect that is off so many times as far as bare places are is not told from the surface, or is."""
_ALIKE = 1.3, 1.7
"""Where a new photo differs so many times as much from the guess below a defect as from the old photo beside it, the
guess is that of its surface, or of another thing than lies there."""
_SEEN = 2.0, 4.0
"""Surfaces that differ by as much as a guess misses on the new photo are alike, and by twice as much are not."""
_REACH = 4.0, 8.0
"""Pixels from the border of a label within which the guess is one of the surface, and from which of anything."""
_BEYOND = 64
"""Pixels beyond a label and one beside it that decide how the surface is guessed there."""
_GAP = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
"""What lies between two visible parts of a defect as close as this is defect: the flanks of ridges in a gouge."""
_MARGIN = 2
"""Pixels around a label: what they reach through it is no hole of the defect."""
_LEVELS = np.linspace(0.1, 1, 10)
"""Opacities at which holes are looked for."""


class Matte(NamedTuple):
    """A support photo taken apart into a defect and the surface below it."""

    surface: Image
    """(H, W, 3): as it may have looked without the defect."""
    opacity: Float32[np.ndarray, "H W"]
    """How much of the surface is hidden, 0 to 1."""


def decisive_window(defect: Mask) -> tuple[slice, slice]:
    """Return the rows and columns of a support photo that a matte depends on, so that large photos cost no more.

    Args:
        defect: (H, W), True where its label is; at least one pixel.
    """
    box = bounding_box(defect)
    return window_around(defect, max(box.height, box.width) + _BEYOND)


def find_matte(photo: Image, defect: Mask) -> Matte:
    """Return what a defect hides.

    Args:
        photo: (H, W, 3) support photo.
        defect: (H, W), True where its label is.
    """
    opacity = np.ones(defect.shape, np.float32)
    if not defect.any():
        return Matte(photo, opacity)
    surface, window = restore(photo, defect), window_around(defect, _MARGIN)
    off, inside = _distance(photo[window], surface[window]), defect[window]
    clearest = float(np.percentile(off[inside], _CLEAREST))
    told = _told(photo, defect, clearest)
    depth = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    hidden = np.maximum(_ramp(off, (0.0, max(_OPAQUE * clearest, 1.0))), _ramp(depth, _REACH))
    opacity -= told
    visible = cv2.morphologyEx(np.where(inside, hidden, 0).astype(np.float32), cv2.MORPH_CLOSE, _GAP)
    opacity[window] += told * _fill_holes(np.where(inside, visible, 0))
    return Matte(surface, opacity)


def shows_through(
    photo: Image, surface: Float32[np.ndarray, "h w 3"], below: Mask, beside: Mask
) -> Float32[np.ndarray, "h w 3"]:
    """Return by how much the new surface differs (h, w, 3) from the one that a defect was on, where it hides nothing.

    A label that ends at another thing on both photos makes both guesses wrong alike: where the new photo differs less
    from the old guess if its surface is guessed, too, that is the difference.

    Args:
        photo: (h, w, 3) new photo.
        surface: The old one, as bright as the new one is.
        below: (h, w), True below the defect, where the old surface is a guess.
        beside: (h, w), True where it is known.
    """
    change = photo - surface
    if not below.any() or not beside.any():
        return change
    restored = restore(photo, below)
    guessed = restored - surface
    size = np.linalg.norm(change, axis=2)
    alike = 1 - _ramp(float(size[below].mean()) / max(float(size[beside].mean()), 1.0), _ALIKE)
    missed = float(np.sqrt((_distance(photo, restored)[below] ** 2).mean()))
    seen = _ramp(_distance(photo, surface) / max(missed, 1.0), _SEEN)
    least = np.where((np.linalg.norm(guessed, axis=2) < size)[..., None], guessed, change)
    return alike * seen[..., None] * least


def _distance(photo: Image, surface: Image) -> np.ndarray:
    """Return how far the colours (H, W) of two photos are apart, single noisy pixels averaged out."""
    return np.asarray(np.linalg.norm(cv2.GaussianBlur(photo.astype(np.float32) - surface, (0, 0), 0.7), axis=2))


def _told(photo: Image, defect: Mask, clearest: float) -> float:
    """Return how well a defect whose clearest pixels are so far off is told from the surface, 0 to 1."""
    bare = []
    for place in moved_beside(defect):
        before, after, inside = around(place, restore(photo, place), photo)
        bare.append(np.percentile(_distance(after, before)[inside], _CLEAREST))
    return float(_ramp(clearest / max(float(np.percentile(bare, _CALM)), 1.0), _TOLD)) if bare else 0.0


def _ramp(value: np.ndarray | float, ends: tuple[float, float]) -> np.ndarray:
    """Return 0 up to the first end, 1 from the second one and what lies between."""
    return np.asarray(np.clip((value - ends[0]) / (ends[1] - ends[0]), 0, 1), np.float32)


def _fill_holes(opacity: np.ndarray) -> np.ndarray:
    """Return opacities (H, W) that are nowhere lower than all around: a bubble is that inside its dark rim, too."""
    filled = opacity
    for level in _LEVELS:
        filled = np.maximum(filled, level * ndimage.binary_fill_holes(opacity >= level))
    return np.asarray(filled)
