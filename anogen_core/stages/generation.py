"""Stage 2: plan a category's dataset, make its shards, seal it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image
from anogen_core.data.problems import UnusableFileError
from anogen_core.diffusion.crop import bounding_box, choose_crop
from anogen_core.generation import GENERATION_VERSION, Job, change_inside, generate
from anogen_core.masks.refinement import refine_mask
from anogen_core.masks.sampler import render
from anogen_core.planning import PLANNING_VERSION, plan_requests, split_into_shards
from anogen_core.records import (
    BaseModelInfo,
    Box,
    ConceptEmbedding,
    DatasetRef,
    GenerationRequest,
    LedgerRow,
    Outcome,
    Record,
    Shard,
    ShardReceipt,
)
from anogen_core.settings import fingerprint
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.embedding import artifact_name, load_support
from anogen_core.stages.embedding_store import read_vectors
from anogen_core.stages.runtime import base_model
from anogen_core.storage import DatasetSpec, DatasetWriter
from anogen_core.storage.artifacts import ArtifactStore


class PlannedDataset(Record):
    """Where a dataset goes, what it will hold, and the embeddings it is made with."""

    uri: str
    spec: DatasetSpec
    embeddings: tuple[ConceptEmbedding, ...]


@dataclass(frozen=True)
class _Made:
    """One image with its labels."""

    image: Image
    box: Mask
    mask: Mask


def plan_category(config: RunConfig, category: Category) -> list[GenerationRequest]:
    """Return every request of a category; needs no model."""
    masks = {s.defect: [mask for _, mask in load_support(s, config)] for s in category.supports}
    return plan_requests(
        category.normals,
        masks,
        config.plan,
        load=lambda sample: load_image(sample, category.frame, white_level=config.frame.white_level),
        seed=config.seed,
    )


def plan_dataset(
    config: RunConfig, name: str, embeddings: Sequence[ConceptEmbedding]
) -> tuple[PlannedDataset, list[Shard]]:
    """Return the dataset of one category and its shards, and write down what it will be."""
    category = read_category(config, name)
    requests = plan_category(config, category)
    shards = split_into_shards(requests, config.storage.shard_size)
    spec = _spec(config, category, requests, embeddings)
    uri = f"{config.output}/datasets/{spec.name}.zarr"
    DatasetWriter(uri, spec).create()
    return PlannedDataset(uri=uri, spec=spec, embeddings=tuple(embeddings)), shards


def is_made(shard: Shard, dataset: PlannedDataset) -> bool:
    """Return whether a shard is stored."""
    return DatasetWriter(dataset.uri, dataset.spec).committed(shard.index) is not None


def make_shard(
    shard: Shard, dataset: PlannedDataset, config: RunConfig, *, on_image: Callable[[], None] | None = None
) -> ShardReceipt:
    """Return the receipt of a stored shard; makes and stores it unless it is there already."""
    writer = DatasetWriter(dataset.uri, dataset.spec)
    receipt = writer.committed(shard.index)
    if receipt is not None:
        return receipt
    started = time.monotonic()
    rows, samples = _make(shard, dataset, config, on_image=on_image)
    size = (len(samples), dataset.spec.height, dataset.spec.width)
    return writer.write_shard(
        shard.index,
        rows,
        np.array([sample.image for sample in samples], np.uint8).reshape(*size, 3),
        box_masks=np.array([sample.box for sample in samples], np.uint8).reshape(size) * 255,
        masks=np.array([sample.mask for sample in samples], np.uint8).reshape(size) * 255,
        seconds=time.monotonic() - started,
    )


def seal_dataset(dataset: PlannedDataset) -> DatasetRef:
    """Return the sealed dataset: one plain Zarr group, its ledger and its manifest."""
    return DatasetWriter(dataset.uri, dataset.spec).seal()


def request_crop(mask: Mask, config: RunConfig) -> Box:
    """Return the square that is generated for a mask."""
    model, settings = base_model(config), config.generation.crop
    side = settings.canvas or model.resolution
    return choose_crop(bounding_box(mask), mask.shape, side // model.factor, side, settings)


def _make(
    shard: Shard, dataset: PlannedDataset, config: RunConfig, *, on_image: Callable[[], None] | None
) -> tuple[list[LedgerRow], list[_Made]]:
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    vectors = {e.defect: read_vectors(artifacts, artifact_name(e)) for e in dataset.embeddings}
    digests = {e.defect: e.digest for e in dataset.embeddings}
    frame = (dataset.spec.height, dataset.spec.width)
    jobs: dict[int, Job] = {}
    endings: dict[int, tuple[Outcome, str | None]] = {}
    for request in shard.requests:
        if request.placement is None:
            endings[request.index] = (Outcome.BLOCKED, request.blocked)
            continue
        try:
            normal = load_image(request.normal, frame, white_level=config.frame.white_level)
        except UnusableFileError as error:
            # Reasons are part of the dataset's digest, so they name the photo by its id, not by where it lies.
            endings[request.index] = (Outcome.FAILED, f"{request.normal.sample_id}: {error.problem.what}")
            continue
        mask = render(request.placement, frame)
        jobs[request.index] = Job(normal, mask, request_crop(mask, config), vectors[request.defect], request.seed)
    images = dict(
        zip(jobs, generate(list(jobs.values()), base_model(config), config.generation, on_image=on_image), strict=True)
    )
    for index, job in jobs.items():
        change = change_inside(job.normal, images[index], job.mask)
        visible = change >= config.generation.min_change
        reason = (
            f"no visible change: {change:.1f} grey levels inside the mask, expected at least "
            f"{config.generation.min_change:g} (`generation.min_change`)"
        )
        endings[index] = (Outcome.MADE, None) if visible else (Outcome.FILTERED, reason)
    rows = [
        _row(request, endings[request.index], jobs.get(request.index), digests[request.defect], dataset.spec.base_model)
        for request in shard.requests
    ]
    made = [request.index for request in shard.requests if endings[request.index][0] is Outcome.MADE]
    return rows, [_label(jobs[index], images[index], config) for index in made]


def _label(job: Job, image: Image, config: RunConfig) -> _Made:
    return _Made(image, job.mask, refine_mask(job.normal, image, job.mask, config.generation.refinement))


def _row(
    request: GenerationRequest,
    ending: tuple[Outcome, str | None],
    job: Job | None,
    embedding: str,
    model: BaseModelInfo,
) -> LedgerRow:
    outcome, reason = ending
    return LedgerRow(
        request_id=request.request_id,
        row=None,
        category=request.category,
        defect=request.defect,
        outcome=outcome,
        reason=reason,
        seed=request.seed,
        box=bounding_box(job.mask).as_list() if job else None,
        angle=request.placement.angle if request.placement else None,
        crop=job.crop.as_list() if job else None,
        normal_id=request.normal.sample_id,
        normal_uri=request.normal.image_uri,
        normal_sha256=request.normal.sha256,
        embedding_digest=embedding,
        model_fingerprint=model.fingerprint,
    )


def _spec(
    config: RunConfig, category: Category, requests: Sequence[GenerationRequest], embeddings: Sequence[ConceptEmbedding]
) -> DatasetSpec:
    model = config.base_model.describe()
    settings = {
        "run": config.model_dump(mode="json", exclude={"runner", "output", "detector", "evaluation", "device", "name"}),
        "embedding_keys": {e.defect: artifact_name(e) for e in embeddings},
    }
    height, width = category.frame
    content = {
        "code": [PLANNING_VERSION, GENERATION_VERSION],
        "seed": config.seed,
        "plan": config.plan.model_dump(mode="json"),
        "generation": config.generation.model_dump(mode="json", exclude={"batch_size"}),
        "shard_size": config.storage.shard_size,
        "frame": [height, width, config.frame.model_dump(mode="json")],
        "normals": sorted(s.sha256 for s in category.normals),
        "embeddings": sorted([e.defect, e.digest] for e in embeddings),
        "base_model": model.fingerprint,
    }
    digest = fingerprint(content)
    return DatasetSpec(
        name=f"{category.name}-{digest[:8]}",
        category=category.name,
        height=height,
        width=width,
        shard_size=config.storage.shard_size,
        num_shards=-(-len(requests) // config.storage.shard_size),
        num_requests=len(requests),
        defects=tuple(sorted(s.defect for s in category.supports)),
        config_fingerprint=digest,
        base_model=model,
        settings=settings,
        code_versions={"planning": PLANNING_VERSION, "generation": GENERATION_VERSION},
        data_licence=config.photos.licence,
        sources=config.photos.source,
    )
