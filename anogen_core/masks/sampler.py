"""The interface of mask samplers: (foreground, support masks, generator) -> placement, in bounded attempts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.masks.outline import decode_outline
from anogen_core.records import Placement


class MaskSampler(ABC):
    """Chooses where one defect goes.

    Example:
        >>> sampler = BoxSamplerSettings().build(support_masks)
        >>> placement = sampler.sample(foreground, rng)
        >>> mask = render(placement, foreground.shape)
    """

    @abstractmethod
    def sample(self, foreground: Mask, rng: np.random.Generator) -> Placement:
        """Return a placement inside the foreground.

        Raises:
            MaskPlacementError: no placement was found in the allowed number of attempts; the message is the reason.
        """


def render(placement: Placement, frame: tuple[int, int]) -> Mask:
    """Return the (H, W) mask of a placement; parts outside the frame are cut off."""
    box = placement.box
    if placement.outline is not None:
        mask = np.zeros(frame, bool)
        mask[box.y : box.y + box.height, box.x : box.x + box.width] = decode_outline(
            placement.outline, (box.height, box.width)
        )
        return mask
    if placement.angle == 0:
        mask = np.zeros(frame, bool)
        mask[max(box.y, 0) : box.y + box.height, max(box.x, 0) : box.x + box.width] = True
        return mask
    # Pixel centres lie on integers for OpenCV, so the centre of n pixels starting at x is x + (n - 1) / 2.
    centre = (box.x + (box.width - 1) / 2, box.y + (box.height - 1) / 2)
    corners = cv2.boxPoints((centre, (box.width - 1, box.height - 1), -placement.angle))
    canvas = np.zeros(frame, np.uint8)
    cv2.fillConvexPoly(canvas, np.rint(corners).astype(np.int32), 1)
    return canvas.astype(bool)


def union_of(placements: Sequence[Placement], frame: tuple[int, int]) -> Mask:
    """Return the (H, W) mask of all defects of one image."""
    return np.any([np.zeros(frame, bool), *(render(placement, frame) for placement in placements)], axis=0)


class Region(NamedTuple):
    """One defect in a support mask."""

    shape: Mask
    """(h, w): the region in its bounding box."""
    centre: tuple[float, float]
    """(row, column) of the box's centre as fractions of the frame."""
    corner: tuple[int, int]
    """(x, y) of the box's first pixel."""
    photo: int
    """Which of the support masks shows it."""


def regions(masks: Sequence[Mask], *, join: int) -> list[Region]:
    """Return every defect region in the masks.

    Args:
        masks: (H, W) support masks.
        join: Regions closer than this many pixels count as one.
    """
    found = []
    kernel = np.ones((join, join), np.uint8)
    for photo, mask in enumerate(masks):
        closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
        areas = stats[1:, cv2.CC_STAT_AREA]
        # Specks next to a real region are annotation crumbs, not defects of their own.
        for label in np.flatnonzero(areas >= 0.1 * areas.max(initial=0)) + 1:
            x, y, width, height = stats[label, :4]
            centre = (float(y + height / 2) / mask.shape[0], float(x + width / 2) / mask.shape[1])
            found.append(
                Region(((labels == label) & mask)[y : y + height, x : x + width], centre, (int(x), int(y)), photo)
            )
    return found
