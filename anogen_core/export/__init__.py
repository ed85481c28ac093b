"""Datasets as files that other tools read.

To add a layout: write its settings and exporter in a file like `coco.py`, then name its settings here.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import Field, TypeAdapter, ValidationError

from anogen_core.errors import InputError
from anogen_core.export.coco import CocoExporterSettings
from anogen_core.export.documents import write_documents
from anogen_core.export.exporter import Export, Exporter, OnImage
from anogen_core.export.folder import claim_folder
from anogen_core.export.mvtec import MvtecExporterSettings
from anogen_core.export.originals import Originals
from anogen_core.export.selection import SplitSettings
from anogen_core.export.webdataset import WebDatasetExporterSettings
from anogen_core.export.yolo import YoloExporterSettings
from anogen_core.records import Decision, LedgerRow, ReviewVerdict
from anogen_core.settings import fingerprint
from anogen_core.storage import Dataset
from anogen_core.storage.card import licence_warnings

log = logging.getLogger(__name__)

ExporterSettings = Annotated[
    MvtecExporterSettings | CocoExporterSettings | YoloExporterSettings | WebDatasetExporterSettings,
    Field(discriminator="kind"),
]

LAYOUTS: Final[tuple[str, ...]] = tuple(
    member.model_fields["kind"].default for member in get_args(get_args(ExporterSettings)[0])
)
"""What `pull --as` understands."""


def parse_exporter(values: Mapping[str, Any]) -> ExporterSettings:
    """Return validated settings of plain values; `kind` names the layout.

    Raises:
        InputError: the layout is unknown, or a setting is not one of it; every problem is listed.
    """
    kind = values.get("kind")
    if kind not in LAYOUTS:
        raise InputError(f"--as {kind}: unknown layout. Expected one of: {', '.join(LAYOUTS)}.")
    try:
        return TypeAdapter[ExporterSettings](ExporterSettings).validate_python(values)
    except ValidationError as error:
        problems = "".join(f"\n  {'.'.join(map(str, e['loc'][1:]))}: {_explain(e)}" for e in error.errors())
        raise InputError(f"--as {kind}: these settings cannot be used:{problems}") from error


def pull(
    dataset: Dataset, dest: Path, *, settings: ExporterSettings | None = None, on_image: OnImage | None = None
) -> Path:
    """Write a sealed dataset to a directory in another tool's layout and return the folder of its category.

    Doing it again completes and repairs what is missing or changed, and writes nothing else.

    Args:
        dataset: What to write.
        dest: The root of the layout; may hold other exports, nothing else.
        settings: Layout and choice of images; default: everything in the layout of MVTec AD.
        on_image: Called after each generated image.

    Raises:
        InputError: the dataset is not sealed or has no such defect, the directory holds something else, or an original
            is missing, has changed or was resized for the dataset.
        StorageError: a file could not be written, or the dataset is damaged.
    """
    settings = settings or MvtecExporterSettings()
    verdicts = settings.verdicts(dataset)
    rows = settings.choose(dataset, verdicts)
    originals = None if settings.originals is None else Originals(dataset, rows, settings.originals)
    given, defaults = _claimed(settings), _claimed(type(settings)())
    folder = claim_folder(dest, dataset, given, _reviewed(rows, verdicts), defaults=defaults)
    with Export(dataset, folder, rows, verdicts, on_image=on_image, originals=originals) as export:
        listing = settings.build().write(export)
    if originals is not None:
        listing = listing._replace(notes=(*listing.notes, _AS_THE_PHOTOS))
    write_documents(export, listing)
    for split in settings.empty_splits(rows) if isinstance(settings, SplitSettings) else ():
        log.warning("%s: no image is in %s; there are too few normal photos for this share", folder, split)
    for warning in licence_warnings(dataset.spec):
        log.warning("%s: %s", folder, warning)
    return folder


def _claimed(settings: ExporterSettings) -> dict[str, Any]:
    """Return what decides the bytes of an export: not where its photos are, which are told by their contents."""
    return {**settings.model_dump(mode="json"), "originals": settings.originals is not None}


def _reviewed(rows: Sequence[LedgerRow], verdicts: Mapping[int, ReviewVerdict]) -> str:
    """Return digits that identify what reviewers decide in an export: its images, and the masks that they fixed."""
    fixed = {
        str(number): verdict.box.as_list() if verdict.box else None
        for number, verdict in verdicts.items()
        if verdict.decision is Decision.FIX
    }
    return fingerprint([[row.request_id for row in rows], fixed])


def _explain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return f"this layout has no such setting (found {error['input']!r:.60}). Leave it out or choose another layout."
    return f"{error['msg']} (found {error['input']!r:.60})."


_AS_THE_PHOTOS = (
    "Images have the channels and the bit depth of the photos that they were made from, and their values outside the "
    "defects."
)

__all__ = [
    "LAYOUTS",
    "CocoExporterSettings",
    "Exporter",
    "ExporterSettings",
    "MvtecExporterSettings",
    "WebDatasetExporterSettings",
    "YoloExporterSettings",
    "parse_exporter",
    "pull",
]
