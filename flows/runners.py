"""Where tasks run: chosen by settings, never by code."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from anogen_core.runner import RunnerSettings, ThreadRunnerSettings
from tasks import progress

NewRunner = Callable[[], TaskRunner[Any]]


@contextmanager
def on_device(settings: RunnerSettings) -> Iterator[None]:
    """Let the tasks that are mapped inside go to workers that have the resource, where the settings name one."""
    if isinstance(settings, ThreadRunnerSettings) or settings.resource is None:
        yield
        return
    import dask  # noqa: PLC0415 - imported only when it is used

    with dask.annotate(resources={settings.resource: 1}):
        yield


@contextmanager
def task_runners(settings: RunnerSettings) -> Iterator[NewRunner]:
    """Give a function that makes a task runner for one flow; all of them share one cluster."""
    if isinstance(settings, ThreadRunnerSettings):
        yield lambda: ThreadPoolTaskRunner(max_workers=settings.workers)
        return
    from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - Dask is imported only when it is used

    if settings.address is not None:
        _look_for_workers(settings.address, settings.resource)
        yield lambda: DaskTaskRunner(address=settings.address)
        return
    import dask  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from distributed import LocalCluster  # noqa: PLC0415

    # Dask gives each worker one thread for arithmetic. Sums depend on that number, and the dataset must not depend on
    # who made it.
    libraries = ("OMP", "MKL", "OPENBLAS")
    arithmetic = {
        f"distributed.nanny.pre-spawn-environ.{library}_NUM_THREADS": torch.get_num_threads() for library in libraries
    }
    patience = {"distributed.scheduler.worker-ttl": f"{settings.worker_ttl}s"}
    with (
        dask.config.set(arithmetic | patience),
        LocalCluster(
            n_workers=settings.workers,
            threads_per_worker=settings.threads_per_worker,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
            resources={settings.resource: settings.threads_per_worker} if settings.resource else None,
        ) as cluster,
        progress.stopping_with(lambda: _stop_workers(cluster.scheduler_address)),
    ):
        yield lambda: DaskTaskRunner(address=cluster.scheduler_address)


def _stop_workers(address: str) -> None:
    """End the work of all workers of a cluster that is the run's own at its next step."""
    from distributed import Client  # noqa: PLC0415

    with contextlib.suppress(OSError), Client(address, set_as_default=False) as client:
        client.run(progress.stop)


def slots(settings: RunnerSettings) -> int:
    """Return how many tasks for the device are in work at a time; 1 on a cluster that has no worker for them yet."""
    if isinstance(settings, ThreadRunnerSettings):
        return settings.workers
    if settings.address is None:
        return settings.workers * settings.threads_per_worker
    return _slots_at(settings.address, settings.resource) or 1


def _slots_at(address: str, resource: str | None) -> int | None:
    """Return how many tasks the workers of a scheduler take at a time; None when it does not answer."""
    from distributed import Client  # noqa: PLC0415

    try:
        with Client(address, set_as_default=False) as client:
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
    except OSError:
        return None
    return sum(int(worker["resources"].get(resource, 0)) if resource else worker["nthreads"] for worker in workers)


def _look_for_workers(address: str, resource: str | None) -> None:
    """Say when work would wait because no worker that may take it is there yet."""
    # A scheduler that does not answer is told when the first task is submitted.
    if _slots_at(address, resource) == 0:
        named = f" with `--resources {resource}=1`" if resource else ""
        progress.note(f"{address} has no worker{named} yet: work waits until one joins.")
