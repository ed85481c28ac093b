"""Recompute everything a dataset promises about itself."""

from collections.abc import Callable, Iterator

from anogen_core.errors import CorruptDatasetError, MissingObjectError
from anogen_core.records import LedgerRow, Outcome
from anogen_core.storage import layout
from anogen_core.storage.commit import check
from anogen_core.storage.dataset import Dataset
from anogen_core.storage.ledger import from_parquet, ledger_digest
from anogen_core.storage.manifest import Manifest, count_made, count_outcomes, dataset_digest
from anogen_core.storage.shard import decode_chunk, split_shard
from anogen_core.storage.store import Store
from anogen_core.storage.uri import open_store

Progress = Callable[[int, int], None]
"""Called with (objects checked, objects in all)."""


def verify(uri: str, *, on_object: Progress | None = None) -> list[str]:
    """Return everything that is wrong with a dataset, one sentence each; an empty list for a sound one.

    Reads every object once. A dataset that is not sealed has that as a problem, beside the damage in its stored shards.

    Raises:
        InputError: there is no dataset.
        StorageError: the store did not answer or refused.
    """
    dataset = Dataset(uri)
    store = open_store(dataset.uri)
    if not store.exists(layout.MANIFEST) or (not store.exists(layout.ROOT) and dataset.is_begun()):
        return _check_unsealed(dataset)
    try:
        manifest = Manifest.from_bytes(store.read(layout.MANIFEST), where=f"{store.uri}/{layout.MANIFEST}")
    except CorruptDatasetError as error:
        return [str(error)]
    problems = list(_check_objects(store, manifest, on_object=on_object))
    try:
        rows = from_parquet(store.read(layout.SAMPLES), where=f"{store.uri}/{layout.SAMPLES}")
    except (CorruptDatasetError, MissingObjectError) as error:
        return list(dict.fromkeys([*problems, str(error)]))
    return [*problems, *_check_ledger(rows, manifest, where=store.uri)]


def _check_unsealed(dataset: Dataset) -> list[str]:
    try:
        planned = dataset.spec.num_requests
    except MissingObjectError as error:
        return [str(error)]
    return [f"{dataset.uri}: is not sealed yet ({planned} images planned).", *dataset.damaged_parts()]


def _check_objects(store: Store, manifest: Manifest, *, on_object: Progress | None) -> Iterator[str]:
    shards = -(-manifest.num_images // manifest.spec.shard_size)
    expected = [layout.chunk_key(name, number) for name in manifest.spec.pixel_arrays for number in range(shards)]
    for key in expected:
        if key not in manifest.files:
            yield f"{store.uri}/{layout.MANIFEST}: does not name {key}, which {manifest.num_images} images need."
    for done, (key, stored) in enumerate(manifest.files.items(), start=1):
        try:
            data = check(store.read(key), stored, where=f"{store.uri}/{key}")
            if key in expected:
                _check_shard(key, data, manifest, where=f"{store.uri}/{key}")
        except (CorruptDatasetError, MissingObjectError) as error:
            yield str(error)
        if on_object is not None:
            on_object(done, len(manifest.files))


def _check_shard(key: str, data: bytes, manifest: Manifest, *, where: str) -> None:
    """Decode every image of a stored shard."""
    spec, name = manifest.spec, key.split("/", 1)[0]
    number = int(key.split("/")[2])
    count = min(spec.shard_size, manifest.num_images - number * spec.shard_size)
    shape = (spec.height, spec.width, 3) if name == "image" else (spec.height, spec.width)
    for chunk in split_shard(data, slots=spec.shard_size, count=count, where=where):
        pixels = decode_chunk(chunk, shape, where=where)
        if name in layout.MASKS and (pixels % 255).any():
            raise CorruptDatasetError(f"{where}: has mask values other than 0 and 255.")


def _check_ledger(rows: list[LedgerRow], manifest: Manifest, *, where: str) -> Iterator[str]:
    spec, outcomes = manifest.spec, count_outcomes(rows)
    if ledger_digest(rows, spec) != manifest.ledger_sha256:
        yield f"{where}/{layout.SAMPLES}: the rows are not those of the manifest (their digest differs)."
    if outcomes != manifest.outcomes or count_made(rows, spec.defects) != manifest.made:
        yield f"{where}/{layout.MANIFEST}: the counts are not those of the ledger."
    planned = sum(row.replaces is None for row in rows)
    if planned != spec.num_requests:
        yield f"{where}: {spec.num_requests} images were planned, but the ledger accounts for {planned}."
    filtered = {row.request_id for row in rows if row.outcome is Outcome.FILTERED}
    strays = [row.request_id for row in rows if row.replaces is not None and row.replaces not in filtered]
    if strays:
        yield f"{where}: {strays[0]} replaces a request that was not filtered ({len(strays)} such rows)."
    if [row.row for row in rows if row.outcome is Outcome.MADE] != list(range(manifest.num_images)):
        yield f"{where}/{layout.SAMPLES}: column row does not count the {manifest.num_images} images in order."
    if dataset_digest(spec, manifest.files, ledger_digest(rows, spec)) != manifest.digest:
        yield f"{where}/{layout.MANIFEST}: the digest does not follow from the objects and the ledger."
