"""Masks that were put on one photo: none is put there nearly the same again, or right beside another."""

from collections.abc import Sequence

from anogen_core.arrays import Mask
from anogen_core.diffusion.crop import bounding_box
from anogen_core.masks.sampler import union_of
from anogen_core.records import Box, Placement

SAME_PLACE = 0.8
"""Intersection over union above which two masks on one photo are nearly the same."""
_GAP = 4
"""Pixels between the boxes of two defects of one image."""


class TakenPlaces:
    """The places of a defect on one photo; of each only box and area are kept beside the placements."""

    def __init__(self) -> None:
        self._taken: list[tuple[Box, int, Sequence[Placement]]] = []

    def __len__(self) -> int:
        return len(self._taken)

    def add(self, placements: Sequence[Placement], mask: Mask) -> None:
        """Take a place: the placements of one image, and their union (H, W), which is not empty."""
        self._taken.append((bounding_box(mask), int(mask.sum()), placements))

    def hold(self, mask: Mask) -> bool:
        """Return whether a mask (H, W) that is not empty is nearly one of these."""
        box, area = bounding_box(mask), int(mask.sum())
        for other_box, other_area, placements in self._taken:
            # The intersection is no larger than that of the boxes or the smaller mask, the union no smaller than the
            # larger mask; few masks are near enough to be drawn and compared.
            common = min(_common(box, other_box), area, other_area)
            if common > SAME_PLACE * max(area, other_area):
                other = union_of(placements, mask.shape)
                if (mask & other).sum() / (mask | other).sum() > SAME_PLACE:
                    return True
        return False


def _common(first: Box, second: Box) -> int:
    """Return the pixels that two boxes share."""
    width = min(first.x + first.width, second.x + second.width) - max(first.x, second.x)
    height = min(first.y + first.height, second.y + second.height) - max(first.y, second.y)
    return max(width, 0) * max(height, 0)


def are_near(first: Box, second: Box) -> bool:
    """Return whether the boxes of two defects of one image are closer than their gap."""
    across = first.x < second.x + second.width + _GAP and second.x < first.x + first.width + _GAP
    return across and first.y < second.y + second.height + _GAP and second.y < first.y + first.height + _GAP
