"""Support defects pasted where a dataset has generated ones: the photos of the arm `cutpaste`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.baselines.cut_paste import paste_defect, paste_outline
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image
from anogen_core.diffusion.crop import cut
from anogen_core.errors import InputError
from anogen_core.masks.sampler import Region, draw_region, regions
from anogen_core.records import Box, MadeInstance, SupportSet
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.stages.catalogue import Category
from anogen_core.stages.embedding import load_support
from anogen_core.storage import Dataset


def paste_supports(config: RunConfig, category: Category, stored: Dataset) -> Iterator[tuple[Image, Mask]]:
    """Yield photo and label (H, W) for each image of a dataset: its normal photo with support defects at its places.

    Where an outline was taken from a support photo, its defect is moved, turned and scaled as the outline was. A box or
    a blob has a defect of the support photo that its size was taken from, of any where it was taken from none.

    Raises:
        InputError: the ledger lacks a place, or names a support photo that is none of this run.
    """
    supports = {s.defect: _Support.load(s, config) for s in category.supports}
    normals = {sample.sample_id: sample for sample in category.normals}
    for index, row in enumerate(stored.made()):
        if not row.boxes:
            raise InputError(f"{row.request_id}: was made without a place; the dataset's ledger is damaged.")
        rng = numpy_generator(derive_seed(config.seed, "cutpaste", category.name, row.request_id))
        image = load_image(normals[row.normal_id], category.frame, white_level=config.frame.white_level)
        placed, label = stored.box_mask(index) > 0, np.zeros(category.frame, bool)
        instances: Sequence[MadeInstance | None] = row.instances or [None]
        for box, instance in zip(row.boxes, instances, strict=True):
            if instance is not None and instance.source not in (None, *supports[row.defect].shown):
                raise InputError(
                    f"{stored.uri}: {row.request_id} came from the support photo {instance.source}, which is none of "
                    f"this run ({', '.join(supports[row.defect].shown)}). Give the photo its name back."
                )
            image, where = supports[row.defect].paste(image, placed, box, instance, rng)
            label |= where
        yield image, label


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

    def paste(
        self, normal: Image, placed: Mask, box: Box, instance: MadeInstance | None, rng: np.random.Generator
    ) -> tuple[Image, Mask]:
        """Return a photo with the defect of one place pasted on it, and the pixels pasted.

        Args:
            normal: (H, W, 3) photo to paste on.
            placed: (H, W), True at all places of the image.
            box: Bounding box of this one.
            instance: Where it came from; None in old ledgers.
            rng: Decides what the ledger does not.
        """
        source = None if instance is None else instance.source
        if instance is not None and source is not None and instance.warp is not None:
            outline = np.zeros_like(placed)
            cut(outline, box)[:] = cut(placed, box)
            return paste_outline(normal, outline, *self.shown[source], instance.warp)
        ids = list(self.shown)
        region = draw_region([r for r in self.regions if source in (None, ids[r.photo])], rng)
        photo, mask = self.shown[ids[region.photo]]
        return paste_defect(normal, box, photo, region.within(mask.shape), rng=rng)
