"""LabelMe's JSON files (github.com/wkentaro/labelme): one beside each photo."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.data.labels.drawing import Drawing, ShapeError, as_points

_OUTLINES = ("polygon", "rotation")
_SIDES = 72
"""Of the polygon that a circle is drawn as."""


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
            drawing.polygon(_circle(shape, drawing))
        elif kind == "mask":
            drawing.mask(_mask(shape, drawing))
        else:
            raise ShapeError(f"has a shape of the type {kind!r}; rectangles, polygons, circles and masks are read.")


def _two_points(shape: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    points = as_points(shape.get("points"))
    if len(points) != 2:
        raise ShapeError(f"has a {shape['shape_type']} of {len(points)} points; 2 are needed.")
    return points


def _circle(shape: Mapping[str, Any], drawing: Drawing) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return points (n, 2) of a circle given by its centre and a point on it, as far as it is inside the photo."""
    centre, other = _two_points(shape)
    turns = np.linspace(0, 2 * math.pi, _SIDES, endpoint=False)
    points = centre + np.linalg.norm(other - centre) * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    extent = np.array(drawing.size[::-1], np.float64)
    inside = (centre >= 0).all() and (centre <= extent).all()
    return np.clip(points, 0, extent) if inside else points


def _mask(shape: Mapping[str, Any], drawing: Drawing) -> Mask:
    """Return a mask that is stored as a PNG of the pixels from its first point to its second."""
    start, end = _two_points(shape).astype(np.int64)
    try:
        encoded = np.frombuffer(base64.b64decode(shape.get("mask") or "", validate=True), np.uint8)
        inside = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if encoded.size else None
    except (TypeError, ValueError, cv2.error):
        inside = None
    if inside is None or inside.shape != tuple((end - start + 1)[::-1]):
        raise ShapeError("has a mask that is no PNG of the size that its points say.")
    mask = np.zeros(drawing.size, bool)
    if (start < 0).any() or (end >= drawing.size[::-1]).any():
        raise ShapeError(f"has a mask that is not inside the {drawing.size[0]}x{drawing.size[1]} pixels of its photo.")
    mask[start[1] : end[1] + 1, start[0] : end[0] + 1] = inside > 0
    return mask
