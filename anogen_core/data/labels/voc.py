"""Pascal VOC's XML files (host.robots.ox.ac.uk/pascal/VOC), one for each photo: of labelImg, CVAT, Roboflow."""

from xml.etree.ElementTree import Element, ParseError, fromstring

import numpy as np

from anogen_core.data.labels.drawing import Drawing, ShapeError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_DIGITS = 20
"""More than any size of a photo has."""


def parse_xml(text: str) -> Element:
    """Return the document element of an XML file.

    Raises:
        ShapeError: it is not XML, or declares entities, which can make a short file fill the memory.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ShapeError("declares a document type, which label files have no use for.")
    try:
        return fromstring(text)  # noqa: S314 - nothing is expanded without a document type
    except (ParseError, ValueError, RecursionError) as failure:
        raise ShapeError(f"is not XML ({failure}).") from failure


def is_voc(document: Element) -> bool:
    """Return whether an XML document is one of Pascal VOC's."""
    return document.tag == "annotation"


def voc_defects(document: Element) -> set[str]:
    """Return the names of its objects."""
    return {name.strip() for item in document.findall("object") if (name := item.findtext("name"))}


def draw_voc(document: Element, drawing: Drawing) -> None:
    """Add its objects: Roboflow's polygons as outlines, where there are none `bndbox` as boxes.

    Pixels are counted from 1 and the last one belongs to a box, as VOC has it: x from 1 to the width is all of a row.
    Tools that count from 0 lose nothing by it; their boxes begin a pixel early.

    Raises:
        ShapeError: an object cannot be used.
    """
    drawing.require_size(*(whole(document.findtext(f"size/{side}")) for side in ("height", "width")))
    for count, item in enumerate(document.findall("object"), 1):
        try:
            _draw(item, drawing)
        except ShapeError as failure:
            raise ShapeError(f"object {count} {failure}") from failure


def _draw(item: Element, drawing: Drawing) -> None:
    drawing.name(item.findtext("name"))
    polygon = _polygon(item)
    if polygon:
        drawing.polygon(polygon)
        return
    corners = [item.findtext(f"bndbox/{name}") for name in _CORNERS]
    try:
        left, top, right, bottom = (float(corner or "") for corner in corners)
    except ValueError:
        raise ShapeError(f"has no `bndbox` with numbers for {', '.join(_CORNERS)}.") from None
    drawing.rectangle(np.array([[left - 1, top - 1], [right, bottom]]))


def _polygon(item: Element) -> list[tuple[str, str]]:
    """Return x1, y1, x2, y2 and so on as pairs; none where there is no polygon of this form."""
    points: list[tuple[str, str]] = []
    while True:
        x, y = (item.findtext(f"polygon/{axis}{len(points) + 1}") for axis in "xy")
        if x is None or y is None:
            return points
        points.append((x, y))


def whole(text: str | None) -> int | None:
    """Return a size that is written as a whole number; None for anything else."""
    return int(text) if text and text.strip().isdecimal() and len(text) < _DIGITS else None
