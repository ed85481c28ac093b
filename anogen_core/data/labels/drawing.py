"""The shapes of one photo: rectangles become boxes, outlines become a mask, in pixels of the photo as stored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.data.files import PIXEL_CEILING, read_header, shown_size
from anogen_core.data.frame import fill_boxes
from anogen_core.data.labels.label import Label, is_plain_name
from anogen_core.outline import encode_outline
from anogen_core.records import Box

_SLACK = 1.0
"""Pixels by which coordinates may lie outside the photo, as rounding and hands at its edge have it."""


class ShapeError(ValueError):
    """A shape cannot be used; the message is what is said of its file."""


class Drawing:
    """Collects the shapes of one photo.

    Raises:
        UnusableFileError: the photo's header cannot be read.
    """

    def __init__(self, photo: Path) -> None:
        self._photo = photo
        self.size = read_header(photo, max_pixels=PIXEL_CEILING).size
        self._defects: set[str] = set()
        self._boxes: list[Box] = []
        self._mask: np.ndarray[Any, np.dtype[np.uint8]] | None = None

    def require_size(self, height: object, width: object) -> None:
        """Compare the size that a label file claims with the photo's; anything but positive numbers claims nothing.

        Raises:
            ShapeError: they differ.
        """
        claimed = (height, width)
        if not all(isinstance(side, int) and side > 0 for side in claimed) or claimed == self.size:
            return
        what = f"was drawn on {height}x{width} pixels (height x width), and {self._photo.name} has {_shown(self.size)}"
        raise ShapeError(f"{what}{self._turned(fits=claimed == shown_size(self._photo))}.")

    def name(self, defect: object) -> None:
        """Add the defect that a shape shows.

        Raises:
            ShapeError: it is no name of a defect.
        """
        if not isinstance(defect, str) or not is_plain_name(defect.strip()):
            raise ShapeError(f"names the defect {defect!r}; a name without / is expected.")
        self._defects.add(defect.strip())

    def rectangle(self, points: object) -> None:
        """Add the box around two or more points (x, y); sides go to the nearest borders of pixels.

        Raises:
            ShapeError: it has no area or is not inside the photo.
        """
        corners = self._inside(points, least=2, kind="rectangle")
        start, end = corners.min(axis=0), corners.max(axis=0)
        if (end <= start).any():
            raise ShapeError(f"has a rectangle without area, at {_rounded(start)}.")
        x, y = (min(int(v), side - 1) for v, side in zip(np.rint(start), self.size[::-1], strict=True))
        right, bottom = (int(v) for v in np.rint(end))
        self._boxes.append(Box(x=x, y=y, width=max(right - x, 1), height=max(bottom - y, 1)))

    def polygon(self, points: object) -> None:
        """Add the inside of an outline, with the pixels that its points and sides fall on.

        Raises:
            ShapeError: it has fewer than three points or is not inside the photo.
        """
        corners = self._inside(points, least=3, kind="polygon")
        last = np.array(self.size[::-1]) - 1
        cv2.fillPoly(self._canvas(), [np.minimum(np.floor(corners), last).astype(np.int32)], (1,))

    def mask(self, mask: Mask) -> None:
        """Add a mask of the photo's size.

        Raises:
            ShapeError: it has another size, or is empty.
        """
        self.require_size(*mask.shape)
        if not mask.any():
            raise ShapeError("has an empty mask.")
        self._canvas()[mask] = 1

    @property
    def is_mixed(self) -> bool:
        """Return whether there are both boxes and outlines."""
        return self._mask is not None and bool(self._boxes)

    def label(self, file: Path) -> Label:
        """Return all shapes as the label from a file; boxes beside outlines are whole in the mask."""
        defects, boxes = frozenset(self._defects), tuple(dict.fromkeys(self._boxes))
        if self._mask is None:
            return Label(file, defects, boxes)
        return Label(file, defects, outline=encode_outline((self._mask > 0) | fill_boxes(boxes, self.size)))

    def _canvas(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if self._mask is None:
            self._mask = np.zeros(self.size, np.uint8)
        return self._mask

    def _inside(self, points: object, *, least: int, kind: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return points (n, 2) as (x, y) in pixels, cut off at the border of the photo."""
        found = as_points(points)
        if len(found) < least:
            raise ShapeError(f"has a {kind} of {len(found)} points; {least} are needed.")
        extent = np.array(self.size[::-1], np.float64)
        if not _within(found, extent):
            turned = self._turned(fits=_within(found, np.array(shown_size(self._photo)[::-1], np.float64)))
            where = f"{_rounded(found.min(axis=0))} to {_rounded(found.max(axis=0))}"
            what = f"has a {kind} from {where}, outside the {_shown(self.size)} pixels (height x width)"
            raise ShapeError(f"{what} of {self._photo.name}{turned}.")
        return np.clip(found, 0, extent)

    @staticmethod
    def _turned(*, fits: bool) -> str:
        return ", but it fits as viewers turn the photo (EXIF orientation), which is used as it is stored" * fits


def as_points(points: object) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return (n, 2) coordinates.

    Raises:
        ShapeError: they are no list of pairs of numbers.
    """
    try:
        found = np.array(points if isinstance(points, Sequence | np.ndarray) else None, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
        raise ShapeError("has a shape whose points are not pairs of numbers.")
    return found


def _within(points: np.ndarray[Any, Any], extent: np.ndarray[Any, Any]) -> bool:
    return bool((points >= -_SLACK).all() and (points <= extent + _SLACK).all())


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _rounded(point: np.ndarray[Any, Any]) -> str:
    return f"({point[0]:g}, {point[1]:g})"
