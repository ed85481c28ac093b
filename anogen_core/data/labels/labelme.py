"""LabelMe's JSON files (github.com/wkentaro/labelme): one beside each photo."""

from collections.abc import Mapping
from typing import Any

from anogen_core.data.labels.drawing import Drawing, ShapeError

_OUTLINES = ("polygon", "rotation")


def is_labelme(document: object) -> bool:
    """Return whether a JSON document is one of LabelMe's."""
    return isinstance(document, Mapping) and isinstance(document.get("shapes"), list)


def draw_labelme(document: Mapping[str, Any], drawing: Drawing) -> None:
    """Add the shapes of a document: rectangles as boxes, polygons as outlines.

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
        else:
            raise ShapeError(f"has a shape of the type {kind!r}; rectangles and polygons are read.")
