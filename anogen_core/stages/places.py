"""Where the images of a dataset show which support defects, or would show them if it were generated."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from anogen_core.arrays import Mask
from anogen_core.config import RunConfig
from anogen_core.diffusion.crop import bounding_box
from anogen_core.errors import InputError
from anogen_core.masks.sampler import render, union_of
from anogen_core.records import Box, GenerationRequest
from anogen_core.settings import fingerprint
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.generation import plan_category, product_of
from anogen_core.storage import Dataset


@dataclass(frozen=True)
class Spot:
    """The place of one defect."""

    box: Box
    """Bounding box."""
    source: str | None = None
    """Id of the support photo that its outline or size was taken from; None where that is not known."""
    warp: Sequence[float] | None = None
    """Of the outline, from the support photo (see `Placement`); None for a box."""


@dataclass(frozen=True)
class Places:
    """The places of one image."""

    request_id: str
    normal_id: str
    defect: str
    mask: Mask
    """(H, W), True at all of them."""
    spots: tuple[Spot, ...]


def made_places(category: Category, stored: Dataset) -> Iterator[Places]:
    """Yield the places of each image of a dataset.

    Raises:
        InputError: the ledger lacks a place, or names a support photo that is none of this run.
    """
    supports = {s.defect: [sample.sample_id for sample in s.samples] for s in category.supports}
    for index, row in enumerate(stored.made()):
        if not row.boxes:
            raise InputError(f"{row.request_id}: was made without a place; the dataset's ledger is damaged.")
        known = supports[row.defect]
        for instance in row.instances or ():
            if instance.source not in (None, *known):
                raise InputError(
                    f"{stored.uri}: {row.request_id} came from the support photo {instance.source}, which is none of "
                    f"this run ({', '.join(known)}). Give the photo its name back."
                )
        spots = (
            [Spot(box, i.source, i.warp) for box, i in zip(row.boxes, row.instances, strict=True)]
            if row.instances
            else [Spot(box) for box in row.boxes]
        )
        yield Places(row.request_id, row.normal_id, row.defect, stored.box_mask(index) > 0, tuple(spots))


def planned_places(config: RunConfig, category: Category) -> Iterator[Places]:
    """Yield the places of each image that a plan has room for."""
    photos = {s.defect: s.samples for s in category.supports}
    for request in _plan(config, category):
        placements = [instance.placement for instance in request.instances]
        spots = (
            Spot(
                bounding_box(render(placement, category.frame)),
                None if placement.source is None else photos[request.defect][placement.source].sample_id,
                placement.warp,
            )
            for placement in placements
        )
        mask = union_of(placements, category.frame)
        yield Places(request.request_id, request.normal.sample_id, request.defect, mask, tuple(spots))


def count_planned(config: RunConfig, category: Category) -> int:
    """Return how many images a plan has room for."""
    return len(_plan(config, category))


def plan_digest(config: RunConfig, category: Category) -> str:
    """Return 16 hex digits that change whenever a place of the plan, or a photo it is on, does."""
    return fingerprint(
        [
            [r.request_id, r.normal.sha256, [i.placement.model_dump(mode="json") for i in r.instances]]
            for r in _plan(config, category)
        ]
    )


def _plan(config: RunConfig, category: Category) -> tuple[GenerationRequest, ...]:
    return _read_plan(config.model_dump_json(exclude={"runner", "detector", "evaluation", "device"}), category.name)


@functools.lru_cache(maxsize=4)
def _read_plan(settings: str, name: str) -> tuple[GenerationRequest, ...]:
    """Return the requests that are not blocked; planned once per process."""
    config = RunConfig.model_validate_json(settings)
    category = read_category(config, name)
    return tuple(r for r in plan_category(config, category, product_of(config, category)) if r.instances)
