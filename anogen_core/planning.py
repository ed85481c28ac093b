"""Decide what will be made before any model is loaded: normal photo, placement and seed of every request."""

from collections.abc import Callable, Mapping, Sequence

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import CropSettings, bounding_box, choose_crop
from anogen_core.errors import MaskPlacementError
from anogen_core.masks import MaskSamplerSettings
from anogen_core.masks.foreground import ForegroundSettings, find_foreground
from anogen_core.masks.sampler import MaskSampler, render
from anogen_core.records import GenerationRequest, Placement, Sample, Shard
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.settings import Settings

PLANNING_VERSION = 1
"""Raised by hand when a change here changes a plan."""


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


def plan_requests(
    normals: Sequence[Sample],
    support_masks: Mapping[str, Sequence[Mask]],
    settings: PlanSettings,
    *,
    load: Callable[[Sample], Image],
    seed: int,
) -> list[GenerationRequest]:
    """Return every request of one category, blocked ones included, in a fixed order.

    Each defect walks through its own seeded permutation of the normal photos, so they are used evenly.

    Args:
        normals: Normal photos of the category.
        support_masks: Masks of the support photos in the frame, for each defect.
        settings: Counts, sizes and places.
        load: Returns a photo in the frame.
        seed: The run's seed.
    """
    ordered = sorted(normals, key=lambda sample: sample.sample_id)
    requests: list[GenerationRequest] = []
    for defect in sorted(support_masks):
        sampler = settings.mask_sampler.build(support_masks[defect])
        category = ordered[0].category
        order = numpy_generator(derive_seed(seed, "normals", category, defect)).permutation(len(ordered))
        for number in range(settings.images_per_defect):
            normal = ordered[int(order[number % len(ordered)])]
            request_id = f"{defect}-{number:06d}"
            placement, blocked = _place(request_id, normal, sampler, settings, load=load, seed=seed)
            requests.append(
                GenerationRequest(
                    index=len(requests),
                    request_id=request_id,
                    category=category,
                    defect=defect,
                    normal=normal,
                    placement=placement,
                    blocked=blocked,
                    seed=derive_seed(seed, "noise", category, request_id),
                )
            )
    return requests


def _place(
    request_id: str,
    normal: Sample,
    sampler: MaskSampler,
    settings: PlanSettings,
    *,
    load: Callable[[Sample], Image],
    seed: int,
) -> tuple[Placement | None, str | None]:
    image = load(normal)
    rng = numpy_generator(derive_seed(seed, "mask", normal.category, request_id))
    try:
        placement = sampler.sample(find_foreground(image, settings.foreground), rng)
        box = bounding_box(render(placement, image.shape[:2]))
        # Any canvas will do here: whether a square fits depends on the frame alone.
        choose_crop(box, image.shape[:2], 1, 1, settings.crop)
    except MaskPlacementError as error:
        return None, str(error)
    return placement, None


def split_into_shards(requests: Sequence[GenerationRequest], shard_size: int) -> list[Shard]:
    """Return consecutive runs of at most `shard_size` requests; together they hold every request once."""
    starts = range(0, len(requests), shard_size)
    return [Shard(index=i, requests=tuple(requests[s : s + shard_size])) for i, s in enumerate(starts)]
