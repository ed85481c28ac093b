"""What a run would make, before it makes anything: counts, blocked requests, time and storage."""

from collections.abc import Callable
from itertools import count
from typing import Final, Literal

from anogen_core.config import RunConfig
from anogen_core.masks.direction import find_border, is_cut_off
from anogen_core.masks.rim import RimSampler
from anogen_core.masks.sampler import regions
from anogen_core.planning import DefectPlanner
from anogen_core.records import GenerationRequest, Record, SupportSet
from anogen_core.stages import embedding
from anogen_core.stages.catalogue import Category, read_catalogue
from anogen_core.stages.generation import find_made, plan_category, product_of
from anogen_core.stages.pace import measure_photo, seconds_per_forward
from anogen_core.stages.recipe import recipes
from anogen_core.stages.reuse import find_kept
from anogen_core.stages.room import Room, room_of
from anogen_core.stages.runtime import base_model
from anogen_core.storage import Dataset

EmbeddingState = Literal["learned", "named", "to be learned"]
_LEARNED: Final[dict[EmbeddingState, str]] = {
    "learned": "learned already from",
    "named": "with the embedding that the run file names; support photos",
    "to be learned": "to be learned from",
}
_FEW: Final = 4
"""Defects for each support photo below which it means nothing how many are made from which."""


class DefectForecast(Room):
    """The plan of one defect."""

    defect: str
    support: list[str]
    """Ids of its support photos."""
    made_from: list[int]
    """How many defects would be made from each of these."""
    embedding: EmbeddingState
    """Whether it is learned from these photos already; `named`: the run file names an embedding for it."""
    instances: int
    """Defects that would be shown, more than images where images show several."""
    at_edge: int
    """Those that would lie across the edge of the product, as support defects do."""
    at_border: int
    """Those that the photo's border would cut off, as it does the support defects that they are made from."""
    misses: str | None
    """Why it may lie all over the frame, though `foreground.method: auto` finds a product for other defects."""
    alike: int
    """Those that would lie where it looks as around support defects, which keep to such places or lie on a
    pattern."""
    bound: int
    """Those that belong to places of the product, which lies alike on all photos, and would be at one of them..."""
    strayed: int
    """... and those that would be elsewhere, as no such place was free."""
    coloured: int
    """Those that would be placed by the colours around them, as the product has several."""
    lit: int
    """Those that would be turned so that the light falls on them from where it falls on the support defects."""

    @property
    def uneven(self) -> bool:
        """Return whether fewer defects than half of an even share would be made from some support photo.

        A few defects are drawn unevenly by chance.
        """
        share = sum(self.made_from) / max(1, len(self.made_from))
        return share >= _FEW and min(self.made_from) < share / 2

    def describe(self) -> list[str]:
        """Return the plan of the defect as lines of text."""
        learned = f"{_LEARNED[self.embedding]} {', '.join(self.support)}"
        lines = [f"  {self.defect}: {self.planned} planned, {self.blocked} blocked; {learned}"]
        if self.uneven:
            counts = ", ".join(f"{n} from {s}" for s, n in zip(self.support, self.made_from, strict=True))
            lines.append(f"    unevenly made: {counts}")
        if self.misses is not None:
            lines.append(
                f"    may lie all over the frame: what was found {self.misses}; `foreground.legal` can say where it "
                "may, with `{defect}` in its path"
            )
        alike = (
            "where it looks as around the support defects, which keep to such places or lie on a pattern that repeats"
        )
        places = (
            (self.at_edge, "at the edge of the product, turned with it"),
            (self.at_border, "cut off by the photo's border, as the support defects are that they are made from"),
            (self.alike, alike),
            (self.bound, "at places that they belong to, of a product that lies alike on all photos"),
            (self.strayed, "elsewhere, as none of the places that they belong to was free"),
            (
                self.coloured,
                "where the colours are most like those around the support defects, as the product has several",
            ),
            (self.lit, "turned so that their bright side is that of the support defects, which the light decides"),
        )
        lines += [f"    {count} of {self.instances} {where}" for count, where in places if count]
        return [*lines, *(f"    {count} x, for example: {reason}" for reason, count in self.reasons.items())]


class CategoryForecast(Record):
    """The plan of one category."""

    category: str
    frame: tuple[int, int]
    """(height, width)."""
    normals: int
    evaluated: int
    """Test photos that detectors are evaluated on."""
    excluded: int
    """Test photos left out: support photos, copies of them, and their leakage groups."""
    foreground: str | None
    """What `foreground.method: auto` takes for the product, and why."""
    complete: str | None
    """Name of the dataset where all of it is made already."""
    kept: int
    """Images that are there already and are reused in a dataset that is to be made."""
    kept_instances: int
    """Defects on those."""
    defects: list[DefectForecast]
    redrawn: int = 0
    """Datasets of further seeds (`evaluation.redraw`) that are to be made."""

    @property
    def missing(self) -> int:
        """Return how many datasets are to be made."""
        return self.redrawn + (self.complete is None)


class Forecast(Record):
    """The plan of a run."""

    categories: list[CategoryForecast]
    inversion_seconds: float
    """Of what is to be learned; at most, as learning stops when the validation loss is flat."""
    generation_seconds: float
    """Of the datasets that are to be made."""
    storage_mb: float
    """Of the datasets that are to be made."""

    @property
    def rooms(self) -> dict[str, Room]:
        """Return how many requests have a place, by `<category>/<defect>`."""
        return {f"{c.category}/{d.defect}": d for c in self.categories for d in c.defects}

    def describe(self) -> str:
        """Return the plan as text."""
        lines = []
        for category in self.categories:
            height, width = category.frame
            lines.append(
                f"{category.category}: {category.normals} normal photos at {width}x{height} px, "
                f"{category.evaluated} test photos ({category.excluded} left out: supports, their copies and groups); "
                + (f"dataset {category.complete} is complete" if category.complete else "its dataset is to be made")
                + (f", {category.kept} of its images are there already" if category.kept else "")
            )
            if category.redrawn:
                lines.append(f"  {category.redrawn} more dataset(s) are to be made for further seeds")
            if category.foreground is not None:
                lines.append(f"  foreground: {category.foreground}")
            for defect in category.defects:
                lines += defect.describe()
        if not any(category.missing for category in self.categories):
            return "\n".join([*lines, "nothing to learn or to generate (detectors not included)"]) + "\n"
        lines.append(
            f"about {_duration(self.generation_seconds)} to generate, "
            f"up to {_duration(self.inversion_seconds)} to learn before "
            f"(measured on this machine just now, detectors not included); {self.storage_mb:.0f} MB"
        )
        return "\n".join(lines) + "\n"


def forecast(config: RunConfig, *, on_planned: Callable[[int, int], None] | None = None) -> Forecast:
    """Return the plan of a run, and what is there already.

    Where something is to be made, a step of the base model, and reading and storing a photo, are measured.

    Args:
        config: The run.
        on_planned: Called with the requests that are planned and all that there will be, after each of them.
    """
    catalogue = read_catalogue(config)
    total = config.generation.images_per_defect * sum(len(category.supports) for category in catalogue)
    drawn = count(1)
    tick = None if on_planned is None else lambda: on_planned(next(drawn), total)
    planned = [(category, _category(config, category, tick)) for category in catalogue]
    categories = [plan for _, plan in planned]
    missing = [(category, plan) for category, plan in planned if plan.missing]
    if not missing:
        return Forecast(categories=categories, inversion_seconds=0, generation_seconds=0, storage_mb=0)
    defects_made = sum(
        plan.missing * sum(d.instances for d in plan.defects) - plan.kept_instances for _, plan in missing
    )
    images = [plan.missing * sum(d.planned - d.blocked for d in plan.defects) for _, plan in missing]
    handled = [measure_photo(category) for category, _ in missing]
    forward = seconds_per_forward(config)
    steps, share = config.generation.sampler.schedule(from_photo=_starts_from_photos(config))
    stated = config.generation.sampler.guidance_scale
    guided = base_model(config).guidance if stated is None else stated
    defects = sum(d.embedding == "to be learned" for _, plan in missing for d in plan.defects)
    return Forecast(
        categories=categories,
        # Guidance takes a second forward; a training step costs about three.
        generation_seconds=defects_made * (1 if guided == 1 else 2) * steps * share * forward
        + sum(
            (count - plan.kept) * seconds
            for count, (_, plan), (seconds, _) in zip(images, missing, handled, strict=True)
        ),
        inversion_seconds=defects * config.inversion.steps * config.inversion.batch_size * 3 * forward,
        storage_mb=sum(count * size for count, (_, size) in zip(images, handled, strict=True)) / 1e6,
    )


def _starts_from_photos(config: RunConfig) -> bool:
    return config.start == "normal" or (config.start == "support" and config.mask_sampler.kind == "transplant")


def _category(config: RunConfig, category: Category, on_request: Callable[[], None] | None) -> CategoryForecast:
    product = product_of(config, category)
    coloured: dict[str, bool] = {}

    def note(planner: DefectPlanner) -> None:
        coloured[planner.defect] = isinstance(planner.sampler, RimSampler) and planner.sampler.heeds_colours

    requests = plan_category(config, category, product, on_request=on_request, on_planner=note)
    kept, excluded = category.evaluated
    learned = [embedding.is_learned(support, config) for support in category.supports]
    states: list[EmbeddingState] = [
        "named" if embedding.defect_name(support) in config.embeddings else "learned" if known else "to be learned"
        for support, known in zip(category.supports, learned, strict=True)
    ]
    found = find_made(config, category, product)
    embeddings = embedding.learn([s for s, known in zip(category.supports, learned, strict=True) if known], config)
    own = recipes(config, category, product, embeddings)
    there = {} if found else find_kept(config.output, category.name, own, requests)
    reused = [kept.rows[-1] for kept in there.values() if kept.image is not None]
    return CategoryForecast(
        category=category.name,
        frame=category.frame,
        normals=len(category.normals),
        evaluated=len(kept),
        excluded=len(excluded),
        foreground=product.why,
        complete=None if found is None else Dataset(found[1].uri).spec.name,
        kept=len(reused),
        kept_instances=sum(len(row.instances or ()) for row in reused),
        redrawn=sum(find_made(drawn, category, product) is None for drawn in config.draws[1:]),
        defects=[
            _defect(
                config,
                s,
                [r for r in requests if r.defect == s.defect],
                state=state,
                misses=product.misses.get(s.defect),
                coloured=coloured[s.defect],
            )
            for s, state in zip(category.supports, states, strict=True)
        ],
    )


def _defect(
    config: RunConfig,
    support: SupportSet,
    requests: list[GenerationRequest],
    *,
    state: EmbeddingState,
    misses: str | None,
    coloured: bool,
) -> DefectForecast:
    places = [instance.placement for request in requests for instance in request.instances]
    masks = [mask for _, mask in embedding.load_support(support, config)]
    cut = {region.photo for region in regions(masks) if find_border(region.within(masks[region.photo].shape))}
    return DefectForecast(
        defect=support.defect,
        support=[photo.sample_id for photo in support.samples],
        made_from=[sum(place.source == index for place in places) for index in range(len(support.samples))],
        embedding=state,
        instances=len(places),
        at_edge=sum(place.edge is not None for place in places),
        at_border=sum(place.source in cut and is_cut_off(place, masks[0].shape) for place in places),
        misses=misses,
        alike=sum(place.alike and place.layout is None for place in places),
        bound=sum(place.layout == "at" for place in places),
        strayed=sum(place.layout == "off" for place in places),
        # A box has no surroundings to compare, and what takes the place of a part is where that is.
        coloured=sum(coloured and place.warp is not None and place.layout != "at" for place in places),
        lit=sum(place.lit for place in places),
        **room_of(requests).model_dump(),
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
