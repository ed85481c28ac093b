"""The JSON files of VGG's Image Annotator (robots.ox.ac.uk/~vgg/software/via), annotations or a project.

Regions have attributes that its user defines: the one that has a value names the defect, of several one called
`defect`, `label` or the like. Without any the folder of the photo says it.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, Final

from anogen_core.data.labels.drawing import Drawing, ShapeError
from anogen_core.data.labels.entries import Entries, Entry

_PROJECT: Final = "_via_img_metadata"
_VERSION_3: Final = frozenset({"project", "attribute", "file", "metadata", "view"})
_NAMING: Final = ("defect", "label", "class", "category", "type", "name")


def is_via(document: object) -> bool:
    """Return whether a JSON document is one of VIA, of version 3, too."""
    if isinstance(document, Mapping) and document.keys() >= _VERSION_3:
        return True
    photos = _photos(document)
    return bool(photos) and all(isinstance(own, Mapping) and {"filename", "regions"} <= own.keys() for own in photos)


def read_via(document: Mapping[str, Any]) -> Entries:
    """Return what is drawn on each photo.

    Raises:
        ShapeError: it is of version 3; or a photo has no name, or regions that are no list.
    """
    if document.keys() >= _VERSION_3:
        raise ShapeError("is a project of VIA 3, which is not read: convert it to COCO, or draw in VIA 2.")
    entries = []
    for photo in _photos(document):
        regions = photo["regions"]
        regions = list(regions.values()) if isinstance(regions, Mapping) else regions  # as version 1 numbers them
        if not isinstance(photo["filename"], str) or not isinstance(regions, list):
            raise ShapeError("is not as VIA writes it: a photo has no `filename` or no list of `regions`.")
        if regions:
            defects = frozenset(name for region in regions if (name := _defect(region)))
            entries.append(Entry((photo["filename"],), defects, functools.partial(_draw_all, regions)))
    return Entries(entries)


def _photos(document: object) -> list[Any]:
    photos = document.get(_PROJECT, document) if isinstance(document, Mapping) else None
    return list(photos.values()) if isinstance(photos, Mapping) else []


def _defect(region: object) -> str | None:
    """Return what the attributes of a region name; None where they have no value.

    Raises:
        ShapeError: several have one, and none of these is called as if it named something; or one has several.
    """
    attributes = region.get("region_attributes") if isinstance(region, Mapping) else None
    attributes = attributes if isinstance(attributes, Mapping) else {}
    values = {str(key).lower(): value for key, own in attributes.items() if (value := _value(own))}
    told = next((key for key in _NAMING if key in values), None)
    if told is None and len(values) > 1:
        raise ShapeError(
            f"has regions with several attributes: call that of the defect `{_NAMING[0]}`, not {[*values]}."
        )
    return values[told] if told else next(iter(values.values()), None)


def _value(own: object) -> str:
    """Return the value of an attribute; of a checkbox, what is chosen."""
    chosen = [str(key) for key, is_chosen in own.items() if is_chosen] if isinstance(own, Mapping) else [str(own or "")]
    if len(chosen) > 1:
        raise ShapeError(f"has a region that is {' and '.join(chosen)}: choose one, or draw it once for each.")
    return "".join(chosen).strip()


def _draw_all(regions: list[Any], drawing: Drawing) -> None:
    for count, region in enumerate(regions, 1):
        try:
            _draw(region, drawing)
        except ShapeError as failure:
            raise ShapeError(f"region {count} {failure}") from failure


def _draw(region: object, drawing: Drawing) -> None:
    """Add a rectangle as a box, polygons, circles and ellipses as outlines."""
    defect = _defect(region) or drawing.folder_says
    if defect is None:
        raise ShapeError("has no attribute that names the defect, nor does a folder of its photo.")
    drawing.name(defect)
    shape = region.get("shape_attributes") if isinstance(region, Mapping) else None
    shape = shape if isinstance(shape, Mapping) else {}
    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = _numbers(shape, "x", "y", "width", "height")
        drawing.rectangle([[x, y], [x + width, y + height]])
    elif kind == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        drawing.polygon(list(zip(xs, ys, strict=False)) if isinstance(xs, list) and isinstance(ys, list) else None)
    elif kind == "circle":
        x, y, radius = _numbers(shape, "cx", "cy", "r")
        drawing.ellipse((x, y), (radius, radius))
    elif kind == "ellipse":
        x, y, across, down, turned = _numbers({"theta": 0, **shape}, "cx", "cy", "rx", "ry", "theta")
        drawing.ellipse((x, y), (across, down), degrees=math.degrees(turned))
    else:
        raise ShapeError(f"is of the kind {kind!r}; rect, polygon, circle and ellipse are read.")


def _numbers(shape: Mapping[str, Any], *names: str) -> list[float]:
    try:
        found = [float(shape[name]) for name in names]
    except (KeyError, TypeError, ValueError):
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise ShapeError(f"has no numbers for {', '.join(names)}.")
    return found
