"""Sealing: the chunks of all shards, moved as bytes into one plain Zarr group; its root document is written last.

Every object is a function of the spec and the committed shards, so a killed seal is simply done again, and two sealers
write the same bytes.
"""

import functools
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np

from anogen_core.errors import CorruptDatasetError, MissingObjectError, StorageError
from anogen_core.records import LedgerRow, Outcome
from anogen_core.storage import layout, metadata
from anogen_core.storage.card import dataset_card
from anogen_core.storage.commit import Commit, StoredObject, describe
from anogen_core.storage.croissant import dataset_croissant
from anogen_core.storage.ledger import ledger_digest, to_parquet
from anogen_core.storage.manifest import Manifest, count_made, count_outcomes, dataset_digest
from anogen_core.storage.parts import Parts
from anogen_core.storage.shard import index_checksum, pack_shard, split_shard
from anogen_core.storage.spec import DatasetSpec
from anogen_core.storage.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

_AT_ONCE: Final = 8
"""Objects that are read, and as many that are written, at the same time."""

_Files = dict[str, StoredObject]


def seal(store: Store, parts: Parts, spec: DatasetSpec) -> Manifest:
    """Write the sealed dataset and return its manifest; holds a few shards of one array in memory.

    Shards are read ahead and written behind, because a store far away is slow to answer and not slow to send.

    Raises:
        StorageError: a shard is missing, or was damaged and will be made again by the next run.
    """
    commits = _all_commits(parts, spec)
    rows = _number_rows(itertools.chain.from_iterable(_guarded(parts, c, parts.rows) for c in commits))
    files: _Files = {}
    for name in spec.pixel_arrays:
        _write_pixels(store, name, _chunks(parts, commits, name), size=spec.shard_size, files=files)
    _write_small(store, rows, spec, files=files)
    _write_pictures(store, parts, commits, files=files)
    manifest = _write_documents(store, rows, spec, files=files, commits=commits)
    log.info("%s sealed: %d images, digest %s", store.uri, manifest.num_images, manifest.digest[:16])
    return manifest


def _all_commits(parts: Parts, spec: DatasetSpec) -> list[Commit]:
    found = parts.commits()
    missing = [shard for shard in range(spec.num_shards) if shard not in found]
    if missing:
        raise StorageError(
            f"{parts.store.uri}: {len(missing)} of {spec.num_shards} shards are not stored yet (the first is "
            f"{missing[0]}). Run again to make them."
        )
    return [found[shard] for shard in range(spec.num_shards)]


def _number_rows(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Return the rows with the index of each made image in the arrays."""
    numbers = itertools.count()
    return [row.model_copy(update={"row": next(numbers) if row.outcome is Outcome.MADE else None}) for row in rows]


def _chunks(parts: Parts, commits: list[Commit], name: str) -> Iterator[bytes]:
    """Yield the encoded chunks of one array in the order of the plan."""
    reads = (functools.partial(_guarded, parts, commit, functools.partial(parts.read, name=name)) for commit in commits)
    for commit, data in zip(commits, _ahead(reads), strict=True):
        made = commit.receipt.made
        yield from split_shard(
            data, slots=made, count=made, where=f"{parts.store.uri}: {name} of shard {commit.receipt.shard}"
        )


def _ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Yield what the calls return, in their order; a few of them are made at the same time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        begun: deque[Future[T]] = deque()
        try:
            for call in calls:
                begun.append(pool.submit(call))
                if len(begun) == _AT_ONCE:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()


def _guarded(parts: Parts, commit: Commit, read: Callable[[Commit], T]) -> T:
    """Return what was read; a damaged shard loses its commit record, so that the next run makes it again."""
    try:
        return read(commit)
    except (CorruptDatasetError, MissingObjectError) as error:
        shard = commit.receipt.shard
        parts.discard(shard)
        raise type(error)(f"{error} Run again: shard {shard} will be made anew.") from error


def _write_pixels(store: Store, name: str, chunks: Iterator[bytes], *, size: int, files: _Files) -> None:
    def writes() -> Iterator[Callable[[], tuple[str, StoredObject]]]:
        for number in itertools.count():
            own = list(itertools.islice(chunks, size))
            if not own:
                return
            data = pack_shard(own, size)
            yield functools.partial(_put, store, layout.chunk_key(name, number), data, index_crc=index_checksum(data))

    files.update(_ahead(writes()))


def _write_small(store: Store, rows: list[LedgerRow], spec: DatasetSpec, *, files: _Files) -> None:
    made = [row for row in rows if row.row is not None]
    if not made:
        return
    labels = np.array([spec.defects.index(row.defect) for row in made], metadata.LABEL_TYPE)
    seeds = np.array([row.seed for row in made], metadata.SEED_TYPE)
    _write(store, layout.chunk_key("label", 0), metadata.encode_small(labels), files=files)
    _write(store, layout.chunk_key("seed", 0), metadata.encode_small(seeds), files=files)


def _write_pictures(store: Store, parts: Parts, commits: list[Commit], *, files: _Files) -> None:
    for commit in commits:
        if layout.FILTERED_PART in commit.objects:
            data = _guarded(parts, commit, lambda c: parts.read(c, layout.FILTERED_PART))
            _write(store, layout.filtered_key(commit.receipt.shard), data, files=files)


def _write_documents(
    store: Store, rows: list[LedgerRow], spec: DatasetSpec, *, files: _Files, commits: list[Commit]
) -> Manifest:
    outcomes, made = count_outcomes(rows), count_made(rows, spec.defects)
    num_images = outcomes[Outcome.MADE]
    ledger_sha256 = ledger_digest(rows, spec)
    digest = dataset_digest(spec, files, ledger_sha256)
    for name, document in metadata.array_documents(spec, num_images).items():
        _write(store, f"{name}/{layout.ROOT}", metadata.to_bytes(document), files=files)
    _write(store, layout.SAMPLES, to_parquet(rows), files=files)
    _write(store, layout.CARD, dataset_card(spec, rows, digest).encode(), files=files)
    described = dataset_croissant(spec, rows, digest, samples=files[layout.SAMPLES])
    _write(store, layout.CROISSANT, described, files=files)
    root = metadata.to_bytes(metadata.root_document(spec, num_images, digest))
    manifest = Manifest(
        spec=spec,
        num_images=num_images,
        outcomes=outcomes,
        made=made,
        ledger_sha256=ledger_sha256,
        digest=digest,
        files={**files, layout.ROOT: describe(root)},
        receipts=tuple(commit.receipt for commit in commits),
    ).signed()
    store.put(layout.MANIFEST, manifest.to_bytes())
    store.put(layout.ROOT, root)
    return manifest


def _write(store: Store, key: str, data: bytes, *, files: _Files) -> None:
    files.update([_put(store, key, data)])


def _put(store: Store, key: str, data: bytes, *, index_crc: int | None = None) -> tuple[str, StoredObject]:
    store.put(key, data)
    return key, describe(data, index_crc=index_crc)
