"""Reading a dataset: one ranged read for one image, checksums on the way, errors instead of wrong pixels."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8, UInt64

from anogen_core.errors import CorruptDatasetError, InputError
from anogen_core.records import DatasetRef, LedgerRow, Outcome, ReviewVerdict
from anogen_core.storage import layout, ledger
from anogen_core.storage.card import dataset_card
from anogen_core.storage.commit import check
from anogen_core.storage.croissant import dataset_croissant
from anogen_core.storage.manifest import Manifest, count_made, count_outcomes, count_replacements
from anogen_core.storage.parts import Parts
from anogen_core.storage.sample import StoredSample
from anogen_core.storage.shard import decode_chunk, index_bytes, index_checksum, locate, read_index, split_shard
from anogen_core.storage.spec import DatasetSpec
from anogen_core.storage.uri import open_store, parts_uri
from anogen_core.storage.verdicts import read_verdicts


@final
class Dataset:
    """A dataset at a path or s3:// URI; opens lazily and pickles as its URI.

    A dataset that is not sealed yet has a spec, a ledger so far and a summary, but no images.

    Example:
        >>> dataset = Dataset("runs/demo/datasets/bottle-1a2b3c4d.zarr")
        >>> dataset.image(0).shape
        (256, 256, 3)
    """

    def __init__(self, uri: str) -> None:
        self._store = open_store(uri.rstrip("/") or uri)
        beside = parts_uri(self._store.uri)
        self._parts = Parts(open_store(beside)) if beside else None
        self._indexes: dict[str, UInt64[np.ndarray, "slots 2"]] = {}

    def __reduce__(self) -> tuple[type["Dataset"], tuple[str]]:
        return Dataset, (self.uri,)

    def __len__(self) -> int:
        return self.manifest.num_images

    def __iter__(self) -> Iterator[StoredSample]:
        """Yield all made images in the order of the plan, reading whole shards."""
        return self.read(self.made())

    def read(self, rows: Sequence[LedgerRow]) -> Iterator[StoredSample]:
        """Yield the images of some made rows, reading each shard that holds one of them whole and once.

        Args:
            rows: Rows of `made()`, in its order.
        """
        size = self.spec.shard_size
        for number, group in itertools.groupby(rows, key=lambda row: _place(row) // size):
            wanted = list(group)
            slots = [_place(row) % size for row in wanted]
            arrays = {name: self._read_shard(name, number, slots) for name in self.spec.pixel_arrays}
            arrays.setdefault("confidence", arrays["mask"])
            for place, row in enumerate(wanted):
                yield StoredSample(row, **{name: array[place] for name, array in arrays.items()})

    def stored_bytes(self, rows: Sequence[LedgerRow]) -> int:
        """Return how many bytes `read` reads for some made rows."""
        spec, files = self.spec, self.manifest.files
        shards = {_place(row) // spec.shard_size for row in rows}
        return sum(files[layout.chunk_key(name, number)].size for name in spec.pixel_arrays for number in shards)

    @property
    def uri(self) -> str:
        """Return where the dataset is."""
        return self._store.uri

    def is_sealed(self) -> bool:
        """Return whether the dataset is complete."""
        return self._store.exists(layout.ROOT) and self._store.exists(layout.MANIFEST)

    @functools.cached_property
    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            InputError: there is no dataset, or it is not sealed.
            CorruptDatasetError: the manifest is damaged.
        """
        if not self._store.exists(layout.ROOT):
            state = "is not sealed yet; run again to finish it" if self._begun() else self._absence()
            raise InputError(f"{self.uri}: {state}.")
        return Manifest.from_bytes(self._store.read(layout.MANIFEST), where=f"{self.uri}/{layout.MANIFEST}")

    @property
    def spec(self) -> DatasetSpec:
        """Return what the dataset is, or will be."""
        if "manifest" in self.__dict__ or self._store.exists(layout.ROOT):
            return self.manifest.spec
        begun = self._begun()
        if begun is None:
            raise InputError(f"{self.uri}: {self._absence()}.")
        return begun

    @property
    def num_images(self) -> int:
        """Return how many images there are."""
        return self.manifest.num_images

    def ref(self) -> DatasetRef:
        """Return a reference to the sealed dataset."""
        spec = self.manifest.spec
        return DatasetRef(
            uri=self.uri,
            category=spec.category,
            num_images=self.num_images,
            digest=self.manifest.digest,
            config_fingerprint=spec.config_fingerprint,
            format_version=spec.format_version,
        )

    def ledger(self) -> list[LedgerRow]:
        """Return one row per request, replacements included, in plan order; before the seal, what is stored."""
        return list(self._ledger)

    def made(self) -> list[LedgerRow]:
        """Return the rows of the images: row i describes image i."""
        return [row for row in self._ledger if row.row is not None]

    def made_table(self) -> pa.Table:
        """Return the rows of the images of a sealed dataset as an Arrow table, in a blink also when there are many.

        Raises:
            InputError: there is no dataset, or it is not sealed.
            CorruptDatasetError: the ledger is damaged.
        """
        table = self._table()
        return table.filter(table["row"].is_valid())

    def request(self, request_id: str) -> LedgerRow:
        """Return the row of one request.

        Raises:
            InputError: no request has this name.
        """
        for row in self._ledger:
            if row.request_id == request_id:
                return row
        example = f" A request is named like {self._ledger[0].request_id!r}." if self._ledger else ""
        raise InputError(f"{self.uri}: has no request {request_id!r}.{example}")

    def image(self, row: int) -> UInt8[np.ndarray, "H W 3"]:
        """Return one image, RGB.

        Raises:
            IndexError: there is no such row.
            MissingObjectError: its object is gone.
            CorruptDatasetError: its bytes have changed.
        """
        return self._read_chunk("image", row)

    def box_mask(self, row: int) -> UInt8[np.ndarray, "H W"]:
        """Return where the defect was allowed to be, 0 or 255; raises as `image`."""
        return self._read_chunk("box_mask", row)

    def mask(self, row: int) -> UInt8[np.ndarray, "H W"]:
        """Return the pixel label, 0 or 255; raises as `image`."""
        return self._read_chunk("mask", row)

    def confidence(self, row: int) -> UInt8[np.ndarray, "H W"]:
        """Return how sure it is that a pixel shows the defect, 0 to 255 (`anods/1`: the mask); raises as `image`."""
        return self._read_chunk("confidence" if "confidence" in self.spec.pixel_arrays else "mask", row)

    def verdicts(self) -> dict[int, ReviewVerdict]:
        """Return the latest verdict on each image that has one, by row; read anew at every call.

        Raises:
            InputError: there is no dataset, or it is not sealed.
            CorruptDatasetError: a stored verdict is damaged.
        """
        latest = read_verdicts(self.uri, self.manifest.digest)
        names = self.made_table()["request_id"].to_pylist() if latest else []
        return {row: latest[name] for row, name in enumerate(names) if name in latest}

    def summary(self) -> dict[str, Any]:
        """Return counts and identity as plain JSON values, also of a dataset that is not sealed yet.

        Raises:
            InputError: there is no dataset.
        """
        spec, sealed = self.spec, self.is_sealed()
        outcomes = self.manifest.outcomes if sealed else count_outcomes(self._ledger)
        made = self.manifest.made if sealed else count_made(self._ledger, spec.defects)
        replacements = sum(outcomes.values()) - spec.num_requests if sealed else count_replacements(self._ledger)
        return {
            "uri": self.uri,
            "sealed": sealed,
            "name": spec.name,
            "category": spec.category,
            "planned": spec.num_requests + replacements,
            "replacements": replacements,
            **{outcome.value: outcomes[outcome] for outcome in Outcome},
            "image_size": [spec.height, spec.width],
            "defects": made,
            "digest": self.manifest.digest if sealed else None,
            "config_fingerprint": spec.config_fingerprint,
            "base_model": spec.base_model.model_dump(mode="json"),
            "data_licence": spec.data_licence,
            "format_version": spec.format_version,
        }

    def is_begun(self) -> bool:
        """Return whether there are parts of a dataset that is not sealed yet."""
        return self._begun() is not None

    def card(self) -> str:
        """Return the card of a sealed dataset for people, as Markdown."""
        return dataset_card(self.manifest.spec, self._ledger, self.manifest.digest)

    def croissant(self) -> str:
        """Return the description of a sealed dataset for machines, as JSON-LD."""
        manifest = self.manifest
        samples = manifest.files[layout.SAMPLES]
        return dataset_croissant(manifest.spec, self._ledger, manifest.digest, samples=samples).decode()

    def damaged_parts(self) -> list[str]:
        """Return what is wrong with the stored shards of a dataset that is not sealed yet."""
        return list(self._parts.problems()) if self._parts else []

    @functools.cached_property
    def _ledger(self) -> list[LedgerRow]:
        if self._store.exists(layout.ROOT):
            return ledger.to_rows(self._table(), where=f"{self.uri}/{layout.SAMPLES}")
        parts = self._parts
        return [row for _, commit in sorted(parts.commits().items()) for row in parts.rows(commit)] if parts else []

    def _table(self) -> pa.Table:
        where, promised = f"{self.uri}/{layout.SAMPLES}", self.manifest.files[layout.SAMPLES]
        data = check(self._store.read(layout.SAMPLES), promised, where=where)
        return ledger.read_table(data, where=where)

    def _begun(self) -> DatasetSpec | None:
        return self._parts.spec() if self._parts else None

    def _absence(self) -> str:
        return _ROOTLESS if self._store.exists(layout.MANIFEST) else _NOTHING

    def _shape(self, name: str) -> tuple[int, ...]:
        spec = self.manifest.spec
        return (spec.height, spec.width, 3) if name == "image" else (spec.height, spec.width)

    def _read_chunk(self, name: str, row: int) -> UInt8[np.ndarray, "..."]:
        if not 0 <= row < self.num_images:
            raise IndexError(f"{self.uri}: has images 0 to {self.num_images - 1}, not {row}.")
        number, slot = divmod(row, self.manifest.spec.shard_size)
        key = layout.chunk_key(name, number)
        where = f"{self.uri}/{key}"
        offset, length = locate(self._index(key), slot, where=where)
        return decode_chunk(
            self._store.read_range(key, offset, length), self._shape(name), where=f"{where} (image {row})"
        )

    def _index(self, key: str) -> UInt64[np.ndarray, "slots 2"]:
        """Return the index of a stored shard, read once."""
        if key not in self._indexes:
            slots, stored = self.manifest.spec.shard_size, self.manifest.files[key]
            tail = self._store.read_range(key, stored.size - index_bytes(slots), index_bytes(slots))
            self._indexes[key] = self._believed(tail, key)
        return self._indexes[key]

    def _believed(self, tail: bytes, key: str) -> UInt64[np.ndarray, "slots 2"]:
        where = f"{self.uri}/{key}"
        if index_checksum(tail) != self.manifest.files[key].index_crc:
            raise CorruptDatasetError(
                f"{where}: its index is not the one that was sealed; the object was changed or replaced."
            )
        return read_index(tail, slots=self.manifest.spec.shard_size, where=where)

    def _read_shard(self, name: str, number: int, wanted: Sequence[int]) -> list[UInt8[np.ndarray, "..."]]:
        """Return the images in some slots of a stored shard."""
        size = self.manifest.spec.shard_size
        key = layout.chunk_key(name, number)
        data, where = self._store.read(key), f"{self.uri}/{key}"
        self._believed(data[len(data) - index_bytes(size) :], key)
        count = min(size, self.num_images - number * size)
        chunks = split_shard(data, slots=size, count=count, where=where)
        return [decode_chunk(chunks[slot], self._shape(name), where=where) for slot in wanted]


def _place(row: LedgerRow) -> int:
    if row.row is None:
        raise InputError(f"{row.request_id}: has no image; it was {row.outcome.value}.")
    return row.row


_ROOTLESS = f"its {layout.ROOT} is missing; it was moved or deleted"
_NOTHING = "there is no dataset. Expected the URI that `anogen run` printed; it ends in .zarr"
