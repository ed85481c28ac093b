"""Plan, make and seal generated datasets."""

from typing import Any

from prefect import task

from anogen_core.config import RunConfig
from anogen_core.records import ConceptEmbedding, DatasetRef
from anogen_core.settings import fingerprint
from anogen_core.shards import Shard
from anogen_core.stages import generation, likeness, verdicts
from anogen_core.stages.code import require_versions
from anogen_core.stages.generation import PlannedDataset
from anogen_core.stages.verdicts import CarriedVerdicts
from tasks import page, policy, progress


def _shard_key(shard: Shard, dataset: PlannedDataset, config: RunConfig) -> str:
    del config
    return f"shard-{fingerprint([dataset.uri, dataset.spec.config_fingerprint, shard.index])}"


def generating(category: str, config: RunConfig) -> str:
    """Return what the progress of a dataset is shown as."""
    draw = config.generation.draw
    return f"{category}: generate draw {draw}" if draw else f"{category}: generate"


@task(name="find dataset", task_run_name="find dataset of {category}", **policy.LIGHT_WORK)
def find_dataset(category: str, config: RunConfig) -> tuple[list[ConceptEmbedding], DatasetRef] | None:
    """Look whether the dataset of a category is made already, for a run that makes none."""
    return generation.find_dataset(config, category)


@task(name="plan dataset", task_run_name="plan {category}", **policy.LIGHT_WORK)
def plan_dataset(
    category: str, embeddings: list[ConceptEmbedding], config: RunConfig
) -> tuple[PlannedDataset, list[Shard]]:
    """Choose photo, place and seed of every image and write down what the dataset will be."""
    return generation.plan_dataset(config, category, embeddings)


@task(
    name="generate shard",
    task_run_name="generate {dataset.spec.category} shard {shard.index}",
    cache_key_fn=policy.by_content(_shard_key),
    **policy.DEVICE_WORK,
)
def generate_shard(shard: Shard, dataset: PlannedDataset, config: RunConfig, code: dict[str, int]) -> dict[str, Any]:
    """Make and store one shard; returns at once when its receipt exists (a ShardReceipt as plain JSON)."""
    page.say_where(config)
    require_versions(code)
    stage, unit, total = generating(dataset.spec.category, config), str(shard.index), len(shard.requests)
    tick = progress.counter(stage, unit, total, done=len(shard.kept))
    receipt = generation.make_shard(shard, dataset, config, on_image=tick)
    progress.update(stage, unit, total, total)  # blocked requests, and a shard that was found, take no steps
    return receipt.model_dump(mode="json")


@task(
    name="measure dataset",
    task_run_name="measure {dataset.category}",
    **policy.DEVICE_WORK,
)
def measure_dataset(dataset: DatasetRef, config: RunConfig) -> list[dict[str, Any]]:
    """Compare the images of a sealed dataset with held-out real photos (SetLikeness records as plain JSON)."""
    return [measured.model_dump(mode="json") for measured in likeness.measure(dataset, config)]


@task(name="seal dataset", task_run_name="seal {dataset.spec.name}", **policy.LIGHT_WORK)
def seal_dataset(dataset: PlannedDataset) -> DatasetRef:
    """Turn finished shards into one readable Zarr dataset."""
    return generation.seal_dataset(dataset)


@task(name="carry verdicts", task_run_name="carry verdicts of {dataset.category}", **policy.LIGHT_WORK)
def carry_verdicts(dataset: DatasetRef) -> list[CarriedVerdicts]:
    """Give a sealed dataset the verdicts that reviewers gave on the same images of another one."""
    return verdicts.carry_verdicts(dataset)
