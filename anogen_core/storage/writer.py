"""Writing a dataset: spec first, shards in any order by any number of writers, seal last.

A shard's objects go to a folder of their own attempt; the commit record, which can be created only once, follows them.
So a killed writer leaves orphans but never a part that counts, and of two writers of a shard one wins with all of its
objects.
"""

import hashlib
import logging
import uuid
from collections.abc import Sequence
from typing import final

from anogen_core.errors import CorruptDatasetError, InputError, StorageError
from anogen_core.records import DatasetRef, LedgerRow, Outcome
from anogen_core.settings import canonical_json
from anogen_core.storage import layout, ledger
from anogen_core.storage.commit import Commit, ShardReceipt, StoredObject, describe
from anogen_core.storage.dataset import Dataset
from anogen_core.storage.manifest import count_outcomes
from anogen_core.storage.parts import Parts, require_same
from anogen_core.storage.pixels import ShardPixels
from anogen_core.storage.seal import seal
from anogen_core.storage.shard import index_checksum, pack_shard
from anogen_core.storage.spec import DatasetSpec
from anogen_core.storage.uri import open_store, parts_uri

log = logging.getLogger(__name__)


@final
class DatasetWriter:
    """Writes one dataset; any number of processes may hold one each.

    Args:
        uri: Where the dataset will be; a path or s3:// URI that ends in `.zarr`.
        spec: What it will be.

    Raises:
        InputError: the URI does not end in `.zarr`.

    Example:
        >>> writer = DatasetWriter("runs/demo/bottle.zarr", spec)
        >>> writer.create()
        >>> if writer.committed(0) is None:
        ...     writer.write_shard(0, rows, pixels, seconds=1.0)
        >>> writer.seal()
    """

    def __init__(self, uri: str, spec: DatasetSpec) -> None:
        beside = parts_uri(uri)
        if beside is None:
            raise InputError(f"{uri}: expected a dataset name that ends in .zarr.")
        self._store = open_store(uri.rstrip("/"))
        self._parts = Parts(open_store(beside))
        self._spec = spec

    def create(self) -> None:
        """Write down what the dataset will be, unless that was done before.

        Raises:
            InputError: another dataset, or something else, is there.
        """
        if self.is_sealed():
            require_same(Dataset(self._store.uri).spec, self._spec, where=self._store.uri)
            return
        if self._store.exists(layout.ROOT):
            raise InputError(f"{self._store.uri}: is a Zarr group without a manifest of AnoGen. Choose another output.")
        self._parts.begin(self._spec)

    def is_sealed(self) -> bool:
        """Return whether the dataset is complete and open to readers."""
        return Dataset(self._store.uri).is_sealed()

    def committed(self, shard: int) -> ShardReceipt | None:
        """Return the receipt of a stored shard, or None when the shard has to be made.

        A shard whose objects were damaged or deleted counts as not made.
        """
        # After a seal that was killed while it removed the parts, commit records may have lost their objects.
        if self.is_sealed():
            return Dataset(self._store.uri).manifest.receipts[shard]
        try:
            commit = self._parts.commit(shard)
        except CorruptDatasetError:
            self._parts.discard(shard)
            return None
        if commit is None:
            return None
        if commit.spec != self._spec.fingerprint():
            raise InputError(
                f"{self._parts.store.uri}: shard {shard} belongs to another dataset. Choose another output."
            )
        if not self._parts.is_whole(commit):
            self._parts.discard(shard)
            return None
        return commit.receipt

    def write_shard(
        self,
        shard: int,
        rows: Sequence[LedgerRow],
        pixels: ShardPixels,
        *,
        seconds: float,
        filtered: bytes | None = None,
    ) -> ShardReceipt:
        """Store a shard of work and return the receipt of the attempt that counts.

        Args:
            shard: Number of the shard of work.
            rows: How every request of the shard ended, in the order of the plan, replacements after what they replace;
                `row` is null.
            pixels: The made images with their masks, in the order of their rows.
            seconds: How long the shard took to make.
            filtered: Picture (PNG) of the filtered images, where there are any.

        Raises:
            ValueError: counts or rows do not fit the spec.
            StorageError: the shard could not be stored.
        """
        self._check(shard, rows, pixels)
        attempt = uuid.uuid4().hex[:16]
        objects = {name: self._put_pixels(shard, attempt, name, chunks) for name, chunks in pixels.chunks.items()}
        objects[layout.LEDGER_PART] = self._put(shard, attempt, layout.LEDGER_PART, ledger.to_json(rows))
        if filtered is not None:
            objects[layout.FILTERED_PART] = self._put(shard, attempt, layout.FILTERED_PART, filtered)
        receipt = _receipt(self._spec, shard, attempt, rows, objects, seconds=seconds)
        commit = Commit(spec=self._spec.fingerprint(), attempt=attempt, receipt=receipt, objects=objects)
        if self._parts.store.create(layout.commit_key(shard), commit.model_dump_json(indent=1).encode()):
            if self.is_sealed():
                # Another writer made this shard long ago: the seal has removed the record that would have told.
                self._remove_parts()
                return Dataset(self._store.uri).manifest.receipts[shard]
            log.info("shard %d stored: %d made of %d in %.1f s", shard, receipt.made, len(rows), seconds)
            return receipt
        return self._yield_to_other(shard, attempt)

    def seal(self) -> DatasetRef:
        """Return the sealed dataset; nothing changes when it was sealed before.

        Raises:
            StorageError: shards are missing or damaged; the damaged ones will be made again by the next run.
        """
        self.create()
        if not self.is_sealed():
            try:
                seal(self._store, self._parts, self._spec)
            except StorageError:
                # Another sealer may have finished and removed the parts meanwhile.
                if not self.is_sealed():
                    raise
        self._remove_parts()
        return Dataset(self._store.uri).ref()

    def _remove_parts(self) -> None:
        """Remove what the sealed dataset no longer needs; a late writer may still be adding to it."""
        try:
            self._parts.store.delete("")
        except StorageError as error:
            log.warning("%s is sealed, but its parts could not be removed: %s", self._store.uri, error)

    def _yield_to_other(self, shard: int, attempt: str) -> ShardReceipt:
        winner = self._parts.commit(shard)
        self._parts.store.delete(layout.attempt_folder(shard, attempt))
        if winner is None:
            raise StorageError(f"{self._parts.store.uri}: the commit record of shard {shard} vanished. Run again.")
        log.info("shard %d was stored by another writer", shard)
        return winner.receipt

    def _put_pixels(self, shard: int, attempt: str, name: str, chunks: Sequence[bytes]) -> StoredObject:
        data = pack_shard(chunks, len(chunks))
        return self._put(shard, attempt, name, data, index_crc=index_checksum(data))

    def _put(self, shard: int, attempt: str, name: str, data: bytes, *, index_crc: int | None = None) -> StoredObject:
        self._parts.store.put(f"{layout.attempt_folder(shard, attempt)}/{name}", data)
        return describe(data, index_crc=index_crc)

    def _check(self, shard: int, rows: Sequence[LedgerRow], pixels: ShardPixels) -> None:
        planned = sum(row.replaces is None for row in rows)
        if not 0 <= shard < self._spec.num_shards or planned != self._spec.requests_in(shard):
            raise ValueError(f"Shard {shard} with {planned} requests is not in the plan of {self._spec.name}.")
        made = sum(row.outcome is Outcome.MADE for row in rows)
        frame = (self._spec.height, self._spec.width)
        if len(pixels) != made or pixels.frame != frame:
            raise ValueError(
                f"Shard {shard}: expected pixels of {made} made images of {frame}, got {len(pixels)} of {pixels.frame}."
            )
        unknown = {row.defect for row in rows} - set(self._spec.defects)
        if unknown or any(row.row is not None for row in rows):
            raise ValueError(
                f"Shard {shard}: rows must have row=None and a defect of the spec; unknown: {sorted(unknown)}."
            )


def _receipt(
    spec: DatasetSpec,
    shard: int,
    attempt: str,
    rows: Sequence[LedgerRow],
    objects: dict[str, StoredObject],
    *,
    seconds: float,
) -> ShardReceipt:
    content = {name: objects[name].sha256 for name in spec.pixel_arrays} | {"ledger": ledger.ledger_digest(rows, spec)}
    counts = count_outcomes(rows)
    return ShardReceipt(
        shard=shard,
        attempt=attempt,
        digest=hashlib.sha256(canonical_json(content).encode()).hexdigest(),
        seconds=seconds,
        **{outcome.value: count for outcome, count in counts.items()},
    )
