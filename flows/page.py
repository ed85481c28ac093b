"""What a run tells on the flow page when it has made something: pictures, tables, and where everything lies."""

import os
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from prefect import Flow, State, runtime
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Running

from anogen_core.config import RunConfig
from anogen_core.evaluation import Evaluation
from anogen_core.records import DatasetRef, LedgerRow, Outcome
from anogen_core.report.tables import arm_name, count_endings, count_reasons
from anogen_core.stages import reporting
from anogen_core.stages.result import CategoryResult, RunResult
from anogen_core.storage import Dataset, open_store
from tasks.page import forgiving, slug

WAITING: Final = "Waiting"
"""The state of a run while another one does its work."""

_TO_DO: Final = "Mend what the reason names and start the run again: finished work is kept."
_WEEK: Final = 7 * 24 * 3600
_SCORES: Final = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
}


def show_category(config: RunConfig, result: CategoryResult) -> None:
    """Put the pictures, the ledger and the scores of one category on its flow run's page."""
    name = result.category
    if result.dataset is not None:
        _show_dataset(config, result, result.dataset)
    if result.evaluations:
        with forgiving():
            create_table_artifact(
                [_score(e) for e in result.evaluations],
                key=slug(f"{name} scores"),
                description=f"{name}: scores of the detectors on {result.evaluations[0].num_images} held-out photos",
            )


def _show_dataset(config: RunConfig, result: CategoryResult, dataset: DatasetRef) -> None:
    name, ledger = result.category, Dataset(dataset.uri).ledger()
    parts = [f"**{dataset.num_images} images**", *_missing(ledger), _places(dataset)]
    parts += [f"### {defect}\n\n![{defect}]({data})" for defect, data in reporting.pictures(config, result).items()]
    caption = f"{name}: pictures. Normal photo with the place of the defect, masks, generated image, and its detail"
    with forgiving():
        create_markdown_artifact("\n\n".join(parts), key=slug(f"{name} pictures"), description=caption)
        create_table_artifact(
            ledger_rows(ledger),
            key=slug(f"{name} ledger"),
            description=f"{name}: ledger. How each planned image ended, and why some were not made",
        )


def show_failure(name: str, reason: str) -> None:
    """Put on the page of what failed why, and what to do: its log has that among tracebacks."""
    lines = f"### {name} failed\n\n{reason}\n\n{_TO_DO}"
    with forgiving():
        create_markdown_artifact(lines, key=slug(f"{name} failed"), description=f"{name}: failed. Why, and what to do")


def show_run(config: RunConfig, result: RunResult, report: str) -> None:
    """Put the report's address and a line for each category on the page of the whole run."""
    made = [(r, r.dataset) for r in result.categories if r.dataset is not None]
    rows = [f"| {r.category} | {dataset.num_images} | {len(r.embeddings)} | `{dataset.uri}` |" for r, dataset in made]
    failed = [f"- {one.category}: {one.reason}" for one in result.failed]
    lines = [
        *(["### Failed\n\n" + "\n".join(failed) + f"\n\n{_TO_DO}"] if failed else []),
        f"### Report\n\n{_report_link(config, report)}",
        *(
            ["### Datasets\n\n| Category | Images | Defects | Dataset |\n|---|---|---|---|\n" + "\n".join(rows)]
            if rows
            else []
        ),
        *(_places(dataset) for _, dataset in made[:1]),
    ]
    with forgiving():
        create_markdown_artifact(
            "\n\n".join(lines), key=slug(f"{config.name} results"), description=f"{config.name}: results of the run"
        )


def ledger_rows(ledger: list[LedgerRow]) -> list[dict[str, Any]]:
    """Return one line for each defect, and one for all of them: counts by outcome, and reasons in words."""
    defects = sorted({row.defect for row in ledger})
    groups = [(defect, [row for row in ledger if row.defect == defect]) for defect in defects]
    return [_ledger_row(defect, rows) for defect, rows in [*groups, ("all", ledger)]]


def _ledger_row(defect: str, rows: list[LedgerRow]) -> dict[str, Any]:
    counts = {name.capitalize(): count for name, count in count_endings(rows).items()}
    reasons = count_reasons([row for row in rows if row.outcome is not Outcome.MADE])
    why = "; ".join(f"{r.count} {r.outcome.value}: {r.text}{' (and alike)' if r.varies else ''}" for r in reasons)
    return {"Defect": defect, **counts, "Why": why}


def _missing(ledger: list[LedgerRow]) -> list[str]:
    """Return why some images were not made, as a list that wraps: cells of a table on the page do not."""
    rows = [row for row in ledger_rows(ledger)[:-1] if row["Why"]]
    return ["Not made: " + "\n".join(f"\n- {row['Defect']}: {row['Why']}" for row in rows)] if rows else []


def _score(evaluation: Evaluation) -> dict[str, Any]:
    values = evaluation.model_dump(include=set(_SCORES))
    rounded = {title: None if values[f] is None else round(values[f], 3) for f, title in _SCORES.items()}
    return {"Trained on": arm_name(evaluation.arm), "Seed": evaluation.seed, **rounded}


def _places(dataset: DatasetRef) -> str:
    """Return where the dataset lies and how to look at it, copy it and judge it."""
    uri = dataset.uri
    commands = (f"anogen inspect {uri}", f"anogen review {uri}", f"anogen pull {uri} pulled --as mvtec")
    card = _link(uri, "README.md", "what it holds")
    return f"Dataset `{uri}` ({card}).\n\n```sh\n" + "\n".join(commands) + "\n```"


def _report_link(config: RunConfig, report: str) -> str:
    remote = report.startswith("s3://")
    hint = f"\n\nThe link works for a week. Later: `aws s3 cp {report} .`" if remote else ""
    return _link(config.output, report.rsplit("/", 1)[-1], "Open the report") + hint


def _link(place: str, key: str, text: str) -> str:
    """Return a link that a browser opens, or the place of a file: pages of a server may not link to files."""
    if not place.startswith("s3://"):
        return f"{text}: `{open_store(place).uri}/{key}`"
    address = open_store(place).link(key, seconds=_WEEK, endpoint=os.environ.get("ANOGEN_S3_LINKS"))
    return f"[{text}]({address})"


def show_waiting(line: str | None) -> None:
    """Show the run that this is as `Waiting`, and why; with None as `Running` again."""
    state: State[Any] = Running() if line is None else Running(name=WAITING, message=line)
    with forgiving(), get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(runtime.flow_run.id), state, force=True)


def as_cancelled(whole: UUID) -> Callable[[Flow[..., Any], FlowRun, State], None]:
    """Return a hook that shows a part of a run, which ended with the process, as cancelled where the run was."""

    def show(_flow: Flow[..., Any], part: FlowRun, _state: State) -> None:
        with forgiving(), get_client(sync_client=True) as client:
            state = client.read_flow_run(whole).state
            if state is not None and (state.is_cancelling() or state.is_cancelled()):
                client.set_flow_run_state(part.id, Cancelled(message="The run was cancelled."), force=True)

    return show
