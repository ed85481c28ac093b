"""What a finished run made: the one small file that leads to everything else."""

from collections.abc import Sequence

from pydantic import Field

from anogen_core.config import RunConfig
from anogen_core.errors import InputError
from anogen_core.evaluation import Comparison, Evaluation, SetLikeness
from anogen_core.records import CheckpointRef, ConceptEmbedding, DatasetRef, Record
from anogen_core.storage import open_store
from anogen_core.storage.commit import parse

_NAME = "run.json"


class CategoryResult(Record):
    """What a run made for one category."""

    category: str
    dataset: DatasetRef | None
    """None where no arm of the run learns from generated images and none had been made before."""
    embeddings: tuple[ConceptEmbedding, ...]
    checkpoints: tuple[CheckpointRef, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    comparison: Comparison | None = None
    likeness: tuple[SetLikeness, ...] = ()
    """How alike generated and held-out real defects are; of defects with enough of both."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall-clock time of each stage; near zero for work that was found finished."""
    made: dict[str, int] = Field(default_factory=dict)
    """How many datasets and detectors the run made; the others were found finished."""


class FailedCategory(Record):
    """A category that a run could not finish."""

    category: str
    reason: str
    """In one line."""


class RunResult(Record):
    """What a run made."""

    categories: tuple[CategoryResult, ...]
    failed: tuple[FailedCategory, ...] = ()
    settings: dict[str, object]
    """The whole run file, as validated."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall-clock time of what is done for all categories together."""


def write_result(
    config: RunConfig,
    categories: Sequence[CategoryResult],
    *,
    failed: Sequence[FailedCategory] = (),
    seconds: dict[str, float] | None = None,
) -> RunResult:
    """Store and return the result of a run."""
    result = RunResult(
        categories=tuple(categories),
        failed=tuple(failed),
        settings=config.model_dump(mode="json"),
        seconds=seconds or {},
    )
    open_store(config.output).put(_NAME, result.model_dump_json(indent=1).encode())
    return result


def read_result(output: str) -> RunResult:
    """Return the result of the last run that wrote to `output`.

    Raises:
        InputError: no run has finished there.
        CorruptDatasetError: the stored result was changed or is too new.
    """
    result = find_result(output)
    if result is None:
        raise InputError(
            f"{output}: holds no {_NAME}; expected the output of a finished run. Start it with `anogen run RUN.yaml`."
        )
    return result


def find_result(output: str) -> RunResult | None:
    """Return the result of the last run that wrote to `output`; None where no run has finished.

    Raises:
        CorruptDatasetError: the stored result was changed or is too new.
    """
    store = open_store(output)
    return parse(RunResult, store.read(_NAME), where=f"{output}/{_NAME}") if store.exists(_NAME) else None


def choose_category(result: RunResult, name: str | None, output: str) -> CategoryResult:
    """Return what a run made for a category; the name may be left out when the run has one.

    Raises:
        InputError: the run has no such category, or could not finish it.
    """
    made, failed = result.categories, {one.category: one.reason for one in result.failed}
    if name in failed:
        raise InputError(f"--category {name}: it failed in the last run to {output} ({failed[name]}). Run it again.")
    known = [result.category for result in made]
    if name is None and len(made) == 1 and not failed:
        return made[0]
    if name not in known:
        said = "several categories" if name is None else f"no category {name!r}"
        raise InputError(f"--category: {output} has {said}. Expected one of: {', '.join(known)}.")
    return made[known.index(name)]
