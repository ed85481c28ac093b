"""Batches of crops from a corpus, cut and relit on the device that trains: a GPU would wait for a CPU that does it."""

from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from anogen_core.arrays import ImageBatch
from anogen_core.pretraining.corpus import Corpus
from anogen_core.pretraining.looks import describe_looks
from anogen_core.procedural.scene import DEFECTS, MATERIALS, PHOTO_MATERIAL

CORPUS_MATERIALS: Final = (*MATERIALS, PHOTO_MATERIAL)
"""What `CropBatch.materials` counts."""
_SMALLEST: Final = 32
"""Side of the smallest window in pixels of a scene."""
_FINER: Final = 2
"""Samples along a pixel of a crop, which are averaged: windows are larger than crops, mostly."""
_VISIBLE: Final = 0.004
"""Share of a crop that a defect must cover to be told of."""


@dataclass(frozen=True)
class CropBatch:
    """Crops in [-1, 1], the same without a defect, the masks of their defects at that size, and what they show."""

    scenes: Int[Tensor, " B"]
    images: ImageBatch
    flawless: ImageBatch
    filled: ImageBatch
    """The crops with their defects filled in from around."""
    masks: Float[Tensor, "B 1 H W"]
    """Share of each pixel that is anomalous."""
    materials: Int[Tensor, " B"]
    """Places in `CORPUS_MATERIALS`."""
    defects: Int[Tensor, " B"]
    """Places in `DEFECTS`; -1 where none is to be seen."""
    looks: Int[Tensor, "B 4"]
    """See `describe_looks`."""


@final
class Crops:
    """The scenes of a corpus on a device, from which crops are cut."""

    def __init__(self, corpus: Corpus, device: torch.device) -> None:
        self.device = device
        self._photos = [self._load(photos) for photos in (corpus.images, corpus.flawless, corpus.filled)]
        self._masks = self._load(corpus.masks)
        self._materials = torch.tensor([CORPUS_MATERIALS.index(name) for name in corpus.materials], device=device)
        self._defects = torch.tensor(
            [-1 if name is None else DEFECTS.index(name) for name in corpus.defects], device=device
        )

    def draw(
        self, generator: torch.Generator, *, count: int, size: int, scenes: Int[Tensor, " B"] | None = None
    ) -> CropBatch:
        """Return `count` random crops of `size` pixels, turned, mirrored and relit.

        Args:
            generator: Source of all choices, on the device of the crops.
            count: Number of crops.
            size: Side in pixels.
            scenes: The scenes to cut from; any when left out.
        """
        if scenes is None:
            scenes = torch.randint(len(self._masks), (count,), generator=generator, device=self.device)
        masks = self._masks[scenes]
        grid = _turned(_choose_windows(masks, generator), size * _FINER, generator)
        pixels = torch.cat([photos[scenes] for photos in self._photos], dim=3).permute(0, 3, 1, 2).float() / 255
        shown = _relight(_sample(pixels, grid, "bicubic").view(-1, 3, 3, size, size), generator)
        covered = _sample(masks[:, None].float(), grid, "bilinear")
        visible = covered.sum((1, 2, 3)) >= _VISIBLE * size * size
        images, flawless, filled = (shown[:, place] * 2 - 1 for place in range(3))
        return CropBatch(
            scenes=scenes,
            images=images,
            flawless=flawless,
            filled=filled,
            masks=covered,
            materials=self._materials[scenes],
            defects=torch.where(visible, self._defects[scenes], -1),
            looks=torch.where(visible[:, None], describe_looks(shown[:, 0], covered), -1),
        )

    def _load(self, array: UInt8[object, "..."]) -> UInt8[Tensor, "..."]:
        return torch.from_numpy(array).to(self.device)


def _choose_windows(masks: UInt8[Tensor, "B S S"], generator: torch.Generator) -> Float[Tensor, "B 3"]:
    """Return left, top and side of squares: mostly where the defect fills a good part, else anywhere."""
    count, length = masks.shape[:2]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator, device=masks.device) * (high - low) + low

    places = torch.arange(length, device=masks.device)
    # (B, 2, S): whether the defect touches each column, and each row.
    touched = torch.stack([masks.amax(1), masks.amax(2)], dim=1) > 0
    first = torch.where(touched, places, length).amin(2)
    last = torch.where(touched, places, -1).amax(2)
    area = masks.sum((1, 2), dtype=torch.float32).clamp_min(1)
    middle = torch.stack([(masks.sum(axis, dtype=torch.float32) * places).sum(1) / area for axis in (1, 2)], dim=1)
    chances = torch.rand((count, length * length), generator=generator, device=masks.device) * masks.flatten(1)
    pixel = chances.argmax(1)
    anchor = torch.stack([pixel % length, pixel // length], dim=1)
    near = (uniform(0, 1) < 0.85) & touched.any((1, 2))

    extent = (last - first).amax(1) + 1
    side = (extent * uniform(0.9, 3.2)).clamp(_SMALLEST, length)
    anywhere = _SMALLEST * (length / _SMALLEST) ** uniform(0, 1)
    side = torch.where(near, side, anywhere)[:, None]
    centre = anchor * 0.4 + middle * 0.6 + uniform(-0.2, 0.2, 2) * side
    corner = torch.minimum((centre - side / 2).clamp_min(0), length - side)
    corner = torch.where(near[:, None], corner, uniform(0, 1, 2) * (length - side))
    return torch.cat([corner, side], dim=1) / length


def _turned(windows: Float[Tensor, "B 3"], size: int, generator: torch.Generator) -> Float[Tensor, "B s s 2"]:
    """Return where to sample windows (left, top, side; shares of the scene) in one of a square's eight symmetries."""
    device = windows.device
    steps = (torch.arange(size, device=device) + 0.5) / size
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    square = torch.stack([columns, rows], dim=2)
    mirrors = torch.randint(2, (len(windows), 1, 1, 2), generator=generator, device=device).bool()
    swaps = torch.randint(2, (len(windows), 1, 1, 1), generator=generator, device=device).bool()
    turned = torch.where(mirrors, 1 - square, square)
    turned = torch.where(swaps, turned.flip(3), turned)
    return (windows[:, None, None, :2] + turned * windows[:, None, None, 2:]) * 2 - 1


def _sample(
    pictures: Float[Tensor, "B C S S"], grid: Float[Tensor, "B s s 2"], mode: Literal["bilinear", "bicubic"]
) -> Float[Tensor, "B C h h"]:
    sampled = functional.grid_sample(pictures, grid, mode=mode, padding_mode="border", align_corners=False)
    return functional.avg_pool2d(sampled, _FINER)


def _relight(images: Float[Tensor, "B 3 3 s s"], generator: torch.Generator) -> Float[Tensor, "B 3 3 s s"]:
    """Vary colour, exposure and contrast as cameras do, of each (image, flawless, filled) alike; some turn grey."""
    count, device = len(images), images.device

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        drawn = torch.rand((count, 1, channels, 1, 1), generator=generator, device=device)
        return drawn * (high - low) + low

    grey, tinted = uniform(0, 1) < 0.2, uniform(0, 1) < 0.5
    tint = torch.where(tinted, uniform(0.6, 1.3, 3), 1.0)
    images = torch.where(grey, images.mean(2, keepdim=True).expand_as(images), images * tint)
    mean = images[:, 1:2].mean((2, 3, 4), keepdim=True)
    images = (images - mean) * uniform(0.75, 1.2) + mean + uniform(-0.08, 0.08)
    return images.clamp(0, 1) ** uniform(0.8, 1.25)
