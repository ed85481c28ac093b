"""Croissant metadata (docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html): a dataset described for machines."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from anogen_core.records import LedgerRow
from anogen_core.storage import layout
from anogen_core.storage.card import KNOWN_LIMITS, licence_warnings, licences, sources_text
from anogen_core.storage.commit import StoredObject
from anogen_core.storage.spec import DatasetSpec


class Table(NamedTuple):
    """The file that has one line for each sample."""

    name: str
    media_type: str
    content: StoredObject
    columns: Mapping[str, str]
    """Type of each column, from `schema.org`."""


class FileGroup(NamedTuple):
    """Files of one kind, for people and for machine metadata."""

    name: str
    pattern: str
    """Glob below the folder."""
    media_type: str
    meaning: str
    """One sentence."""


def croissant(
    spec: DatasetSpec, rows: Sequence[LedgerRow], digest: str, *, table: Table, groups: Iterable[FileGroup]
) -> bytes:
    """Return the croissant.json of a folder that holds images of a dataset.

    Args:
        spec: Of the dataset.
        rows: Of the images in the folder.
        digest: Of the dataset.
        table: The file in the folder that describes each sample.
        groups: All other files.
    """
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": _SAFE.sub("-", spec.name),
        "description": " ".join(
            [
                *licence_warnings(spec),
                f"Synthetic images of defects in the category {spec.category}, made with AnoGen.",
                f"Dataset {spec.name}, digest {digest}, configuration {spec.config_fingerprint}.",
            ]
        ),
        "license": [f"{what}: {words}" for what, words in licences(spec).items()],
        "keywords": ["anomaly detection", "synthetic data", spec.category, *spec.defects],
        "rai:dataCollection": sources_text(spec, rows),
        "rai:dataLimitations": list(KNOWN_LIMITS),
        "rai:dataUseCases": ["Training of anomaly detectors and defect segmentation; not evaluation."],
        "distribution": [_file(table), *(_file_set(group) for group in groups)],
        "recordSet": [_record_set(table)],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def dataset_croissant(spec: DatasetSpec, rows: Sequence[LedgerRow], digest: str, *, samples: StoredObject) -> bytes:
    """Return the croissant.json of a sealed dataset.

    Args:
        spec: Of the dataset.
        rows: Of all planned requests.
        digest: Of the dataset.
        samples: Its samples.parquet.
    """
    columns = {name: kind for name, kind in LEDGER_TYPES.items() if name not in _NOT_PLAIN}
    table = Table(layout.SAMPLES, "application/x-parquet", samples, columns)
    return croissant(spec, rows, digest, table=table, groups=_ARRAYS)


LEDGER_TYPES: Final = dict.fromkeys(LedgerRow.model_fields, "sc:Text") | {
    "row": "sc:Integer",
    "seed": "sc:Integer",
    "angle": "sc:Float",
    "contrast": "sc:Float",
    "quality": "sc:Float",
    "confidence": "sc:Float",
}
"""Type of each column of the ledger."""

_NOT_PLAIN = {"row", "box", "crop", "instances"}
"""Columns of samples.parquet that are lists, or null where nothing was made: readers of Croissant stumble over them."""

_ARRAYS = (
    FileGroup("image", "image/c/**", "application/octet-stream", "shards of the Zarr array of images (RGB)."),
    FileGroup("box_mask", "box_mask/c/**", "application/octet-stream", "shards of the array of box masks."),
    FileGroup("mask", "mask/c/**", "application/octet-stream", "shards of the array of pixel labels."),
    FileGroup("confidence", "confidence/c/**", "application/octet-stream", "shards of the array of confidence maps."),
)


def _file(table: Table) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": table.name,
        "name": table.name,
        "description": "One line for each sample: what it was made from.",
        "contentUrl": table.name,
        "contentSize": f"{table.content.size} B",
        "encodingFormat": table.media_type,
        "sha256": table.content.sha256,
    }


def _file_set(group: FileGroup) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": group.name,
        "name": group.name,
        "description": group.meaning,
        "encodingFormat": group.media_type,
        "includes": group.pattern,
    }


def _record_set(table: Table) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"samples/{column}",
            "name": column,
            "dataType": kind,
            "source": {"fileObject": {"@id": table.name}, "extract": {"column": column}},
        }
        for column, kind in table.columns.items()
    ]
    return {"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}


_SAFE = re.compile(r"[^A-Za-z0-9_.-]+")

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes"),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
            *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
        )
    },
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""The context of the specification's examples."""
