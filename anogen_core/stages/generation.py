"""Stage 2: plan a category's dataset, make its shards, seal it."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image
from anogen_core.data.problems import UnusableFileError
from anogen_core.diffusion.crop import bounding_box, choose_crop
from anogen_core.generation import GENERATION_VERSION, Job, generate
from anogen_core.masks.refinement import refine_mask
from anogen_core.masks.sampler import render
from anogen_core.planning import PLANNING_VERSION, DefectPlanner, plan_requests, split_into_shards
from anogen_core.quality.gates import QUALITY_VERSION, Gates
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
from anogen_core.stages.evidence import doubt
from anogen_core.stages.filtered_sheet import FilteredImage, filtered_sheet
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
    endings = _ShardWork(dataset, config).run(shard.requests, on_image=on_image)
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
        filtered=_sheet(endings),
    )


def seal_dataset(dataset: PlannedDataset) -> DatasetRef:
    """Return the sealed dataset: one plain Zarr group, its ledger and its manifest."""
    return DatasetWriter(dataset.uri, dataset.spec).seal()


def request_crop(mask: Mask, config: RunConfig) -> Box:
    """Return the square that is generated for a mask."""
    model, settings = base_model(config), config.generation.crop
    side = settings.canvas or model.resolution
    return choose_crop(bounding_box(mask), mask.shape, side // model.factor, side, settings)


@dataclass(frozen=True)
class _Ending:
    """How one request ended; a request that was not generated has no job, and one that was not made no image."""

    request: GenerationRequest
    outcome: Outcome
    reason: str | None = None
    job: Job | None = None
    image: Image | None = None


class _ShardWork:
    """Makes the requests of a shard and, in place of those that gates filter, their replacements."""

    def __init__(self, dataset: PlannedDataset, config: RunConfig) -> None:
        self.config = config
        self.frame = (dataset.spec.height, dataset.spec.width)
        self._artifacts = ArtifactStore(f"{config.output}/artifacts")
        self._embeddings = {e.defect: e for e in dataset.embeddings}
        self._supports = {s.defect: s for s in read_category(config, dataset.spec.category).supports}

    def run(
        self, requests: Sequence[GenerationRequest], *, on_image: Callable[[], None] | None = None
    ) -> list[_Ending]:
        """Return how every request and every replacement ended, replacements right after what they replace."""
        chains: list[list[_Ending]] = [[] for _ in requests]
        pending = list(enumerate(requests))
        for attempt in range(self.config.quality.replacements + 1):
            endings = self._attempt([r for _, r in pending], on_image=on_image if attempt == 0 else None)
            for (place, _), ending in zip(pending, endings, strict=True):
                chains[place].append(ending)
            pending = [
                (place, self._planner(e.request.defect).replace(e.request, attempt + 1))
                for (place, _), e in zip(pending, endings, strict=True)
                if e.outcome is Outcome.FILTERED and e.job is not None
            ]
        return [ending for chain in chains for ending in chain]

    def _attempt(self, requests: Sequence[GenerationRequest], *, on_image: Callable[[], None] | None) -> list[_Ending]:
        begun = [self._begin(request) for request in requests]
        jobs = [job for job in begun if isinstance(job, Job)]
        images = iter(generate(jobs, base_model(self.config), self.config.generation, on_image=on_image))
        return [
            b if isinstance(b, _Ending) else self._judge(request, b, next(images))
            for request, b in zip(requests, begun, strict=True)
        ]

    def _begin(self, request: GenerationRequest) -> Job | _Ending:
        """Return what to generate for a request, or its ending when there is nothing to generate."""
        if request.placement is None:
            return _Ending(request, Outcome.BLOCKED, request.blocked)
        doubted = doubt(self._embeddings[request.defect].evidence)
        if doubted is not None:
            return _Ending(request, Outcome.FILTERED, doubted)
        try:
            normal = load_image(request.normal, self.frame, white_level=self.config.frame.white_level)
        except UnusableFileError as error:
            # Reasons are part of the dataset's digest, so they name the photo by its id, not by where it lies.
            return _Ending(request, Outcome.FAILED, f"{request.normal.sample_id}: {error.problem.what}")
        mask = render(request.placement, self.frame)
        return Job(
            normal, mask, request_crop(mask, self.config), self._vectors(request.defect), request.seed, request.contrast
        )

    def _judge(self, request: GenerationRequest, job: Job, image: Image) -> _Ending:
        gates = self._gates(request.defect)
        reason = gates.judge(job.normal, image, job.mask) if gates else None
        return _Ending(request, Outcome.MADE if reason is None else Outcome.FILTERED, reason, job, image)

    @functools.cache  # noqa: B019 - an instance lives as long as its shard
    def _vectors(self, defect: str) -> torch.Tensor:
        return read_vectors(self._artifacts, artifact_name(self._embeddings[defect]))

    @functools.cache  # noqa: B019
    def _gates(self, defect: str) -> Gates | None:
        """Return the gates of a defect; none for one that has an embedding but no photos to calibrate them on."""
        photos = load_support(self._supports[defect], self.config)
        return Gates.calibrate(photos, self.config.quality) if photos and self.config.quality.gates else None

    @functools.cache  # noqa: B019
    def _planner(self, defect: str) -> DefectPlanner:
        support = self._supports[defect]
        return DefectPlanner.learn(
            support.category,
            defect,
            load_support(support, self.config),
            self.config.plan,
            load=lambda sample: load_image(sample, self.frame, white_level=self.config.frame.white_level),
            seed=self.config.seed,
        )


def _label(job: Job, image: Image, config: RunConfig) -> _Made:
    return _Made(image, job.mask, refine_mask(job.normal, image, job.mask, config.generation.refinement))


def _sheet(endings: Sequence[_Ending]) -> bytes | None:
    """Return a picture of the filtered images; None when there are none."""
    filtered = [
        FilteredImage(e.request.request_id, e.reason or "", e.job.normal, e.image, e.job.mask)
        for e in endings
        if e.outcome is Outcome.FILTERED and e.job is not None and e.image is not None
    ]
    return filtered_sheet(filtered) if filtered else None


def _row(ending: _Ending, embedding: str, model: BaseModelInfo) -> LedgerRow:
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
