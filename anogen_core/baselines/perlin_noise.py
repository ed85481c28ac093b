"""Perlin's gradient noise for a whole batch at once (Perlin, "Improving noise", 2002)."""

import math

import torch
from torch import Tensor

from anogen_core.errors import InputError

_LATTICE = 64
"""Side of the table of gradients; a rotated frame must stay inside it."""
MAX_CELLS = 32
"""Most cells that a frame may have on a side."""


def perlin_noise(scales: Tensor, size: int, *, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return noise (B, 1, size, size) in [-1, 1], each sample rotated by up to 90 degrees and shifted at random.

    The coordinates are rotated, not the picture: there are no empty corners and no interpolation.

    Args:
        scales: number of cells along y and x of each sample, (B, 2), at most 32.
        size: side in pixels.
        generator: CPU generator; the parameters are drawn on the CPU, the pixels computed on the device.
        device: where the noise is computed.

    Raises:
        InputError: too many cells.
    """
    if int(scales.max()) > MAX_CELLS:
        raise InputError(f"perlin_noise takes at most {MAX_CELLS} cells a side, found {int(scales.max())}.")
    batch = len(scales)
    angle = (math.pi / 2 * (2 * torch.rand(batch, 1, generator=generator) - 1)).to(device)
    shift = torch.rand(2, batch, 1, generator=generator).to(device) + _LATTICE // 2
    directions = (2 * math.pi * torch.rand(batch, _LATTICE**2, generator=generator)).to(device)
    axis = (torch.arange(size, device=device) + 0.5) / size - 0.5
    y, x = axis.repeat_interleave(size), axis.repeat(size)
    cells = scales.to(device, torch.float32)
    v = (torch.cos(angle) * y + torch.sin(angle) * x) * cells[:, :1] + shift[0]
    u = (torch.cos(angle) * x - torch.sin(angle) * y) * cells[:, 1:] + shift[1]
    return _gradient_noise(u, v, directions).view(batch, 1, size, size)


def _gradient_noise(u: Tensor, v: Tensor, directions: Tensor) -> Tensor:
    """Interpolate the ramps of the four surrounding lattice points; u and v are lattice coordinates (B, pixels)."""
    column, row = u.floor(), v.floor()
    du, dv = u - column, v - row
    index = (row * _LATTICE + column).long()
    slopes_u, slopes_v = directions.cos(), directions.sin()

    def ramp(right: int, down: int) -> Tensor:
        corner = index + down * _LATTICE + right
        return slopes_u.gather(1, corner) * (du - right) + slopes_v.gather(1, corner) * (dv - down)

    fade_u, fade_v = _fade(du), _fade(dv)
    top = torch.lerp(ramp(0, 0), ramp(1, 0), fade_u)
    bottom = torch.lerp(ramp(0, 1), ramp(1, 1), fade_u)
    return math.sqrt(2) * torch.lerp(top, bottom, fade_v)


def _fade(t: Tensor) -> Tensor:
    return t**3 * (t * (6 * t - 15) + 10)
