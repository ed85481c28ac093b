"""CVAT's own XML file, "CVAT for images 1.1" (docs.cvat.ai): one for many photos."""

import functools
import math
from collections.abc import Callable
from xml.etree.ElementTree import Element

from anogen_core.arrays import Mask
from anogen_core.data.labels.drawing import Drawing, ShapeError
from anogen_core.data.labels.entries import Entries, Entry, remark_on_classes
from anogen_core.data.labels.voc import whole
from anogen_core.outline import decode_outline

_UNDRAWN = frozenset({"tag", "attribute"})
"""What an image may hold beside shapes: its classes."""


def is_cvat(document: Element) -> bool:
    """Return whether an XML document is one of CVAT's."""
    return document.tag == "annotations" and any(child.tag in {"meta", "image", "track"} for child in document)


def read_cvat(document: Element) -> Entries:
    """Return what is drawn on each photo, and that tags of photos without shapes are not read.

    Raises:
        ShapeError: the document is about a video, or an image has no name.
    """
    if document.find("track") is not None:
        raise ShapeError('has tracks of a video; export it as "CVAT for images 1.1".')
    entries: list[Entry] = []
    tags: dict[str, list[str]] = {}
    for image in document.findall("image"):
        name, shapes = image.get("name"), [child for child in image if child.tag not in _UNDRAWN]
        if not name:
            raise ShapeError(f"has no `name` for the image {image.get('id')}.")
        if shapes:
            defects = frozenset(label.strip() for shape in shapes if (label := shape.get("label")))
            entries.append(Entry((name,), defects, functools.partial(_draw, image, shapes)))
        else:
            tags[name] = [tag.get("label", "") for tag in image.findall("tag")]
    return Entries(entries, remark_on_classes("tags", tags))


def _draw(image: Element, shapes: list[Element], drawing: Drawing) -> None:
    """Add the shapes of one image: boxes as boxes, polygons, ellipses and masks as outlines.

    Raises:
        ShapeError: a shape cannot be used.
    """
    drawing.require_size(whole(image.get("height")), whole(image.get("width")))
    for count, shape in enumerate(shapes, 1):
        try:
            drawing.name(shape.get("label"))
            _SHAPES.get(shape.tag, _refuse)(shape, drawing)
        except ShapeError as failure:
            raise ShapeError(f"shape {count} ({shape.tag}) of {image.get('name')} {failure}") from failure


def _box(shape: Element, drawing: Drawing) -> None:
    left, top, right, bottom, degrees = _numbers(shape, "xtl", "ytl", "xbr", "ybr", "rotation")
    middle = ((left + right) / 2, (top + bottom) / 2)
    drawing.turned_rectangle([[left, top], [right, bottom]], degrees=degrees, pivot=middle)


def _polygon(shape: Element, drawing: Drawing) -> None:
    drawing.polygon([point.split(",") for point in shape.get("points", "").split(";")])


def _ellipse(shape: Element, drawing: Drawing) -> None:
    x, y, across, down, degrees = _numbers(shape, "cx", "cy", "rx", "ry", "rotation")
    drawing.ellipse((x, y), (across, down), degrees=degrees)


def _mask(shape: Element, drawing: Drawing) -> None:
    left, top, width, height = (int(value) for value in _numbers(shape, "left", "top", "width", "height"))

    def decode() -> Mask:
        """Return the mask of run lengths along its rows, the first of which is background."""
        try:
            return decode_outline([int(run) for run in shape.get("rle", "").split(",")], (width, height)).T
        except (ValueError, OverflowError) as failure:
            raise ShapeError("has an `rle` that is no list of run lengths that fill its width and height.") from failure

    drawing.patch((left, top), (height, width), decode)


def _refuse(shape: Element, drawing: Drawing) -> None:
    del shape, drawing
    raise ShapeError("is not read: boxes, polygons, ellipses and masks are. Draw one of these in its place.")


_SHAPES: dict[str, Callable[[Element, Drawing], None]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}


def _numbers(shape: Element, *names: str) -> list[float]:
    """Return attributes that are finite numbers; a `rotation` may be left out."""
    try:
        values = [float(shape.get(name, "0" if name == "rotation" else "")) for name in names]
    except ValueError:
        values = [math.nan]
    if not all(math.isfinite(value) for value in values):
        raise ShapeError(f"has no numbers for {', '.join(names)}.")
    return values
