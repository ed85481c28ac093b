"""What a Prefect server knows of runs: how far they are, and why those wait that have not begun."""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
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
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_UI_URL
from pydantic import BaseModel, ConfigDict

from flows.fleet import run_fleet, run_name

FLOW: Final = run_fleet.name
_OF_FLOW: Final = FlowFilter(name=FlowFilterName(any_=[FLOW]))
_PREFACE: Final = re.compile(r"^Flow run encountered an exception: \w+: ")
"""What Prefect puts before the sentence of an error."""


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


def recent(client: SyncPrefectClient, limit: int) -> list[RunStatus]:
    """Return the newest runs, newest first, with the progress of their stages.

    A schedule plans its next hundred runs ahead; those whose time has not come are left out.
    """
    now = datetime.now(UTC)
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(before_=now)),
        flow_filter=_OF_FLOW,
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=limit,
    )
    names = {}
    for deployment in {run.deployment_id for run in runs if run.deployment_id is not None}:
        with suppress(ObjectNotFound):  # deleted since its run
            names[deployment] = client.read_deployment(deployment).name
    waiting = {run.work_pool_name for run in runs if run.state_type is StateType.SCHEDULED and run.work_pool_name}
    paused = {pool for pool in waiting if client.read_work_pool(pool).is_paused}
    return [status_of(run, names, _stages(client, run), paused=paused) for run in runs]


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
        works = scheduled.active and not deployment.paused
        found.append(words if works else f"{words}, paused on the flow page")
    return found


def paused_schedules(client: SyncPrefectClient) -> list[str]:
    """Return a line for each registered run with a schedule that starts nothing, because somebody paused it."""
    registered = client.read_deployments(flow_filter=_OF_FLOW)
    stopped = [one for one in registered if one.paused or not all(schedule.active for schedule in one.schedules)]
    return [f"{one.name}: {'; '.join(schedules(one))}" for one in stopped if one.schedules]


def status_of(
    run: FlowRun, deployments: Mapping[UUID, str], stages: Sequence[Stage] = (), *, paused: Collection[str] = ()
) -> RunStatus:
    """Return what is known of a run.

    Args:
        run: As the server tells it.
        deployments: Names of registered runs.
        stages: How far it has come.
        paused: Work pools that give no work away.
    """
    page, name = PREFECT_UI_URL.value(), run.name
    deployment = None if run.deployment_id is None else deployments.get(run.deployment_id)
    named = run.parameters.get("config", {}).get("name")
    if named and run.auto_scheduled and run.start_time is None and run.expected_start_time is not None:
        # Until it begins, Prefect calls what a schedule has planned by a random name.
        name = run_name(named, run.expected_start_time)
    said = _PREFACE.sub("", (run.state.message if run.state is not None else None) or "")
    return RunStatus(
        name=name,
        deployment=deployment,
        state=run.state_name or "Unknown",
        message=said or _waits_for(run, deployment, paused),
        started=run.start_time,
        ended=run.end_time,
        stages=tuple(stages),
        url=f"{page}/runs/flow-run/{run.id}" if page else None,
    )


def _waits_for(run: FlowRun, deployment: str | None, paused: Collection[str]) -> str:
    """Return why a run has not begun, and what to do; empty where there is no reason to be told."""
    pool = run.work_pool_name
    if run.state_type is not StateType.SCHEDULED:
        return ""
    if run.state_name == "AwaitingConcurrencySlot":
        return f"waits until the run of {deployment} that is in work has ended"
    if pool is None:
        return (
            f"its work pool was deleted, so it never begins; `anogen deploy RUN.yaml --name {deployment}` gives the"
            " next ones a pool"
        )
    if pool in paused:
        return f"the work pool {pool} is paused; prefect work-pool resume {pool} lets workers take it"
    if run.state_name == "Late":
        return f"no worker has taken it; prefect worker start --pool {pool} --type process starts one"
    return ""


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
