"""Light that falls otherwise along a band on its own photo than where the defect is shown.

A band across a whole part is dark and bright where the light of its own photo is, which one factor leaves in it. How
the light of either photo varies is a sum of few long cosine waves, fitted to the logarithms of brightness beside the
defect; below a defect it goes on as it does beside it.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.arrays import Image, Mask
from anogen_core.brightness import AROUND
from anogen_core.morphology import dilate

_LARGE: Final = 0.06
"""Share of its photo that a band covers at least..."""
_FULL: Final = 0.75
"""... and of the smallest rectangle around it, turned as it needs to be. Uneven grinding of real tiles fills 0.81 and
more in three of four photos, tiles broken off 0.66 at most where they are as large."""
_CELLS: Final = 48
"""Along each side of the grid on which light is looked at."""
_WAVES: Final = 6
"""Cosine waves along each side, of 0 to 5 half periods."""
_STIFF: Final = 3e-3
"""Price of a wave, relative to what it explains, times the fourth power of its half periods."""
_CLEAR: Final = 3
"""Pixels beside a defect that may still show it."""
_KNOWN: Final = 0.25
"""Share of the support photo that shows its light at least."""
_GRAIN: Final = 3.0
"""Blur in pixels that removes grain and leaves light."""
_NEARER: Final = 0.1
"""By how much (standard deviation of logarithms) these factors bring the surroundings on both photos nearer to each
other; one factor does where it is less."""
_MOST: Final = 0.9
"""Logarithm of the largest factor."""


def is_band(defect: Mask) -> bool:
    """Return whether a support defect (H, W) is so large a band that light varies along it."""
    if defect.mean() < _LARGE:
        return False
    _, sides, _ = cv2.minAreaRect(cv2.findNonZero(defect.astype(np.uint8)))
    return bool(defect.sum() >= _FULL * (sides[0] + 1) * (sides[1] + 1))


def uneven_light(
    normal: Image, mask: Mask, photo: Image, defect: Mask, warp: Sequence[float]
) -> Float32[np.ndarray, "H W 1"]:
    """Return the logarithms of the factors that bring the light of a support photo to that of another photo.

    Their mean inside the mask is 0: how bright the defect is as a whole is not told here. All are 0 where these factors
    do not make the surroundings of the defect much more alike on both photos. The arguments are those of `transplant`.
    """
    none = np.zeros((*mask.shape, 1), np.float32)
    clear = ~dilate(defect, _CLEAR)
    matrix, size = np.array(warp, np.float64).reshape(2, 3), (mask.shape[1], mask.shape[0])
    bad = cv2.warpAffine(defect.astype(np.uint8), matrix, size) > 0
    beside = dilate(mask, AROUND) & ~mask & ~dilate(bad, _CLEAR)
    if not beside.any() or clear.mean() < _KNOWN:
        return none

    def move(of: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(of, matrix, size, borderMode=cv2.BORDER_REFLECT_101)

    here = _fit_light(normal, np.ones_like(mask))
    factors = here - move(_fit_light(photo, clear))
    factors = np.clip(factors - factors[mask].mean(), -_MOST, _MOST)
    differ = (_smooth(normal) - _smooth(move(photo)))[beside]
    return factors[..., None] if differ.std() - (differ - factors[beside]).std() >= _NEARER else none


def _smooth(photo: Image) -> Float32[np.ndarray, "H W"]:
    """Return the logarithm of brightness without grain."""
    return np.asarray(np.log(cv2.GaussianBlur(photo.astype(np.float32).mean(axis=2), (0, 0), _GRAIN) + 1))


def _fit_light(photo: Image, known: Mask) -> Float32[np.ndarray, "H W"]:
    """Return how bright a photo is as far as few long waves tell, in logarithms, also where its light is not known."""
    share, grey = (
        cv2.resize(of, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
        for of in (known.astype(np.float32), photo.astype(np.float32).mean(axis=2) * known)
    )
    level = np.log(grey / np.maximum(share, 1e-3) + 1)
    mean = np.average(level, weights=share)
    coarse = _waves(_CELLS)
    design = np.kron(coarse, coarse)
    half_periods = np.arange(_WAVES)
    price = _STIFF * share.sum() * np.add.outer(half_periods**2, half_periods**2).ravel() ** 2
    weighted = design * share[:, None]
    heights = np.linalg.solve(weighted.T @ design + np.diag(price), weighted.T @ (level - mean))
    rows, columns = (_waves(count) for count in known.shape)
    return np.asarray(mean + rows @ heights.reshape(_WAVES, _WAVES) @ columns.T, np.float32)


def _waves(count: int) -> np.ndarray:
    """Return the values of all waves (count, waves) at the middles of so many pixels or cells."""
    return np.cos(np.pi * np.outer((np.arange(count) + 0.5) / count, np.arange(_WAVES)))
