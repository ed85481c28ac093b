"""Masks that lie at the edge of the product where the support defects do, and clear of it where they do not.

A scratch on the middle of a part must not hang over its edge, and a chip belongs to the edge. What tells them apart is
the rim, a thin ring around a defect: all of it is on the product, or a part of it is not.
"""

from collections.abc import Sequence
from typing import Final, final

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.sampler import MaskSampler, render
from anogen_core.records import Placement

_WIDTH: Final = 3
"""Pixels of the ring around a mask."""
_TOLERANCE: Final = 0.03
"""Difference of two rims that means nothing."""
_LEAST: Final = 0.25
"""A support defect with less of its rim on the product does not tell where on the product defects lie."""
_DRAWS: Final = 40
"""Masks drawn until one's rim is like that of its support defect."""


def rim_on_product(mask: Mask, foreground: Mask) -> float:
    """Return which share of a ring of three pixels around a mask lies on the product; 1 where the frame ends there.

    Args:
        mask: (H, W), True at the defect.
        foreground: (H, W), True where the product is.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = max(0, rows[0] - _WIDTH), max(0, columns[0] - _WIDTH)
    near = slice(top, rows[-1] + _WIDTH + 1), slice(left, columns[-1] + _WIDTH + 1)
    inside = mask[near].astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _WIDTH + 1, 2 * _WIDTH + 1))
    ring = (cv2.dilate(inside, disc) - inside) > 0
    return float(foreground[near][ring].mean()) if ring.any() else 1.0


@final
class RimSampler(MaskSampler):
    """Draws masks by another sampler until one's rim is on the product as far as that of its support defect."""

    def __init__(self, sampler: MaskSampler, support: Sequence[tuple[Mask, Mask]]) -> None:
        """Wrap a sampler.

        Args:
            sampler: Draws the masks.
            support: Mask and foreground (H, W) of each support photo, in the order that the sampler knows them in.
        """
        self._sampler = sampler
        self._rims = [rim_on_product(mask, foreground) if mask.any() else 0.0 for mask, foreground in support]

    def sample(self, foreground: Mask, rng: np.random.Generator) -> Placement:
        """Return the first placement whose rim is like its source's, or the one of 40 that comes nearest to it."""
        drawn: list[tuple[float, Placement]] = []
        for _ in range(_DRAWS):
            try:
                placement = self._sampler.sample(foreground, rng)
            except MaskPlacementError:
                if not drawn:
                    raise
                break
            wanted = 0.0 if placement.source is None else self._rims[placement.source]
            if wanted < _LEAST:
                return placement
            off = abs(rim_on_product(render(placement, foreground.shape), foreground) - wanted)
            if off <= _TOLERANCE:
                return placement
            drawn.append((off, placement))
        return min(drawn, key=lambda pair: pair[0])[1]
