"""Where the tasks of a run are worked on."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from anogen_core.settings import Settings


class ThreadRunnerSettings(Settings):
    """Run tasks in threads of this process: one device, or a CPU."""

    kind: Literal["threads"] = "threads"
    workers: PositiveInt = 1
    """Shards in work at the same time."""


class DaskRunnerSettings(Settings):
    """Run tasks on Dask workers."""

    kind: Literal["dask"] = "dask"
    address: str | None = None
    """Address of a running scheduler (tcp://host:8786); default: a cluster on this machine for the time of the run."""
    workers: PositiveInt = 2
    """Worker processes of the local cluster."""
    threads_per_worker: PositiveInt = 1
    """Shards in work at the same time in one worker process."""
    categories_at_once: PositiveInt = 4
    """Categories in work at the same time, so that workers are not idle while one of them is planned or sealed."""
    resource: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    """Dask resource that learning, generating and training ask one of: GPU, say. Workers that were started with
    `--resources GPU=1` then take one such task at a time, and others none; default: any worker takes any task."""
    patience: Annotated[float, Field(ge=1)] = 300.0
    """Seconds in which no shard has ended, and at least five times those of the longest one, after which shards in work
    are made on other workers too: a worker may be alive and never end. Whichever is done first counts."""
    worker_ttl: Annotated[float, Field(ge=10)] = 300.0
    """Seconds of silence after which a worker of the local cluster is given up and its shards are made by another. A
    scheduler of your own has DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL in its environment instead."""


RunnerSettings = Annotated[ThreadRunnerSettings | DaskRunnerSettings, Field(discriminator="kind")]
