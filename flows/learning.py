"""All defects of a run together: on a frozen model, those of all categories share batches."""

from prefect import flow, unmapped
from prefect.logging import get_run_logger

from anogen_core.config import RunConfig
from anogen_core.records import ConceptEmbedding, SupportSet
from anogen_core.stages.code import versions_at_work
from anogen_core.stages.embedding import defect_name
from flows.collect import collect, fresh
from flows.runners import on_device, slots
from tasks.inversion import learn_defects


@flow(
    name="learn defects",
    flow_run_name="{config.name} defects",
    description="Learns the defects of all categories together, in one group for each worker.",
    persist_result=False,
)
def learn_together(supports: list[SupportSet], config: RunConfig) -> None:
    """Learn defects, so that their categories find them in the store.

    Raises:
        AnogenError: some could not be learned; the others are stored.
        InterruptedRunError: a person asked the run to stop.
    """
    groups = deal(supports, slots(config.runner))
    names = ", ".join(map(defect_name, supports))
    get_run_logger().info("Learning %d defects in groups of %d: %s.", len(supports), len(groups[0]), names)
    with on_device(config.runner):
        futures = fresh(learn_defects, known=False).map(
            groups, config=unmapped(config), code=unmapped(versions_at_work())
        )
    collect(futures, list[ConceptEmbedding], stage=f"{config.name}: learn defects")


def deal(supports: list[SupportSet], groups: int) -> list[list[SupportSet]]:
    """Return defects in at most that many groups of nearly the same size, none of them empty."""
    return [supports[first::groups] for first in range(min(groups, len(supports)))]
