"""Textures to paint anomalies with: images of a directory, procedural patterns, and strong changes of either.

Random parameters are drawn on the CPU; pixels are computed for the whole batch on the device of the images.
"""

import math
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from anogen_core.arrays import ImageBatch
from anogen_core.baselines.perlin_noise import MAX_CELLS, perlin_noise
from anogen_core.data.files import IMAGE_SUFFIXES
from anogen_core.errors import InputError

_CHANGES_PER_SAMPLE = 3
_GREY_AXIS = torch.full((3, 3), 1 / 3)
_GREY_CROSS = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)


def load_textures(directory: str, size: int) -> NDArray[np.uint8]:
    """Return all images under a directory as RGB squares, uint8 (T, size, size, 3), in the order of their paths.

    Raises:
        InputError: there is no image, or one cannot be read.
    """
    paths = sorted(path for path in Path(directory).rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"texture_directory {directory!r} holds no png, jpg, bmp or tif image. Name another or None.")
    return np.stack([_read_texture(path, size) for path in paths])


def procedural_textures(like: ImageBatch, generator: torch.Generator) -> ImageBatch:
    """Return one two-coloured pattern per sample, of the shape of `like`: from stripes to blobs to speckle."""
    batch, _, size, _ = like.shape
    scales = torch.randint(4, MAX_CELLS + 1, (batch, 2), generator=generator)
    noise = perlin_noise(scales, size, generator=generator, device=like.device)
    angle, frequency, warp, share, gain = torch.rand(5, batch, 1, 1, 1, generator=generator).to(like.device)
    axis = torch.linspace(0, 1, size, device=like.device)
    ramp = torch.cos(math.pi * angle) * axis[None, None, :, None] + torch.sin(math.pi * angle) * axis
    stripes = torch.sin(2 * math.pi * ((2 + 30 * frequency) * ramp + 2 * warp * noise))
    value = torch.sigmoid((1 + 9 * gain) * torch.lerp(2 * noise, stripes, share))
    colours = torch.rand(2, batch, 3, 1, 1, generator=generator).to(like.device)
    return torch.lerp(colours[0], colours[1], value)


def alter_textures(textures: ImageBatch, generator: torch.Generator) -> ImageBatch:
    """Return textures in [0, 1] after three different random changes of eight per sample (as in DRAEM, section 3.3)."""
    changes = (_gamma, _brightness, _hue, _solarise, _posterise, _invert, _stretch_contrast, _turn)
    ranks = torch.rand(len(textures), len(changes), generator=generator).argsort(dim=1)
    for number, change in enumerate(changes):
        amounts = torch.rand(3, len(textures), 1, 1, generator=generator).to(textures.device)
        chosen = (ranks[:, number] < _CHANGES_PER_SAMPLE).to(textures.device)
        changed = change(textures, amounts).clamp(0, 1)
        textures = torch.where(chosen.view(-1, 1, 1, 1), changed, textures)
    return textures


def rotate(images: Tensor, angle: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Return images (B, C, H, W) turned about their centres by angles (B,) in radians; edges are reflected."""
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack((cosine, -sine, zero, sine, cosine, zero), dim=1).view(-1, 2, 3).to(images)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode="reflection", align_corners=False)


def _read_texture(path: Path, size: int) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError(f"The texture {str(path)!r} cannot be read as an image. Remove or replace the file.")
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _gamma(images: Tensor, amounts: Tensor) -> Tensor:
    """Raise each channel to its own exponent between 1/2 and 2."""
    return images.clamp(min=1e-4) ** (4 ** (amounts.permute(1, 0, 2, 3) - 0.5))


def _brightness(images: Tensor, amounts: Tensor) -> Tensor:
    factor, offset = 0.8 + 0.4 * amounts[0], 0.12 * (2 * amounts[1] - 1)
    return images * factor[:, None] + offset[:, None]


def _hue(images: Tensor, amounts: Tensor) -> Tensor:
    """Turn the colours about the grey axis by up to 70 degrees and scale the saturation (Rodrigues' formula)."""
    angle = math.radians(70) * (2 * amounts[0] - 1)
    grey, cross = _GREY_AXIS.to(images), _GREY_CROSS.to(images)
    saturation = 0.5 + amounts[1]
    colour = angle.cos() * (torch.eye(3).to(images) - grey) + angle.sin() * cross
    return torch.einsum("bij,bjhw->bihw", grey + saturation * colour, images)


def _solarise(images: Tensor, amounts: Tensor) -> Tensor:
    threshold = (0.125 + 0.375 * amounts[0])[:, None]
    return torch.where(images > threshold, 1 - images, images)


def _posterise(images: Tensor, amounts: Tensor) -> Tensor:
    """Keep 2 to 8 levels per channel."""
    levels = (2 + (6.99 * amounts[0]).floor())[:, None]
    return (images * (levels - 1)).round() / (levels - 1)


def _invert(images: Tensor, amounts: Tensor) -> Tensor:
    del amounts
    return 1 - images


def _stretch_contrast(images: Tensor, amounts: Tensor) -> Tensor:
    del amounts
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    return (images - low) / (high - low).clamp(min=1e-4)


def _turn(images: Tensor, amounts: Tensor) -> Tensor:
    return rotate(images, math.pi / 4 * (2 * amounts[0].flatten() - 1))
