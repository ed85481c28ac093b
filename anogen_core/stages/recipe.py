"""What decides the images of a defect, and so what a dataset is: the same recipe and request give the same image."""

from collections.abc import Sequence

from anogen_core.arrays import array_digest
from anogen_core.config import RunConfig
from anogen_core.generation import GENERATION_VERSION
from anogen_core.masks.product import Product
from anogen_core.masks.regions import region_digests
from anogen_core.planning import PLANNING_VERSION
from anogen_core.quality.gates import QUALITY_VERSION
from anogen_core.records import ConceptEmbedding
from anogen_core.settings import fingerprint
from anogen_core.stages.catalogue import Category
from anogen_core.stages.embedding import load_support
from anogen_core.stages.evidence import doubt
from anogen_core.storage import DatasetSpec
from anogen_core.storage.uri import name_of


def code_versions() -> dict[str, int]:
    """Return the version of each step's code that decides images."""
    return {"planning": PLANNING_VERSION, "generation": GENERATION_VERSION, "quality": QUALITY_VERSION}


def recipes(
    config: RunConfig, category: Category, product: Product, embeddings: Sequence[ConceptEmbedding]
) -> dict[str, str]:
    """Return the fingerprint of everything that decides the images of each defect, beside how many there are.

    It holds neither the other defects nor the size of shards.

    Args:
        config: The run.
        category: Its photos and support sets.
        product: How the product is found on its photos.
        embeddings: Of its defects; those that have none yet are left out.
    """
    supports = {support.defect: support for support in category.supports}
    height, width = category.frame
    common = {
        "code": code_versions(),
        "seed": config.draw_seed,
        "category": category.name,
        "plan": config.plan.model_dump(mode="json", exclude={"images_per_defect"}),
        "generation": config.generation.model_dump(mode="json", exclude={"batch_size", "draw", "images_per_defect"}),
        "quality": config.quality.model_dump(mode="json"),
        "frame": [height, width, config.frame.model_dump(mode="json")],
        **({"mixed": category.framed_mixed} if category.framed_mixed else {}),
        # Which photo a request goes to follows the order of their names.
        "normals": sorted([sample.sample_id, sample.sha256] for sample in category.normals),
        "base_model": config.base_model.identity,
    }
    found = {}
    for embedding in sorted(embeddings, key=lambda e: e.defect):
        support = supports[embedding.defect]
        own = {
            "defect": embedding.defect,
            "embedding": embedding.digest,
            "doubted": doubt(embedding.evidence) is not None,
            "foreground": product.settings_of(embedding.defect).method,
            "regions": region_digests(config.foreground, category.name, embedding.defect),
            "support": [[s.sample_id, s.sha256, config.support.outline_boxes or s.has_mask] for s in support.samples],
            # An embedding that the run file names does not change with the labels that decide places and masks.
            "labels": [array_digest(mask) for _, mask in load_support(support, config, category.frame)],
        }
        found[embedding.defect] = fingerprint({**common, **own})
    return found


def spec_of(
    config: RunConfig, category: Category, product: Product, embeddings: Sequence[ConceptEmbedding], *, size: int
) -> DatasetSpec:
    """Return what a dataset of so many requests is; its name follows from all that decides its images."""
    model = config.base_model.describe()
    settings = {
        "run": config.model_dump(mode="json", exclude={"runner", "output", "detector", "evaluation", "device", "name"}),
        "embedding_keys": {e.defect: name_of(e.uri) for e in embeddings},
    }
    height, width = category.frame
    of_defects = recipes(config, category, product, embeddings)
    digest = fingerprint(
        {
            "recipes": of_defects,
            "images_per_defect": config.generation.images_per_defect,
            "shard_size": config.storage.shard_size,
        }
    )
    return DatasetSpec(
        name=f"{category.name}-{digest[:8]}",
        category=category.name,
        height=height,
        width=width,
        shard_size=config.storage.shard_size,
        num_shards=-(-size // config.storage.shard_size),
        num_requests=size,
        defects=tuple(sorted(s.defect for s in category.supports)),
        config_fingerprint=digest,
        recipes=of_defects,
        base_model=model,
        settings=settings,
        code_versions=code_versions(),
        data_licence=config.photos.licence,
        sources=config.photos.source,
    )
