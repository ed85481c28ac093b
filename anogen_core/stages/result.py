"""What a finished run made: the one small file that leads to everything else."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import Field

from anogen_core.config import RunConfig
from anogen_core.errors import CorruptDatasetError, InputError
from anogen_core.evaluation import CheckpointRef, Comparison, Evaluation, SetLikeness
from anogen_core.records import ConceptEmbedding, DatasetRef, Record
from anogen_core.storage import open_store
from anogen_core.storage.commit import parse

log = logging.getLogger(__name__)

RESULT: Final = "run.json"
"""The key of the result in an output."""
_Ref = TypeVar("_Ref", DatasetRef, ConceptEmbedding, CheckpointRef)


class CategoryResult(Record):
    """What a run made for one category."""

    category: str
    dataset: DatasetRef | None
    """None where no arm of the run learns from generated images and none had been made before."""
    redrawn: tuple[DatasetRef, ...] = ()
    """The datasets of the further seeds, where each has its own."""
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

    @property
    def datasets(self) -> tuple[DatasetRef, ...]:
        """Return all datasets that it refers to, its own first."""
        return (*(() if self.dataset is None else (self.dataset,)), *self.redrawn)


class FailedCategory(Record):
    """A category that a run could not finish."""

    category: str
    reason: str
    """In one line."""


class EarlierResult(Record):
    """What an earlier run made for a category that the last one left out or could not finish, detectors included."""

    made: CategoryResult
    settings: dict[str, object]
    """The whole run file of that run, as validated."""


class RunResult(Record):
    """What a run made."""

    categories: tuple[CategoryResult, ...]
    failed: tuple[FailedCategory, ...] = ()
    earlier: tuple[EarlierResult, ...] = ()
    """What there is from before of the failed categories, and of those that the run file left out."""
    compared: tuple[EarlierResult, ...] = ()
    """What earlier runs made of the finished categories with the same dataset and detector settings and further seeds,
    arms or amounts: a plain run after `anogen evaluate` leaves that alone."""
    settings: dict[str, object]
    """The whole run file, as validated."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall-clock time of what is done for all categories together."""

    @property
    def all_made(self) -> tuple[CategoryResult, ...]:
        """Return everything that is of use: of the last run and of earlier ones."""
        return (*self.categories, *(one.made for one in (*self.earlier, *self.compared)))


def write_result(
    config: RunConfig,
    categories: Sequence[CategoryResult],
    *,
    failed: Sequence[FailedCategory] = (),
    seconds: dict[str, float] | None = None,
) -> RunResult:
    """Store and return the result of a run, with what earlier ones made beside it."""
    last, settings = _last(config.output), config.model_dump(mode="json")
    result = RunResult(
        categories=tuple(categories),
        failed=tuple(failed),
        earlier=_earlier(last, finished={one.category for one in categories}),
        compared=_compared(last, categories, settings),
        settings=settings,
        seconds=seconds or {},
    )
    open_store(config.output).put(RESULT, result.model_dump_json(indent=1).encode())
    return result


def _last(output: str) -> RunResult | None:
    try:
        return find_result(output)
    except CorruptDatasetError as error:
        log.warning("what earlier runs made is not known: %s", error)
        return None


def _compared(
    last: RunResult | None, finished: Sequence[CategoryResult], settings: dict[str, object]
) -> tuple[EarlierResult, ...]:
    """Return results of the finished categories with the same dataset and detector settings, and further detectors."""
    if last is None:
        return ()
    kept: list[EarlierResult] = []
    now = {one.category: one for one in finished}
    known = {checkpoint.uri for one in finished for checkpoint in one.checkpoints}
    for one in (*(EarlierResult(made=made, settings=last.settings) for made in last.categories), *last.compared):
        made = now.get(one.made.category)
        further = {checkpoint.uri for checkpoint in one.made.checkpoints} - known
        alike = made is not None and made.dataset == one.made.dataset
        if alike and further and one.settings.get("detector") == settings["detector"]:
            kept.append(one)
            known |= further
    return tuple(kept)


def _earlier(last: RunResult | None, *, finished: set[str]) -> tuple[EarlierResult, ...]:
    """Return the newest results with detectors of all categories but those that are finished."""
    if last is None:
        return ()
    found = [EarlierResult(made=made, settings=last.settings) for made in last.categories if made.checkpoints]
    return tuple(one for one in (*found, *last.earlier) if one.made.category not in finished)


def read_result(output: str) -> RunResult:
    """Return the result of the last run that wrote to `output`.

    Raises:
        InputError: no run has finished there.
        CorruptDatasetError: the stored result was changed or is too new.
    """
    result = find_result(output)
    if result is None:
        raise InputError(
            f"{output}: holds no {RESULT}; expected the output of a finished run. Start it with `anogen run RUN.yaml`."
        )
    return result


def find_result(output: str) -> RunResult | None:
    """Return the result of the last run that wrote to `output`; None where no run has finished.

    What it names lies in `output`, also where that was copied or moved since.

    Raises:
        CorruptDatasetError: the stored result was changed or is too new.
    """
    store = open_store(output)
    if not store.exists(RESULT):
        return None
    result = parse(RunResult, store.read(RESULT), where=f"{output}/{RESULT}")
    before = str(result.settings.get("output"))
    moved = {
        field: tuple(one.model_copy(update={"made": _moved(one.made, before, store.uri)}) for one in ones)
        for field, ones in (("earlier", result.earlier), ("compared", result.compared))
    }
    made = tuple(_moved(one, before, store.uri) for one in result.categories)
    return result.model_copy(update={"categories": made, **moved})


def _moved(made: CategoryResult, before: str, now: str) -> CategoryResult:
    """Return a result whose files lie in another output than the one they were written to."""

    def moved(ref: _Ref) -> _Ref:
        inside = ref.uri.startswith(f"{before}/")
        return ref.model_copy(update={"uri": now + ref.uri.removeprefix(before)}) if inside else ref

    return made.model_copy(
        update={
            "dataset": None if made.dataset is None else moved(made.dataset),
            "redrawn": tuple(map(moved, made.redrawn)),
            "embeddings": tuple(map(moved, made.embeddings)),
            "checkpoints": tuple(map(moved, made.checkpoints)),
        }
    )


@dataclass(frozen=True)
class ChosenCategory:
    """What a run made for one category."""

    made: CategoryResult
    settings: dict[str, object]
    """The whole run file of the run that made it."""
    warning: str | None = None
    """That this was not the last run, and why."""


def choose_category(result: RunResult, name: str | None, output: str) -> ChosenCategory:
    """Return what a run made for a category, or an earlier one where it failed or was left out.

    The name may be left out when the output has one category.

    Raises:
        InputError: the run has no such category, or could not finish it and no earlier one trained detectors for it.
    """
    failed = {one.category: one.reason for one in result.failed}
    made = {one.category: ChosenCategory(one, result.settings) for one in result.categories}
    for one in result.earlier:
        category = one.made.category
        why = f"failed in the last run to {output} ({failed[category]})" if category in failed else None
        warning = f"{category} {why or f'was not part of the last run to {output}'}: this is an earlier run's."
        made[category] = ChosenCategory(one.made, one.settings, warning)
    if name in failed and name not in made:
        raise InputError(f"--category {name}: it failed in the last run to {output} ({failed[name]}). Run it again.")
    if name is None and len(made) == 1 and not failed.keys() - made.keys():
        return next(iter(made.values()))
    if name is None or name not in made:
        said = "several categories" if name is None else f"no category {name!r}"
        raise InputError(f"--category: {output} has {said}. Expected one of: {', '.join(made)}.")
    return made[name]
