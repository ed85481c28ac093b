"""Slivers: what a bite out of a part would leave standing beside it, because no two edges are bent quite alike."""

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.diffusion.crop import bounding_box, cut
from anogen_core.masks.sampler import render
from anogen_core.morphology import dilate
from anogen_core.outline import encode_outline
from anogen_core.records import Placement

_THIN: Final = 0.3
"""Thickness of a sliver at most, relative to the side of a square of the bite's area..."""
_LEAST: Final = 3
_MOST: Final = 15
"""... and in pixels."""
_BLUR: Final = 3
"""Pixels to which an edge is blurred on its outer side."""
_DISC: Final = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BLUR + 1, 2 * _BLUR + 1))


def with_slivers(placement: Placement, product: Mask, foreground: Mask) -> Placement:
    """Return a placement across the edge of the product that covers what it would leave of it on its outer side, too.

    Args:
        placement: An outline, from inside the product to its edge.
        product: (H, W), True where the product is.
        foreground: (H, W), True where defects may lie.
    """
    if placement.edge is None or placement.warp is None:
        return placement
    mask = render(placement, product.shape)
    thin = int(np.clip(round(_THIN * float(mask.sum()) ** 0.5), _LEAST, _MOST)) | 1
    box = bounding_box(mask)
    reach = 2 * thin
    top, left = max(0, box.y - reach), max(0, box.x - reach)
    near = np.s_[top : box.y + box.height + reach, left : box.x + box.width + reach]
    inside, part, may = mask[near], product[near], foreground[near]
    remains = part & ~inside
    thick = _opened(part, thin)
    outer = _outer(placement.edge[2], placement.warp, inside)
    # Below the bite the part is as thick as it was: a sliver is thin only because of it.
    slivers = remains & may & ~_opened(remains, thin) & thick & outer
    count, pieces = cv2.connectedComponents(slivers.astype(np.uint8))
    beside = dilate(inside, 1)
    joined = np.isin(pieces, [number for number in range(1, count) if (beside & (pieces == number)).any()])
    bitten = inside | joined
    # The edge is blurred: a thin line of it would stay, so no gap is left, either.
    bitten |= dilate(bitten, _BLUR, disc=True) & dilate(part, _BLUR, disc=True) & ~part & outer
    mask[near] = bitten | (outer & (cv2.morphologyEx(bitten.astype(np.uint8), cv2.MORPH_CLOSE, _DISC) > 0))
    box = bounding_box(mask)
    return placement.model_copy(update={"box": box, "outline": encode_outline(cut(mask, box))})


def _outer(outward: float, warp: Sequence[float], inside: Mask) -> Mask:
    """Return what lies farther out than the middle of a placement (h, w); `outward` is that of its support photo."""
    x, y = np.linalg.inv(np.array(warp).reshape(2, 3)[:, :2]).T @ [math.cos(outward), math.sin(outward)]
    rows, columns = np.indices(inside.shape)
    off = columns * x + rows * y
    return np.asarray(off > off[inside].mean())


def _opened(mask: Mask, size: int) -> Mask:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0
