"""Support photos as inversion sees them: latents, masks and what lies around the defect, computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from anogen_core.arrays import Image, LatentMask, Latents, Mask, Surroundings
from anogen_core.diffusion.crop import (
    CropSettings,
    choose_crop,
    fill_canvas,
    middle_of,
    to_canvas,
    to_latent_mask,
)
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.morphology import dilate


@dataclass(frozen=True)
class Views:
    """Everything about the support photos that does not depend on the embedding, computed once."""

    latents: Latents
    masks: LatentMask
    """1 on cells under any anomalous pixel: where the loss counts."""
    surroundings: Surroundings | None
    """What the model is shown as it will be when it paints into a mask: the photo with its defect filled in."""


def encode_views(
    support: Sequence[tuple[Image, Mask]],
    model: DiffusionModel,
    *,
    zooms: Sequence[float],
    crop: CropSettings,
) -> Views:
    """Return latents and latent masks of every support photo at every zoom, and of their horizontal flips.

    Args:
        support: Photos (H, W, 3) with their masks (H, W).
        model: The frozen base model.
        zooms: Sides of the views in units of the square that generation would use.
        crop: How large that square is.
    """
    side = crop.canvas or model.resolution
    cells = side // model.factor
    latents, masks, surroundings = [], [], []
    for image, mask in support:
        for factor in zooms:
            scaled = crop.model_copy(
                update={"context": crop.context * factor, "min_cells": max(1, round(crop.min_cells / factor))}
            )
            square = choose_crop(middle_of(mask), mask.shape, cells, side, scaled)
            canvas, grid = _with_flip(to_canvas(image, square, side)), _with_flip(to_latent_mask(mask, square, cells))
            place = _with_flip(to_latent_mask(_widened(mask), square, cells))
            damaged = to_latent_mask(mask, square, side)[0, 0].numpy() > 0
            restored = _with_flip(fill_canvas(canvas[:1], damaged))
            latents.append(model.encode(canvas))
            masks.append(grid)
            surroundings.append(model.surroundings(restored, place))
    seen = [around for around in surroundings if around is not None]
    return Views(torch.cat(latents), torch.cat(masks).to(model.device), torch.cat(seen) if seen else None)


def _with_flip(array: torch.Tensor) -> torch.Tensor:
    return torch.cat([array, array.flip(-1)])


def _widened(mask: Mask) -> Mask:
    """Return the mask with a margin of one pixel, as generation asks for it."""
    return dilate(mask, 1, disc=True)
