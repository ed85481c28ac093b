"""Photos taken apart into bands of detail, each twice as coarse as the one before (Burt and Adelson, 1983)."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float32


def split(photo: Float32[np.ndarray, "H W 3"], count: int) -> list[Float32[np.ndarray, "H W 3"]]:
    """Return the `count` finest bands of a photo, finest first; the first holds what a blur of one pixel removes."""
    bands, finer = [], photo
    for level in range(count):
        coarser = cv2.GaussianBlur(photo, (0, 0), 2.0**level)
        bands.append(finer - coarser)
        finer = coarser
    return bands


def scale(photo: Float32[np.ndarray, "H W 3"], factors: Sequence[float]) -> Float32[np.ndarray, "H W 3"]:
    """Return a photo whose finest bands are multiplied by `factors`, finest first."""
    scaled = photo
    for factor, band in zip(factors, split(photo, len(factors)), strict=True):
        scaled = scaled + np.float32(factor - 1) * band
    return scaled


def keep(
    photo: Float32[np.ndarray, "H W 3"], other: Float32[np.ndarray, "H W 3"], shares: Sequence[float]
) -> Float32[np.ndarray, "H W 3"]:
    """Return a photo whose bands are those of another one as far as `shares` say, 0 not at all to 1, finest first."""
    kept = photo
    if any(shares):
        for share, own, theirs in zip(shares, split(photo, len(shares)), split(other, len(shares)), strict=True):
            kept = kept + np.float32(share) * (theirs - own)
    return kept
