"""Whether this process was asked to stop: whoever works or waits looks here, now and then."""

import time
from threading import Event
from typing import Final

from anogen_core.errors import InterruptedRunError

_ASKED: Final = Event()
_LOOK: Final = 0.2
"""Seconds between two looks while waiting. Not `Event.wait`: it may hold the lock that a signal handler then needs."""


def ask_to_stop() -> None:
    """End all work of this process at its next step, and all waiting; a signal handler may call it."""
    _ASKED.set()


def stop_if_asked() -> None:
    """End here when `ask_to_stop` was called.

    Raises:
        InterruptedRunError: it was.
    """
    if _ASKED.is_set():
        raise InterruptedRunError("Interrupted. Finished work is kept; run the same command again to go on.")


def pause(seconds: float) -> None:
    """Wait that long, or until `ask_to_stop` is called.

    Raises:
        InterruptedRunError: it was.
    """
    until = time.monotonic() + seconds
    stop_if_asked()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK))
        stop_if_asked()
