"""Faint, thin defects of smooth surfaces: a hairline crack only darkens what is there, also where it crosses a busbar.

Pixels of such a defect are mostly those of its own photo: of that surface, under that light, with the wires and edges
that cross the label. So it is not shown by its pixels but by how many times as bright it makes each of them.
"""

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import thickness, window_around
from anogen_core.morphology import dilate
from anogen_core.quality.contrast import CLEARANCE, restore

_THIN = 1 / 16
"""Thickness of a defect, relative to the shorter side of its photo, up to which the surface below it can be guessed."""
_SMOOTH = 0.025
"""Median error of such a guess on bare surface (logarithm) up to which that is smooth: around most defects of solar
cells it is 0.01 to 0.02, of magnetic tiles and roads 0.03 to 0.08, of ball screws 0.04 to 0.1."""
_FAINT, _CLEAREST = 0.4, 90
"""Up to how many times as bright or dark (logarithm) a faint defect makes the surface, at this percentile of it."""
_CALM = 0.02
"""Change of the guess from pixel to pixel (logarithm) above which it lies on the edge of something: where that is by a
pixel too far, what shows is no defect."""
_USUAL = 2, 98
"""Percentiles of the defect on calm places that bound it everywhere."""
_MARGIN = 24
"""Pixels around a label that decide."""
_LEAST = 8
"""Pixels of bare surface, and of calm places, that tell something."""


def faint_change(photo: Image, defect: Mask, shown: Mask) -> Float32[np.ndarray, "H W 3"] | None:
    """Return the logarithm of how many times as bright a faint, thin defect makes a smooth surface; 0 outside.

    None where the defect is thick or clear, or where too little of its surface is smooth to guess the rest.

    Args:
        photo: (H, W, 3) support photo.
        defect: (H, W), True where it is defective.
        shown: (H, W), True at those of these pixels that are to be shown.
    """
    if not shown.any():
        return None
    window = window_around(shown, _MARGIN + round(thickness(shown)))
    part, bad, inside = photo[window], defect[window], shown[window]
    if thickness(inside) > _THIN * min(photo.shape[:2]):
        return None
    surface = _log(restore(part, bad))
    found = _log(part) - surface
    clearest = np.percentile(np.abs(found[inside]).mean(axis=1), _CLEAREST)
    if clearest > _FAINT or _error(part, bad, inside) > _SMOOTH:
        return None
    grey = cv2.GaussianBlur(surface.mean(axis=2), (0, 0), 1.0)
    calm = inside & (np.hypot(*np.gradient(grey)) <= _CALM)
    if calm.sum() < max(_LEAST, inside.sum() / 2):
        return None
    change = np.zeros(photo.shape, np.float32)
    change[window] = np.where(inside[..., None], np.clip(found, *np.percentile(found[calm], _USUAL, axis=0)), 0)
    return change


def changed(photo: Image, change: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W 3"]:
    """Return a photo (H, W, 3) that is made brighter or darker by a change (see `faint_change`)."""
    return np.asarray((photo.astype(np.float32) + 1) * np.exp(change) - 1, np.float32)


def _error(photo: Image, bad: Mask, shown: Mask) -> float:
    """Return by how much a surface is guessed wrong (logarithm) where the label would lie a little beside itself."""
    step, near, errors = round(thickness(shown)) + CLEARANCE, dilate(bad, CLEARANCE - 1), []
    for right, down in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
        aside = np.array([[1, 0, step * right], [0, 1, step * down]], np.float32)
        bare = (cv2.warpAffine(shown.astype(np.uint8), aside, shown.shape[::-1]) > 0) & ~near
        if bare.sum() >= max(_LEAST, shown.sum() / 2):
            errors.append(np.median(np.abs(_log(photo[bare]) - _log(restore(photo, bare)[bare])).mean(axis=1)))
    return float(np.median(errors)) if errors else np.inf


def _log(photo: Image) -> np.ndarray:
    return np.log(photo.astype(np.float32) + 1)
