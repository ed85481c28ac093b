"""Learn defects."""

from typing import Any

from prefect import runtime, task
from prefect.logging import get_run_logger

from anogen_core.config import RunConfig
from anogen_core.records import SupportSet
from anogen_core.stages import embedding
from anogen_core.stages.code import require_versions
from tasks import page, policy
from tasks.wanted import cancelled_if_unwanted


def _own_name() -> str:
    first, *others = runtime.task_run.parameters["supports"]
    return f"learn {first.category} {first.defect}" + (f" and {len(others)} more" if others else "")


@task(
    name="learn defects",
    task_run_name=_own_name,
    cache_key_fn=policy.by_content(embedding.results_key),
    **policy.DEVICE_WORK,
)
@cancelled_if_unwanted
def learn_defects(supports: list[SupportSet], config: RunConfig, code: dict[str, int]) -> list[dict[str, Any]]:
    """Learn defects of any categories together; those that the store holds are found (ConceptEmbeddings as JSON)."""
    page.say_where(config)
    require_versions(code)
    if len(supports) > 1:
        get_run_logger().info("Learns together: %s.", ", ".join(map(embedding.defect_name, supports)))
    bars = {embedding.defect_name(s): page.Steps(f"{s.category}: learn {s.defect}") for s in supports}
    learned = embedding.learn(supports, config, on_step=lambda name, done, total: bars[name](done, total))
    for bar in bars.values():
        bar.end()
    return [one.model_dump(mode="json") for one in learned]
