"""Tar shards as WebDataset reads them (github.com/webdataset/webdataset).

    <dest>/<category>/<category>-{train,val}-<number>.tar
        <request>.png          the generated image
        <request>.mask.png     where it is defective: 255, elsewhere 0
        <request>.json         what the ledger knows of it, with `label`: the number of its defect

Files of one sample share their name up to the first dot. Shards are functions of dataset and settings, byte for byte.
"""

import io
import tarfile
from typing import Annotated, Literal, final

from pydantic import Field

from anogen_core.export.exporter import Export, Exporter, Listing
from anogen_core.export.folder import safe_names
from anogen_core.export.pixels import png
from anogen_core.export.selection import SplitSettings
from anogen_core.settings import canonical_json
from anogen_core.storage import StoredSample
from anogen_core.storage.croissant import FileGroup


class WebDatasetExporterSettings(SplitSettings):
    """Tar shards for WebDataset."""

    kind: Literal["webdataset"] = "webdataset"
    images_per_shard: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Images in one tar file; one shard of each split is held in memory."""

    def build(self) -> "WebDatasetExporter":
        """Return the exporter that these settings describe."""
        return WebDatasetExporter(self)


@final
class WebDatasetExporter(Exporter):
    """Writes tar shards."""

    def __init__(self, settings: WebDatasetExporterSettings) -> None:
        self._settings = settings

    def write(self, export: Export) -> Listing:
        """Write the shards in the order of the plan."""
        spec = export.dataset.spec
        keys = safe_names((row.request_id for row in export.rows), dots=False)
        prefix = safe_names([spec.category], dots=False)[spec.category]
        shards = {split: _Shards(export, f"{prefix}-{split}", self._settings) for split in self._settings.splits()}
        files = {}
        for sample in export:
            row, key = sample.row, keys[sample.row.request_id]
            members = {
                "png": export.picture(sample),
                "mask.png": png(sample.mask),
                "json": _metadata(sample, spec.defects.index(row.defect)),
            }
            shard = shards[self._settings.split(row)].add(key, members)
            files[row.request_id] = {"shard": shard, "key": key}
        for open_shards in shards.values():
            open_shards.finish()
        group = FileGroup(
            "shards", "*.tar", "application/x-tar", "images, masks and metadata, by the key in the table."
        )
        return Listing("in shards of WebDataset", files, (group,))


@final
class _Shards:
    """The shards of one split: one is being filled, those before it are files."""

    def __init__(self, export: Export, prefix: str, settings: WebDatasetExporterSettings) -> None:
        self._export = export
        self._prefix = prefix
        self._size = settings.images_per_shard
        self._number = 0
        self._members: list[tuple[str, bytes]] = []
        self._count = 0

    def add(self, key: str, members: dict[str, bytes]) -> str:
        """Put a sample into the shard that is being filled, and return the shard's name."""
        if self._count == self._size:
            self.finish()
        self._members += [(f"{key}.{ending}", data) for ending, data in members.items()]
        self._count += 1
        return self._name

    def finish(self) -> None:
        """Write the shard that is being filled, unless it is empty."""
        if self._count:
            self._export.write(self._name, _tar(self._members))
            self._number += 1
            self._members, self._count = [], 0

    @property
    def _name(self) -> str:
        return f"{self._prefix}-{self._number:06d}.tar"


def _tar(members: list[tuple[str, bytes]]) -> bytes:
    """Return an archive that depends on names and contents alone: no time, no owner."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _metadata(sample: StoredSample, label: int) -> bytes:
    return canonical_json({**sample.row.model_dump(mode="json"), "label": label}).encode()
