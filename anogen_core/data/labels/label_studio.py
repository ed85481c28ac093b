"""Label Studio's exports, JSON and JSON-MIN (labelstud.io/guide/export): one file for many photos."""

import functools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from anogen_core.data.files import IMAGE_SUFFIXES
from anogen_core.data.labels.brush import decode_brush
from anogen_core.data.labels.drawing import Drawing, ShapeError, as_points
from anogen_core.data.labels.entries import Entries, Entry, remark_on_classes, remark_on_unseen

_DRAWN = frozenset({"rectangle", "polygon", "ellipse", "brush", "keypoint", "vector", "bitmask"})
"""Types of results that are regions, with or without the ending `labels`; others are classes and texts."""
_PLACE: Final = ("x", "y", "width", "height", "rotation", "radiusX", "radiusY", "points", "rle")
"""Where a region is."""
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What an upload puts before the name of a file."""


@dataclass(frozen=True)
class _Region:
    """Something that is drawn on a photo, in percent of its sides."""

    identity: object
    labels: tuple[str, ...]
    value: Mapping[str, Any]
    of: Mapping[str, Any]
    """Where the size of the photo is."""


@dataclass(frozen=True)
class _Annotation:
    """What one person drew on a photo."""

    regions: list[_Region]
    classes: tuple[str, ...] = ()
    is_truth: bool = False


def is_label_studio(document: object) -> bool:
    """Return whether a JSON document is one of Label Studio's."""
    if not isinstance(document, list) or not all(isinstance(task, Mapping) for task in document):
        return False
    return any(isinstance(task.get("annotations"), list) and "data" in task for task in document) or any(
        "annotation_id" in task for task in document
    )


def read_label_studio(document: Sequence[Mapping[str, Any]]) -> Entries:
    """Return what is drawn on each photo; photos that were skipped, and classes of whole photos, are remarked on.

    Raises:
        ShapeError: a task names no photo.
    """
    photos: dict[tuple[str, ...], list[_Annotation]] = defaultdict(list)
    for count, task in enumerate(document, 1):
        names = _names(task.get("data", task), f"task {task.get('id', count)}")
        photos[names].extend(_annotations(task))
    entries = []
    for names, own in photos.items():
        regions = [region for annotation in own for region in annotation.regions]
        if regions:
            defects = frozenset(label.strip() for region in regions for label in region.labels)
            entries.append(Entry(names, defects, functools.partial(_draw, own, names[-1])))
    unseen = [names[-1] for names, own in photos.items() if not own]
    classes = {
        names[-1]: [name for annotation in own for name in annotation.classes]
        for names, own in photos.items()
        if not any(annotation.regions for annotation in own)
    }
    return Entries(entries, remark_on_classes("choices", classes) + remark_on_unseen(unseen))


def _annotations(task: Mapping[str, Any]) -> list[_Annotation]:
    """Return what people drew on the photo of a task, or of a record of JSON-MIN; what was skipped is left out."""
    if "annotation_id" in task:
        values = [value for own in task.values() if isinstance(own, list) for value in own]
        return [_Annotation(_regions([{"value": value, **value} for value in values if isinstance(value, Mapping)]))]
    annotations = []
    for annotation in task.get("annotations") or ():
        if isinstance(annotation, Mapping) and not annotation.get("was_cancelled"):
            results = annotation.get("result")
            results = [r for r in results if isinstance(r, Mapping)] if isinstance(results, list) else []
            classes = tuple(name for result in results for name in _choices(result))
            annotations.append(_Annotation(_regions(results), classes, annotation.get("ground_truth") is True))
    return annotations


def _regions(results: Sequence[Mapping[str, Any]]) -> list[_Region]:
    """Return what is drawn, with labels: those of a region itself or of another result of it, or else its choices."""
    every = [(_key(result), _region(result, count)) for count, result in enumerate(results, 1)]
    labelled = {key for key, region in every if region.labels}
    choices = {key: names for result, (key, _) in zip(results, every, strict=True) if (names := _choices(result))}
    bare: dict[str, _Region] = {}
    for key, region in every:
        if key not in labelled and _is_drawn(region):
            bare.setdefault(key, replace(region, labels=choices.get(key, ())))
    return [region for _, region in every if region.labels] + list(bare.values())


def _key(result: Mapping[str, Any]) -> str:
    """Return what results of one region have in common: its id, in JSON-MIN its place."""
    value = result.get("value")
    place = {name: value[name] for name in _PLACE if name in value} if isinstance(value, Mapping) else {}
    return str(result.get("id", place))


def _is_drawn(region: _Region) -> bool:
    if "type" in region.of:
        return str(region.of["type"]).removesuffix("labels") in _DRAWN
    return (
        "original_width" in region.of and "choices" not in region.value and not _SHAPES.keys().isdisjoint(region.value)
    )


def _choices(result: Mapping[str, Any]) -> tuple[str, ...]:
    value = result.get("value")
    names = value.get("choices") if isinstance(value, Mapping) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def _region(result: Mapping[str, Any], count: int) -> _Region:
    value = result.get("value")
    value = value if isinstance(value, Mapping) else {}
    lists = [own for key, own in value.items() if key.endswith("labels") and isinstance(own, list)]
    labels = tuple(label for own in lists for label in own if isinstance(label, str))
    return _Region(str(result.get("id", count)), labels, value, result)


def _names(data: object, task: str) -> tuple[str, ...]:
    """Return what the photo of a task may be called: its path, file name, and that without what an upload adds."""
    fields = data if isinstance(data, Mapping) else {}
    texts = [text for text in (fields.get("image"), *fields.values()) if isinstance(text, str)]
    for text in texts:
        path = _path(text)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            uploaded = _UPLOADED.match(path.name)
            names = (str(path), path.name, path.name[uploaded.end() :] if uploaded else path.name)
            return tuple(dict.fromkeys(names))
    raise ShapeError(f"names no photo for {task}: `data.image` with the path of an image file is expected.")


def _path(address: str) -> PurePosixPath:
    """Return the path in an address, or the one that `?d=` of a local file says."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return PurePosixPath(address)
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path)
    return PurePosixPath(path.replace("\\", "/").lstrip("/"))


def _draw(annotations: Sequence[_Annotation], name: str, drawing: Drawing) -> None:
    """Add the regions of one photo: rectangles as boxes, polygons, ellipses and brushes as outlines.

    Raises:
        ShapeError: a region cannot be used, or several persons drew.
    """
    truths = [annotation for annotation in annotations if annotation.is_truth]
    chosen = truths if len(truths) == 1 else annotations
    if len(chosen) > 1:
        what = f"has {len(annotations)} annotations of {name}, of which {len(truths)} are marked as ground truth"
        raise ShapeError(f"{what}: mark one, or leave one.")
    for region in chosen[0].regions:
        try:
            _draw_region(region, drawing)
        except ShapeError as failure:
            raise ShapeError(f"region {region.identity} of {name} {failure}") from failure


def _draw_region(region: _Region, drawing: Drawing) -> None:
    drawing.require_size(region.of.get("original_height"), region.of.get("original_width"))
    if region.of.get("image_rotation"):
        what = f"was drawn on the photo turned by {region.of['image_rotation']} degrees"
        raise ShapeError(f"{what}; turn it back in Label Studio, or save the photo turned.")
    draw = next((draw for key, draw in _SHAPES.items() if key in region.value), None)
    if draw is None:
        kind = region.of.get("type", "unknown")
        raise ShapeError(f"has the type {kind!r}; rectangles, polygons, ellipses and brushes are read.")
    if not region.labels:
        minimal = "; JSON-MIN does not tell whose the choices are: export as JSON" * ("type" not in region.of)
        raise ShapeError(f"has no label{minimal}.")
    for label in region.labels:
        drawing.name(label)
        draw(region.value, drawing)


def _rectangle(value: Mapping[str, Any], drawing: Drawing) -> None:
    x, y, width, height = _pixels(value, drawing, "x", "y", "width", "height")
    corners = [[x, y], [x + width, y + height]]
    drawing.turned_rectangle(corners, degrees=_degrees(value), pivot=(x, y))


def _polygon(value: Mapping[str, Any], drawing: Drawing) -> None:
    drawing.polygon(as_points(value["points"]) * np.array(drawing.size[::-1]) / 100)


def _ellipse(value: Mapping[str, Any], drawing: Drawing) -> None:
    x, y, across, down = _pixels(value, drawing, "x", "y", "radiusX", "radiusY")
    drawing.ellipse((x, y), (across, down), degrees=_degrees(value))


def _brush(value: Mapping[str, Any], drawing: Drawing) -> None:
    drawing.patch((0, 0), drawing.size, lambda: decode_brush(value["rle"], drawing.size))


_SHAPES: dict[str, Callable[[Mapping[str, Any], Drawing], None]] = {
    "rle": _brush,
    "points": _polygon,
    "radiusX": _ellipse,
    "height": _rectangle,
}
"""By the field of a value that no other shape has before it."""


def _pixels(value: Mapping[str, Any], drawing: Drawing, *names: str) -> list[float]:
    """Return percentages as pixels, along x and y in turn."""
    shares = [float(share) for name in names if _is_number(share := value.get(name))]
    if len(shares) < len(names):
        raise ShapeError(f"has no numbers for {', '.join(names)}.")
    sides = drawing.size[::-1] * (len(names) // 2)
    return [share * side / 100 for share, side in zip(shares, sides, strict=True)]


def _degrees(value: Mapping[str, Any]) -> float:
    degrees = value.get("rotation") or 0
    if not _is_number(degrees):
        raise ShapeError(f"has the rotation {degrees!r}; a number of degrees is expected.")
    return float(degrees)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
