"""Decide what will be made before any model is loaded: normal photo, placement and seed of every request."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import CropSettings, bounding_box, choose_crop
from anogen_core.errors import MaskPlacementError
from anogen_core.masks import MaskSamplerSettings
from anogen_core.masks.foreground import ForegroundSettings
from anogen_core.masks.regions import find_region
from anogen_core.masks.sampler import MaskSampler, render
from anogen_core.quality.contrast import ContrastSettings, draw_contrast, support_contrast
from anogen_core.records import GenerationRequest, Placement, Sample, Shard
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.settings import Settings

PLANNING_VERSION = 2
"""Raised by hand when a change here changes a plan."""

_SAME_PLACE = 0.8
"""Intersection over union from which two masks on one photo are nearly the same."""
_REDRAWS = 20
"""Places drawn until one is not taken."""


class PlanSettings(Settings):
    """Everything that decides a plan, beside the data."""

    images_per_defect: int
    """Requests for each defect."""
    mask_sampler: MaskSamplerSettings
    """Shape and size of masks."""
    foreground: ForegroundSettings
    """Where masks may lie."""
    crop: CropSettings
    """The square around a mask must fit the frame."""
    contrast: ContrastSettings = ContrastSettings()
    """How strongly defects stand out."""


@dataclass(frozen=True)
class DefectPlanner:
    """Chooses place, contrast and noise of the requests of one defect; the same for the same ids and seed."""

    category: str
    defect: str
    sampler: MaskSampler
    contrasts: Sequence[float | None]
    """Of each support photo; None where it cannot be told."""
    settings: PlanSettings
    load: Callable[[Sample], Image]
    """Returns a photo in the frame."""
    seed: int
    """The run's seed."""

    @classmethod
    def learn(
        cls,
        category: str,
        defect: str,
        support: Sequence[tuple[Image, Mask]],
        settings: PlanSettings,
        *,
        load: Callable[[Sample], Image],
        seed: int,
    ) -> "DefectPlanner":
        """Return a planner that takes sizes, outlines and contrasts from support photos and masks in the frame."""
        sampler = settings.mask_sampler.build([mask for _, mask in support])
        contrasts = [support_contrast(photo, mask) for photo, mask in support]
        return cls(category, defect, sampler, contrasts, settings, load, seed)

    def plan(self, normals: Sequence[Sample], *, first: int) -> list[GenerationRequest]:
        """Return the defect's requests; it walks through its own seeded permutation of the normal photos.

        Args:
            normals: Normal photos, in a fixed order.
            first: Index of the first request in the plan of the dataset.
        """
        order = numpy_generator(derive_seed(self.seed, "normals", self.category, self.defect)).permutation(len(normals))
        taken: dict[int, list[Placement]] = defaultdict(list)
        requests = []
        for number in range(self.settings.images_per_defect):
            photo = int(order[number % len(normals)])
            request = self._request(
                first + number, f"{self.defect}-{number:06d}", normals[photo], replaces=None, taken=taken[photo]
            )
            requests.append(request)
            if request.placement is not None:
                taken[photo].append(request.placement)
        return requests

    def replace(self, request: GenerationRequest, attempt: int) -> GenerationRequest:
        """Return the request that is made in the place of a filtered one: same photo, another place, other noise.

        Args:
            request: The request of the plan, or its last replacement.
            attempt: 1 for the first replacement.
        """
        first = request.request_id.split("-replacement-")[0]
        return self._request(
            request.index, f"{first}-replacement-{attempt}", request.normal, replaces=request.request_id, taken=()
        )

    def _request(
        self, index: int, request_id: str, normal: Sample, *, replaces: str | None, taken: Sequence[Placement]
    ) -> GenerationRequest:
        placement, blocked = self._place(request_id, normal, taken)
        supports = list(self.contrasts)
        if placement is not None and placement.source is not None:
            supports = [self.contrasts[placement.source]]  # small defects are often faint ones
        return GenerationRequest(
            index=index,
            request_id=request_id,
            replaces=replaces,
            category=self.category,
            defect=self.defect,
            normal=normal,
            placement=placement,
            blocked=blocked,
            contrast=draw_contrast(supports, self.settings.contrast, self._rng("contrast", request_id)),
            seed=derive_seed(self.seed, "noise", self.category, request_id),
        )

    def _place(
        self, request_id: str, normal: Sample, taken: Sequence[Placement]
    ) -> tuple[Placement | None, str | None]:
        image = self.load(normal)
        rng = self._rng("mask", request_id)
        foreground = find_region(image, self.settings.foreground, self.category, self.defect)
        try:
            for _ in range(_REDRAWS):
                placement = self.sampler.sample(foreground, rng)
                mask = render(placement, image.shape[:2])
                # Any canvas will do here: whether a square fits depends on the frame alone.
                choose_crop(bounding_box(mask), image.shape[:2], 1, 1, self.settings.crop)
                if not any(_overlap(mask, render(other, mask.shape)) > _SAME_PLACE for other in taken):
                    return placement, None
        except MaskPlacementError as error:
            return None, str(error)
        return None, (
            f"near-duplicate: {_REDRAWS} drawn places were all taken by the {len(taken)} earlier images of this defect "
            f"on the same photo (overlap above {_SAME_PLACE:.0%}); give more normal photos, lower "
            "`generation.images_per_defect`, or widen `mask_sampler`"
        )

    def _rng(self, purpose: str, request_id: str) -> np.random.Generator:
        return numpy_generator(derive_seed(self.seed, purpose, self.category, request_id))


def plan_requests(
    normals: Sequence[Sample],
    support: Mapping[str, Sequence[tuple[Image, Mask]]],
    settings: PlanSettings,
    *,
    load: Callable[[Sample], Image],
    seed: int,
) -> list[GenerationRequest]:
    """Return every request of one category, blocked ones included, in a fixed order.

    Normal photos are used evenly, and no two images of a defect have nearly the same mask on the same photo.

    Args:
        normals: Normal photos of the category.
        support: Support photos and their masks in the frame, for each defect.
        settings: Counts, sizes and places.
        load: Returns a photo in the frame.
        seed: The run's seed.
    """
    ordered = sorted(normals, key=lambda sample: sample.sample_id)
    requests: list[GenerationRequest] = []
    for defect in sorted(support):
        planner = DefectPlanner.learn(ordered[0].category, defect, support[defect], settings, load=load, seed=seed)
        requests += planner.plan(ordered, first=len(requests))
    return requests


def split_into_shards(requests: Sequence[GenerationRequest], shard_size: int) -> list[Shard]:
    """Return consecutive runs of at most `shard_size` requests; together they hold every request once."""
    starts = range(0, len(requests), shard_size)
    return [Shard(index=i, requests=tuple(requests[s : s + shard_size])) for i, s in enumerate(starts)]


def _overlap(first: Mask, second: Mask) -> float:
    """Return the intersection of two masks over their union."""
    union = int((first | second).sum())
    return float((first & second).sum() / union) if union else 0.0
