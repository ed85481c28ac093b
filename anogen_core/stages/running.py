"""Which runs go on in an output: each keeps renewing a mark there, so that nothing it may need is deleted."""

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import AwareDatetime

from anogen_core.errors import InterruptedRunError, MissingObjectError, StorageError
from anogen_core.records import Record
from anogen_core.storage import open_store
from anogen_core.storage.commit import parse
from anogen_core.storage.store import Entry

MARKS: Final = "running"
"""The folder of the marks in an output."""
SILENCE: Final = timedelta(hours=1)
"""A run whose mark was not renewed for so long is dead."""

_BEAT: Final = 300.0
"""Seconds between two renewals."""

log = logging.getLogger(__name__)


class RunMark(Record):
    """What a run says of itself while it goes on."""

    run: str
    """Name in its run file."""
    began: AwareDatetime


@contextmanager
def announced(output: str, name: str) -> Iterator[None]:
    """Keep a mark in an output while the block runs. It is the first object that a run writes.

    A run that ends well takes marks of dead runs away too.

    Raises:
        StorageError: the mark cannot be written, so nothing could be. Later it is renewed where that is possible.
    """
    store, key = open_store(output), f"{MARKS}/{uuid.uuid4().hex}.json"
    mark = RunMark(run=name, began=datetime.now(UTC)).model_dump_json().encode()
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_BEAT):
            try:
                store.put(key, mark)
            except InterruptedRunError:
                return
            except StorageError as error:
                log.warning("the mark of this run was not renewed, so `anogen prune` may not notice it: %s", error)

    store.put(key, mark)
    beating = threading.Thread(target=renew, name="mark of the run", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        with suppress(StorageError, InterruptedRunError):
            store.delete(key)
    with suppress(StorageError, InterruptedRunError):
        for entry in list(store.entries(MARKS)):
            if _is_of_a_dead_run(entry, now=datetime.now(UTC)):
                store.delete(entry.key)


def runs_going_on(output: str, *, now: datetime) -> list[RunMark]:
    """Return the runs that go on in an output, as far as they could leave a mark.

    Raises:
        StorageError: the store did not answer or refused, or a mark is damaged.
    """
    store, found = open_store(output), []
    for entry in store.entries(MARKS):
        if not _is_of_a_dead_run(entry, now=now):
            with suppress(MissingObjectError):  # it has ended meanwhile
                found.append(parse(RunMark, store.read(entry.key), where=f"{output}/{entry.key}"))
    return found


def _is_of_a_dead_run(entry: Entry, *, now: datetime) -> bool:
    return now - entry.modified >= SILENCE
