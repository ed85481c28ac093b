"""A part whose surface is in places as bright as its background: its outline parts the two all the same."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.arrays import Mask
from anogen_core.masks.threshold import Fault
from anogen_core.morphology import erode

_INSIDE: Final = 0.1
"""Share of the depth of what was found, hollows included, that lies outside of where the part is sure to be: shade
beside it differs from the background, too."""
_SURE: Final = 2
"""Pixels within the rim of what was found that smoothing may have carried there."""
_STEEPEST: Final = 85.0
"""Slope of L*, a*, b* over three pixels from which all edges count alike."""
_ONE_PIECE: Final = 0.95
"""Share of what is found that its largest piece holds: of parts that touch, or pads of a board, edges tell nothing."""
_ON_EDGES: Final = 4.0
"""Slope along all but a quarter of the outline, relative to the photo's usual one, from which a part ends at edges."""
_BACKGROUND: Final = 1
_PART: Final = 2


def within_edges(found: Mask, border: Mask, lab: Float32[np.ndarray, "H W 3"]) -> Mask:
    """Return the part (H, W) that includes what differs from the background and ends at edges around it.

    The watershed (Meyer, 1992) of the slope, flooded from what was found and from the border of the frame. OpenCV's
    floods first where neighbours differ least, here in slope: light that falls off evenly stops nothing. What the part
    encloses belongs to it.

    Args:
        found: (H, W), True where a photo differs from the background.
        border: (H, W), the outermost pixels of the frame.
        lab: Smoothed L*, a* and b*.
    """
    if not found.any():
        return found
    hull = np.zeros(found.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(found.astype(np.uint8))), 1)
    depth = cv2.distanceTransform(np.pad(hull, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    basins = np.zeros(found.shape, np.int32)
    basins[erode(found & (depth > _INSIDE * depth.max()), _SURE)] = _PART
    basins[border & ~found] = _BACKGROUND
    levels = np.clip(255 / _STEEPEST * _slope(lab), 0, 255).astype(np.uint8)
    # The watershed leaves the outermost pixels of an image undecided.
    basins, levels = np.pad(basins, 1, mode="edge"), np.pad(levels, 1, mode="edge")
    return np.asarray(cv2.watershed(cv2.merge([levels] * 3), basins)[1:-1, 1:-1] == _PART, bool)


def outline_fault(product: Mask, lab: Float32[np.ndarray, "H W 3"]) -> Fault | None:
    """Return why what was found within edges is not one part that ends at them; None where it is.

    Args:
        product: (H, W), True where the part was found, which is somewhere.
        lab: Smoothed L*, a* and b*.
    """
    areas = cv2.connectedComponentsWithStats(product.astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    largest = float(areas.max() / areas.sum())
    if largest < _ONE_PIECE:
        return Fault("the largest piece's share of the part", largest, f"at least {_ONE_PIECE}")
    slope = _slope(lab)
    # The outline runs up to two pixels beside the edge that it follows.
    near = cv2.dilate(slope, np.ones((5, 5), np.uint8))
    along = float(np.quantile(near[product & ~erode(product, 1)], 0.25) / max(1.0, float(np.median(slope))))
    if along < _ON_EDGES:
        return Fault("slope along the outline, relative to the usual one", along, f"at least {_ON_EDGES}")
    return None


def _slope(lab: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    slopes = [cv2.Sobel(lab, cv2.CV_32F, *along) for along in ((1, 0), (0, 1))]
    return np.sqrt(sum(np.square(each).sum(axis=2) for each in slopes))
