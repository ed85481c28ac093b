"""Contact sheets that show what a model has learned: words sampled from noise, and painted into normal crops."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image as Picture
from torch.nn import functional

from anogen_core.arrays import ImageBatch, Latents
from anogen_core.pretraining.networks import LATENT_CELL, encode
from anogen_core.seeding import torch_generator


@torch.no_grad()
def sample_prompts(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    *,
    size: int = 64,
    guidance_scale: float = 4,
    seed: int = 0,
) -> ImageBatch:
    """Return one image in [-1, 1] per prompt, sampled from noise alone in 20 steps."""
    images = pipeline(
        list(prompts),
        height=size,
        width=size,
        num_inference_steps=20,
        guidance_scale=guidance_scale,
        generator=torch_generator(seed),
        output_type="pt",
    ).images
    return images * 2 - 1


@torch.no_grad()
def paint_prompts(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    images: ImageBatch,
    masks: torch.Tensor,
    *,
    guidance_scale: float = 4,
    seed: int = 0,
) -> ImageBatch:
    """Return images whose masked part (B,1,H,W; 1 inside) is sampled for the prompts and whose rest is kept."""
    clean = encode(pipeline.vae, images)
    inside = functional.max_pool2d(masks, LATENT_CELL)
    generator = torch_generator(seed)
    noise = torch.randn(clean.shape, generator=generator)

    def keep_background(pipe: Any, index: int, _: int, tensors: dict[str, Latents]) -> dict[str, Latents]:
        remaining = pipe.scheduler.timesteps[index + 1 :]
        background = pipe.scheduler.add_noise(clean, noise, remaining[:1]) if len(remaining) else clean
        return {"latents": inside * tensors["latents"] + (1 - inside) * background}

    painted = pipeline(
        list(prompts),
        height=images.shape[-2],
        width=images.shape[-1],
        num_inference_steps=20,
        guidance_scale=guidance_scale,
        latents=noise,
        callback_on_step_end=keep_background,
        output_type="pt",
    ).images
    return masks * (painted * 2 - 1) + (1 - masks) * images


def save_sheet(images: ImageBatch, path: Path, *, columns: int, zoom: int = 2) -> None:
    """Write images in [-1, 1] as one PNG, row by row."""
    tiles = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    rows = [np.concatenate(list(tiles[start : start + columns]), axis=1) for start in range(0, len(tiles), columns)]
    sheet = np.concatenate(rows)
    Picture.fromarray(cv2.resize(sheet, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)).save(path)
