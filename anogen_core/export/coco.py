"""The layout of COCO (Lin et al., ECCV 2014; cocodataset.org/#format-data).

    <dest>/<category>/{train,val}/<request>.png                   the generated images
    <dest>/<category>/annotations/instances_{train,val}.json      box, area and RLE mask of each defect

`val` is there when a part is for validation. Image and annotation ids are the row in the dataset plus one and category
ids count the dataset's defects from one, so that they stay the same whatever is chosen.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, final

import numpy as np
from pycocotools import mask as coco_mask

from anogen_core.export.exporter import Export, Exporter, Listing
from anogen_core.export.folder import safe_names
from anogen_core.export.pixels import instance_masks
from anogen_core.export.selection import Split, SplitSettings
from anogen_core.settings import canonical_json
from anogen_core.storage import DatasetSpec, StoredSample
from anogen_core.storage.croissant import FileGroup

_STRIDE = 10_000_000
"""Between the annotation ids of the defects of one image; more images than any dataset has."""


class CocoExporterSettings(SplitSettings):
    """Image files and instance annotations in the format of COCO."""

    kind: Literal["coco"] = "coco"

    def build(self) -> "CocoExporter":
        """Return the exporter that these settings describe."""
        return CocoExporter(self)


@final
class CocoExporter(Exporter):
    """Writes the layout of COCO."""

    def __init__(self, settings: CocoExporterSettings) -> None:
        self._settings = settings

    def write(self, export: Export) -> Listing:
        """Write the images, then the annotations of each split."""
        spec = export.dataset.spec
        names = safe_names(row.request_id for row in export.rows)
        documents = {split: _document(spec) for split in self._settings.splits()}
        files = {}
        for sample in export:
            row = sample.row
            split, name = self._settings.split(row), f"{names[row.request_id]}.png"
            files[row.request_id] = {"image": f"{split}/{name}"}
            export.write_picture(f"{split}/{name}", sample)
            documents[split]["images"].append(_image(sample, name))
            documents[split]["annotations"] += _annotations(sample, spec.defects)
        for split, document in documents.items():
            export.write(_instances(split), canonical_json(document).encode())
        return Listing("in the layout of COCO", files, tuple(_groups(documents)))


def _document(spec: DatasetSpec) -> dict[str, Any]:
    return {
        "info": {"description": f"{spec.name}: synthetic defects made with AnoGen", "version": spec.format_version},
        "licenses": [{"id": 1, "name": spec.data_licence or "not stated", "url": ""}],
        "categories": [
            {"id": number, "name": defect, "supercategory": "defect"} for number, defect in enumerate(spec.defects, 1)
        ],
        "images": [],
        "annotations": [],
    }


def _image(sample: StoredSample, name: str) -> dict[str, Any]:
    height, width = sample.mask.shape
    return {"id": _identifier(sample), "file_name": name, "height": height, "width": width, "license": 1}


def _annotations(sample: StoredSample, defects: Sequence[str]) -> list[dict[str, Any]]:
    """Return an instance for each defect of an image; none for one whose mask is empty.

    The first has the image's id, further ones count on from the largest id that an image can have.
    """
    found = [mask for mask in instance_masks(sample) if mask.any()]
    encodings = [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in found]
    return [
        {
            "id": _identifier(sample) + number * _STRIDE,
            "image_id": _identifier(sample),
            "category_id": defects.index(sample.row.defect) + 1,
            "iscrowd": 0,
            "area": int(coco_mask.area(encoded)),
            "bbox": [float(value) for value in coco_mask.toBbox(encoded)],
            "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")},
        }
        for number, encoded in enumerate(encodings)
    ]


def _identifier(sample: StoredSample) -> int:
    return (sample.row.row or 0) + 1


def _instances(split: Split) -> str:
    return f"annotations/instances_{split}.json"


def _groups(splits: Iterable[Split]) -> Iterable[FileGroup]:
    for split in splits:
        yield FileGroup(f"images-{split}", f"{split}/*.png", "image/png", f"the generated images for {split}.")
        yield FileGroup(
            f"instances-{split}",
            _instances(split),
            "application/json",
            "their boxes, areas and masks (compressed RLE).",
        )
