"""Photos taken apart into bands of detail, each twice as coarse as the one before (Burt and Adelson, 1983)."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.arrays import Mask

_LIMITED = 4
"""Bands that a model may change each by so much."""
_TINT = 0.4
"""Colour may be changed by this share of how much brightness may: a model that does not know a material tints it."""


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


def limit(
    photo: Float32[np.ndarray, "H W 3"],
    start: Float32[np.ndarray, "H W 3"],
    before: Float32[np.ndarray, "H W 3"],
    inside: Mask,
    most: float,
) -> Float32[np.ndarray, "H W 3"]:
    """Return a photo that changes what it started from by no more than a share of what stands out there.

    Each band, and what is coarser than all of them, is limited on its own (root mean square), in brightness and in
    colour: a model that does not know a material writes blotches, or tints, where its defect is smooth or grey. So is
    each part of a defect: a small drop beside a large stain would be wiped away by what is little of both. What
    stands out of a smooth defect on a rough surface is also that detail is missing: that is no detail to vary, so as
    far as a defect is calmer than what it covers, its own detail counts alone.

    Args:
        photo: What was made.
        start: The photo with the defect that it started from.
        before: The photo without the defect.
        inside: (H, W), True where the defect is.
        most: Largest change of `start`, relative to the difference of `start` and `before`.
    """
    if not inside.any():
        return photo
    # The nearest part decides about pixels beside all of them.
    _, nearest = cv2.distanceTransformWithLabels((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    part = np.where(inside, nearest, 0)
    limited = photo
    own, covered = (_strengths_within(of, part) for of in (start, before))
    for level, (shown, changed) in enumerate(zip(_all_bands(start - before), _all_bands(photo - start), strict=True)):
        for number, (stands, change) in enumerate(zip(_grey_and_colour(shown), _grey_and_colour(changed), strict=True)):
            stands_out, found = _strength(stands, part), _strength(change, part)
            if level < _LIMITED:
                detail = own[level][number]
                rough = np.minimum(detail / np.maximum(covered[level][number], 1e-3), 1.0) ** 2
                stands_out = rough * stands_out + (1 - rough) * np.minimum(detail, stands_out)
            allowed = most * stands_out * (_TINT if number else 1)
            factor = np.where(found > allowed, allowed / np.maximum(found, 1e-9), 1.0).astype(np.float32)
            limited = limited + (factor - 1)[nearest][..., None] * change
    return limited


def _strengths_within(photo: np.ndarray, part: np.ndarray) -> list[list[np.ndarray]]:
    """Return how strong each band is inside each part, in brightness and in colour, without the step at its border."""
    weight = (part > 0).astype(np.float32)
    strengths, finer = [], photo
    for level in range(_LIMITED):
        total = np.maximum(cv2.GaussianBlur(weight, (0, 0), 2.0**level), 1e-3)[..., None]
        coarser = cv2.GaussianBlur(finer * weight[..., None], (0, 0), 2.0**level) / total
        strengths.append([_strength(band, part) for band in _grey_and_colour(finer - coarser)])
        finer = coarser
    return strengths


def _all_bands(change: np.ndarray) -> list[np.ndarray]:
    fine = split(change, _LIMITED)
    return [*fine, change - sum(fine)]


def _grey_and_colour(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grey = change.mean(axis=2, keepdims=True)
    return grey, change - grey


def _strength(change: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return the root mean square of a change in each part, (parts + 1,): that of part 0, which is outside, is 0."""
    within = part > 0
    power = np.bincount(part[within], weights=np.square(change[within]).mean(axis=1))
    return np.asarray(np.sqrt(power / np.maximum(np.bincount(part[within]), 1)))
