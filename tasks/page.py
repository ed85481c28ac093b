"""What a task shows on the flow page while it works: its lines in the log, and a bar that moves."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL

from anogen_core.config import RunConfig
from anogen_core.stages.runtime import pick_device
from tasks import progress
from tasks.wanted import stop_if_unwanted

_EVERY: Final = 15.0
"""Seconds between two movements of a bar: each is a request to the server."""

_ALL: Final = 100.0

_SILENCE: Final = 300.0
"""Seconds in which no bar is moved after a server did not answer: Prefect's client tries each request for a minute, and
work would wait for all of them."""

_silent_until: dict[str | None, float] = {}
"""By address of the server."""


class Bar:
    """A progress bar on the flow page; a server that does not answer leaves it behind, and work goes on."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._id: UUID | None = None
        self._moved = 0.0
        self.percent = 0.0
        """What it was moved to last."""
        self.move(0.0)

    def move(self, percent: float) -> None:
        """Show how much is done."""
        self._moved, self.percent, server = time.monotonic(), percent, PREFECT_API_URL.value()
        if self._moved < _silent_until.get(server, 0.0):
            return
        with forgiving():
            try:
                self._show(percent)
            except Exception:
                _silent_until[server] = time.monotonic() + _SILENCE
                raise

    def _show(self, percent: float) -> None:
        if self._id is None:
            made = create_progress_artifact(progress=percent, key=slug(self._title), description=self._title)
            self._id = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._id, progress=percent)

    def follow(self, done: int, total: int) -> None:
        """Show how much is done, unless that was shown just now."""
        if done == total or time.monotonic() - self._moved >= _EVERY:
            self.move(_ALL * done / total)


class Steps:
    """A callback (done, total) that reports one task's steps to this process and, now and then, to the page.

    Finished work that is found again has no steps, and shows no bar. Where an attempt before has left one, which stands
    where that one failed, another attempt begins a new one.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._tell = progress.steps(title)
        self._bar = Bar(title) if _is_retry() else None

    def __call__(self, done: int, total: int) -> None:
        """Report that `done` of `total` steps are done; the last one is told at once."""
        stop_if_unwanted()
        self._tell(done, total)
        self._bar = self._bar or Bar(self._title)
        self._bar.follow(done, total)

    def end(self) -> None:
        """Show that everything is done, also where that took fewer steps, or none because it was found."""
        if self._bar is not None and self._bar.percent < _ALL:
            self._bar.move(_ALL)


def _is_retry() -> bool:
    context = TaskRunContext.get()
    return context is not None and context.task_run.run_count > 1


def say_where(config: RunConfig) -> None:
    """Write into the task's log which machine, process and device it runs on."""
    device = pick_device(config)
    visible = f" {os.environ.get('CUDA_VISIBLE_DEVICES', '')}".rstrip() if device.type == "cuda" else ""
    get_run_logger().info("Runs on %s, process %d, device %s%s.", socket.gethostname(), os.getpid(), device, visible)


@contextmanager
def forgiving() -> Iterator[None]:
    """Do what is inside, which only shows something: a server that does not answer is noted and never ends a run."""
    try:
        yield
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        logging.getLogger(__name__).warning("The flow page could not be updated: %s", error)


def slug(text: str) -> str:
    """Return a text as Prefect takes it for a key: small letters, digits and dashes."""
    return "-".join("".join(c if c.isalnum() and c.isascii() else " " for c in text.lower()).split()) or "unnamed"


class _OfRuns(APILogHandler):
    """Sends what the core logs inside a flow or a task to its page; other lines are nobody's."""

    def emit(self, record: logging.LogRecord) -> None:
        if TaskRunContext.get() is not None or FlowRunContext.get() is not None:
            super().emit(record)


def _relay() -> None:
    """Let the core's own messages appear on the flow page, also those of Dask workers that know no such setting."""
    core = logging.getLogger("anogen_core")
    if not any(isinstance(handler, _OfRuns) for handler in core.handlers):
        core.addHandler(_OfRuns())
        core.setLevel(logging.INFO)


_relay()
