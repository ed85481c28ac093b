"""LabelMe's JSON files (github.com/wkentaro/labelme): one beside each photo."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from anogen_core.data.labels.drawing import Drawing, ShapeError, as_points
from anogen_core.data.labels.png import decode_mask

_OUTLINES = ("polygon", "rotation")


def is_labelme(document: object) -> bool:
    """Return whether a JSON document is one of LabelMe's."""
    return isinstance(document, Mapping) and isinstance(document.get("shapes"), list)


def draw_labelme(document: Mapping[str, Any], drawing: Drawing) -> None:
    """Add the shapes of a document: rectangles as boxes, polygons, circles and masks as outlines.

    Raises:
        ShapeError: a shape cannot be used.
    """
    drawing.require_size(document.get("imageHeight"), document.get("imageWidth"))
    for shape in document["shapes"]:
        if not isinstance(shape, Mapping):
            raise ShapeError("has a shape that is no JSON object.")
        drawing.name(shape.get("label"))
        kind = shape.get("shape_type") or "polygon"
        if kind == "rectangle":
            drawing.rectangle(shape.get("points"))
        elif kind in _OUTLINES:
            drawing.polygon(shape.get("points"))
        elif kind == "circle":
            _circle(shape, drawing)
        elif kind == "mask":
            _mask(shape, drawing)
        else:
            raise ShapeError(f"has a shape of the type {kind!r}; rectangles, polygons, circles and masks are read.")


def _two_points(shape: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    points = as_points(shape.get("points"))
    if len(points) != 2:
        raise ShapeError(f"has a {shape['shape_type']} of {len(points)} points; 2 are needed.")
    return points


def _circle(shape: Mapping[str, Any], drawing: Drawing) -> None:
    """Add a circle given by its centre and a point on it."""
    centre, other = _two_points(shape)
    radius = float(np.linalg.norm(other - centre))
    drawing.ellipse((float(centre[0]), float(centre[1])), (radius, radius))


def _mask(shape: Mapping[str, Any], drawing: Drawing) -> None:
    """Add a mask that is stored as a PNG of the pixels from its first point to its second."""
    start, end = _two_points(shape).astype(np.int64)
    width, height = (int(side) for side in end - start + 1)
    try:
        png = base64.b64decode(shape.get("mask") or "", validate=True)
    except (TypeError, ValueError):
        png = b""
    drawing.patch((int(start[0]), int(start[1])), (height, width), lambda: decode_mask(png, (height, width)))
