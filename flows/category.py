"""One category: learn its defects, generate its dataset, train and compare detectors."""

import base64
import time
from typing import Any

from prefect import flow, unmapped
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from anogen_core.config import RunConfig
from anogen_core.evaluation import SetLikeness
from anogen_core.records import CheckpointRef, ConceptEmbedding, DatasetRef, ShardReceipt
from anogen_core.stages import detection, embedding, generation, reporting
from anogen_core.stages.result import CategoryResult
from flows.collect import collect, fresh
from tasks.dataset import choose_support
from tasks.detection import compare_arms, evaluate_detector, train_detector
from tasks.generation import generate_shard, measure_dataset, plan_dataset, seal_dataset
from tasks.inversion import learn_embedding


@flow(name="category", flow_run_name="{config.name} {category}", persist_result=False)
def make_category(category: str, config: RunConfig) -> dict[str, Any]:
    """Turn k photos of each defect of one category into a sealed dataset and evaluated detectors."""
    clock = _Clock()
    supports = choose_support(category, config)
    learn = fresh(learn_embedding, known=all(embedding.is_learned(s, config) for s in supports))
    embeddings = collect(
        learn.map(supports, config=unmapped(config)), ConceptEmbedding, stage=f"{category}: learn defects"
    )
    clock.lap("learn defects")
    planned, shards = plan_dataset(category, embeddings, config)
    make = fresh(generate_shard, known=all(generation.is_made(shard, planned) for shard in shards))
    receipts = make.map(shards, dataset=unmapped(planned), config=unmapped(config))
    collect(receipts, ShardReceipt, stage=f"{category}: generate")
    dataset = seal_dataset(planned)
    clock.lap("generate")
    measured = measure_dataset(dataset, config) if config.evaluation.enabled and dataset.num_images else []
    clock.lap("measure")
    compared = _compare(category, dataset, config) if config.evaluation.enabled else {}
    clock.lap("train and evaluate")
    result = CategoryResult(
        category=category,
        dataset=dataset,
        embeddings=tuple(embeddings),
        seconds=clock.laps,
        likeness=tuple(SetLikeness.model_validate(m) for m in measured),
        **compared,
    )
    _show(config, result)
    return result.model_dump(mode="json")


def _compare(category: str, dataset: DatasetRef, config: RunConfig) -> dict[str, Any]:
    """Train every arm with every seed; return the fields of the result that this fills."""
    trials = detection.trials(config, dataset)
    if not trials:
        return {}
    train = fresh(train_detector, known=all(detection.is_trained(config, category, t, dataset) for t in trials))
    futures = train.map(trials, category=unmapped(category), dataset=unmapped(dataset), config=unmapped(config))
    checkpoints = collect(futures, CheckpointRef, stage=f"{category}: train detectors")
    evaluations = [evaluate_detector(t, checkpoint, config) for t, checkpoint in zip(trials, checkpoints, strict=True)]
    return {
        "checkpoints": tuple(checkpoints),
        "evaluations": tuple(evaluations),
        "comparison": compare_arms(evaluations, config),
    }


def _show(config: RunConfig, result: CategoryResult) -> None:
    """Put a picture, the counts and the scores on the flow run's page."""
    picture = base64.b64encode(reporting.picture(config, result)).decode()
    lines = [
        f"**{result.dataset.num_images} images** in `{result.dataset.uri}`",
        f"![contact sheet](data:image/png;base64,{picture})",
    ]
    create_markdown_artifact(
        "\n\n".join(lines), key="contact-sheet", description=f"{result.category}: normal | mask | generated"
    )
    if result.evaluations:
        fields = {"arm", "seed", "image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "num_images"}
        create_table_artifact(
            [e.model_dump(include=fields) for e in result.evaluations], key="scores", description=result.category
        )


class _Clock:
    """Wall-clock time of consecutive stages."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        """Note the time since the last lap under `stage`."""
        now = time.monotonic()
        self.laps[stage], self._last = round(now - self._last, 1), now
