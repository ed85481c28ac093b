"""Long work on a Dask worker ends when nobody waits for it any more: its run was cancelled, stopped or killed."""

import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from prefect.states import Cancelled

from anogen_core.errors import InterruptedRunError

P = ParamSpec("P")
R = TypeVar("R")


class _UnwantedError(InterruptedRunError):
    """Nobody waits for this work."""


def stop_if_unwanted() -> None:
    """End here when this is a task of a Dask worker that the scheduler has taken back; elsewhere do nothing.

    Raises:
        InterruptedRunError: it was taken back.
    """
    if "distributed" not in sys.modules:
        return
    from distributed import get_worker  # noqa: PLC0415 - Dask is imported only when it is used

    try:
        worker = get_worker()
    except ValueError:  # no task of a worker
        return
    work = worker.state.tasks.get(worker.get_current_task())
    if work is None or work.state == "cancelled":
        raise _UnwantedError("The run that this was for has ended.")


def cancelled_if_unwanted(work: Callable[P, R]) -> Callable[P, R]:
    """Return a task's function that shows the task as cancelled where `stop_if_unwanted` ended it."""

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except _UnwantedError as end:
            state: Any = Cancelled(message=str(end))
            return cast("R", state)  # a state that a task returns becomes its own

    return run
