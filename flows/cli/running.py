"""`anogen run` and `anogen demo`: a run on this machine, with its own Prefect server where the user has none."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anogen_core.errors import AnogenError, InputError, PartlyFailedRunError
from anogen_core.settings import fingerprint
from flows.cli.progress import ProgressDisplay
from flows.local_api import LocalApi, quiet_environment

if TYPE_CHECKING:
    from anogen_core.config import RunConfig


def run(run_file: Path, overrides: Sequence[str]) -> None:
    """Run a run file and print the datasets and the report.

    Raises:
        PartlyFailedRunError: some categories failed; the others are printed.
    """
    made, failure = execute(run_file, overrides)
    sys.stderr.write(f"{made['summary']}\n")
    for dataset in made["datasets"]:
        sys.stdout.write(f"dataset: {dataset['uri']}\n")
        if not dataset["num_images"]:
            sys.stderr.write(f"warning: it holds no image; `anogen inspect {dataset['uri']}` says why\n")
    sys.stdout.write(f"report: {made['report']}\n")
    if failure is not None:
        raise failure


def execute(
    run_file: Path, overrides: Sequence[str], *, compares: bool = False
) -> tuple[dict[str, Any], PartlyFailedRunError | None]:
    """Run a run file; return what it made, `datasets` and `report`, and what is to be raised once that is told.

    Args:
        run_file: The run file.
        overrides: `field=value` each.
        compares: Whether to stop, before anything is made, where no photos are left to compare detectors on.
    """
    from anogen_core.config import load_config  # noqa: PLC0415

    # Before a server is started: a wrong field is told at once.
    config = load_config(run_file, overrides)
    home = _home(config, run_file)
    os.environ.update(quiet_environment(home))
    try:
        home.mkdir(parents=True, exist_ok=True)
        api = None if "PREFECT_API_URL" in os.environ else LocalApi(home)
    except OSError as error:
        raise InputError(
            f"output: {home.parent.parent} cannot be written to ({error.strerror}). Name a directory that can be made."
        ) from error
    try:
        with ProgressDisplay() as display:
            return _run(config, api, display, compares=compares), None
    except PartlyFailedRunError as failure:
        return failure.made, failure
    finally:
        if api is not None:
            api.stop()


def demo(out: Path, overrides: Sequence[str]) -> None:
    """Make the demo's photos and run on them."""
    from anogen_core.procedural.demo import plan_demo_photos, write_demo_photos  # noqa: PLC0415
    from tasks.progress import counting  # noqa: PLC0415

    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with ProgressDisplay() as display:
        total = sum(1 for _ in plan_demo_photos())
        write_demo_photos(out / "photos", seed=0, on_image=counting(display, "photos", total))
    run_file = out / "demo.yaml"
    run_file.write_text((resources.files("flows") / "demo.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    run(run_file, overrides)


def _run(config: "RunConfig", api: LocalApi | None, display: ProgressDisplay, *, compares: bool) -> dict[str, Any]:
    from anogen_core.stages.support_doubts import require_tested  # noqa: PLC0415
    from flows.cli.starting import audit_or_stop, require_places  # noqa: PLC0415
    from tasks import progress  # noqa: PLC0415

    require_places(config)
    display.note(f"Checking the photos of {config.reader.root}")
    warnings = audit_or_stop(config, display.note)
    if compares:
        require_tested(config)
    if api is not None:
        api.wait()
        os.environ["PREFECT_API_URL"] = api.url
        display.note(f"Flow page, as long as this run lasts: {api.url.removesuffix('/api')}")
    import httpx  # noqa: PLC0415
    from prefect import tags  # noqa: PLC0415
    from prefect.events.worker import EventsWorker  # noqa: PLC0415
    from prefect.exceptions import PrefectHTTPStatusError  # noqa: PLC0415
    from prefect.logging.handlers import APILogHandler  # noqa: PLC0415
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings  # noqa: PLC0415

    from flows.fleet import run_fleet, run_tags  # noqa: PLC0415 - imports Prefect, which reads its settings now

    # What cannot be told to the flow page is no error of the run.
    logging.raiseExceptions = False
    silence = progress.listen(display)
    signal.signal(signal.SIGINT, _stop_once)
    try:
        # A local run needs no heartbeat; joining its thread costs a second for each flow.
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), tags(*run_tags(config)):
            return run_fleet(config, warnings)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise (_lost(error) if api is None else api.explain(error)) from error
    finally:
        silence()
        # What is still on its way to the flow page must arrive before the server stops.
        APILogHandler().flush()
        EventsWorker.drain_all(timeout=10)


def _lost(error: Exception) -> AnogenError:
    return AnogenError(
        f"{os.environ['PREFECT_API_URL']}: the Prefect server does not answer ({error}). Finished work is kept;"
        " start the server, or unset PREFECT_API_URL to have one of the run's own, and run again."
    )


def _stop_once(*_: object) -> None:
    """End the run at its next step; a second Ctrl-C ends it at once."""
    from tasks import progress  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.default_int_handler)
    progress.stop()


def _home(config: "RunConfig", run_file: Path) -> Path:
    """Return where the run's Prefect history goes: into a local output; of one in a store, beside the run file."""
    if "://" not in config.output:
        return Path(config.output) / ".anogen" / "prefect"
    return run_file.resolve().parent / ".anogen" / f"prefect-{fingerprint(config.output)[:8]}"
