"""Which runs go on in an output: each keeps renewing a mark there, so that no other one does its work as well.

A mark is a lease, so a run that was killed holds nobody up for long: on its own machine the system tells at once that
its process is gone, elsewhere its mark stays as it is for two minutes.
"""

import logging
import random
import socket
import threading
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import AwareDatetime

from anogen_core.errors import CorruptDatasetError, InterruptedRunError, MissingObjectError, StorageError
from anogen_core.records import Record
from anogen_core.stages.processes import has_ended, this_process
from anogen_core.stopping import pause
from anogen_core.storage import open_store
from anogen_core.storage.commit import parse
from anogen_core.storage.store import Entry, Store

MARKS: Final = "running"
"""The folder of the marks in an output."""
SILENCE: Final = timedelta(hours=1)
"""A run whose mark was not renewed for so long is dead, whatever clocks say."""

_BEAT: Final = 30.0
"""Seconds between two renewals."""
_LOOK: Final = 5.0
"""Seconds between two looks at the marks of others."""
_LOOKS: Final = 24
"""Looks that find a mark as it was after which its run is dead. Looks are counted, not seconds: while the store does
not answer, nobody can renew a mark, nor look at it."""

log = logging.getLogger(__name__)


class RunMark(Record):
    """What a run says of itself while it goes on."""

    run: str
    """Name in its run file."""
    began: AwareDatetime
    categories: tuple[str, ...] = ()
    """What it works on."""
    host: str = ""
    """Name of its machine."""
    process: str | None = None
    """See `this_process`."""

    def describe(self) -> str:
        """Return which run it is, where and since when, in a few words."""
        number = f", process {self.process.split('/')[2]}" if self.process else ""
        where = f" on {self.host}{number}" if self.host else ""
        return f"{self.run}{where}, since {self.began.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@contextmanager
def announced(
    output: str, name: str, categories: Collection[str], *, on_wait: Callable[[str], None] = log.info
) -> Iterator[None]:
    """Keep a mark in an output while the block runs. It is the first object that a run writes.

    It begins when no other run works on any of its categories. A run that ends well takes marks of dead runs away too.

    Args:
        output: Of the run.
        name: Of the run.
        categories: What it works on.
        on_wait: Is told once of each run that this one waits for, in a sentence.

    Raises:
        InterruptedRunError: a person asked to stop while it waited.
        StorageError: the mark cannot be written, so nothing could be. Later it is renewed where that is possible.
    """
    store, key = open_store(output), f"{MARKS}/{uuid.uuid4().hex}.json"
    own = RunMark(
        run=name,
        began=datetime.now(UTC),
        categories=tuple(categories),
        host=socket.gethostname(),
        process=this_process(),
    )
    mark = own.model_dump_json().encode()
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_BEAT):
            try:
                store.put(key, mark)
            except InterruptedRunError:
                return
            except StorageError as error:
                log.warning("the mark of this run was not renewed, so others may not notice it: %s", error)

    _take_turn(store, key, own, on_wait)
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
            if _is_old(entry, now=datetime.now(UTC)):
                store.delete(entry.key)


def runs_going_on(output: str, *, now: datetime) -> list[RunMark]:
    """Return the runs that go on in an output, as far as they could leave a mark.

    Raises:
        StorageError: the store did not answer or refused, or a mark is damaged.
    """
    store, found = open_store(output), []
    for entry in store.entries(MARKS):
        if not _is_old(entry, now=now):
            with suppress(MissingObjectError):  # it has ended meanwhile
                found.append(parse(RunMark, store.read(entry.key), where=f"{output}/{entry.key}"))
    return [mark for mark in found if not has_ended(mark.process)]


def _take_turn(store: Store, key: str, own: RunMark, on_wait: Callable[[str], None]) -> None:
    """Write a mark when no run goes on that works on one of its categories.

    Of two runs that write at the same moment the later one finds the other's mark and takes its own away; where each
    finds the other's, both do, and try again after pauses of different lengths.
    """
    others, told = _Others(store, own), set[str]()
    while True:
        at_work = others.at_work()
        if not at_work:
            store.put(key, own.model_dump_json().encode())
            at_work = others.at_work(besides=key)
            if not at_work:
                return
            store.delete(key)
            pause(random.SystemRandom().uniform(0, _LOOK))
            continue
        for other, mark in at_work.items():
            if other not in told:
                shared = ", ".join(name for name in own.categories if name in mark.categories)
                on_wait(
                    f"Another run works on {shared}: {mark.describe()}. This one waits until it has ended, then goes on"
                    " with what it has made. A run that was killed on another machine is given up after two minutes."
                )
        told |= at_work.keys()
        pause(_LOOK)


class _Others:
    """Looks at the marks of other runs, again and again, and takes those of dead runs away."""

    def __init__(self, store: Store, own: RunMark) -> None:
        self._store = store
        self._categories = set(own.categories)
        self._marks: dict[str, RunMark | None] = {}
        self._seen: dict[str, tuple[datetime, int]] = {}
        """When each mark was renewed, and how many looks have found it so."""

    def at_work(self, *, besides: str = "") -> dict[str, RunMark]:
        """Return the marks of runs that work on one of the categories, by key."""
        found, now = {}, datetime.now(UTC)
        for entry in list(self._store.entries(MARKS)):
            mark = None if entry.key == besides or _is_old(entry, now=now) else self._read(entry.key)
            if mark is None or not self._categories & set(mark.categories):
                continue
            ended = has_ended(mark.process)
            if ended or (ended is None and self._is_silent(entry)):
                log.info("the run %s has ended without a word", mark.describe())
                self._store.delete(entry.key)
            else:
                found[entry.key] = mark
        return found

    def _read(self, key: str) -> RunMark | None:
        """Return a mark; None for one that is gone meanwhile, or that nobody can read."""
        if key not in self._marks:
            try:
                self._marks[key] = parse(RunMark, self._store.read(key), where=f"{self._store.uri}/{key}")
            except MissingObjectError:
                return None  # a run that waits, too, writes its mark again under this key
            except CorruptDatasetError as error:
                log.warning("%s Nobody waits for its run.", error)
                self._marks[key] = None
        return self._marks[key]

    def _is_silent(self, entry: Entry) -> bool:
        renewed, looks = self._seen.get(entry.key, (entry.modified, 0))
        self._seen[entry.key] = (entry.modified, looks + 1 if renewed == entry.modified else 0)
        return self._seen[entry.key][1] > _LOOKS


def _is_old(entry: Entry, *, now: datetime) -> bool:
    return now - entry.modified >= SILENCE
