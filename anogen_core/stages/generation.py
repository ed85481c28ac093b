"""Stage 2: plan a category's dataset, make its shards, seal it."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.diffusion.crop import bounding_box
from anogen_core.masks.product import Product, find_product
from anogen_core.masks.refinement import RefinedMask, refine_mask
from anogen_core.planning import DefectPlanner, plan_requests
from anogen_core.records import (
    ConceptEmbedding,
    DatasetRef,
    GenerationRequest,
    LedgerRow,
    MadeInstance,
    Outcome,
    Record,
    SupportSet,
)
from anogen_core.shards import Shard, split_into_shards
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.embedding import is_learned, learn, load_support
from anogen_core.stages.filtered_sheet import filtered_row, filtered_sheet
from anogen_core.stages.recipe import spec_of
from anogen_core.stages.reuse import Taken, find_kept, take_kept
from anogen_core.stages.shard_work import Ending, ShardWork
from anogen_core.storage import Dataset, DatasetSpec, DatasetWriter
from anogen_core.storage.commit import ShardReceipt
from anogen_core.storage.pixels import ShardPixels

_PIXELS_AT_ONCE = 64 * 1024**2
"""Pixels of photos that a shard in work holds at once; a pixel takes about 24 bytes with all that belongs to it."""


class PlannedDataset(Record):
    """Where a dataset goes, what it will hold, and what it is made with."""

    uri: str
    spec: DatasetSpec
    embeddings: tuple[ConceptEmbedding, ...]
    supports: tuple[SupportSet, ...]
    product: Product
    """How the product is found on a photo: replacements are placed as the plan is."""


@dataclass(frozen=True)
class _Made:
    """One image with its labels."""

    image: Image
    box: Mask
    label: RefinedMask


def product_of(config: RunConfig, category: Category) -> Product:
    """Return how the product is found on the photos of a category."""
    support = {s.defect: load_support(s, config) for s in category.supports}
    return find_product(category.normals, support, config.foreground, load=category.load)


def plan_category(
    config: RunConfig,
    category: Category,
    product: Product,
    *,
    on_request: Callable[[], None] | None = None,
    on_planner: Callable[[DefectPlanner], None] | None = None,
) -> list[GenerationRequest]:
    """Return every request of a category, telling of each; of the base model only its configuration files are read."""
    return plan_requests(
        category.normals,
        {s.defect: load_support(s, config) for s in category.supports},
        config.plan,
        product=product,
        load=category.load,
        seed=config.draw_seed,
        on_request=on_request,
        on_planner=on_planner,
    )


def plan_dataset(
    config: RunConfig, name: str, embeddings: Sequence[ConceptEmbedding]
) -> tuple[PlannedDataset, list[Shard]]:
    """Return the dataset of one category and its shards, and write down what it will be.

    Shards name what earlier datasets of the output hold of them. There are none where the dataset is sealed already: to
    know that takes no plan.
    """
    category = read_category(config, name)
    product = product_of(config, category)
    planned = dataset_of(config, category, embeddings, product)
    DatasetWriter(planned.uri, planned.spec).create()
    if find_sealed(planned) is not None:
        return planned, []
    requests = plan_category(config, category, product)
    kept = find_kept(config.output, name, planned.spec.recipes, requests)
    return planned, split_into_shards(requests, config.storage.shard_size, kept)


def dataset_of(
    config: RunConfig, category: Category, embeddings: Sequence[ConceptEmbedding], product: Product
) -> PlannedDataset:
    """Return what the dataset of a category is; nothing is planned or written."""
    size = config.generation.images_per_defect * len(category.supports)
    spec = spec_of(config, category, product, embeddings, size=size)
    return PlannedDataset(
        uri=f"{config.output}/datasets/{spec.name}.zarr",
        spec=spec,
        embeddings=tuple(embeddings),
        supports=category.supports,
        product=product,
    )


def find_dataset(config: RunConfig, name: str) -> tuple[list[ConceptEmbedding], DatasetRef] | None:
    """Return what a run makes for a category before it trains, where all of it is made already."""
    category = read_category(config, name)
    if not all(is_learned(support, config) for support in category.supports):
        return None
    return find_made(config, category, product_of(config, category))


def find_made(
    config: RunConfig, category: Category, product: Product
) -> tuple[list[ConceptEmbedding], DatasetRef] | None:
    """Return the embeddings of a category and its dataset where all of it is made already."""
    if not all(is_learned(support, config) for support in category.supports):
        return None
    embeddings = learn(category.supports, config)
    dataset = find_sealed(dataset_of(config, category, embeddings, product))
    return None if dataset is None else (embeddings, dataset)


def find_sealed(dataset: PlannedDataset) -> DatasetRef | None:
    """Return the dataset when it is complete already: then no shard has to be looked for."""
    stored = Dataset(dataset.uri)
    return stored.ref() if stored.is_sealed() else None


def is_made(shard: Shard, dataset: PlannedDataset) -> bool:
    """Return whether a shard is stored."""
    return DatasetWriter(dataset.uri, dataset.spec).committed(shard.index) is not None


def make_shard(
    shard: Shard, dataset: PlannedDataset, config: RunConfig, *, on_image: Callable[[], None] | None = None
) -> ShardReceipt:
    """Return the receipt of a stored shard; makes and stores it unless it is there already.

    Images that earlier datasets hold are stored as they are there, byte for byte.

    Args:
        shard: What to make.
        dataset: What it is a part of.
        config: The run.
        on_image: Called after each image that is generated, replacements not counted.
    """
    writer = DatasetWriter(dataset.uri, dataset.spec)
    receipt = writer.committed(shard.index)
    if receipt is not None:
        return receipt
    started = time.monotonic()
    spec = dataset.spec
    work = ShardWork(dataset.supports, (spec.height, spec.width), dataset.embeddings, config, dataset.product)
    pixels, rows = ShardPixels(work.frame), list[LedgerRow]()
    shown: list[Image | None] = []
    for ended in _ended(shard, work, on_image):
        if isinstance(ended, Taken):
            rows += ended.rows
            shown += ended.pictures
            if ended.chunks is not None:
                pixels.add_encoded(ended.chunks)
            continue
        made = _label(ended, config)
        if made is not None:
            box_mask, mask = (255 * m.astype(np.uint8) for m in (made.box, made.label.mask))
            pixels.add(made.image, box_mask=box_mask, mask=mask, confidence=made.label.confidence)
        rows.append(_row(ended, made, dataset))
        shown.append(filtered_row(ended))
    return writer.write_shard(
        shard.index,
        rows,
        pixels,
        seconds=time.monotonic() - started,
        filtered=filtered_sheet([row for row in shown if row is not None]),
    )


def _ended(shard: Shard, work: ShardWork, on_image: Callable[[], None] | None) -> Iterator[Ending | Taken]:
    """Yield how the requests of a shard ended, in their order; what earlier datasets hold is taken from there."""
    taken = take_kept(shard)
    for there, run in itertools.groupby(shard.requests, key=lambda request: request.request_id in taken):
        requests = list(run)
        if there:
            yield from (taken[request.request_id] for request in requests)
            continue
        for group in _groups(requests, work):
            yield from work.run(group, on_image=on_image)


def _groups(requests: Sequence[GenerationRequest], work: ShardWork) -> Iterator[Sequence[GenerationRequest]]:
    """Yield requests that are held in memory together: whole batches, fewer of large photos."""
    batch = work.config.generation.batch_size
    size = batch * max(1, _PIXELS_AT_ONCE // (math.prod(work.frame) * batch))
    for start in range(0, len(requests), size):
        yield requests[start : start + size]


def seal_dataset(dataset: PlannedDataset) -> DatasetRef:
    """Return the sealed dataset: one plain Zarr group, its ledger and its manifest."""
    return DatasetWriter(dataset.uri, dataset.spec).seal()


def _label(ending: Ending, config: RunConfig) -> _Made | None:
    """Return the labels of an image that was made; those of each defect follow its own strength."""
    image, jobs = ending.image, ending.jobs
    if ending.outcome is not Outcome.MADE or image is None:
        return None
    found = [refine_mask(job.normal, image, job.mask, config.generation.refinement, known=job.label) for job in jobs]
    label = RefinedMask(
        np.logical_or.reduce([one.mask for one in found]), np.maximum.reduce([one.confidence for one in found])
    )
    return _Made(image, ending.mask, label)


def _row(ending: Ending, made: _Made | None, dataset: PlannedDataset) -> LedgerRow:
    request, jobs = ending.request, ending.jobs
    support = next(s for s in dataset.supports if s.defect == request.defect)
    embedding = next(e for e in dataset.embeddings if e.defect == request.defect)
    first = jobs[0] if jobs else None
    places = [instance.placement for instance in request.instances[: len(jobs)]]
    return LedgerRow(
        request_id=request.request_id,
        replaces=request.replaces,
        row=None,
        category=request.category,
        defect=request.defect,
        outcome=ending.outcome,
        reason=ending.reason,
        seed=request.seed,
        box=bounding_box(ending.mask).as_list() if jobs else None,
        angle=request.instances[0].placement.angle if request.instances else None,
        crop=first.crop.as_list() if first else None,
        contrast=first.contrast if first else None,
        instances=[
            MadeInstance(
                box=bounding_box(job.mask).as_list(),
                crop=job.crop.as_list(),
                angle=place.angle,
                contrast=job.contrast,
                seed=job.seed,
                source=None if place.source is None else support.samples[place.source].sample_id,
                warp=list(place.warp) if place.warp else None,
                edge=list(place.edge) if place.edge else None,
                layout=place.layout,
                fits=place.fits or None,
            )
            for job, place in zip(jobs, places, strict=True)
        ]
        or None,
        quality=ending.quality,
        confidence=float(made.label.confidence[made.label.mask].mean() / 255) if made else None,
        normal_id=request.normal.sample_id,
        normal_uri=request.normal.image_uri,
        normal_sha256=request.normal.sha256,
        embedding_digest=embedding.digest,
        model_fingerprint=dataset.spec.base_model.fingerprint,
    )
