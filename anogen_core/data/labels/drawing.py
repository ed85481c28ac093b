"""The shapes of one photo: rectangles become boxes, outlines become a mask, in pixels of the photo as stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.data.files import PIXEL_CEILING, read_header, shown_size
from anogen_core.data.frame import fill_boxes
from anogen_core.data.labels.label import Label, is_plain_name
from anogen_core.outline import encode_outline
from anogen_core.records import Box, Part

_SLACK = 1.0
"""Pixels by which coordinates may lie outside the photo, as rounding and hands at its edge have it."""


class ShapeError(ValueError):
    """A shape cannot be used; the message is what is said of its file."""


@dataclass
class _Shapes:
    """What is drawn of one defect."""

    boxes: list[Box] = field(default_factory=list)
    mask: np.ndarray[Any, np.dtype[np.uint8]] | None = None


class Drawing:
    """Collects the shapes of one photo; `name` says which defect the shapes after it show.

    Raises:
        UnusableFileError: the photo's header cannot be read.
    """

    def __init__(self, photo: Path) -> None:
        self._photo = photo
        self.size = read_header(photo, max_pixels=PIXEL_CEILING).size
        self._shapes: dict[str, _Shapes] = {}
        self._current = _Shapes()

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
        """Say the defect that the shapes after it show.

        Raises:
            ShapeError: it is no name of a defect.
        """
        if not isinstance(defect, str) or not is_plain_name(defect.strip()):
            raise ShapeError(f"names the defect {defect!r}; a name without / is expected.")
        self._current = self._shapes.setdefault(defect.strip(), _Shapes())

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
        self._current.boxes.append(Box(x=x, y=y, width=max(right - x, 1), height=max(bottom - y, 1)))

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
        shapes = self._shapes.values()
        return any(s.mask is not None for s in shapes) and any(s.boxes for s in shapes)

    def label(self, file: Path) -> Label:
        """Return all shapes as the label from a file; boxes beside outlines are whole in the mask."""
        parts = []
        for defect, shapes in sorted(self._shapes.items()):
            boxes, outline = self._joined([shapes])
            parts.append(Part(defect=defect, boxes=boxes, outline=outline))
        boxes, outline = self._joined(list(self._shapes.values()))
        return Label(file, tuple(parts), boxes, outline)

    def _joined(self, shapes: Sequence[_Shapes]) -> tuple[tuple[Box, ...], tuple[int, ...] | None]:
        """Return boxes where there is no mask, else the outline of everything and no boxes."""
        boxes = tuple(dict.fromkeys(box for own in shapes for box in own.boxes))
        masks = [own.mask > 0 for own in shapes if own.mask is not None]
        if not masks:
            return boxes, None
        return (), encode_outline(np.logical_or.reduce([*masks, fill_boxes(boxes, self.size)]))

    def _canvas(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if self._current.mask is None:
            self._current.mask = np.zeros(self.size, np.uint8)
        return self._current.mask

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
