"""One category: find its learned defects, generate its dataset, train and compare detectors."""

import time
from collections.abc import Sequence
from typing import Any

from prefect import flow, tags, unmapped
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from anogen_core.config import RunConfig
from anogen_core.errors import InterruptedRunError
from anogen_core.evaluation import CheckpointRef, SetLikeness
from anogen_core.records import ConceptEmbedding, DatasetRef
from anogen_core.runner import DaskRunnerSettings
from anogen_core.shards import Shard
from anogen_core.stages import detection, embedding, generation
from anogen_core.stages.arms import needs_dataset
from anogen_core.stages.code import versions_at_work
from anogen_core.stages.generation import PlannedDataset
from anogen_core.stages.result import CategoryResult
from anogen_core.storage.commit import ShardReceipt
from flows.collect import BackupTasks, collect, describe, fresh
from flows.page import show_category, show_failure
from flows.runners import on_device
from tasks import progress
from tasks.dataset import choose_support
from tasks.detection import compare_arms, evaluate_detector, train_detector
from tasks.generation import (
    carry_verdicts,
    find_dataset,
    generate_shard,
    generating,
    measure_dataset,
    plan_dataset,
    seal_dataset,
)
from tasks.inversion import learn_defects
from tasks.page import Bar


@flow(
    name="category",
    flow_run_name="{config.name} {category}",
    description="One category: learns its defects, generates its dataset, trains and compares detectors.",
    persist_result=False,
)
def make_category(category: str, config: RunConfig) -> dict[str, Any]:
    """Turn k photos of each defect of one category into a sealed dataset and evaluated detectors."""
    try:
        return _category(category, config)
    except InterruptedRunError:
        raise
    except Exception as error:
        show_failure(category, describe(error))
        raise


def _category(category: str, config: RunConfig) -> dict[str, Any]:
    clock = _Clock()
    embeddings, datasets, num_new = _make(category, config, clock) if needs_dataset(config) else _find(category, config)
    dataset = datasets[0]
    with tags("stage:measure"):
        held = dataset if config.evaluation.enabled and dataset is not None and dataset.num_images else None
        measured = [] if held is None else measure_dataset(held, config)
    clock.lap("measure")
    with tags("stage:train"):
        compared, trained = _compare(category, datasets, config) if config.evaluation.enabled else ({}, 0)
    clock.lap("train and evaluate")
    result = CategoryResult(
        category=category,
        dataset=dataset,
        redrawn=tuple(one for one in datasets[1:] if one is not None),
        embeddings=tuple(embeddings),
        seconds=clock.laps,
        made={"datasets": num_new, "detectors": trained},
        likeness=tuple(SetLikeness.model_validate(m) for m in measured),
        **compared,
    )
    show_category(config, result)
    get_run_logger().info("%s is done: %s.", category, ", ".join(f"{k} {v:.0f} s" for k, v in clock.laps.items()))
    return result.model_dump(mode="json")


def _make(
    category: str, config: RunConfig, clock: "_Clock"
) -> tuple[list[ConceptEmbedding], Sequence[DatasetRef | None], int]:
    """Return embeddings and the dataset of each draw of a category, and how many of these were not complete before."""
    with tags("stage:learn"):
        embeddings = _learn(category, config)
    clock.lap("learn defects")
    with tags("stage:generate"):
        made = [_generate(category, embeddings, drawn) for drawn in config.draws]
        dataset, is_new = made[0]
        _carry_verdicts(dataset, is_new=is_new)
    clock.lap("generate")
    return embeddings, [dataset for dataset, _ in made], sum(is_new for _, is_new in made)


def _find(category: str, config: RunConfig) -> tuple[list[ConceptEmbedding], Sequence[DatasetRef | None], int]:
    """Return what `_make` does, as far as an earlier run has made it."""
    found = [find_dataset(category, drawn) for drawn in config.draws]
    embeddings, dataset = found[0] or ([], None)
    if dataset is None:
        get_run_logger().info("No arm learns from generated images: nothing is made of %s.", category)
    else:
        _carry_verdicts(dataset, is_new=False)
    return embeddings, [one and one[1] for one in found], 0


def _learn(category: str, config: RunConfig) -> list[ConceptEmbedding]:
    """Return the embedding of every defect of a category; what the run has not learned before is learned now."""
    supports = choose_support(category, config)
    names = ", ".join(f"{s.defect} (from {len(s.samples)} photos)" for s in supports)
    get_run_logger().info("%d defects of %s: %s.", len(supports), category, names)
    learn = fresh(learn_defects, known=all(embedding.is_learned(s, config) for s in supports))
    with on_device(config.runner):
        futures = learn.map(
            [[support] for support in supports], config=unmapped(config), code=unmapped(versions_at_work())
        )
    found = collect(futures, list[ConceptEmbedding], stage=f"{category}: learn defects")
    get_run_logger().info("Learned %d defects of %s.", len(found), category)
    return [one for (one,) in found]


def _generate(category: str, embeddings: list[ConceptEmbedding], config: RunConfig) -> tuple[DatasetRef, bool]:
    """Plan, make and seal the dataset of a category; return it, and whether it was not complete before."""
    planned, shards = plan_dataset(category, embeddings, config)
    say = get_run_logger().info
    if planned.product.why is not None:
        say("Foreground of %s: %s.", category, planned.product.why)
    sealed = generation.find_sealed(planned)
    if sealed is not None:
        say("The dataset of %s is complete already: %d images in %s", category, sealed.num_images, sealed.uri)
        Bar(generating(category, config)).move(100)
        return sealed, False
    say("Generating %d images of %s in %d shards: %s", planned.spec.num_requests, category, len(shards), planned.uri)
    kept = [found for shard in shards for found in shard.kept if found.image is not None]
    if kept:
        line = f"{category}: {len(kept)} of {planned.spec.num_requests} images are there already and are reused."
        say("%s", line)
        progress.note(line)
    receipts = _make_shards(category, planned, shards, config)
    counts = (sum(getattr(r, outcome) for r in receipts) for outcome in ("made", "filtered", "blocked", "failed"))
    say("Generated: %d images made, %d filtered, %d blocked, %d failed.", *counts)
    return seal_dataset(planned), True


def _make_shards(
    category: str, planned: PlannedDataset, shards: list[Shard], config: RunConfig
) -> Sequence[ShardReceipt]:
    """Make the shards that are not stored yet, on Dask with backup tasks; return the receipts of all."""
    make = fresh(generate_shard, known=all(generation.is_made(shard, planned) for shard in shards))
    backup = None
    if isinstance(config.runner, DaskRunnerSettings):

        def again(place: int) -> PrefectFuture[dict[str, Any]]:
            with on_device(config.runner):
                return make.submit(shards[place], dataset=planned, config=config, code=versions_at_work())

        backup = BackupTasks(config.runner.patience, again)
    else:  # progress of Dask workers is not heard here
        for shard in shards:
            progress.update(generating(category, config), str(shard.index), len(shard.kept), len(shard.requests))
    with on_device(config.runner):
        futures = make.map(
            shards, dataset=unmapped(planned), config=unmapped(config), code=unmapped(versions_at_work())
        )
    return collect(futures, ShardReceipt, stage=f"{category}: generate", backup=backup)


def _carry_verdicts(dataset: DatasetRef, *, is_new: bool) -> None:
    """Let verdicts follow their images; of those that do not, tell once, when the dataset is made."""
    for found in carry_verdicts(dataset):
        lines = []
        if found.problem is not None:
            lines.append(f"warning: the verdicts on {found.source} could not be looked at: {found.problem}")
        if found.carried:
            lines.append(f"{found.carried} verdict(s) on {found.source} count for {dataset.uri} too: same images.")
        if found.left and is_new:
            lines.append(
                f"warning: {found.left} verdict(s) on {found.source} do not count for {dataset.uri}: other images."
            )
        for line in lines:
            get_run_logger().info("%s", line)
            progress.note(line)


def _compare(category: str, datasets: Sequence[DatasetRef | None], config: RunConfig) -> tuple[dict[str, Any], int]:
    """Train every arm with every seed; return the fields of the result that this fills, and how many were trained."""
    jobs = detection.jobs(config, category, datasets)
    if not jobs:
        return {}, 0
    trials = [job.trial for job in jobs]
    say = get_run_logger().info
    arms = ", ".join(dict.fromkeys(t.arm for t in trials))
    say("Training %d detectors (%s) for %d steps each.", len(trials), arms, config.detector.steps)
    missing = sum(not detection.is_trained(config, category, job) for job in jobs)
    train = fresh(train_detector, known=not missing)
    with on_device(config.runner):
        futures = train.map(
            jobs, category=unmapped(category), config=unmapped(config), code=unmapped(versions_at_work())
        )
    checkpoints = collect(futures, CheckpointRef, stage=f"{category}: train detectors")
    say("Trained %d detectors. Evaluating them on photos that nothing was learned from.", len(checkpoints))
    evaluations = [evaluate_detector(t, checkpoint, config) for t, checkpoint in zip(trials, checkpoints, strict=True)]
    compared = {
        "checkpoints": tuple(checkpoints),
        "evaluations": tuple(evaluations),
        "comparison": compare_arms(evaluations, config),
    }
    return compared, missing


class _Clock:
    """Wall-clock time of consecutive stages."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        """Note the time since the last lap under `stage`."""
        now = time.monotonic()
        self.laps[stage], self._last = round(now - self._last, 1), now
