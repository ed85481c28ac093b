"""Threads: plain weave, knit, carpet pile, wire grid."""

import numpy as np

from anogen_core.procedural.fields import (
    Field,
    Shape,
    blur,
    coordinates,
    fractal_noise,
    log_uniform,
    smooth_noise,
    warp,
    wave,
)
from anogen_core.procedural.surfaces.surface import Surface, make_surface, mix, pick_colour, shade_colour


def _cloth_colour(rng: np.random.Generator) -> np.ndarray:
    return pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0.05, 0.8), value=(0.12, 0.9))


def _wobbly_coordinates(rng: np.random.Generator, shape: Shape, period: float) -> tuple[Field, Field]:
    """Return row and column in units of `period`, unevenly spaced as threads are."""
    rows, columns = coordinates(shape)
    wobble = rng.uniform(0.03, 0.14)
    rows = rows / period + wobble * smooth_noise(rng, shape, period=(period * 2, period * 6))
    columns = columns / period + wobble * smooth_noise(rng, shape, period=(period * 6, period * 2))
    return rows.astype(np.float32), columns.astype(np.float32)


def fabric(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return plain-woven cloth: each thread passes over one and under the next."""
    period = log_uniform(rng, 3.5, 16)
    rows, columns = _wobbly_coordinates(rng, shape, period)
    across = np.abs(np.sin(np.pi * rows))
    along = np.abs(np.sin(np.pi * columns))
    over = (np.floor(rows) + np.floor(columns)) % 2
    warp_thread = across * (0.65 + 0.35 * np.abs(np.sin(np.pi * columns)))
    weft_thread = along * (0.65 + 0.35 * np.abs(np.sin(np.pi * rows)))
    relief = np.where(over > 0, warp_thread, weft_thread).astype(np.float32)
    fibres = fractal_noise(rng, shape, period=max(period / 3, 1.2), octaves=2, roughness=0.8)
    colour = _cloth_colour(rng)
    second = _cloth_colour(rng) if rng.random() < 0.3 else colour * rng.uniform(0.75, 1.15)
    bright = 0.45 + 0.65 * relief + rng.uniform(0.03, 0.12) * fibres
    threads = mix(shade_colour(colour, bright), shade_colour(second, bright), over.astype(np.float32))
    return make_surface(threads, relief * period * rng.uniform(0.05, 0.2) + 0.1 * fibres, gloss=rng.uniform(0, 0.2))


def knit(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return knitted cloth: columns of V-shaped stitches."""
    period = log_uniform(rng, 6, 22)
    rows, columns = _wobbly_coordinates(rng, shape, period)
    slant = np.abs((columns % 1) - 0.5) * 2
    relief = np.abs(np.sin(np.pi * (rows * 1.3 + slant * 0.8))) * np.sqrt(np.abs(np.sin(2 * np.pi * columns)))
    fibres = fractal_noise(rng, shape, period=max(period / 4, 1.2), octaves=2, roughness=0.8)
    bright = (0.4 + 0.7 * relief + 0.08 * fibres).astype(np.float32)
    height = (relief * period * rng.uniform(0.04, 0.16)).astype(np.float32)
    return make_surface(shade_colour(_cloth_colour(rng), bright), height, gloss=0.02)


def carpet(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return tufted pile: knots of yarn of mixed shades, no two alike."""
    period = log_uniform(rng, 2.2, 7)
    tufts = smooth_noise(rng, shape, period=period) + 0.8 * smooth_noise(rng, shape, period=period / 2)
    if rng.random() < 0.5:
        rows, _ = coordinates(shape)
        tufts = tufts + rng.uniform(0.4, 1.2) * wave(rows / np.float32(period * 2))
    tufts = warp(tufts.astype(np.float32), rng, amount=period * 0.2, period=period * 3)
    shades = smooth_noise(rng, shape, period=period * 1.3)
    bright = 1 + rng.uniform(0.12, 0.3) * tufts
    base, second = _cloth_colour(rng), _cloth_colour(rng)
    colour = mix(base, second, np.clip(0.5 + shades, 0, 1) * np.float32(rng.uniform(0.1, 0.6)))
    return make_surface(colour * bright[..., None], tufts * period * rng.uniform(0.04, 0.15), gloss=0.0)


def grid(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return a wire or moulded mesh before a plain ground."""
    period = log_uniform(rng, 10, 36)
    rows, columns = _wobbly_coordinates(rng, shape, period)
    share = rng.uniform(0.2, 0.45)
    distance = np.minimum(np.abs(rows % 1 - 0.5), np.abs(columns % 1 - 0.5)) * 2
    if rng.random() < 0.4:
        distance = np.abs(np.hypot(rows % 1 - 0.5, columns % 1 - 0.5) * 2 - 0.85)
    bars = blur(np.clip((share - distance) * period / 2 + 0.5, 0, 1).astype(np.float32), 0.5)
    profile = np.sqrt(np.clip(1 - (distance / share) ** 2, 0, 1)).astype(np.float32)
    ground = pick_colour(rng, hue=(0, 360), colourful=0.2, value=(0.05, 0.95))
    wire = pick_colour(rng, hue=(0, 360), colourful=0.25, value=(0.1, 0.9))
    bright = 0.6 + 0.45 * profile + 0.04 * fractal_noise(rng, shape, period=4, octaves=2)
    height = profile * np.float32(period * share * rng.uniform(0.1, 0.3))
    return make_surface(
        mix(shade_colour(ground, np.ones_like(bars)), shade_colour(wire, bright), bars), height, gloss=0.3
    )
