"""Pixel masks of generated defects: which pixels inside the box really changed."""

from typing import Annotated, Final, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import window_around
from anogen_core.masks.segmentation import otsu_threshold, solid_regions
from anogen_core.quality.contrast import to_lab
from anogen_core.settings import Settings

_MARGIN: Final = 4
"""Pixels around the box that its smoothed colours can depend on."""
_STEEPNESS: Final = 2.0
"""Power of the ratio of change to threshold in the odds of a pixel."""


class RefinementSettings(Settings):
    """How the pixel mask of a generated defect is found inside its box."""

    enabled: bool = True
    """Find the pixels that show the defect; otherwise `mask` equals `box_mask`."""
    otsu_share: Annotated[float, Field(gt=0, le=1)] = 0.75
    """A pixel belongs to the defect when it changed by this share of the threshold that best parts the box in two..."""
    floor_ratio: Annotated[float, Field(ge=0)] = 2.0
    """... and by this multiple of what changes in the whole box: texture that was only painted anew."""
    seed_ratio: Annotated[float, Field(ge=1)] = 1.6
    """A region counts when it holds a pixel that changed by this multiple of the threshold."""


class RefinedMask(NamedTuple):
    """The pixel label of a generated defect."""

    mask: Mask
    """(H, W), True on the pixels inside the box that show the defect."""
    confidence: UInt8[np.ndarray, "H W"]
    """How sure that is, 0 to 255: at least 128 on the mask and less elsewhere; 0 outside the box."""


def refine_mask(
    normal: Image, image: Image, box: Mask, settings: RefinementSettings, *, known: Mask | None = None
) -> RefinedMask:
    """Return which pixels inside the box show the defect, and how sure that is.

    An outline is the better label (docs/results.md): where the defect was painted into that of a support defect, drawn
    by a person or found in their box (`known`), the mask is that. Elsewhere it is found:

    The change is measured as colours differ to the eye (CIE 1976 L*a*b*). Its threshold (Otsu, 1979) adapts to the
    image, so a faint stain and a black hole are both found; regions are grown from certain pixels (hysteresis, Canny
    1986), small gaps are closed and holes are filled. Where nothing changed the box is returned: its label is still
    true.

    Confidence grows with the ratio of a pixel's change to the threshold, where it is one half. How fast was fitted to
    defects whose true mask is known (`benchmarks/refined_masks.py`).
    """
    if not settings.enabled:
        return RefinedMask(box, _to_bytes(box, box.astype(float)))
    window = window_around(box, _MARGIN)
    found = _refine(normal[window], image[window], box[window], settings, None if known is None else known[window])
    mask, confidence = np.zeros_like(box), np.zeros(box.shape, np.uint8)
    mask[window], confidence[window] = found
    return RefinedMask(mask, confidence)


def _refine(normal: Image, image: Image, box: Mask, settings: RefinementSettings, known: Mask | None) -> RefinedMask:
    # Smoothed as colours, not as distances: noise averages out, what changed stays.
    colours = cv2.GaussianBlur(to_lab(image) - to_lab(normal), (0, 0), 0.5)
    change = np.where(box, np.linalg.norm(colours, axis=2), 0)
    inside = change[box]
    peak, floor = np.percentile(inside, 98), np.percentile(inside, 40)
    threshold = max(settings.otsu_share * otsu_threshold(inside), min(settings.floor_ratio * floor, 0.5 * peak))
    solid = solid_regions(change > threshold, change > min(settings.seed_ratio * threshold, 0.9 * peak))
    refined = (solid if known is None else known) & box
    if threshold == 0 or not refined.any():
        label = box if known is None else refined
        return RefinedMask(label, _to_bytes(label, np.where(box, 0.5, 0)))
    ratio = (change / threshold) ** _STEEPNESS
    return RefinedMask(refined, _to_bytes(refined, ratio / (1 + ratio)))


def _to_bytes(mask: Mask, sure: np.ndarray) -> UInt8[np.ndarray, "H W"]:
    """Return a confidence from 0 to 1 in 256 levels, on its side of the middle."""
    levels = np.rint(255 * sure)
    return np.where(mask, np.maximum(levels, 128), np.minimum(levels, 127)).astype(np.uint8)
