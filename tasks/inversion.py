"""Learn defects."""

from typing import Any

from prefect import task

from anogen_core.config import RunConfig
from anogen_core.records import SupportSet
from anogen_core.stages import embedding
from tasks import page, policy


@task(
    name="learn embedding",
    task_run_name="learn {support.category} {support.defect}",
    cache_key_fn=policy.by_content(embedding.result_key),
    **policy.DEVICE_WORK,
)
def learn_embedding(support: SupportSet, config: RunConfig) -> dict[str, Any]:
    """Learn one defect; returns at once when the store holds it (a ConceptEmbedding as plain JSON)."""
    page.say_where(config)
    bar = page.steps(f"{support.category}: learn {support.defect}")
    return embedding.learn(support, config, on_step=bar).model_dump(mode="json")
