"""Wait for mapped tasks: progress for the flow page, one clear error when some of them fail."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

import httpx
from prefect import Task
from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture, PrefectWrappedFuture
from prefect.states import Cancelled
from pydantic import TypeAdapter

from anogen_core.errors import (
    AnogenError,
    AwayStoreError,
    InputError,
    InterruptedRunError,
    TrainingError,
    UnusableStoreError,
)
from anogen_core.stopping import stop_if_asked
from tasks import page, progress

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

_STRAGGLER: Final = 5.0
"""Times the longest shard so far after which those in work get backup tasks."""


@dataclass(frozen=True)
class BackupTasks:
    """How shards that never end on their workers are made on others too; whichever is done first counts.

    Dean and Ghemawat, MapReduce, 2004, section 3.6.
    """

    patience: float
    """Seconds without a finished shard, at least."""
    submit: Callable[[int], PrefectFuture[Any]]
    """Submits a shard once more, by its place among the futures."""


def fresh(task: Task[P, R], *, known: bool) -> Task[P, R]:
    """Return a task that uses Prefect's cache only when the store holds every result.

    Prefect does not notice that a stored artefact is gone; a cache hit would then point to nothing.
    """
    return task if known else task.with_options(refresh_cache=True)


def collect(
    futures: Sequence[PrefectFuture[Any]], kind: type[T], *, stage: str, backup: BackupTasks | None = None
) -> list[T]:
    """Return what all futures made (a record, or a list of them), in their order.

    Results on Dask are released so that no worker holds them. Records of shards have `seconds`, by which `backup`
    tells that one takes too long.

    Raises:
        AnogenError: some tasks failed; names how many and the first reasons. The others are finished and stored, but
            where the store is unusable no further one is begun.
        AwayStoreError: the same, as the store does not answer.
        InterruptedRunError: a person asked the run to stop.
        ConcurrencySlotAcquisitionError: the Prefect server has gone away.
    """
    bar = page.Bar(stage)
    records = TypeAdapter(kind)
    results: dict[int, T] = {}
    failures: list[BaseException] = []
    with stopping_at_sigterm():
        for count, (place, future) in enumerate(_ended(futures, backup, results, stage), 1):
            try:
                results[place] = records.validate_python(future.result())
            except (InterruptedRunError, ConcurrencySlotAcquisitionError, httpx.HTTPError):
                # Without the Prefect server no task begins: each would wait a minute for it, one after the other.
                raise
            except Exception as error:  # noqa: BLE001 - every failure is reported below
                failures.append(error)
            release = getattr(getattr(future, "wrapped_future", None), "release", None)
            if release is not None:
                release()
            stop_if_asked()
            if failures and isinstance(failures[-1], UnusableStoreError):
                break
            bar.move(100 * count / len(futures))
    if failures:
        raise _summed_up(stage, failures, len(futures), len(results)) from failures[0]
    return [results[place] for place in range(len(futures))]


def _ended(
    futures: Sequence[PrefectFuture[Any]], backup: BackupTasks | None, results: dict[int, Any], stage: str
) -> Iterator[tuple[int, PrefectFuture[Any]]]:
    """Yield each place once, with the first of its futures that has ended, as they end."""
    arrived: queue.SimpleQueue[tuple[int, PrefectFuture[Any]]] = queue.SimpleQueue()
    running: dict[int, list[PrefectFuture[Any]]] = {}

    def watch(place: int, future: PrefectFuture[Any]) -> None:
        running.setdefault(place, []).append(future)
        future.add_done_callback(lambda done: arrived.put((place, done)))

    for place, future in enumerate(futures):
        watch(place, future)
    last, repeated = time.monotonic(), False
    while running:
        try:
            place, future = arrived.get(timeout=1)
        except queue.Empty:
            stop_if_asked()  # what is in work on a cluster elsewhere may take hours
            longest = max((getattr(record, "seconds", 0.0) for record in results.values()), default=0.0)
            waited = time.monotonic() - last
            if backup is None or repeated or not longest or waited < max(backup.patience, _STRAGGLER * longest):
                continue
            repeated = True
            progress.note(f"{stage}: nothing ended for {waited:.0f} s; what is in work is made elsewhere too.")
            for place in list(running):
                watch(place, backup.submit(place))
            continue
        twins = running.pop(place, None)
        if twins is None:
            continue
        for twin in twins:
            if twin is not future:
                _drop(twin)
        last, repeated = time.monotonic(), False
        yield place, future


def _drop(twin: PrefectFuture[Any]) -> None:
    """Let Dask forget a shard whose twin has ended, and show it as cancelled on the flow page.

    A worker that has it in work does not notice. It may never come to its end, or after the flow page is gone.
    """
    if isinstance(twin, PrefectWrappedFuture):
        twin.wrapped_future.cancel()
    with page.forgiving(), get_client(sync_client=True) as client:
        try:
            client.set_task_run_state(twin.task_run_id, Cancelled(message="Its twin on another worker ended first."))
        except httpx.HTTPStatusError as error:
            # The page does not know of a task that no worker has begun.
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise


@contextmanager
def stopping_at_sigterm() -> Iterator[None]:
    """Let SIGTERM, by which workers and init systems cancel a run, end the tasks of this process at their next step.

    Prefect's own handler ends the flow, but then waits for tasks to come to their end. It has to stay in place, or
    runs that are cancelled count as crashed.
    """
    try:
        yield
    except (TerminationSignal, GeneratorExit):
        progress.stop()
        raise


def _summed_up(stage: str, failures: Sequence[BaseException], tasks: int, done: int) -> AnogenError:
    """Return one error for all that failed."""
    # These fail again; their reasons say what to do.
    lasting = all(isinstance(failure, InputError | TrainingError) for failure in failures)
    advice = "Finished work is kept." if lasting else "Run again: finished work is kept."
    left = tasks - done - len(failures)
    rest = f"; {left} others were not waited for" if left else ""
    kind = AwayStoreError if isinstance(failures[-1], AwayStoreError) else AnogenError
    return kind(f"{stage}: {len(failures)} of {tasks} tasks failed ({_reasons(failures)}){rest}. {advice}")


def _reasons(failures: Sequence[BaseException]) -> str:
    """Return the first different reasons; an unusable store is one, whatever could not be written to it."""
    told: dict[object, str] = {}
    for failure in failures:
        text = describe(failure)
        told.setdefault(type(failure) if isinstance(failure, UnusableStoreError) else text, text)
    return "; ".join([*told.values()][:3])


def describe(error: BaseException) -> str:
    """Return what went wrong in words; of errors that are not AnoGen's, their kind too."""
    if isinstance(error, AnogenError):
        return str(error)
    # By name, because threads run without Dask.
    return _DASK.get(type(error).__name__, f"{type(error).__name__}: {error}")


_DASK = {
    "KilledWorker": "the Dask workers that tried died, probably out of memory",
    "FutureCancelledError": "the Dask scheduler went away",
    "CommClosedError": "the Dask scheduler went away",
}
