"""`anogen deploy`, `anogen run --submit` and `anogen status`: runs on a Prefect server and its workers."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from flows.local_api import quiet_environment


def deploy(
    run_file: Path,
    overrides: Sequence[str],
    *,
    name: str | None,
    pool: str | None,
    cron: str | None,
    interval: str | None,
    no_schedule: bool,
    webhook: str | None = None,
) -> None:
    """Register a run file and print the name it has on the server."""
    _quiet()
    from anogen_core.config import load_config  # noqa: PLC0415
    from flows import alerts, remote, run_status  # noqa: PLC0415

    config = load_config(run_file, overrides)
    when = remote.schedule(cron, interval, never=no_schedule)
    with remote.server() as client:
        made = remote.register(client, config, name=name or config.name, pool=pool, when=when)
        alerts.bury_silent_runs(run_status.FLOW)
        if webhook is not None:
            alerts.tell(run_status.FLOW, webhook)
        registered = client.read_deployment(made)
    sys.stdout.write(f"deployment: {run_status.FLOW}/{name or config.name}\n")
    sys.stderr.write(
        f"schedule: {'; '.join(run_status.schedules(registered)) or 'none; --cron or --interval sets one'}\n"
    )
    sys.stderr.write(
        f"A worker executes its runs: prefect worker start --pool {registered.work_pool_name} --type process\n"
    )


def submit(run_file: Path, overrides: Sequence[str], *, name: str | None, pool: str | None) -> None:
    """Start a run on the server's workers and print its name and page."""
    _quiet()
    from anogen_core.config import load_config  # noqa: PLC0415
    from flows import remote  # noqa: PLC0415

    config = load_config(run_file, overrides)
    with remote.server() as client:
        run = remote.submit(client, config, name=name or config.name, pool=pool)
    sys.stdout.write(f"run: {run.name}\n")
    if run.url is not None:
        sys.stdout.write(f"page: {run.url}\n")


def status(limit: int, *, as_json: bool) -> None:
    """Print the newest runs, and how far the unfinished ones have come."""
    _quiet()
    from flows import remote, run_status  # noqa: PLC0415

    with remote.server() as client:
        newest = run_status.recent(client, limit)
        paused = run_status.paused_schedules(client)
    if as_json:
        sys.stdout.write(json.dumps([run.model_dump(mode="json") for run in newest], indent=1) + "\n")
        return
    if not newest:
        sys.stdout.write("No runs yet. `anogen run RUN.yaml --submit` starts one.\n")
    for run in newest:
        where = f"  ({run.deployment})" if run.deployment else ""
        sys.stdout.write(f"{run.name}  {run.state}{_took(run.started, run.ended)}{where}\n")
        if run.message and run.state != "Completed":
            sys.stdout.write("".join(f"    {line}\n" for line in run.message.splitlines()))
        if run.ended is None:
            sys.stdout.write("".join(f"    {stage.name}  {stage.percent:.0f} %\n" for stage in run.stages))
    for line in paused:
        sys.stdout.write(f"schedule of {line}\n")


def _took(started: datetime | None, ended: datetime | None) -> str:
    if started is None:
        return ""
    seconds = int(((ended or datetime.now(UTC)) - started).total_seconds())
    return f"  {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _quiet() -> None:
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    os.environ.update(quiet_environment(home))
