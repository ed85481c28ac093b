"""What of an output no result needs any more, and its deletion.

Large things go: datasets, detectors, evaluations and the state of dead work. Embeddings, support sets, thresholds and
other small records stay: any kept dataset can be regenerated, and versions of embeddings keep their numbers.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import Field

from anogen_core.errors import AnogenError
from anogen_core.records import Record
from anogen_core.stages.leftovers import Leftovers, Removable, Spared
from anogen_core.stages.result import RESULT, RunResult, read_result
from anogen_core.stages.running import runs_going_on
from anogen_core.storage import open_store

FRESH: Final = timedelta(days=1)
"""What was written within this time stays."""


class Pruning(Record):
    """What could go of an output."""

    output: str
    removable: tuple[Removable, ...]
    """By kind, the oldest of each first."""
    spared: tuple[Spared, ...] = ()
    bytes: int
    """Of everything in the output."""
    running: tuple[str, ...] = ()
    """Runs that go on there, one line each: while there are any nothing can be deleted."""
    deleted: bool = False
    """Whether it is gone."""
    result: RunResult = Field(exclude=True, repr=False)
    """What decided."""


def find_removable(output: str, *, keep_last: int = 1, now: datetime | None = None) -> Pruning:
    """Return what no result of an output needs any more; nothing is deleted.

    Looked at are the categories that the last run finished; what others have is left alone, and so is everything that
    AnoGen does not write. Of these stay: what the last run's results refer to, what was written within a day or since
    that run ended, datasets with verdicts that no other one has, and the newest datasets.

    Args:
        output: Of a run that has finished.
        keep_last: How many complete datasets of each category stay: the last run's and the newest others.
        now: The time; default: the present one.

    Raises:
        InputError: no run has finished there.
        CorruptDatasetError: the result of the last run was changed or is too new.
        StorageError: the store did not answer or refused.
    """
    now = now or datetime.now(UTC)
    last = read_result(output)
    running = _running(output, now)
    entries = list(open_store(output).entries())
    ended = max((entry.modified for entry in entries if entry.key == RESULT), default=now)
    left = Leftovers(output, last, min(now - FRESH, ended), entries)
    datasets, spared = left.datasets(keep_last)
    groups = [datasets, left.artifacts("detector"), left.artifacts("evaluation"), left.unfinished()]
    return Pruning(
        output=output,
        removable=tuple(one for group in groups for one in sorted(group, key=lambda one: (one.modified, one.name))),
        spared=tuple(spared),
        bytes=sum(entry.size for entry in entries),
        running=running,
        result=last,
    )


def prune(found: Pruning) -> None:
    """Delete what was found; cut off, the rest is found again.

    Raises:
        AnogenError: a run goes on, or has ended since; what is not deleted yet stays.
        StorageError: the store did not answer or refused.
    """
    store = open_store(found.output)
    for item in found.removable:
        running = _running(found.output, datetime.now(UTC))
        if running:
            raise AnogenError(
                f"{found.output}: nothing is deleted while a run goes on there: {'; '.join(running)}. Wait until it "
                "has ended; one that was killed on another machine counts for an hour."
            )
        if read_result(found.output) != found.result:
            raise AnogenError(f"{found.output}: a run has ended there meanwhile. Start `anogen prune` again.")
        for place in item.places:
            store.delete(place)


def _running(output: str, now: datetime) -> tuple[str, ...]:
    marks = runs_going_on(output, now=now)
    return tuple(mark.describe() for mark in marks)
