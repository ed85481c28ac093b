"""Batches for training: normal photos, painted anomalies and generated ones, mixed by the settings' shares.

The batch of a step is a function of the seed, the step and the data; it does not depend on the steps before it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anogen_core.arrays import ImageBatch
from anogen_core.baselines.textures import load_textures, rotate
from anogen_core.detectors import DetectorSettings
from anogen_core.detectors.detector import TrainingBatch
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.seeding import derive_seed, torch_generator

_FEWEST = 2
"""Samples of a step; batch statistics need two."""
_STRIDE = 32
"""Sides are multiples of it, as networks halve photos five times."""


@final
class BatchSampler:
    """Draws the batches of one training."""

    def __init__(self, settings: DetectorSettings, data: TrainingSet, *, seed: int, device: torch.device) -> None:
        self.settings = settings
        self.seed = seed
        self.device = device
        self._synthesis = settings.synthesis.build()
        directory = settings.synthesis.texture_directory
        count = 0 if data.generated is None else len(data.generated)
        self._origins = np.full(count, -1) if data.origins is None else data.origins
        self._weak = np.full(count, settings.supervision == "box") if data.weak is None else data.weak
        self.data = replace(data, weak=None if data.generated is None else self._weak).resized(settings.image_size)
        self._textures = self.data.normals if directory is None else load_textures(directory, settings.image_size)

    def batch(self, step: int) -> TrainingBatch:
        """Return the samples of a step, counted from 0."""
        settings, (side, size) = self.settings, self._view(step)
        generator = torch_generator(derive_seed(self.seed, "step", step))
        shares = torch.rand(3, size, 1, 1, 1, generator=generator)
        angles = math.pi / 2 * (2 * torch.rand(size, generator=generator) - 1)
        angles = torch.where(shares[0].flatten() < settings.rotate_share, angles, 0.0)
        as_normal = (shares[1] < settings.normal_share).to(self.device)
        painted = self._painted(side, angles, generator)
        batch = _choose(as_normal, _without_anomaly(painted), painted)
        if self.data.generated is None or self.data.masks is None:
            return replace(batch, step=step)
        rows = torch.randint(len(self.data.generated), (size,), generator=generator).numpy()
        squares = self._squares(side, rows, self.data.masks, generator)
        generated = self._generated(self.data.generated, self.data.masks, rows=rows, squares=squares, angles=angles)
        from_generated = (shares[2] < settings.generated_share).to(self.device)
        return replace(_choose(from_generated & ~as_normal, generated, batch), step=step)

    def _view(self, step: int) -> tuple[int, int]:
        """Return the side of the squares that a step looks at and their number: as many pixels as in any other step."""
        settings = self.settings
        whole, crop, size = settings.image_size, settings.crop_size, settings.batch_size
        if crop is None or crop >= whole:
            return whole, size
        chance = torch.rand((), generator=torch_generator(derive_seed(self.seed, "whole", step)))
        if chance >= settings.wide_share:
            return crop, size
        largest = int(crop * math.sqrt(size / _FEWEST)) // _STRIDE * _STRIDE
        side = min(whole, largest)
        return side, max(_FEWEST, round(size * (crop / side) ** 2))

    def _painted(self, side: int, angles: Tensor, generator: torch.Generator) -> TrainingBatch:
        """Return normal photos with Perlin + texture anomalies and exact masks."""
        rows = torch.randint(len(self.data.normals), angles.shape, generator=generator).numpy()
        squares = self._squares(side, rows, None, generator)
        normals = _turn(self._on_device(squares.cut(self.data.normals, rows)), angles)
        rows = torch.randint(len(self._textures), angles.shape, generator=generator).numpy()
        textures = self._on_device(squares.cut(self._textures, rows))
        images, mask = self._synthesis.paint(normals, textures, generator=generator)
        exact = torch.zeros(len(angles), 1, 1, 1, device=self.device)
        return TrainingBatch(images, normals, torch.ones_like(mask), mask, exact)

    def _generated(
        self,
        photos: NDArray[Any],
        masks: NDArray[Any],
        *,
        rows: NDArray[Any],
        squares: "_Squares",
        angles: Tensor,
    ) -> TrainingBatch:
        """Return generated photos with their labels; the target is the photo's origin where it is known."""
        origins = self._origins[rows]
        images = self._on_device(squares.cut(photos, rows))
        mask = torch.from_numpy(squares.cut(masks, rows) != 0).to(self.device, torch.float32)[:, None]
        has_origin = _column(origins >= 0, self.device)
        target = torch.where(has_origin, self._on_device(squares.cut(self.data.normals, origins)), images)
        turned = _turn(torch.cat((images, target, mask), dim=1), angles)
        images, target, mask = turned[:, :3], turned[:, 3:6], (turned[:, 6:] > 0.5).float()
        known = torch.where(has_origin, torch.ones_like(mask), 1 - mask)
        return TrainingBatch(images, target, known, mask, _column(self._weak[rows], self.device).float())

    def _squares(
        self, crop: int, rows: NDArray[Any], masks: NDArray[Any] | None, generator: torch.Generator
    ) -> "_Squares":
        """Return which square of each photo is learned from: one that holds a random anomalous pixel of its mask."""
        side = self.settings.image_size
        if crop == side:
            return _Squares(np.zeros((len(rows), 2), np.int64), side)
        chances = torch.rand(3, len(rows), generator=generator).double().numpy()
        first, last = np.zeros((len(rows), 2), np.int64), np.full((len(rows), 2), side - crop)
        for index, mask in enumerate([] if masks is None else masks[rows]):
            anomalous = np.argwhere(mask)
            pixel = anomalous[int(chances[2, index] * len(anomalous))]
            first[index], last[index] = np.maximum(first[index], pixel - crop + 1), np.minimum(last[index], pixel)
        corners = first + np.floor(chances[:2].T * (last - first + 1)).astype(np.int64)
        return _Squares(corners, crop)

    def _on_device(self, photos: NDArray[Any]) -> ImageBatch:
        """Return uint8 (B, H, W, 3) as [0, 1] (B, 3, H, W)."""
        return torch.from_numpy(photos).to(self.device).permute(0, 3, 1, 2).contiguous().float() / 255


@dataclass(frozen=True)
class _Squares:
    """One square of each photo of a batch."""

    corners: NDArray[np.int64]
    """(B, 2): top and left."""
    side: int

    def cut(self, photos: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        """Return the squares (B, side, side, ...) of photos (N, H, W, ...) in these rows."""
        if photos.shape[1:3] == (self.side, self.side):
            return photos[rows]
        found = zip(rows, self.corners, strict=True)
        return np.stack([photos[row, y : y + self.side, x : x + self.side] for row, (y, x) in found])


def _turn(images: Tensor, angles: Tensor) -> Tensor:
    """Return the images rotated by their angles; those with angle 0 stay as they are, bit for bit."""
    turned = angles.nonzero().flatten()
    if len(turned) == 0:
        return images
    return images.index_copy(0, turned.to(images.device), rotate(images[turned], angles[turned].to(images.device)))


def _column(flags: NDArray[np.bool_], device: torch.device) -> Tensor:
    """Return (B,) as (B, 1, 1, 1)."""
    return torch.from_numpy(flags).to(device)[:, None, None, None]


def _without_anomaly(batch: TrainingBatch) -> TrainingBatch:
    none = torch.zeros_like(batch.mask)
    return TrainingBatch(batch.target, batch.target, batch.target_known, none, batch.weakly_labelled)


def _choose(condition: Tensor, yes: TrainingBatch, no: TrainingBatch) -> TrainingBatch:
    """Return the samples of `yes` where the condition (B, 1, 1, 1) holds, else those of `no`."""
    return TrainingBatch(
        images=torch.where(condition, yes.images, no.images),
        target=torch.where(condition, yes.target, no.target),
        target_known=torch.where(condition, yes.target_known, no.target_known),
        mask=torch.where(condition, yes.mask, no.mask),
        weakly_labelled=torch.where(condition, yes.weakly_labelled, no.weakly_labelled),
    )
