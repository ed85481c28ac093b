"""Real datasets for tests, made by the stages that make them in a run."""

import numpy as np
from jaxtyping import UInt8

from anogen_core.config import RunConfig
from anogen_core.records import DatasetRef
from anogen_core.stages import embedding, generation
from anogen_core.stages.catalogue import read_category
from anogen_core.storage.pixels import ShardPixels


def encode_pixels(
    images: UInt8[np.ndarray, "n H W 3"],
    *,
    box_masks: UInt8[np.ndarray, "n H W"],
    masks: UInt8[np.ndarray, "n H W"],
    confidences: UInt8[np.ndarray, "n H W"] | None = None,
) -> ShardPixels:
    """Return images and masks as a shard holds them; masks are as sure as they can be when nothing else is given."""
    pixels = ShardPixels((images.shape[1], images.shape[2]))
    for image, box, mask, confidence in zip(
        images, box_masks, masks, masks if confidences is None else confidences, strict=True
    ):
        pixels.add(image, box_mask=box, mask=mask, confidence=confidence)
    return pixels


def make_dataset(config: RunConfig, category: str) -> DatasetRef:
    """Learn the defects of one category and generate all that a run asks for of them."""
    learned = embedding.learn(read_category(config, category).supports, config)
    planned, shards = generation.plan_dataset(config, category, learned)
    for shard in shards:
        generation.make_shard(shard, planned, config)
    return generation.seal_dataset(planned)
