"""Runs that a Prefect server keeps and its workers execute: register one, start one, look at all of them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL
from prefect.states import Scheduled
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker
from pydantic import BaseModel, ConfigDict, ValidationError

from anogen_core.config import RunConfig
from anogen_core.errors import AnogenError, InputError
from flows.fleet import run_fleet, run_name, run_tags

FLOW: Final = run_fleet.name
Schedule = CronSchedule | IntervalSchedule
_WAITS: Final = {
    "AwaitingConcurrencySlot": "waits until the run of {deployment} that is in work has ended",
    "Late": "no worker has taken it; prefect worker start --pool {pool} --type process starts one",
}
"""What Prefect's states of runs that have not begun mean."""
_PREFACE: Final = re.compile(r"^Flow run encountered an exception: \w+: ")
"""What Prefect puts before the sentence of an error."""
POOL: Final = "anogen"
"""The work pool of a run for which none was ever named."""


class Stage(BaseModel):
    """How far one stage of a run has come."""

    model_config = ConfigDict(frozen=True)

    name: str
    """The category and what is done, for example `bottle: generate`."""
    percent: float
    """From 0 to 100."""


class RunStatus(BaseModel):
    """What the server knows of one run."""

    model_config = ConfigDict(frozen=True)

    name: str
    deployment: str | None
    """The name it was registered under; None for a run started by hand."""
    state: str
    """Prefect's own word: Scheduled, Running, Completed, Failed, Crashed..."""
    message: str
    """Why it is in that state; often empty."""
    started: datetime | None
    ended: datetime | None
    stages: tuple[Stage, ...]
    """In the order in which they began."""
    url: str | None
    """Its page."""


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

    Two runs of one deployment never work at the same time: the second waits.
    """
    if pool is None:
        registered = _registered(client, name)
        pool = (registered and registered.work_pool_name) or POOL
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(
            WorkPoolCreate(name=pool, type="process", base_job_template=ProcessWorker.get_default_base_job_template())
        )
    deployment = RunnerDeployment.from_flow(
        run_fleet,
        name=name,
        schedules=when,
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


def schedules(deployment: DeploymentResponse) -> list[str]:
    """Return in words when a registered run starts by itself."""
    found = []
    for scheduled in deployment.schedules:
        when = scheduled.schedule
        words = (
            f"cron {when.cron!r} ({when.timezone or 'UTC'})"
            if isinstance(when, CronSchedule)
            else f"every {when.interval} (h:mm:ss)"
            if isinstance(when, IntervalSchedule)
            else str(getattr(when, "rrule", when))
        )
        found.append(words if scheduled.active else f"{words}, paused")
    return found


def submit(client: SyncPrefectClient, config: RunConfig, *, name: str, pool: str | None) -> RunStatus:
    """Start a run with these settings now, on the next free worker; registers it first if nobody has.

    Raises:
        InputError: a pool is given, and the run is registered in another one.
    """
    registered = _registered(client, name)
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
    return _status(run, {deployment: name}, ())


def recent(client: SyncPrefectClient, limit: int) -> list[RunStatus]:
    """Return the newest runs, newest first, with the progress of their stages.

    A schedule plans its next hundred runs ahead; those whose time has not come are left out.
    """
    now = datetime.now(UTC)
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(before_=now)),
        flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=limit,
    )
    deployments = {run.deployment_id for run in runs if run.deployment_id is not None}
    names = {deployment: client.read_deployment(deployment).name for deployment in deployments}
    return [_status(run, names, _stages(client, run)) for run in runs]


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


def _stages(client: SyncPrefectClient, run: FlowRun) -> Sequence[Stage]:
    categories = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
    )
    if not categories:
        return ()
    bars = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[c.id for c in categories]),
            type=ArtifactFilterType(any_=["progress"]),
        ),
        sort=ArtifactSort.CREATED_DESC,
    )
    whole = {part.id for part in categories if part.state_type is StateType.COMPLETED}
    # Work that was begun again has a bar of each beginning: the newest one counts.
    percents = {
        bar.description or str(bar.key): 100.0 if bar.flow_run_id in whole else float(str(bar.data))
        for bar in reversed(bars)
    }
    return [Stage(name=name, percent=percent) for name, percent in percents.items()]


def _status(run: FlowRun, deployments: dict[Any, str], stages: Sequence[Stage]) -> RunStatus:
    page, name, deployment = PREFECT_UI_URL.value(), run.name, deployments.get(run.deployment_id)
    named = run.parameters.get("config", {}).get("name")
    if named and run.auto_scheduled and run.start_time is None and run.expected_start_time is not None:
        # Until it begins, Prefect calls what a schedule has planned by a random name.
        name = run_name(named, run.expected_start_time)
    said = _PREFACE.sub("", (run.state.message if run.state is not None else None) or "")
    waits = _WAITS.get(run.state_name or "", "").format(deployment=deployment, pool=run.work_pool_name)
    return RunStatus(
        name=name,
        deployment=deployment,
        state=run.state_name or "Unknown",
        message=said or waits,
        started=run.start_time,
        ended=run.end_time,
        stages=tuple(stages),
        url=f"{page}/runs/flow-run/{run.id}" if page else None,
    )
