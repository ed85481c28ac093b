"""Contact sheets that show what a model in training has learned: words painted into normal crops."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image as Picture
from torch.nn import functional

from anogen_core.arrays import ImageBatch
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.sampling import SamplerSettings, sample_blended
from anogen_core.seeding import torch_generator


@torch.no_grad()
def paint_prompts(
    model: DiffusionModel,
    prompts: Sequence[str],
    images: ImageBatch,
    masks: torch.Tensor,
    *,
    seed: int = 0,
) -> ImageBatch:
    """Return images whose masked part (B,1,H,W; 1 inside) is sampled for the prompts in 20 steps; the rest is kept."""
    background = model.encode(images)
    cells = functional.max_pool2d(masks, model.factor)
    latents = sample_blended(
        model,
        background,
        cells,
        noise=torch.randn(background.shape, generator=torch_generator(seed)),
        conditioning=(model.condition([""] * len(prompts)), model.condition(list(prompts))),
        settings=SamplerSettings(num_inference_steps=20),
        surroundings=model.surroundings(images, cells, background),
    )
    return masks * model.decode(latents) + (1 - masks) * images


def save_sheet(images: ImageBatch, path: Path, *, columns: int, zoom: int = 2) -> None:
    """Write images in [-1, 1] as one PNG, row by row."""
    tiles = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    rows = [np.concatenate(list(tiles[start : start + columns]), axis=1) for start in range(0, len(tiles), columns)]
    sheet = np.concatenate(rows)
    Picture.fromarray(cv2.resize(sheet, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)).save(path)
