"""The one way in which photos, masks and their labels are resized: averaged along every side that shrinks."""

from collections.abc import Iterable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

MIXED_VERSION = 1
"""Raised by hand when a change here changes what becomes of photos of which one side shrinks and the other grows."""

RULE: Final = (
    "Each step is cv2.resize (OpenCV) to `size` (height, width), on uint8 RGB. No side shrinks: interpolation "
    "`growing`. A side shrinks and none grows: INTER_AREA. One side shrinks and the other grows: first INTER_AREA "
    "along the side that shrinks, the other as it is, then `growing` along the other. A step whose `size` the photo "
    "has is left out."
)
"""What `resize` does, for whoever repeats it without this code."""


def mixes(size: tuple[int, int], target: tuple[int, int]) -> bool:
    """Return whether one side shrinks and the other grows from one (height, width) to another."""
    return (size[0] < target[0] and size[1] > target[1]) or (size[0] > target[0] and size[1] < target[1])


def mixed_mark(sizes: Iterable[tuple[int, int]], target: tuple[int, int]) -> list[int]:
    """Return what a content key of resized photos takes in: nothing unless some size has sides that shrink and grow."""
    return [MIXED_VERSION] if any(mixes(size, target) for size in sizes) else []


def resize(pixels: NDArray[Any], target: tuple[int, int], *, growing: int) -> NDArray[Any]:
    """Return pixels (h, w) or (h, w, C) at the target's (height, width), as RULE says; the aspect ratio is not kept.

    OpenCV's INTER_AREA averages only where no side grows, so a photo of which one does is averaged first.

    Args:
        pixels: uint8 or float32; returned as they are at the target's size.
        target: (height, width).
        growing: OpenCV's interpolation along sides that grow.
    """
    size, (height, width) = (pixels.shape[0], pixels.shape[1]), target
    if size == target:
        return pixels
    if mixes(size, target):
        smaller = min(size[0], height), min(size[1], width)
        return resize(resize(pixels, smaller, growing=growing), target, growing=growing)
    shrinks = height < size[0] or width < size[1]
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else growing))
