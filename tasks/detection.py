"""Train and evaluate detectors."""

from typing import Any

from prefect import task

from anogen_core.config import Arm, RunConfig
from anogen_core.records import CheckpointRef, DatasetRef, Evaluation
from anogen_core.stages import detection
from anogen_core.stages.catalogue import read_category
from tasks import policy, progress


def _key(arm: Arm, category: str, dataset: DatasetRef, config: RunConfig) -> str:
    return detection.checkpoint_key(config, read_category(config, category), arm, dataset)


@task(
    name="train detector",
    task_run_name="train {category} {arm}",
    cache_key_fn=policy.by_content(_key),
    **policy.DEVICE_WORK,
)
def train_detector(arm: Arm, category: str, dataset: DatasetRef, config: RunConfig) -> dict[str, Any]:
    """Train the detector of one arm; returns at once when the store holds it (a CheckpointRef as plain JSON)."""
    bar = progress.steps(f"{category}: train {arm}")
    return detection.train(config, category, arm, dataset, on_step=bar).model_dump(mode="json")


@task(name="evaluate detector", task_run_name="evaluate {checkpoint.category} {checkpoint.arm}", **policy.LIGHT_WORK)
def evaluate_detector(checkpoint: CheckpointRef, config: RunConfig) -> Evaluation:
    """Score one detector on held-out real photos."""
    return detection.evaluate(checkpoint, config)
