"""A whole run: every category in turn, then the report."""

from datetime import UTC, datetime
from typing import Any

from prefect import flow, runtime, tags
from prefect.logging import get_run_logger

from anogen_core.config import RunConfig
from anogen_core.errors import AnogenError, InterruptedRunError
from anogen_core.stages.catalogue import read_catalogue
from anogen_core.stages.reporting import write_report
from anogen_core.stages.result import CategoryResult, write_result
from flows.category import make_category
from flows.runners import task_runners
from flows.story import show_run
from tasks.page import Bar


def run_name(config: RunConfig, when: datetime) -> str:
    """Return how a run is called everywhere: what it makes, and when it was asked for."""
    return f"{config.name} {when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def run_tags(config: RunConfig) -> list[str]:
    """Return what a run and all its parts are found by on the flow page."""
    return ["anogen", f"run:{config.name}"]


def _own_name() -> str:
    config: RunConfig = runtime.flow_run.parameters["config"]
    return run_name(config, runtime.flow_run.scheduled_start_time)


@flow(
    name="anogen",
    flow_run_name=_own_name,
    description=(
        "From a few photos of each defect to a labelled dataset, detectors trained on it, and a report. "
        "Finished work is found again, so starting a run again goes on where it was stopped."
    ),
    persist_result=False,
)
def run_fleet(config: RunConfig, warnings: list[str] | None = None) -> dict[str, Any]:
    """Make datasets and detectors for every category; one that fails does not stop the others.

    Args:
        config: What to learn from, what to make, and where to put it.
        warnings: What was noticed in the photos before the run, for the report; leave it empty.

    Raises:
        AnogenError: some categories failed; what the others made is stored and kept.
        InterruptedRunError: a person asked the run to stop.
    """
    results: list[CategoryResult] = []
    failures: dict[str, Exception] = {}
    say = get_run_logger().info
    categories = read_catalogue(config)
    say("%s: %d categories (%s).", config.name, len(categories), ", ".join(c.name for c in categories))
    say("Everything goes to %s", config.output)
    bar = Bar(f"{config.name}: categories")
    with task_runners(config.runner) as new_runner, tags(*run_tags(config)):
        for count, category in enumerate(categories, 1):
            try:
                with tags(f"category:{category.name}"):
                    made = make_category.with_options(task_runner=new_runner())(category.name, config)
            except InterruptedRunError:
                raise
            except Exception as error:  # noqa: BLE001 - told below, after the other categories
                failures[category.name] = error
            else:
                results.append(CategoryResult.model_validate(made))
            bar.move(100 * count / len(categories))
    if failures:
        lines = "\n".join(f"  {name}: {error}" for name, error in failures.items())
        raise AnogenError(f"{len(failures)} of {len(failures) + len(results)} categories failed:\n{lines}") from next(
            iter(failures.values())
        )
    result = write_result(config, results)
    report = write_report(config, result, warnings=warnings or [])
    show_run(config, results, report)
    say(
        "Done: %d images of %d categories. Report: %s", sum(r.dataset.num_images for r in results), len(results), report
    )
    return {"datasets": [r.dataset.model_dump(mode="json") for r in results], "report": report}
