"""What a dataset, sealed or not, holds of single requests, so that another one can hold the same bytes."""

from collections.abc import Iterable, Iterator

from anogen_core.errors import MissingObjectError
from anogen_core.records import LedgerRow, Outcome
from anogen_core.shards import KeptRequest
from anogen_core.storage import layout
from anogen_core.storage.commit import check
from anogen_core.storage.dataset import Dataset
from anogen_core.storage.parts import Parts
from anogen_core.storage.shard import split_shard
from anogen_core.storage.uri import open_store, parts_uri

_Shards = Iterator[tuple[int, list[tuple[LedgerRow, ...]]]]
"""Each shard of work with its requests, each with its replacements behind it."""


def finished_requests(uri: str) -> Iterator[KeptRequest]:
    """Yield the requests for which something was generated, in plan order; those whose photo failed are left out.

    Raises:
        InputError: there is no dataset.
        CorruptDatasetError: a ledger is damaged.
        MissingObjectError: a ledger is gone.
    """
    dataset = Dataset(uri)
    sealed, size = dataset.is_sealed(), dataset.spec.shard_size
    for shard, chains in _sealed_shards(dataset, size) if sealed else _begun_shards(uri):
        made = pictured = 0
        for rows in chains:
            last = rows[-1]
            image = (shard, made) if last.row is None else divmod(last.row, size)
            if rows[0].instances is not None and all(row.outcome is not Outcome.FAILED for row in rows):
                yield KeptRequest(
                    uri=uri,
                    sealed=sealed,
                    rows=rows,
                    image=image if last.outcome is Outcome.MADE else None,
                    picture=(shard, pictured),
                )
            made += last.outcome is Outcome.MADE
            pictured += count_pictured(rows)


def count_pictured(rows: Iterable[LedgerRow]) -> int:
    """Return how many of some requests are in the picture of what gates filtered."""
    return sum(row.outcome is Outcome.FILTERED and row.instances is not None for row in rows)


def read_chunks(uri: str, shard: int, *, sealed: bool) -> dict[str, list[bytes]]:
    """Return the encoded images of each array.

    Args:
        uri: Of the dataset.
        shard: Number of the stored shard of a sealed dataset, of the shard of work of another one.
        sealed: Whether the dataset is sealed.

    Raises:
        InputError: there is no dataset.
        CorruptDatasetError: the stored bytes have changed.
        MissingObjectError: they are gone, or the dataset was sealed meanwhile.
    """
    if sealed:
        manifest = Dataset(uri).manifest
        slots = manifest.spec.shard_size
        count = min(slots, manifest.num_images - shard * slots)
        arrays = {name: _read(uri, layout.chunk_key(name, shard)) for name in manifest.spec.pixel_arrays}
    else:
        parts = _parts(uri)
        commit = parts.commit(shard)
        if commit is None:
            raise MissingObjectError(f"{parts.store.uri}: shard {shard} is there no longer.")
        slots = count = commit.receipt.made
        arrays = {name: parts.read(commit, name) for name in layout.PIXEL_ARRAYS}
    return {
        name: split_shard(data, slots=slots, count=count, where=f"{uri}: {name} of shard {shard}")
        for name, data in arrays.items()
    }


def read_picture(uri: str, shard: int, *, sealed: bool) -> bytes:
    """Return the picture (PNG) of what gates filtered in a shard of work; raises as `read_chunks`."""
    if sealed:
        return _read(uri, layout.filtered_key(shard))
    parts = _parts(uri)
    commit = parts.commit(shard)
    if commit is None or layout.FILTERED_PART not in commit.objects:
        raise MissingObjectError(f"{parts.store.uri}: the picture of shard {shard} is there no longer.")
    return parts.read(commit, layout.FILTERED_PART)


def _sealed_shards(dataset: Dataset, size: int) -> _Shards:
    chains = _chains(dataset.ledger())
    for start in range(0, len(chains), size):
        yield start // size, chains[start : start + size]


def _begun_shards(uri: str) -> _Shards:
    parts = _parts(uri)
    for shard, commit in sorted(parts.commits().items()):
        yield shard, _chains(parts.rows(commit))


def _chains(rows: Iterable[LedgerRow]) -> list[tuple[LedgerRow, ...]]:
    chains: list[list[LedgerRow]] = []
    for row in rows:
        if row.replaces is None:
            chains.append([])
        chains[-1].append(row)
    return [tuple(chain) for chain in chains]


def _read(uri: str, key: str) -> bytes:
    store, files = open_store(uri), Dataset(uri).manifest.files
    if key not in files:
        raise MissingObjectError(f"{uri}: has no {key}.")
    return check(store.read(key), files[key], where=f"{uri}/{key}")


def _parts(uri: str) -> Parts:
    return Parts(open_store(str(parts_uri(uri))))
