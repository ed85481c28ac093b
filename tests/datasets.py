"""Real datasets for tests, made by the stages that make them in a run."""

from anogen_core.config import RunConfig
from anogen_core.records import DatasetRef
from anogen_core.stages import embedding, generation
from anogen_core.stages.catalogue import read_category


def make_dataset(config: RunConfig, category: str) -> DatasetRef:
    """Learn the defects of one category and generate all that a run asks for of them."""
    learned = embedding.learn(read_category(config, category).supports, config)
    planned, shards = generation.plan_dataset(config, category, learned)
    for shard in shards:
        generation.make_shard(shard, planned, config)
    return generation.seal_dataset(planned)
