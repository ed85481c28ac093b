"""Metal: brushed, ground in streaks, cast, ribbed, painted."""

import numpy as np

from anogen_core.procedural.fields import (
    Field,
    Shape,
    blur,
    coordinates,
    fractal_noise,
    log_uniform,
    smooth_noise,
    step,
    wave,
)
from anogen_core.procedural.surfaces.surface import Surface, make_surface, mix, pick_colour, shade_colour


def _metal_colour(rng: np.random.Generator) -> np.ndarray:
    """Return steel, aluminium or, now and then, brass."""
    if rng.random() < 0.25:
        return pick_colour(rng, hue=(28, 50), colourful=0.5, value=(0.3, 0.7))
    return pick_colour(rng, hue=(190, 250), colourful=0.12, value=(0.15, 0.75))


def _streaks(rng: np.random.Generator, shape: Shape) -> Field:
    """Return lines along the rows of unit spread: fine, some broad, a few strong, fading along their length."""
    length = log_uniform(rng, 30, 400)
    fine = smooth_noise(rng, shape, period=(1.0, length)) + 0.7 * smooth_noise(rng, shape, period=(2.3, length * 1.5))
    broad = smooth_noise(rng, shape, period=(rng.uniform(6, 25), length * 3))
    strong = np.maximum(np.abs(smooth_noise(rng, shape, period=(1.4, length * 2))) - 1.9, 0)
    grains = smooth_noise(rng, shape, period=(1.0, rng.uniform(1.5, 8)))
    lines = fine + rng.uniform(0.2, 1.2) * broad + rng.uniform(0, 2) * strong + rng.uniform(0.1, 0.9) * grains
    return np.asarray(lines / lines.std(), np.float32)


def brushed_metal(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return metal with parallel grinding lines, and broad bands where the light catches it."""
    lines = _streaks(rng, shape)
    clouds = fractal_noise(rng, shape, period=(rng.uniform(30, 120), rng.uniform(60, 250)), octaves=3)
    bright = 1 + rng.uniform(0.04, 0.2) * lines + rng.uniform(0.02, 0.16) * clouds
    glitter = np.clip(lines - rng.uniform(1.2, 2.4), 0, None) * rng.uniform(0, 0.5)
    colour = shade_colour(_metal_colour(rng), bright + glitter)
    return make_surface(colour, lines * rng.uniform(0.02, 0.18), gloss=rng.uniform(0.1, 0.7))


def ribbed_metal(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return metal with parallel ribs or thread flanks: bright lands, dark grooves, lines along them."""
    rows, columns = coordinates(shape)
    period = log_uniform(rng, 14, 90)
    bend = rng.normal(0, 0.0012) * (columns - shape[1] / 2) ** 2 / period
    phase = rows / period + bend + 0.02 * smooth_noise(rng, shape, period=60)
    profile = wave(phase.astype(np.float32), sharpness=rng.uniform(0, 0.5))
    profile = profile + rng.uniform(0, 0.4) * wave(2 * phase.astype(np.float32) + np.float32(rng.random()))
    lines = _streaks(rng, shape)
    dirt = fractal_noise(rng, shape, period=(rng.uniform(4, 20), rng.uniform(40, 150)), octaves=4)
    depth = rng.uniform(0.1, 0.45)
    bright = 1 + depth * profile + rng.uniform(0.04, 0.12) * lines + rng.uniform(0.03, 0.15) * dirt
    height = profile * period * rng.uniform(0.03, 0.13) + lines * rng.uniform(0.02, 0.1)
    return make_surface(shade_colour(_metal_colour(rng), bright), height, gloss=rng.uniform(0.1, 0.6))


def cast_metal(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return the grainy skin of a casting, sometimes shot-blasted, sometimes smooth and dark."""
    grain = fractal_noise(rng, shape, period=log_uniform(rng, 1.5, 9), octaves=3, roughness=rng.uniform(0.4, 0.9))
    clouds = fractal_noise(rng, shape, period=rng.uniform(30, 120), octaves=4)
    bright = 1 + rng.uniform(0.02, 0.14) * grain + rng.uniform(0.03, 0.14) * clouds
    height = grain * log_uniform(rng, 0.05, 0.7) + clouds * rng.uniform(0, 1.5)
    return make_surface(shade_colour(_metal_colour(rng) * 0.8, bright), height, gloss=rng.uniform(0.05, 0.45))


def painted_metal(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return lacquered sheet: even colour, orange peel, a gloss, sometimes metallic flakes."""
    peel = fractal_noise(rng, shape, period=log_uniform(rng, 4, 18), octaves=2)
    flakes = rng.standard_normal(shape, dtype=np.float32) if rng.random() < 0.4 else np.zeros(shape, np.float32)
    clouds = fractal_noise(rng, shape, period=rng.uniform(60, 200), octaves=2)
    bright = 1 + 0.02 * peel + rng.uniform(0.03, 0.12) * blur(flakes, 0.4) + rng.uniform(0.01, 0.06) * clouds
    colour = pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0, 0.9), value=(0.08, 0.9))
    return make_surface(shade_colour(colour, bright), peel * rng.uniform(0.02, 0.35), gloss=rng.uniform(0.3, 1))


def hot_rolled_metal(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return rolled strip: a dull skin with scale in blotches drawn out along the rolling direction."""
    stretch = rng.uniform(1.5, 8)
    period = log_uniform(rng, 6, 40)
    scale = fractal_noise(rng, shape, period=(period, period * stretch), octaves=5, roughness=0.6)
    share = step(scale - rng.uniform(-0.5, 1), softness=rng.uniform(0.3, 2.5))
    grain = fractal_noise(rng, shape, period=(1.5, 1.5 * stretch), octaves=2)
    base = _metal_colour(rng)
    colour = mix(shade_colour(base, 1 + 0.06 * grain), base * rng.uniform(0.55, 1.3), share * rng.uniform(0.2, 0.8))
    return make_surface(colour, grain * 0.15 + share * rng.uniform(-0.6, 0.6), gloss=rng.uniform(0.05, 0.4))
