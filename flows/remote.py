"""Runs that a Prefect server keeps and its workers execute: register one, start one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.states import Scheduled
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from anogen_core.config import RunConfig
from anogen_core.errors import AnogenError, InputError
from flows.fleet import run_fleet, run_name, run_tags
from flows.run_status import FLOW, RunStatus, status_of

Schedule = CronSchedule | IntervalSchedule
POOL: Final = "anogen"
"""The work pool of a run for which none was ever named."""


@contextmanager
def server() -> Iterator[SyncPrefectClient]:
    """Give a client of the server that PREFECT_API_URL names.

    Raises:
        InputError: no server is named.
        AnogenError: the server does not answer, refuses the password, or refuses what it is asked for.
    """
    address = PREFECT_API_URL.value()
    if not address:
        raise InputError(
            "PREFECT_API_URL is not set, so there is no server to ask. Set it to the server's address, for example"
            " http://127.0.0.1:4200/api (`prefect server start` starts one)."
        )
    try:
        with get_client(sync_client=True) as client:
            client.read_flows(limit=1)
            yield client
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise AnogenError(
                f"{address} refuses the password (status {status}). Set PREFECT_API_AUTH_STRING to its user:password."
            ) from error
        raise AnogenError(f"{address} answered with status {status}: {error.response.text[:300]}") from error
    except (httpx.HTTPError, RuntimeError) as error:
        raise AnogenError(
            f"{address} does not answer ({error or type(error).__name__}). Is the Prefect server running, and is"
            " PREFECT_API_URL its address?"
        ) from error


def schedule(cron: str | None, interval: str | None, *, never: bool = False) -> list[Schedule] | None:
    """Return when runs start by themselves; None where nothing is said of it.

    Args:
        cron: A cron line in UTC.
        interval: How often: 90m, 6h, 1d.
        never: Not at all.

    Raises:
        InputError: several are given, or one of them cannot be read.
    """
    if (cron is not None) + (interval is not None) + never > 1:
        raise InputError("--cron, --interval and --no-schedule: give one of them.")
    try:
        if cron is not None:
            return [CronSchedule(cron=cron, timezone="UTC")]
        if interval is not None:
            unit = {"m": "minutes", "h": "hours", "d": "days"}[interval[-1:]]
            return [IntervalSchedule(interval=timedelta(**{unit: float(interval[:-1])}))]
    except (ValidationError, KeyError, ValueError, OverflowError) as error:
        raise InputError(
            f"{cron if cron is not None else interval!r}: cannot be read as a schedule. Expected --cron '0 3 * * *' or"
            " --interval 90m, 6h or 1d."
        ) from error
    return [] if never else None


def register(
    client: SyncPrefectClient, config: RunConfig, *, name: str, pool: str | None, when: Sequence[Schedule] | None = None
) -> UUID:
    """Register a run, or replace what is registered under its name: settings and, if given, work pool and schedule.

    What somebody has paused stays so. Two runs of one deployment never work at the same time: the second waits.
    """
    registered = _registered(client, name)
    pool = pool or (registered and registered.work_pool_name) or POOL
    before = registered.schedules if registered is not None else []
    active = not before or any(schedule.active for schedule in before)
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(
            WorkPoolCreate(name=pool, type="process", base_job_template=ProcessWorker.get_default_base_job_template())
        )
    deployment = RunnerDeployment.from_flow(
        run_fleet,
        name=name,
        schedules=when and [DeploymentScheduleCreate(schedule=one, active=active) for one in when],
        paused=registered is not None and registered.paused,
        parameters=_parameters(config),
        description=f"{run_fleet.description}\n\nWrites to `{config.output}`.",
        tags=run_tags(config),
        work_pool_name=pool,
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    schema = deployment._parameter_openapi_schema  # noqa: SLF001 - Prefect gives no other way to what its form shows
    schema.definitions = _with_choices(schema.definitions)
    if not when:
        # Unset, it leaves those that there are; an empty list removes some of them.
        deployment.model_fields_set.discard("schedules")
    made = cast("UUID", deployment.apply())
    if when is not None and not when:
        for scheduled in client.read_deployment_schedules(made):
            client.delete_deployment_schedule(made, scheduled.id)
    return made


def submit(client: SyncPrefectClient, config: RunConfig, *, name: str, pool: str | None) -> RunStatus:
    """Start a run with these settings now, on the next free worker; registers it first if nobody has.

    Raises:
        InputError: a pool is given, and the run is registered in another one, or its own was deleted since.
    """
    registered = _registered(client, name)
    if registered is not None and registered.work_pool_name is None:
        raise InputError(
            f"{name}: its work pool was deleted, so no worker would take the run. `anogen deploy RUN.yaml --name {name}"
            " [--pool POOL]` gives it one."
        )
    if registered is not None and pool not in {None, registered.work_pool_name}:
        raise InputError(
            f"--pool {pool}: {name} is registered in the work pool {registered.work_pool_name}. Leave --pool out, move"
            f" it with `anogen deploy RUN.yaml --name {name} --pool {pool}`, or register another with --name."
        )
    deployment = registered.id if registered is not None else register(client, config, name=name, pool=pool)
    now = datetime.now(UTC)
    run = client.create_flow_run_from_deployment(
        deployment,
        parameters=_parameters(config),
        state=Scheduled(scheduled_time=now),
        name=run_name(config.name, now),
        tags=run_tags(config),
    )
    return status_of(run, {deployment: name})


def _registered(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{FLOW}/{name}")
    except ObjectNotFound:
        return None


def _parameters(config: RunConfig) -> dict[str, Any]:
    return {"config": config.model_dump(mode="json")}


def _with_choices(schema: Any) -> Any:
    """Return a schema whose alternatives the flow page offers in a list; it shows `oneOf` as text to be typed."""
    if isinstance(schema, list):
        return [_with_choices(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    names = {"oneOf": "anyOf"} if "discriminator" in schema else {}
    return {names.get(k, k): _with_choices(v) for k, v in schema.items() if k != "discriminator" or not names}
