"""How far work has come, told to whoever listens in this process (a progress bar); silent on remote workers.

Every unit of work reports each of its steps here, so this is also where it stops when it is asked to.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Protocol

from anogen_core.stopping import ask_to_stop, stop_if_asked


class Listener(Protocol):
    """Shows progress to a person."""

    def update(self, stage: str, unit: str, done: int, total: int) -> None:
        """Show that `unit` of `stage` has done `done` of `total`; a stage adds up its units."""

    def note(self, text: str) -> None:
        """Show one line of text."""


_listeners: list[Listener] = []
_followers: list[Callable[[], None]] = []


def listen(listener: Listener) -> Callable[[], None]:
    """Send progress of this process to `listener` until the returned function is called."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def stop() -> None:
    """End all work of this process, and of others that stop with it, at its next step; what is stored is kept."""
    ask_to_stop()
    for follower in _followers:
        # Called from signal handlers, which must not wait.
        Thread(target=follower, daemon=True).start()


@contextmanager
def stopping_with(follower: Callable[[], None]) -> Iterator[None]:
    """Let `stop` call `follower` too, in a thread of its own."""
    _followers.append(follower)
    try:
        yield
    finally:
        _followers.remove(follower)


def update(stage: str, unit: str, done: int, total: int) -> None:
    """Tell every listener how far one unit of a stage has come.

    Raises:
        InterruptedRunError: `stop` was called.
    """
    stop_if_asked()
    for listener in _listeners:
        listener.update(stage, unit, done, total)


def note(text: str) -> None:
    """Tell every listener of this process something in one line."""
    for listener in _listeners:
        listener.note(text)


def steps(stage: str, unit: str = "") -> Callable[[int, int], None]:
    """Return a callback (done, total) that reports on one unit of a stage."""
    return lambda done, total: update(stage, unit, done, total)


def counter(stage: str, unit: str, total: int, *, done: int = 0) -> Callable[[], None]:
    """Return a callback that reports one more of `total` each time it is called; some may be done before."""
    return counting(_Everyone(), stage, total, unit=unit, done=done)


def counting(
    listener: Listener, stage: str, total: int, *, unit: str = "", size: int | None = None, done: int = 0
) -> Callable[[], None]:
    """Return a callback that tells one listener of one more each time it is called.

    Args:
        listener: Who is told.
        stage: Of what.
        total: How often it will be called, with what is done before.
        unit: Part of the stage.
        size: Count up to this (bytes, say) in equal steps instead of to `total`.
        done: What is done before.
    """
    whole = total if size is None else size

    def tick() -> None:
        nonlocal done
        done += 1
        listener.update(stage, unit, whole * done // total, whole)

    return tick


class _Everyone:
    """Passes progress on to all listeners of this process."""

    def note(self, text: str) -> None:
        note(text)

    def update(self, stage: str, unit: str, done: int, total: int) -> None:
        update(stage, unit, done, total)
