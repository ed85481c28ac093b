"""COCO's JSON files (cocodataset.org/#format-data): one for many photos."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anogen_core.arrays import Mask
from anogen_core.data.labels.drawing import Drawing, ShapeError, as_points
from anogen_core.data.labels.entries import Entries, Entry
from anogen_core.outline import decode_outline

_LISTS = ("images", "annotations", "categories")


def is_coco(document: object) -> bool:
    """Return whether a JSON document is one of COCO."""
    return isinstance(document, Mapping) and all(isinstance(document.get(name), list) for name in _LISTS)


class CocoFile:
    """A COCO document: its images and what is drawn on each.

    Raises:
        ShapeError: entries are missing, or annotations name images or categories that are not there.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        try:
            self._categories = {category["id"]: category["name"] for category in document["categories"]}
            self._images = {image["id"]: image for image in document["images"]}
            self._annotations: dict[Any, list[Mapping[str, Any]]] = {}
            unknown = {f"the category {a['category_id']}" for a in document["annotations"]} - {
                f"the category {number}" for number in self._categories
            }
            for annotation in document["annotations"]:
                self._annotations.setdefault(annotation["image_id"], []).append(annotation)
        except (KeyError, TypeError) as failure:
            raise ShapeError(f"is not as COCO defines it: an entry has no {failure}.") from failure
        unknown |= {f"the image {number}" for number in self._annotations.keys() - self._images.keys()}
        if unknown:
            raise ShapeError(f"has annotations of {', '.join(sorted(unknown)[:5])}, which it does not describe.")

    def entries(self) -> Entries:
        """Return what is drawn on each image that has annotations.

        Raises:
            ShapeError: an image has no file name.
        """
        found: dict[str, list[Mapping[str, Any]]] = {}
        for number, annotations in self._annotations.items():
            name = self._images[number].get("file_name")
            if not isinstance(name, str) or not name:
                raise ShapeError(f"has no `file_name` for the image {number}.")
            found.setdefault(name, []).extend(annotations)
        return Entries(
            [Entry((name,), self._defects(own), functools.partial(self._draw_all, own)) for name, own in found.items()]
        )

    def _defects(self, annotations: Sequence[Mapping[str, Any]]) -> frozenset[str]:
        return frozenset(str(self._categories[annotation["category_id"]]) for annotation in annotations)

    def _draw_all(self, annotations: Sequence[Mapping[str, Any]], drawing: Drawing) -> None:
        """Add the shapes of one image: segmentations as outlines, where there are none bounding boxes."""
        image = self._images[annotations[0]["image_id"]]
        drawing.require_size(image.get("height"), image.get("width"))
        for annotation in annotations:
            try:
                self._draw(annotation, drawing)
            except ShapeError as failure:
                raise ShapeError(f"annotation {annotation.get('id')} {failure}") from failure

    def _draw(self, annotation: Mapping[str, Any], drawing: Drawing) -> None:
        drawing.name(self._categories[annotation["category_id"]])
        segmentation = annotation.get("segmentation")
        if isinstance(segmentation, Mapping):
            drawing.mask(_mask(segmentation, drawing))
        elif segmentation:
            for flat in segmentation if isinstance(segmentation, list) else [segmentation]:
                drawing.polygon(_pairs(flat))
        else:
            box = _pairs(annotation.get("bbox"))
            drawing.rectangle([box[0], box[0] + box[-1]])


def _pairs(flat: object) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a flat list of coordinates as (n, 2)."""
    if not isinstance(flat, list) or len(flat) < 4 or len(flat) % 2:
        raise ShapeError("has neither a `segmentation` nor a `bbox` of [x, y, width, height].")
    return as_points([flat[i : i + 2] for i in range(0, len(flat), 2)])


def _mask(encoded: Mapping[str, Any], drawing: Drawing) -> Mask:
    try:
        height, width = encoded["size"]
        drawing.require_size(height, width)
        counts = encoded["counts"]
        return decode_outline(_decompress(counts) if isinstance(counts, str) else counts, drawing.size)
    except ShapeError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as failure:
        raise ShapeError("has a run-length `segmentation` whose counts do not fill its size.") from failure


def _decompress(text: str) -> list[int]:
    """Return the run lengths of COCO's compressed form.

    Each number is in groups of five bits, the lowest first, in characters from "0" on; bit 5 says that more follow. The
    last group is signed, and from the third on a number is the difference to the one two before.
    """
    runs: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            group = ord(text[position]) - 48
            value |= (group & 0x1F) << shift
            position, shift, more = position + 1, shift + 5, bool(group & 0x20)
        if group & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
