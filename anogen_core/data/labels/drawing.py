"""The shapes of one photo: rectangles become boxes, outlines become a mask, in pixels of the photo as stored."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.data.files import PIXEL_CEILING, read_header, shown_size
from anogen_core.data.frame import fill_boxes
from anogen_core.data.inventory import names_good
from anogen_core.data.labels.label import Label, is_plain_name
from anogen_core.outline import encode_outline
from anogen_core.records import Box, Part

_SLACK = 1.0
"""Pixels by which coordinates may lie outside the photo, as rounding and hands at its edge have it."""
_SIDES = 72
"""Of the polygon that an ellipse is drawn as."""
_FAR = 2.0**20
"""Coordinates from here on are those of no photo."""

_Points = np.ndarray[Any, np.dtype[np.float64]]


class ShapeError(ValueError):
    """A shape cannot be used; the message is what is said of its file."""


@dataclass
class _Shapes:
    """What is drawn of one defect."""

    boxes: list[Box] = field(default_factory=list)
    mask: np.ndarray[Any, np.dtype[np.uint8]] | None = None


class Drawing:
    """Collects the shapes of one photo; `name` says which defect the shapes after it show.

    Args:
        photo: The photo.
        folder_says: The defect that its folder has the name of.

    Raises:
        UnusableFileError: the photo's header cannot be read.
    """

    def __init__(self, photo: Path, folder_says: str | None = None) -> None:
        self._photo = photo
        self.folder_says = folder_says
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
        """Say the defect that the shapes after it show; those of a class of good parts show none.

        Raises:
            ShapeError: it is no name of a defect.
        """
        if not isinstance(defect, str) or not is_plain_name(defect.strip()):
            raise ShapeError(f"names the defect {defect!r}; a name without / is expected.")
        self._current = _Shapes() if names_good(defect) else self._shapes.setdefault(defect.strip(), _Shapes())

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

    def turned_rectangle(self, corners: object, *, degrees: float, pivot: tuple[float, float]) -> None:
        """Add a rectangle (two corners) that is turned clockwise about a point: a box if its sides stay parallel.

        Else it is an outline, of which what lies outside the photo is cut off.

        Raises:
            ShapeError: as `rectangle`, or the middle of what is turned is outside the photo.
        """
        found = as_points(corners)
        (left, top), (right, bottom) = found.min(axis=0), found.max(axis=0)
        turned = _turn(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), degrees, pivot)
        if degrees % 90 == 0:
            self.rectangle(turned)
        elif left == right or top == bottom:
            raise ShapeError(f"has a rectangle without area, at {_rounded(found.min(axis=0))}.")
        else:
            self._overhanging(turned, kind="turned rectangle")

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], *, degrees: float = 0) -> None:
        """Add an ellipse that is turned clockwise about its centre; what lies outside the photo is cut off.

        Raises:
            ShapeError: it has no area, or its centre is outside the photo.
        """
        if not min(radii) > 0:
            raise ShapeError(f"has an ellipse without area, at ({centre[0]:g}, {centre[1]:g}).")
        turns = np.linspace(0, 2 * math.pi, _SIDES, endpoint=False)
        points = np.array(centre) + np.stack([radii[0] * np.cos(turns), radii[1] * np.sin(turns)], axis=1)
        self._overhanging(_turn(as_points(points), degrees, centre), kind="ellipse")

    def polygon(self, points: object, *, holes: Sequence[object] = ()) -> None:
        """Add the inside of an outline without its holes, with the pixels that points and sides of all fall on.

        Raises:
            ShapeError: an outline has fewer than three points or is not inside the photo.
        """
        last = np.array(self.size[::-1]) - 1
        outlines = [(points, "polygon"), *((hole, "hole") for hole in holes)]
        self._fill(*(np.minimum(self._inside(own, least=3, kind=kind), last) for own, kind in outlines))

    def mask(self, mask: Mask) -> None:
        """Add a mask of the photo's size.

        Raises:
            ShapeError: it has another size, or is empty.
        """
        self.require_size(*mask.shape)
        self.patch((0, 0), self.size, lambda: mask)

    def patch(self, corner: tuple[int, int], size: tuple[int, int], decode: Callable[[], Mask]) -> None:
        """Add a mask of (height, width) whose first pixel is at (x, y); it is decoded if it is inside the photo.

        Raises:
            ShapeError: it is not inside the photo, or empty; or what `decode` raises.
        """
        (x, y), (height, width) = corner, size
        if min(x, y) < 0 or min(size) < 1 or y + height > self.size[0] or x + width > self.size[1]:
            what = f"has a mask of {_shown(size)} pixels (height x width) at ({x}, {y}), which is not inside"
            raise ShapeError(f"{what} the {_shown(self.size)} pixels of {self._photo.name}.")
        mask = decode()
        if not mask.any():
            raise ShapeError("has an empty mask.")
        self._canvas()[y : y + height, x : x + width][mask] = 1

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

    def _fill(self, *outlines: _Points) -> None:
        cv2.fillPoly(self._canvas(), [np.floor(corners).astype(np.int32) for corners in outlines], (1,))

    def _overhanging(self, points: _Points, *, kind: str) -> None:
        """Add an outline that may reach over the border of the photo, as its middle is inside."""
        extent = np.array(self.size[::-1], np.float64)
        if not _within(points.mean(axis=0), extent) or np.abs(points).max() >= _FAR:
            self._refuse(points, kind)
        self._fill(points)

    def _inside(self, points: object, *, least: int, kind: str) -> _Points:
        """Return points (n, 2) as (x, y) in pixels, cut off at the border of the photo."""
        found = as_points(points)
        if len(found) < least:
            raise ShapeError(f"has a {kind} of {len(found)} points; {least} are needed.")
        extent = np.array(self.size[::-1], np.float64)
        if not _within(found, extent):
            self._refuse(found, kind)
        return np.clip(found, 0, extent)

    def _refuse(self, points: _Points, kind: str) -> NoReturn:
        """Tell that a shape is outside the photo."""
        turned = self._turned(fits=_within(points, np.array(shown_size(self._photo)[::-1], np.float64)))
        where = f"{_rounded(points.min(axis=0))} to {_rounded(points.max(axis=0))}"
        article = "an" if kind[0] in "aeiou" else "a"
        what = f"has {article} {kind} from {where}, outside the {_shown(self.size)} pixels (height x width)"
        raise ShapeError(f"{what} of {self._photo.name}{turned}.")

    @staticmethod
    def _turned(*, fits: bool) -> str:
        return ", but it fits as viewers turn the photo (EXIF orientation), which is used as it is stored" * fits


def as_points(points: object) -> _Points:
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


def _turn(points: _Points, degrees: float, pivot: tuple[float, float]) -> _Points:
    """Return points (n, 2) turned clockwise, as y points down."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned: _Points = (points - pivot) @ np.array([[cosine, sine], [-sine, cosine]]) + pivot
    return turned


def _within(points: np.ndarray[Any, Any], extent: np.ndarray[Any, Any]) -> bool:
    return bool((points >= -_SLACK).all() and (points <= extent + _SLACK).all())


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _rounded(point: np.ndarray[Any, Any]) -> str:
    return f"({point[0]:g}, {point[1]:g})"
