"""Support defects pasted where generated ones are, or would be: the photos of the arm `cutpaste`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.baselines.cut_paste import paste_defect, paste_outline
from anogen_core.config import RunConfig
from anogen_core.diffusion.crop import cut
from anogen_core.masks.sampler import Region, draw_region, regions
from anogen_core.records import SupportSet
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.stages.catalogue import Category
from anogen_core.stages.embedding import load_support
from anogen_core.stages.places import Places, Spot


def paste_supports(
    config: RunConfig, category: Category, places: Iterable[Places]
) -> Iterator[tuple[Places, Image, Mask]]:
    """Yield places, photo and label (H, W) of each image: its normal photo with support defects at its places.

    Where an outline was taken from a support photo, its defect is moved, turned and scaled as the outline was. A box or
    a blob has a defect of the support photo that its size was taken from, of any where it was taken from none.
    """
    supports = {s.defect: _Support.load(s, config) for s in category.supports}
    normals = {sample.sample_id: sample for sample in category.normals}
    for place in places:
        rng = numpy_generator(derive_seed(config.draw_seed, "cutpaste", category.name, place.request_id))
        image = category.load(normals[place.normal_id])
        label = np.zeros(category.frame, bool)
        for spot in place.spots:
            image, where = supports[place.defect].paste(image, place.mask, spot, rng)
            label |= where
        yield place, image, label


@dataclass(frozen=True)
class _Support:
    """The support photos of one defect."""

    shown: dict[str, tuple[Image, Mask]]
    """Photo and mask by id."""
    regions: list[Region]
    """Of all of them, in their order."""

    @classmethod
    def load(cls, support: SupportSet, config: RunConfig) -> "_Support":
        pairs = load_support(support, config)
        return cls(
            dict(zip((s.sample_id for s in support.samples), pairs, strict=True)), regions([mask for _, mask in pairs])
        )

    def paste(self, normal: Image, placed: Mask, spot: Spot, rng: np.random.Generator) -> tuple[Image, Mask]:
        """Return a photo with the defect of one place pasted on it, and the pixels pasted.

        Args:
            normal: (H, W, 3) photo to paste on.
            placed: (H, W), True at all places of the image.
            spot: The place.
            rng: Decides what the place leaves open.
        """
        if spot.source is not None and spot.warp is not None:
            outline = np.zeros_like(placed)
            cut(outline, spot.box)[:] = cut(placed, spot.box)
            return paste_outline(normal, outline, *self.shown[spot.source], spot.warp)
        ids = list(self.shown)
        region = draw_region([r for r in self.regions if spot.source in (None, ids[r.photo])], rng)
        photo, mask = self.shown[ids[region.photo]]
        return paste_defect(normal, spot.box, photo, region.within(mask.shape), rng=rng)
