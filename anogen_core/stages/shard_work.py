"""Make the requests of one shard: generate, judge, and replace what is filtered."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image
from anogen_core.data.problems import UnusableFileError
from anogen_core.generation import Job, generate, merge
from anogen_core.masks.product import Product
from anogen_core.masks.regions import Grounds
from anogen_core.masks.sampler import render
from anogen_core.planning import DefectPlanner
from anogen_core.quality.gates import Gates
from anogen_core.records import ConceptEmbedding, GenerationRequest, Outcome, Placement, Sample, SupportSet
from anogen_core.stages.embedding import load_support
from anogen_core.stages.embedding_store import read_vectors
from anogen_core.stages.evidence import doubt
from anogen_core.stages.jobs import Source, load_job
from anogen_core.stages.runtime import base_model
from anogen_core.storage.artifacts import ArtifactStore
from anogen_core.storage.uri import name_of


@dataclass(frozen=True)
class Ending:
    """How one request ended; a request that was not generated has no jobs, and one that was not made no image."""

    request: GenerationRequest
    outcome: Outcome
    reason: str | None = None
    jobs: tuple[Job, ...] = ()
    """One for each of its defects."""
    image: Image | None = None
    quality: float | None = None

    @property
    def mask(self) -> Mask:
        """Return (H, W) where its defects may be."""
        return np.logical_or.reduce([job.mask for job in self.jobs])


class ShardWork:
    """Makes the requests of a shard and, in place of those that gates filter, their replacements.

    It reads the photos that the plan names and never the data as a whole, which may have changed since.
    """

    def __init__(
        self,
        supports: Sequence[SupportSet],
        frame: tuple[int, int],
        embeddings: Sequence[ConceptEmbedding],
        config: RunConfig,
        product: Product,
    ) -> None:
        self.config = config
        self._product = product
        self.frame = frame
        self._artifacts = ArtifactStore.of_run(config.output)
        self._embeddings = {e.defect: e for e in embeddings}
        self._supports = {s.defect: s for s in supports}
        # Each of these once for a defect, and gone with the shard.
        self._vectors = functools.cache(self._read_vectors)
        self._support = functools.cache(self._load_support)
        self._gates = functools.cache(self._calibrate)
        self._planner = functools.cache(self._learn_planner)

    def run(self, requests: Sequence[GenerationRequest], *, on_image: Callable[[], None] | None = None) -> list[Ending]:
        """Return how every request and every replacement ended, replacements right after what they replace."""
        chains: list[list[Ending]] = [[] for _ in requests]
        pending = list(enumerate(requests))
        for attempt in range(self.config.quality.replacements + 1):
            endings = self._attempt([r for _, r in pending], on_image=on_image if attempt == 0 else None)
            for (place, _), ending in zip(pending, endings, strict=True):
                chains[place].append(ending)
            pending = [
                (place, self._planner(e.request.defect).replace(e.request, attempt + 1))
                for (place, _), e in zip(pending, endings, strict=True)
                if e.outcome is Outcome.FILTERED and e.jobs
            ]
        return [ending for chain in chains for ending in chain]

    def jobs(self, request: GenerationRequest) -> tuple[Job, ...]:
        """Return what to generate for a request.

        Raises:
            UnusableFileError: its photo cannot be read, or is not the one that was planned.
        """
        return self._load_jobs(request, self._load(request.normal))

    def _attempt(self, requests: Sequence[GenerationRequest], *, on_image: Callable[[], None] | None) -> list[Ending]:
        begun = [self._begin(request) for request in requests]
        jobs = [job for b in begun if not isinstance(b, Ending) for job in b]
        last = {id(b[-1]) for b in begun if not isinstance(b, Ending)}

        def on_job(job: Job) -> None:
            if on_image is not None and id(job) in last:
                on_image()

        images = iter(generate(jobs, base_model(self.config), self.config.generation, on_job=on_job))
        return [
            b if isinstance(b, Ending) else self._judge(request, b, [next(images) for _ in b])
            for request, b in zip(requests, begun, strict=True)
        ]

    def _begin(self, request: GenerationRequest) -> tuple[Job, ...] | Ending:
        """Return what to generate for a request, or its ending when there is nothing to generate."""
        if not request.instances:
            return Ending(request, Outcome.BLOCKED, request.blocked)
        doubted = doubt(self._embeddings[request.defect].evidence)
        if doubted is not None:
            return Ending(request, Outcome.FILTERED, doubted)
        try:
            normal = self._load(request.normal)
        except UnusableFileError as error:
            # Reasons are part of the dataset's digest, so they name the photo by its id, not by where it lies.
            return Ending(request, Outcome.FAILED, f"{request.normal.sample_id}: {error.problem.what}")
        return self._load_jobs(request, normal)

    def _load_jobs(self, request: GenerationRequest, normal: Image) -> tuple[Job, ...]:
        vectors, support = self._vectors(request.defect), self._support(request.defect)
        return tuple(
            load_job(
                normal,
                render(instance.placement, self.frame),
                vectors,
                self.config,
                seed=instance.seed,
                contrast=instance.contrast,
                source=self._source(instance.placement, support, self._supports[request.defect]),
            )
            for instance in request.instances
        )

    def _judge(self, request: GenerationRequest, jobs: tuple[Job, ...], images: Sequence[Image]) -> Ending:
        gates, image = self._gates(request.defect), merge(jobs, images)
        if gates is None:
            return Ending(request, Outcome.MADE, None, jobs, image)
        verdicts = [
            gates.judge(job.normal, one, job.mask, shown=job.start if job.alters_colours else None)
            for job, one in zip(jobs, images, strict=True)
        ]
        worst = min(verdicts, key=lambda verdict: (verdict.reason is None, verdict.quality))
        outcome = Outcome.MADE if worst.reason is None else Outcome.FILTERED
        return Ending(request, outcome, worst.reason, jobs, image, worst.quality)

    def _load_support(self, defect: str) -> list[tuple[Image, Mask]]:
        return load_support(self._supports[defect], self.config, self.frame)

    def _read_vectors(self, defect: str) -> torch.Tensor:
        return read_vectors(self._artifacts, name_of(self._embeddings[defect].uri))

    def _calibrate(self, defect: str) -> Gates | None:
        """Return the gates of a defect; none for one that has an embedding but no photos to calibrate them on."""
        return Gates.calibrate(self._support(defect), self.config.quality) if self.config.quality.gates else None

    def _learn_planner(self, defect: str) -> DefectPlanner:
        category, grounds = self._supports[defect].category, self._grounds
        return DefectPlanner.learn(
            category, defect, self._support(defect), self.config.plan, grounds=grounds, seed=self.config.draw_seed
        )

    @functools.cached_property
    def _grounds(self) -> Grounds:
        typical = tuple(normal for normal in self._product.typical if self._is_readable(normal))
        category = next(support.category for support in self._supports.values())
        return Grounds(self._product.model_copy(update={"typical": typical}), category, self.frame, self._load)

    def _is_readable(self, normal: Sample) -> bool:
        """Return whether a photo is still what it was when the plan was made: without it other replacements go on."""
        try:
            self._load(normal)
        except UnusableFileError:
            return False
        return True

    def _load(self, sample: Sample) -> Image:
        return load_image(sample, self.frame, white_level=self.config.frame.white_level)

    def _source(self, placement: Placement, photos: Sequence[tuple[Image, Mask]], support: SupportSet) -> Source | None:
        if placement.source is None or placement.warp is None:
            return None
        outlined = self.config.support.outline_boxes or support.samples[placement.source].has_mask
        return Source(
            *photos[placement.source],
            placement.warp,
            placement.edge,
            outlined=outlined,
            replaces=placement.layout == "at",
            fits=placement.fits,
        )
