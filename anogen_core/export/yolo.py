"""The layout of Ultralytics YOLO (docs.ultralytics.com/datasets/segment and /detect).

    <dest>/<category>/data.yaml                              classes and where the splits are
    <dest>/<category>/images/{train,val}/<request>.png       the generated images
    <dest>/<category>/labels/{train,val}/<request>.txt       one line for each part of the defect
    <dest>/<category>/images/{train,val}/good/<photo>.png    the real photos that defects were generated on,
    <dest>/<category>/labels/{train,val}/good/<photo>.txt    with empty label files: nothing is wrong there

A line is `class x1 y1 x2 y2 ...` (an outline) or `class x y width height` (centre and size of the box), in fractions of
the image. Outlines run through pixel centres, so filling them as Ultralytics does gives the mask back, but its holes.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Literal, final

import cv2
import numpy as np
import yaml
from jaxtyping import Float, UInt8

from anogen_core.arrays import Mask
from anogen_core.export.exporter import Export, Exporter, Listing
from anogen_core.export.folder import safe_names
from anogen_core.export.normals import NormalPhotos
from anogen_core.export.pixels import instance_masks
from anogen_core.export.selection import Split, SplitSettings
from anogen_core.storage.croissant import FileGroup

log = logging.getLogger(__name__)

_MIN_POINTS = 3
"""A shorter outline would be read as a box, or refused."""
_INSET = 0.25
"""From the outer edge of a pixel, so that rounding down gives that pixel."""


class YoloExporterSettings(SplitSettings):
    """Image files, label files and data.yaml for Ultralytics YOLO."""

    kind: Literal["yolo"] = "yolo"
    labels: Literal["segments", "boxes"] = "segments"
    """Outlines of the masks, or their bounding boxes."""
    normals: bool = True
    """Also write the real photos that defects were generated on, with empty labels, when they can still be read."""

    def build(self) -> "YoloExporter":
        """Return the exporter that these settings describe."""
        return YoloExporter(self)


@final
class YoloExporter(Exporter):
    """Writes the layout of Ultralytics YOLO."""

    def __init__(self, settings: YoloExporterSettings) -> None:
        self._settings = settings

    def write(self, export: Export) -> Listing:
        """Write images with labels, the normal photos they were made from, and data.yaml."""
        defects = export.dataset.spec.defects
        names = safe_names(row.request_id for row in export.rows)
        normals = NormalPhotos(
            export.dataset, export.rows if self._settings.normals else (), originals=export.originals
        )
        files, filled = {}, set[Split]()
        for sample in export:
            row = sample.row
            split = self._settings.split(row)
            own = {kind: f"{kind}s/{split}/{names[row.request_id]}" for kind in ("image", "label")}
            files[row.request_id] = {"image": f"{own['image']}.png", "label": f"{own['label']}.txt"}
            filled.add(split)
            export.write_picture(f"{own['image']}.png", sample)
            export.write(
                f"{own['label']}.txt", self._label(defects.index(row.defect), sample.mask, instance_masks(sample))
            )
            if (photo := normals.take(sample)) is not None:
                name, pixels = photo
                export.write_png(f"images/{split}/good/{name}.png", pixels)
                export.write(f"labels/{split}/good/{name}.txt", b"")
        normals.warn(export.folder)
        export.write("data.yaml", _description(defects, validates="val" in filled).encode())
        about = (*normals.notes(), _GOOD) if self._settings.normals else ()
        return Listing("in the layout of Ultralytics YOLO", files, _GROUPS, about)

    def _label(self, number: int, mask: UInt8[np.ndarray, "H W"], instances: Sequence[Mask]) -> bytes:
        """Return the lines of one image; none when its mask is empty."""
        shapes = _outlines(mask) if self._settings.labels == "segments" else _boxes(instances)
        size = np.array(mask.shape[::-1])
        return "".join(
            f"{number} {' '.join(f'{value:.6f}' for value in (points / size).ravel())}\n" for points in shapes
        ).encode()


def _outlines(mask: UInt8[np.ndarray, "H W"]) -> Iterator[Float[np.ndarray, "points 2"]]:
    """Yield the outer outline of each part of a mask: (x, y) in pixels, a pixel's centre at .5."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        points = contour[:, 0].astype(np.float64)
        if len(points) >= _MIN_POINTS:
            yield points + 0.5
        else:
            (left, top), (right, bottom) = points.min(0) + _INSET, points.max(0) + 1 - _INSET
            yield np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _boxes(instances: Sequence[Mask]) -> Iterator[Float[np.ndarray, "2 2"]]:
    """Yield the bounding box of each defect: centre and size, (x, y) in pixels."""
    for mask in instances:
        if not mask.any():
            continue
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        yield np.array([(x + width / 2, y + height / 2), (width, height)])


def _description(defects: tuple[str, ...], *, validates: bool) -> str:
    """Return data.yaml. Without `path`, Ultralytics takes folders from where the file is."""
    comment = "" if validates else _NO_VALIDATION
    values = {
        "train": "images/train",
        "val": "images/val" if validates else "images/train",
        "names": dict(enumerate(defects)),
    }
    return comment + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


_NO_VALIDATION = """\
# No image was put aside for validation: `val` names the training images, and scores on them mean little.
"""

_GOOD = (
    "Images under `good` are the real photos that defects were generated on, in the same frame; their labels are empty."
)

_GROUPS = (
    FileGroup("images", "images/**/*.png", "image/png", "the images."),
    FileGroup("labels", "labels/**/*.txt", "text/plain", "a line for each part of a defect; empty: nothing is wrong."),
    FileGroup("description", "data.yaml", "application/yaml", "classes and splits; give it to `yolo train data=`."),
)
