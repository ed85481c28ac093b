"""Whether a product has two tones and nothing between them, as the tracks of a circuit board on its ground have."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.arrays import Image
from anogen_core.masks.sampler import Segmented
from anogen_core.masks.segmentation import otsu_threshold
from anogen_core.masks.threshold import separation
from anogen_core.quality.contrast import to_lab

_BLUR: Final = 1.5
"""Standard deviation in pixels: grain has no tone of its own."""
_APART: Final = 0.9
"""Share of the variance of lightness that two tones explain; of light and relief half to three quarters."""
_UNLIKE: Final = 40.0
"""Difference in L* of two tones at least: a hard shadow makes less."""
_SMALLER: Final = 0.1
"""Share of the product that the rarer tone has at least: less is a mark on it."""
_STEP: Final = 2
"""Of the pixels of a photo one in so many along each axis decides."""


def find_tones(normals: Sequence[Segmented]) -> float | None:
    """Return the lightness (L*) between two tones of a product; None where all lightness is found between.

    Args:
        normals: Some normal photos and where the product is on them.
    """
    lightness = [lightness_of(photo)[::_STEP, ::_STEP][product[::_STEP, ::_STEP]] for photo, product in normals]
    pooled = np.concatenate(lightness) if lightness else np.empty(0)
    if not pooled.size:
        return None
    threshold = otsu_threshold(pooled)
    high = pooled > threshold
    share = float(high.mean())
    if min(share, 1 - share) < _SMALLER or separation(pooled, high) < _APART:
        return None
    return threshold if float(pooled[high].mean() - pooled[~high].mean()) >= _UNLIKE else None


def lightness_of(photo: Image) -> Float32[np.ndarray, "H W"]:
    """Return the lightness (L*, 0 to 100) of a photo (H, W, 3) without grain."""
    return np.asarray(cv2.GaussianBlur(to_lab(photo)[..., 0], (0, 0), _BLUR), np.float32)
