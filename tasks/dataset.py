"""Choose what is learned from."""

from prefect import task

from anogen_core.config import RunConfig
from anogen_core.records import SupportSet
from anogen_core.stages import catalogue
from tasks import policy


@task(name="choose support", task_run_name="choose support of {category}", **policy.LIGHT_WORK)
def choose_support(category: str, config: RunConfig) -> list[SupportSet]:
    """Choose the k photos of each defect and write down which they are."""
    return catalogue.choose_supports(config, category)
