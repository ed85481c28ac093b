"""Retries, caching and tags of all tasks, in one place."""

from collections.abc import Callable
from typing import Any

import httpx
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.context import TaskRunContext
from prefect.tasks import Task, exponential_backoff

from anogen_core.errors import (
    CorruptDatasetError,
    FullStoreError,
    InputError,
    InterruptedRunError,
    RefusedStoreError,
    TrainingError,
)
from anogen_core.settings import fingerprint
from anogen_core.stopping import stop_if_asked

_PERMANENT = (
    InputError,
    TrainingError,
    CorruptDatasetError,
    FullStoreError,
    RefusedStoreError,
    InterruptedRunError,
)
# Prefect's client has already tried for a minute to reach its server.
_UNREACHABLE = (ConcurrencySlotAcquisitionError, httpx.HTTPError)


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether trying again can help; not with wrong input, bad training, a full or closed store, a stop."""
    try:
        stop_if_asked()
        state.result()
    except (*_PERMANENT, *_UNREACHABLE):
        return False
    except Exception:  # noqa: BLE001 - the network, a killed worker: anything else may pass
        return True
    return False


def by_content(key: Callable[..., str]) -> Callable[[TaskRunContext, dict[str, Any]], str]:
    """Return a Prefect cache key function: the content key of the task's result, the store it is in, the run's code.

    A worker with other code than the run's finds nothing that it made before, and so comes to be refused.
    """

    def cache_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
        of_result = {name: value for name, value in parameters.items() if name != "code"}
        return f"{key(**of_result)}-{fingerprint([parameters['config'].output, parameters['code']])}"

    return cache_key


DEVICE_WORK: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": exponential_backoff(5),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
    "persist_result": True,
    "result_serializer": "json",
    "tags": {"device"},
}
"""For work on the model's device: minutes long, worth repeating, its small JSON result kept."""

LIGHT_WORK: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
    "persist_result": False,
}
"""For reading, planning, sealing and reporting: seconds long, always looked at afresh."""
