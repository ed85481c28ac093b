"""A whole run: all defects together, then every category, on a cluster several at a time, then the report."""

import contextlib
import contextvars
import functools
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from prefect import Flow, flow, runtime, tags
from prefect.logging import get_run_logger
from prefect.states import Cancelled

from anogen_core.config import RunConfig
from anogen_core.errors import AnogenError, AwayStoreError, InterruptedRunError, PartlyFailedRunError
from anogen_core.records import SupportSet
from anogen_core.runner import DaskRunnerSettings
from anogen_core.stages.arms import needs_dataset
from anogen_core.stages.catalogue import read_catalogue
from anogen_core.stages.embedding import unlearned
from anogen_core.stages.reporting import write_report
from anogen_core.stages.result import CategoryResult, FailedCategory, write_result
from anogen_core.stages.room import require_room
from anogen_core.stages.running import announced
from flows.category import make_category
from flows.collect import describe, stopping_at_sigterm
from flows.learning import learn_together
from flows.overtaking import overtaken_by
from flows.page import as_cancelled, show_failure, show_run, show_waiting
from flows.runners import NewRunner, task_runners
from tasks import progress
from tasks.page import Bar

P = ParamSpec("P")
R = TypeVar("R")


def run_name(name: str, when: datetime) -> str:
    """Return how a run is called everywhere: its name in the run file, and when it was asked for."""
    return f"{name} {when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def run_tags(config: RunConfig) -> list[str]:
    """Return what a run and all its parts are found by on the flow page."""
    return ["anogen", f"run:{config.name}"]


def _own_name() -> str:
    config: RunConfig = runtime.flow_run.parameters["config"]
    return run_name(config.name, runtime.flow_run.scheduled_start_time)


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

    A run of a schedule ends at once where a later one waits for it already. While another run with this output works
    on one of its categories, it waits.

    Raises:
        PartlyFailedRunError: some categories failed; the result and the report of the others are written.
        AnogenError: every request would be blocked, or all categories failed; an earlier result and report are kept.
        AwayStoreError: the output does not answer any more, so no further category was begun.
        InterruptedRunError: a person asked the run to stop.
    """
    due = overtaken_by()
    if due is not None:
        skipped: Any = Cancelled(name="Skipped", message=f"the run that was due at {due} waits, and does all of this")
        return cast("dict[str, Any]", skipped)  # a state that a flow returns becomes its own
    names = [category.name for category in read_catalogue(config)]
    waits: list[str] = []
    with announced(config.output, config.name, names, on_wait=lambda line: _wait(line, waits)):
        if waits:
            show_waiting(None)
        try:
            return _run(config, names, warnings)
        except BaseException as error:
            if not isinstance(error, Exception) or isinstance(error, AwayStoreError):
                # A signal that met no task, or no store: what still waits for it, to take the mark away, gives up too.
                progress.stop()
            raise


def _wait(line: str, waits: list[str]) -> None:
    """Tell, to whoever started the run and on its page, which run it waits for."""
    waits.append(line)
    get_run_logger().info("%s", line)
    progress.note(line)
    show_waiting(line)


def _run(config: RunConfig, names: Sequence[str], warnings: list[str] | None) -> dict[str, Any]:
    log = get_run_logger()
    log.info("%s: %d categories (%s).", config.name, len(names), ", ".join(names))
    log.info("Everything goes to %s", config.output)
    if warnings is None:
        warnings = [f"{problem.severity}: {problem}" for problem in require_room(config)]
        for line in warnings:
            log.warning("%s", line)
    bar = Bar(f"{config.name}: categories")
    with task_runners(config.runner) as new_runner, tags(*run_tags(config)):
        missing = unlearned(config) if needs_dataset(config) else []
        seconds = {"learn defects": _learn(missing, config, new_runner)}
        results, failures = _make_categories(names, config, new_runner, bar)
    in_order = [results[name] for name in names if name in results]
    failed = [FailedCategory(category=name, reason=_line(failures[name])) for name in names if name in failures]
    made: dict[str, Any] = {}
    if in_order:
        made = _conclude(config, in_order, failed, seconds=seconds, warnings=warnings)
        made["summary"] = _summary(in_order, learned=sum(support.category in results for support in missing))
    if failures:
        which = ", ".join(one.category for one in failed)
        reasons = "".join(f"\n  {one.category}: {one.reason}" for one in failed)
        message = f"{len(failed)} of {len(names)} categories failed ({which}):{reasons}"
        if not made:
            show_failure(config.name, "\n".join(f"- {one.category}: {one.reason}" for one in failed))
        raise (PartlyFailedRunError(message, made) if made else AnogenError(message)) from failures[failed[0].category]
    return made


def _make_categories(
    names: Sequence[str], config: RunConfig, new_runner: NewRunner, bar: Bar
) -> tuple[dict[str, CategoryResult], dict[str, Exception]]:
    """Make every category; return the results of those that were made, and what went wrong with the others."""
    results: dict[str, CategoryResult] = {}
    failures: dict[str, Exception] = {}

    def make(name: str) -> dict[str, Any]:
        with tags(f"category:{name}"):
            return _part(make_category, new_runner)(name, config)

    # Closed before the cluster is: categories that are still in work end first.
    with contextlib.closing(_each(names, make, at_once=_categories_at_once(config))) as each:
        for count, (name, ended) in enumerate(each, 1):
            try:
                results[name] = CategoryResult.model_validate(ended())
            except (InterruptedRunError, AwayStoreError):
                raise
            except Exception as error:  # noqa: BLE001 - reported after the other categories
                failures[name] = error
            bar.move(100 * count / len(names))
    return results, failures


def _conclude(
    config: RunConfig,
    made: list[CategoryResult],
    failed: list[FailedCategory],
    *,
    seconds: dict[str, float],
    warnings: list[str],
) -> dict[str, Any]:
    """Write the result and the report of a run; return what it is asked for: `datasets` and `report`."""
    result = write_result(config, made, failed=failed, seconds=seconds)
    report = write_report(config, result, warnings=warnings)
    show_run(config, result, report)
    datasets = [r.dataset for r in made if r.dataset is not None]
    images = sum(dataset.num_images for dataset in datasets)
    get_run_logger().info("Done: %d images of %d categories. Report: %s", images, len(made), report)
    return {"datasets": [dataset.model_dump(mode="json") for dataset in datasets], "report": report}


def _learn(supports: list[SupportSet], config: RunConfig, new_runner: NewRunner) -> float:
    """Learn defects of all categories together; return the seconds it took.

    What goes wrong stops no category: each finds its defects learned, or tries again and tells why it cannot go on.
    """
    started = time.monotonic()
    if supports:
        try:
            with tags("stage:learn"):
                _part(learn_together, new_runner)(supports, config)
        except (InterruptedRunError, AwayStoreError):
            raise
        except Exception as error:  # noqa: BLE001 - told by the categories
            get_run_logger().warning("Not all defects were learned together: %s", error)
    return round(time.monotonic() - started, 1)


def _part(part: Flow[P, R], new_runner: NewRunner) -> Flow[P, R]:
    """Return a flow as a part of the run that this is."""
    told: list[Any] = [as_cancelled(UUID(runtime.flow_run.id))]
    return part.with_options(task_runner=new_runner(), on_failure=told, on_crashed=told)


def _categories_at_once(config: RunConfig) -> int:
    """Return how many categories are in work at a time: on threads of this process one, which uses all of them."""
    return config.runner.categories_at_once if isinstance(config.runner, DaskRunnerSettings) else 1


def _each(
    names: Sequence[str], make: Callable[[str], dict[str, Any]], *, at_once: int
) -> Generator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield each category when it has ended, with a function that returns what was made or raises what went wrong."""
    if at_once == 1 or len(names) == 1:
        for name in names:
            yield name, functools.partial(make, name)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="category") as pool, stopping_at_sigterm():
        # Prefect keeps the run that a flow belongs to in context variables.
        futures = {pool.submit(contextvars.copy_context().run, make, name): name for name in names}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result
        finally:
            for future in futures:
                future.cancel()


def _summary(results: Sequence[CategoryResult], *, learned: int) -> str:
    """Return what the run made and what it found finished, in one line."""
    made = {
        "learned defect": learned,
        "dataset": sum(result.made["datasets"] for result in results),
        "detector": sum(result.made["detectors"] for result in results),
    }
    there = {
        "learned defect": sum(len(result.embeddings) for result in results),
        "dataset": sum(result.dataset is not None for result in results),
        "detector": sum(len(result.checkpoints) for result in results),
    }
    kept = {name: there[name] - count for name, count in made.items()}
    return f"made: {_counted(made)}; kept: {_counted(kept)}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in counts.items() if n) or "nothing"


def _line(error: Exception) -> str:
    return " ".join(describe(error).split())
