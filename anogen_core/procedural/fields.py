"""Random scalar fields: the raw material of every surface and defect.

All fields are float32 of shape (H, W). Lengths are in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int32

Field: TypeAlias = Float32[np.ndarray, "H W"]
"""One number per pixel."""
Colour: TypeAlias = Float32[np.ndarray, "H W 3"]
"""RGB per pixel, 0 black to 1 white."""
Shape: TypeAlias = tuple[int, int]
"""Height and width in pixels."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number between `low` and `high` whose logarithm is uniform: as often 1 to 2 as 10 to 20."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def smooth_noise(rng: np.random.Generator, shape: Shape, *, period: float | Sequence[float]) -> Field:
    """Return zero-mean noise of about unit spread whose features are `period` long (one number, or one per axis)."""
    periods = np.broadcast_to(np.asarray(period, dtype=float), 2)
    cells = [max(int(np.ceil(side / max(length, 1.0))), 1) for side, length in zip(shape, periods, strict=True)]
    grid = rng.standard_normal((cells[0] + 1, cells[1] + 1), dtype=np.float32)
    if cells[0] >= shape[0] and cells[1] >= shape[1]:
        return np.ascontiguousarray(grid[: shape[0], : shape[1]])
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC) * np.float32(1.3)


def fractal_noise(
    rng: np.random.Generator,
    shape: Shape,
    *,
    period: float | Sequence[float],
    octaves: int = 4,
    roughness: float = 0.5,
) -> Field:
    """Return noise of unit variance summed over octaves, each half as long and `roughness` times as strong."""
    periods = np.broadcast_to(np.asarray(period, dtype=float), 2)
    total = np.zeros(shape, dtype=np.float32)
    power = 0.0
    for octave in range(octaves):
        lengths = periods / 2**octave
        if octave and lengths.max() < 1:
            break
        total += np.float32(roughness**octave) * smooth_noise(rng, shape, period=lengths)
        power += roughness ** (2 * octave)
    return total / np.float32(np.sqrt(power))


def coordinates(shape: Shape) -> tuple[Field, Field]:
    """Return the row and the column of every pixel."""
    rows, columns = np.indices(shape, dtype=np.float32)
    return rows, columns


def warp(field: np.ndarray, rng: np.random.Generator, *, amount: float, period: float) -> np.ndarray:
    """Return the field displaced by smooth noise of `amount` pixels and `period` pixels long."""
    rows, columns = coordinates((field.shape[0], field.shape[1]))
    rows += np.float32(amount) * smooth_noise(rng, rows.shape, period=period)
    columns += np.float32(amount) * smooth_noise(rng, rows.shape, period=period)
    return cv2.remap(field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def blur(field: np.ndarray, sigma: float) -> np.ndarray:
    """Return the field after a Gaussian blur of `sigma` pixels; below 0.2 nothing happens."""
    return cv2.GaussianBlur(field, (0, 0), sigma) if sigma >= 0.2 else field


def step(field: Field, *, softness: float) -> Field:
    """Return 0 where the field is negative and 1 where positive, with a ramp `softness` wide between."""
    return np.clip(field / np.float32(softness) + np.float32(0.5), 0, 1)


@dataclass(frozen=True)
class Cells:
    """A partition of the frame: every pixel belongs to the seed nearest to it."""

    labels: Int32[np.ndarray, "H W"]
    """Number of each pixel's cell, from 1."""
    border: Field
    """Distance to the cell's border in pixels."""
    seeds: Float[np.ndarray, "K 2"]
    """Row and column of each cell's seed, by cell number; number 0 is unused."""


def cells(rng: np.random.Generator, shape: Shape, *, period: float) -> Cells:
    """Return a random partition into cells about `period` wide."""
    canvas = np.full(shape, 255, dtype=np.uint8)
    starts = [np.arange(period / 2, side, period) for side in shape]
    rows, columns = (axis.ravel() for axis in np.meshgrid(*starts, indexing="ij"))
    rows = np.clip(rows + rng.uniform(-0.45, 0.45, rows.size) * period, 0, shape[0] - 1).astype(int)
    columns = np.clip(columns + rng.uniform(-0.45, 0.45, columns.size) * period, 0, shape[1] - 1).astype(int)
    canvas[rows, columns] = 0
    _, labels = cv2.distanceTransformWithLabels(canvas, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    inside = np.full(shape, 255, dtype=np.uint8)
    inside[:, 1:][labels[:, 1:] != labels[:, :-1]] = 0
    inside[1:][labels[1:] != labels[:-1]] = 0
    seeds = np.zeros((int(labels.max()) + 1, 2), np.float32)
    seeds[labels[rows, columns]] = np.stack([rows, columns], axis=1)
    return Cells(labels, cv2.distanceTransform(inside, cv2.DIST_L2, 5), seeds)


def wave(phase: Field, *, sharpness: float = 0.0) -> Field:
    """Return a wave in [-1, 1] with period 1 in `phase`; `sharpness` 0 is a sine, 1 nearly a square."""
    sine = np.sin(np.float32(2 * np.pi) * phase)
    return (
        sine
        if sharpness <= 0
        else np.tanh(sine * np.float32(1 + 6 * sharpness)) / np.float32(np.tanh(1 + 6 * sharpness))
    )
