"""Train and evaluate detectors."""

from typing import Any

from prefect import task

from anogen_core.config import RunConfig
from anogen_core.evaluation import CheckpointRef, Comparison, Evaluation, Trial
from anogen_core.stages import detection
from anogen_core.stages.code import require_versions
from anogen_core.stages.detection import Job
from tasks import page, policy
from tasks.wanted import cancelled_if_unwanted


def _key(job: Job, category: str, config: RunConfig) -> str:
    return detection.job_key(config, category, job)


@task(
    name="train detector",
    task_run_name="train {category} {job.trial.arm} seed {job.trial.seed}",
    cache_key_fn=policy.by_content(_key),
    **policy.DEVICE_WORK,
)
@cancelled_if_unwanted
def train_detector(job: Job, category: str, config: RunConfig, code: dict[str, int]) -> dict[str, Any]:
    """Train one detector; returns at once when the store holds it (a CheckpointRef as plain JSON)."""
    page.say_where(config)
    require_versions(code)
    bar = page.Steps(f"{category}: train {job.trial.arm} seed {job.trial.seed}")
    trained = detection.train(config.draws[job.draw], category, job.trial, job.dataset, on_step=bar)
    bar.end()
    return trained.model_dump(mode="json")


@task(
    name="evaluate detector",
    task_run_name="evaluate {checkpoint.category} {trial.arm} seed {trial.seed}",
    **policy.LIGHT_WORK,
)
def evaluate_detector(trial: Trial, checkpoint: CheckpointRef, config: RunConfig) -> Evaluation:
    """Score one detector on held-out real photos."""
    return detection.evaluate(trial, checkpoint, config)


@task(name="compare arms", task_run_name="compare arms of {evaluations[0].category}", **policy.LIGHT_WORK)
def compare_arms(evaluations: list[Evaluation], config: RunConfig) -> Comparison:
    """Put the arms of one category side by side, with intervals."""
    return detection.compare(evaluations, config)
