"""The unit of work: a run of planned requests that one task makes and stores, and what is there of them already."""

from collections.abc import Mapping, Sequence

from anogen_core.records import GenerationRequest, LedgerRow, Record


class KeptRequest(Record):
    """How a request ended in an earlier dataset, which holds its image."""

    uri: str
    """Of that dataset."""
    sealed: bool
    """Whether that dataset is sealed."""
    rows: tuple[LedgerRow, ...]
    """The request and its replacements."""
    image: tuple[int, int] | None
    """Number of the stored shard (of the shard of work where it is not sealed) and place in it; None unless made."""
    picture: tuple[int, int]
    """Number of the shard of work, and place in its picture of filtered images where those of this request begin."""

    @property
    def request_id(self) -> str:
        """Return the name of the planned request."""
        return self.rows[0].request_id


class Shard(Record):
    """A run of requests that one task makes and stores as whole objects."""

    index: int
    requests: tuple[GenerationRequest, ...]
    kept: tuple[KeptRequest, ...] = ()
    """Those of them that are taken from earlier datasets."""


def split_into_shards(
    requests: Sequence[GenerationRequest], shard_size: int, kept: Mapping[str, KeptRequest] | None = None
) -> list[Shard]:
    """Return consecutive runs of at most `shard_size` requests; together they hold every request once.

    Args:
        requests: The plan of a dataset.
        shard_size: Requests in a shard.
        kept: What earlier datasets hold of it, by request.
    """
    known, shards = kept or {}, []
    for index, start in enumerate(range(0, len(requests), shard_size)):
        own = tuple(requests[start : start + shard_size])
        taken = tuple(known[r.request_id] for r in own if r.request_id in known)
        shards.append(Shard(index=index, requests=own, kept=taken))
    return shards
