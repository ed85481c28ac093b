"""Stage 2: plan a category's dataset, make its shards, seal it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image
from anogen_core.diffusion.crop import bounding_box
from anogen_core.generation import GENERATION_VERSION, Job
from anogen_core.masks.refinement import refine_mask
from anogen_core.masks.regions import region_digests
from anogen_core.planning import PLANNING_VERSION, plan_requests, split_into_shards
from anogen_core.quality.gates import QUALITY_VERSION
from anogen_core.records import (
    BaseModelInfo,
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
from anogen_core.stages.evidence import doubt
from anogen_core.stages.shard_work import Ending, ShardWork, draw_filtered
from anogen_core.storage import Dataset, DatasetSpec, DatasetWriter


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
    return plan_requests(
        category.normals,
        {s.defect: load_support(s, config) for s in category.supports},
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
    """Return the receipt of a stored shard; makes and stores it unless it is there already."""
    writer = DatasetWriter(dataset.uri, dataset.spec)
    receipt = writer.committed(shard.index)
    if receipt is not None:
        return receipt
    started = time.monotonic()
    spec = dataset.spec
    work = ShardWork(spec.category, (spec.height, spec.width), dataset.embeddings, config)
    endings = work.run(shard.requests, on_image=on_image)
    digests = {e.defect: e.digest for e in dataset.embeddings}
    samples = [
        _label(e.job, e.image, config)
        for e in endings
        if e.outcome is Outcome.MADE and e.job is not None and e.image is not None
    ]
    size = (len(samples), dataset.spec.height, dataset.spec.width)
    return writer.write_shard(
        shard.index,
        [_row(e, digests[e.request.defect], dataset.spec.base_model) for e in endings],
        np.array([sample.image for sample in samples], np.uint8).reshape(*size, 3),
        box_masks=np.array([sample.box for sample in samples], np.uint8).reshape(size) * 255,
        masks=np.array([sample.mask for sample in samples], np.uint8).reshape(size) * 255,
        seconds=time.monotonic() - started,
        filtered=draw_filtered(endings),
    )


def seal_dataset(dataset: PlannedDataset) -> DatasetRef:
    """Return the sealed dataset: one plain Zarr group, its ledger and its manifest."""
    return DatasetWriter(dataset.uri, dataset.spec).seal()


def _label(job: Job, image: Image, config: RunConfig) -> _Made:
    return _Made(image, job.mask, refine_mask(job.normal, image, job.mask, config.generation.refinement))


def _row(ending: Ending, embedding: str, model: BaseModelInfo) -> LedgerRow:
    request, job = ending.request, ending.job
    return LedgerRow(
        request_id=request.request_id,
        replaces=request.replaces,
        row=None,
        category=request.category,
        defect=request.defect,
        outcome=ending.outcome,
        reason=ending.reason,
        seed=request.seed,
        box=bounding_box(job.mask).as_list() if job else None,
        angle=request.placement.angle if request.placement else None,
        crop=job.crop.as_list() if job else None,
        contrast=job.contrast if job else None,
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
        "code": [PLANNING_VERSION, GENERATION_VERSION, QUALITY_VERSION],
        "seed": config.seed,
        "plan": config.plan.model_dump(mode="json"),
        "generation": config.generation.model_dump(mode="json", exclude={"batch_size"}),
        "regions": [region_digests(config.foreground, category.name, s.defect) for s in category.supports],
        "quality": config.quality.model_dump(mode="json"),
        "doubted": sorted(e.defect for e in embeddings if doubt(e.evidence) is not None),
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
        code_versions={"planning": PLANNING_VERSION, "generation": GENERATION_VERSION, "quality": QUALITY_VERSION},
        data_licence=config.photos.licence,
        sources=config.photos.source,
    )
