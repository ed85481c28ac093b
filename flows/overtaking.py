"""Runs of a schedule that last longer than its interval: of those that wait meanwhile the last one does it all."""

from datetime import UTC, datetime
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from tasks.page import forgiving


def overtaken_by() -> str | None:
    """Return when a later run of the same schedule was due that waits for this one; None for runs started by hand."""
    with forgiving(), get_client(sync_client=True) as client:
        own = client.read_flow_run(UUID(runtime.flow_run.id))
        if not own.auto_scheduled or own.deployment_id is None:
            return None
        waiting = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[own.deployment_id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
                expected_start_time=FlowRunFilterExpectedStartTime(
                    after_=own.expected_start_time, before_=datetime.now(UTC)
                ),
            ),
        )
        due = [
            run.expected_start_time
            for run in waiting
            if run.auto_scheduled and run.id != own.id and run.expected_start_time is not None
        ]
        return f"{max(due).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if due else None
    return None
