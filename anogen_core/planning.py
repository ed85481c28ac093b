"""Decide what will be made before any model is loaded: normal photo, placement and seed of every request."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import PositiveInt

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import CropSettings, bounding_box, choose_crop, require_cells
from anogen_core.errors import MaskPlacementError, ThinMaskError
from anogen_core.masks import MaskSamplerSettings
from anogen_core.masks.duplicates import SAME_PLACE, TakenPlaces, are_near
from anogen_core.masks.foreground import ForegroundSettings
from anogen_core.masks.material import Materials
from anogen_core.masks.product import Product
from anogen_core.masks.regions import Ground, Grounds, find_region
from anogen_core.masks.rim import RimSampler, fill_specks
from anogen_core.masks.sampler import MaskSampler, Segmented, render, union_of
from anogen_core.quality.contrast import ContrastSettings, draw_contrast, support_contrast
from anogen_core.records import Box, GenerationRequest, Instance, Placement, Sample
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.settings import Settings

PLANNING_VERSION = 23
"""Raised by hand when a change here changes a plan."""

_REDRAWS = 20
"""Places drawn until one is not taken."""
_PHOTOS = 20
"""Photos tried where not each has a place for a kind of defect."""
_TOUCHES = 8
"""Times that defects of one image may touch before it gets other places."""
_Seen = tuple[Ground, Image | None]  # the photo itself only where places depend on it


class PlanSettings(Settings):
    """Everything that decides a plan, beside the data."""

    images_per_defect: int
    """Requests for each defect."""
    mask_sampler: MaskSamplerSettings
    """Shape and size of masks."""
    foreground: ForegroundSettings
    """Where masks may lie."""
    crop: CropSettings
    """The square around a mask must fit the frame and give the mask enough latent cells."""
    canvas: PositiveInt
    """Side in pixels of the canvas that a square is zoomed to."""
    cells: PositiveInt
    """Latent cells along one side of the canvas."""
    shown: bool
    """Whether transplanted defects are shown at full resolution before the model paints: then none is too thin."""
    contrast: ContrastSettings = ContrastSettings()
    """How strongly defects stand out."""
    instances: tuple[int, int] = (1, 1)
    """Fewest and most defects of one image."""


@dataclass(frozen=True)
class DefectPlanner:
    """Chooses place, contrast and noise of the requests of one defect; the same for the same ids and seed."""

    category: str
    defect: str
    sampler: MaskSampler
    contrasts: Sequence[float | None]
    """Of each support photo; None where it cannot be told."""
    settings: PlanSettings
    grounds: Grounds
    """The normal photos, and where defects may lie on one."""
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
        grounds: Grounds,
        seed: int,
    ) -> "DefectPlanner":
        """Return a planner that takes sizes, outlines and contrasts from support photos and masks in the frame."""
        masks, shown, product = [mask for _, mask in support], [], grounds.product
        if settings.foreground.like_support:
            shown = [
                Segmented(photo, fill_specks(find_region(photo, product, category, defect, drawn=False), mask))
                for photo, mask in support
            ]
        typical = product.typical if shown else ()
        normals = [Segmented(grounds.load(seen), grounds.of(seen, defect).product) for seen in typical]
        sampler: MaskSampler = settings.mask_sampler.build(masks, shown, normals)
        if shown:
            materials = Materials.learn(list(zip(shown, masks, strict=True)), normals)
            rims = [(mask, seen.foreground) for mask, seen in zip(masks, shown, strict=True)]
            sampler = RimSampler(sampler, rims, materials)
        contrasts = [support_contrast(*pair) for pair in support]
        return cls(category, defect, sampler, contrasts, settings, grounds, seed)

    def plan(
        self, normals: Sequence[Sample], *, first: int, on_request: Callable[[], None] | None = None
    ) -> list[GenerationRequest]:
        """Return the defect's requests; it walks through its own seeded permutation of the normal photos.

        Args:
            normals: Normal photos, in a fixed order.
            first: Index of the first request in the plan of the dataset.
            on_request: Called after each request.
        """
        order = numpy_generator(derive_seed(self.seed, "normals", self.category, self.defect)).permutation(len(normals))
        asked, requests = self.settings.images_per_defect, dict[int, GenerationRequest]()
        taken: dict[int, TakenPlaces] = defaultdict(TakenPlaces)

        def request(number: int, photo: int, seen: _Seen) -> GenerationRequest:
            name, normal = f"{self.defect}-{number:06d}", normals[photo]
            return self._request(first + number, name, normal, replaces=None, seen=seen, taken=taken[photo])

        # All of a photo together: it is read once.
        for place, photo in enumerate(order[:asked].tolist()):
            seen = self._see(normals[photo])
            for number in range(place, asked, len(normals)):
                requests[number] = request(number, photo, seen)
                if on_request is not None:
                    on_request()
        for number in range(asked) if self.sampler.insists else ():
            for other in range(1, min(len(normals), _PHOTOS)):
                if requests[number].instances:
                    break
                photo = int(order[(number + other) % len(normals)])
                requests[number] = request(number, photo, self._see(normals[photo]))
        return [requests[number] for number in range(asked)]

    def replace(self, request: GenerationRequest, attempt: int) -> GenerationRequest:
        """Return the request that is made in the place of a filtered one: same photo, another place, other noise.

        Args:
            request: The request of the plan, or its last replacement.
            attempt: 1 for the first replacement.
        """
        first = request.request_id.split("-replacement-")[0]
        return self._request(
            request.index,
            f"{first}-replacement-{attempt}",
            request.normal,
            replaces=request.request_id,
            seen=self._see(request.normal),
            taken=TakenPlaces(),
        )

    def _see(self, normal: Sample) -> _Seen:
        return self.grounds.of(normal, self.defect), self.grounds.load(normal) if self.sampler.looks else None

    def _request(
        self, index: int, request_id: str, normal: Sample, *, replaces: str | None, seen: _Seen, taken: TakenPlaces
    ) -> GenerationRequest:
        placements, blocked = self._place(request_id, seen, taken)
        seed = derive_seed(self.seed, "noise", self.category, request_id)
        return GenerationRequest(
            index=index,
            request_id=request_id,
            replaces=replaces,
            category=self.category,
            defect=self.defect,
            normal=normal,
            instances=tuple(
                Instance(
                    placement=placement,
                    contrast=self._contrast(request_id, placement, number),
                    seed=derive_seed(seed, "instance", number) if number else seed,
                )
                for number, placement in enumerate(placements)
            ),
            blocked=blocked,
            seed=seed,
        )

    def _contrast(self, request_id: str, placement: Placement, number: int) -> float | None:
        """Return how strongly a defect stands out: small defects are often faint ones, so it follows their source.

        What takes the place of a part stands out from that as the part does: more or less of it would let that through.
        """
        if placement.layout == "at":
            return None
        supports = list(self.contrasts) if placement.source is None else [self.contrasts[placement.source]]
        return draw_contrast(supports, self.settings.contrast, self._rng("contrast", request_id, number))

    def _place(self, request_id: str, seen: _Seen, taken: TakenPlaces) -> tuple[Sequence[Placement], str | None]:
        """Return the places of a request's defects, which are taken then, or none and why."""
        ground, photo = seen
        rng = self._rng("mask", request_id)
        fewest, most = self.settings.instances
        wanted = int(self._rng("instances", request_id).integers(fewest, most + 1)) if most > 1 else 1
        problem: MaskPlacementError | None = None
        try:
            for tried in range(_REDRAWS):
                if tried == _REDRAWS // 2 and not self.sampler.insists:
                    photo = None  # all places that look alike are taken
                placements, short = self._draw(ground, photo, rng, wanted)
                if len(placements) < fewest:
                    problem = short
                    continue
                mask = union_of(placements, ground.foreground.shape)
                if not taken.hold(mask):
                    taken.add(placements, mask)
                    return placements, None
        except MaskPlacementError as error:
            return (), str(error)
        if isinstance(problem, ThinMaskError):
            return (), str(problem)
        if problem is not None:
            return (), f"no room for {fewest} defects: {problem}; lower `generation.instances` or `mask_sampler` sizes"
        return (), (
            f"near-duplicate: {_REDRAWS} drawn places were all taken by the {len(taken)} earlier images of this defect "
            f"on the same photo (overlap above {SAME_PLACE:.0%}); give more normal photos, lower "
            "`generation.images_per_defect`, or widen `mask_sampler`"
        )

    def _draw(
        self, ground: Ground, photo: Image | None, rng: np.random.Generator, wanted: int
    ) -> tuple[list[Placement], MaskPlacementError | None]:
        """Return places of up to `wanted` defects whose boxes keep a gap, and why there are fewer than that.

        Raises:
            MaskPlacementError: there is no place for the first one, wherever it is looked for.
        """
        placements: list[Placement] = []
        boxes: list[Box] = []
        touching = MaskPlacementError("the boxes of two defects touch")
        for tried in range(wanted + _TOUCHES):
            look = photo if tried < wanted + _TOUCHES // 2 or self.sampler.insists else None
            try:
                placement = self.sampler.sample(ground.foreground, rng, ground.product, look)
                box = self._box(placement, ground.foreground.shape)
            except MaskPlacementError as error:
                if not placements and not isinstance(error, ThinMaskError):
                    raise
                return placements, error
            if any(are_near(box, other) for other in boxes):
                continue
            placements.append(placement)
            boxes.append(box)
            if len(placements) == wanted:
                return placements, None
        return placements, touching

    def _box(self, placement: Placement, frame: tuple[int, int]) -> Box:
        """Return the bounding box of a defect that a square holds and that covers enough of the latent grid."""
        mask, plan = render(placement, frame), self.settings
        box, grid = bounding_box(mask), (plan.cells, plan.canvas, plan.crop)
        require_cells(mask, choose_crop(box, frame, *grid), *grid, thin=plan.shown and placement.warp is not None)
        return box

    def _rng(self, purpose: str, request_id: str, number: int = 0) -> np.random.Generator:
        further = (number,) if number else ()
        return numpy_generator(derive_seed(self.seed, purpose, self.category, request_id, *further))


def plan_requests(
    normals: Sequence[Sample],
    support: Mapping[str, Sequence[tuple[Image, Mask]]],
    settings: PlanSettings,
    *,
    product: Product,
    load: Callable[[Sample], Image],
    seed: int,
    on_request: Callable[[], None] | None = None,
    on_planner: Callable[[DefectPlanner], None] | None = None,
) -> list[GenerationRequest]:
    """Return every request of one category, blocked ones included, in a fixed order.

    Normal photos are used evenly, but for those without a place, and no two images of a defect have nearly the same
    mask on the same photo.

    Args:
        normals: Normal photos of the category.
        support: Support photos and their masks in the frame, for each defect.
        settings: Counts, sizes and places.
        product: How the product is found on a photo.
        load: Returns a photo in the frame.
        seed: The run's seed.
        on_request: Called after each request.
        on_planner: Given the planner of each defect.
    """
    ordered = sorted(normals, key=lambda sample: sample.sample_id)
    requests: list[GenerationRequest] = []
    category, (height, width, _) = ordered[0].category, load(ordered[0]).shape
    grounds = Grounds(product, category, (height, width), load)
    for defect in sorted(support):
        planner = DefectPlanner.learn(category, defect, support[defect], settings, grounds=grounds, seed=seed)
        if on_planner is not None:
            on_planner(planner)
        requests += planner.plan(ordered, first=len(requests), on_request=on_request)
    return requests
