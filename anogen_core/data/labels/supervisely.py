"""Supervisely's JSON files (docs.supervisely.com): `ann/<photo>.json` for each photo, with its ending, in `img`."""

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from anogen_core.data.labels.drawing import Drawing, ShapeError, as_points
from anogen_core.data.labels.png import decode_mask, size_of

_MOST_BYTES = 64
"""Of a bitmap for each pixel of its photo, beside those of a header: more is no bitmap."""


def is_supervisely(document: object) -> bool:
    """Return whether a JSON document is one of Supervisely's for a photo."""
    if not isinstance(document, Mapping):
        return False
    return isinstance(document.get("objects"), list) and isinstance(document.get("size"), Mapping)


def draw_supervisely(document: Mapping[str, Any], drawing: Drawing) -> None:
    """Add the objects of a document: rectangles as boxes, polygons (with holes) and bitmaps as outlines.

    Raises:
        ShapeError: an object cannot be used.
    """
    drawing.require_size(document["size"].get("height"), document["size"].get("width"))
    for count, item in enumerate(document["objects"], 1):
        try:
            _draw(item if isinstance(item, Mapping) else {}, drawing)
        except ShapeError as failure:
            raise ShapeError(f"object {count} {failure}") from failure


def _draw(item: Mapping[str, Any], drawing: Drawing) -> None:
    drawing.name(item.get("classTitle"))
    kind, points = item.get("geometryType"), item.get("points")
    points = points if isinstance(points, Mapping) else {}
    if kind == "rectangle":
        corners = as_points(points.get("exterior"))
        drawing.rectangle([corners.min(axis=0), corners.max(axis=0) + 1])  # the last pixel belongs to it
    elif kind == "polygon":
        drawing.polygon(points.get("exterior"), holes=points.get("interior") or ())
    elif kind == "bitmap":
        _bitmap(item.get("bitmap"), drawing)
    else:
        raise ShapeError(f"is of the type {kind!r}; rectangles, polygons and bitmaps are read.")


def _bitmap(bitmap: object, drawing: Drawing) -> None:
    """Add a PNG, packed by zlib, whose first pixel is at `origin`."""
    fields = bitmap if isinstance(bitmap, Mapping) else {}
    try:
        x, y = (int(value) for value in fields["origin"])
        packed = base64.b64decode(fields["data"], validate=True)
        limit = 2**16 + _MOST_BYTES * drawing.size[0] * drawing.size[1]
        png = zlib.decompressobj().decompress(packed, limit)
        size = size_of(png)
    except (TypeError, KeyError, ValueError, OverflowError, zlib.error, struct.error) as failure:
        raise ShapeError("has a bitmap without an `origin` [x, y] and `data` that hold a PNG.") from failure
    drawing.patch((x, y), size, lambda: decode_mask(png, size))
