"""Grown and loose things: wood, granular food, baked food."""

import numpy as np

from anogen_core.procedural.fields import (
    Shape,
    blur,
    cells,
    coordinates,
    fractal_noise,
    log_uniform,
    smooth_noise,
    step,
    wave,
)
from anogen_core.procedural.surfaces.surface import Surface, make_surface, mix, pick_colour, shade_colour


def wood(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return planed wood: year rings cut lengthwise, pores along the grain, sometimes a knot."""
    rows, columns = coordinates(shape)
    ring = log_uniform(rng, 5, 40)
    offset = rows / ring + rng.uniform(0.3, 2) * fractal_noise(rng, shape, period=(50, 260), octaves=3)
    if rng.random() < 0.3:
        away = np.hypot((rows - rng.uniform(0, shape[0])) * 2, columns - rng.uniform(0, shape[1]))
        offset = offset + rng.uniform(1, 4) * np.exp(-away / rng.uniform(15, 40))
    saw = (offset % 1).astype(np.float32)
    rings = blur(saw**2, 0.8)
    pores = smooth_noise(rng, shape, period=(1.1, log_uniform(rng, 12, 60)))
    dark = np.clip(pores - rng.uniform(0.8, 1.8), 0, 2)
    light = pick_colour(rng, hue=(20, 42), colourful=0.65, value=(0.35, 0.88))
    late = light * np.array([0.72, 0.62, 0.52], np.float32)
    colour = mix(shade_colour(light, 1 + 0.04 * pores), late, rings * rng.uniform(0.2, 0.8))
    colour = colour * (1 - 0.2 * dark)[..., None]
    return make_surface(colour, -0.3 * dark + 0.1 * pores, gloss=rng.uniform(0, 0.35))


def granular_food(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return grains, seeds or beans lying close together: each an egg with its own direction and shade."""
    period = log_uniform(rng, 6, 28)
    grains = cells(rng, shape, period=period)
    rows, columns = coordinates(shape)
    count = len(grains.seeds)
    down = rows - grains.seeds[:, 0][grains.labels]
    right = columns - grains.seeds[:, 1][grains.labels]
    turn = rng.uniform(0, np.pi, count).astype(np.float32)
    cosine, sine = np.cos(turn)[grains.labels], np.sin(turn)[grains.labels]
    stretch = rng.uniform(1, 2.2)
    along = (cosine * right + sine * down) / np.float32(period * 0.62 * np.sqrt(stretch))
    across = (cosine * down - sine * right) / np.float32(period * 0.62 / np.sqrt(stretch))
    dome = np.sqrt(np.clip(1 - along**2 - across**2, 0, 1))
    shades = rng.normal(1, rng.uniform(0.04, 0.2), count).astype(np.float32)[grains.labels]
    skin = fractal_noise(rng, shape, period=max(period / 4, 1.5), octaves=2)
    base = pick_colour(rng, hue=(10, 60), colourful=0.75, value=(0.25, 0.9))
    bright = blur((rng.uniform(0.05, 0.3) + 0.8 * np.minimum(dome * 1.5, 1)) * shades, 0.6) + 0.04 * skin
    return make_surface(shade_colour(base, bright), blur(dome * period * 0.25, 0.8), gloss=rng.uniform(0, 0.4))


def baked_food(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return crust or crumb: browned clouds, bubbles, crumbs."""
    clouds = fractal_noise(rng, shape, period=log_uniform(rng, 15, 70), octaves=5, roughness=0.65)
    crumb = fractal_noise(rng, shape, period=log_uniform(rng, 2, 7), octaves=2, roughness=0.8)
    bubbles = step(smooth_noise(rng, shape, period=rng.uniform(5, 14)) - rng.uniform(1.2, 2.2), softness=1)
    light = pick_colour(rng, hue=(25, 45), colourful=0.7, value=(0.6, 0.92))
    brown = light * np.array([0.6, 0.45, 0.3], np.float32)
    colour = mix(light, brown, np.clip(0.4 + 0.3 * clouds, 0, 1)) * (1 + 0.07 * crumb - 0.3 * bubbles)[..., None]
    return make_surface(colour, clouds * 1.2 + crumb * 0.4 - 2 * bubbles, gloss=rng.uniform(0, 0.2))


def pressed_powder(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return the face of a pill, chalk or pressed cake: pale, finely grained, specked, sometimes scored."""
    grain = fractal_noise(rng, shape, period=log_uniform(rng, 1.2, 4), octaves=2, roughness=0.8)
    specks = step(smooth_noise(rng, shape, period=rng.uniform(2, 6)) - rng.uniform(1.8, 2.8), softness=0.6)
    rows, _ = coordinates(shape)
    score = np.clip(wave(rows / np.float32(shape[0] * 0.9)) - 0.97, 0, 1) * 30 * float(rng.random() < 0.3)
    base = pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0.02, 0.5), value=(0.6, 0.97))
    other = pick_colour(rng, hue=(0, 360), colourful=0.7, value=(0.2, 0.9))
    bright = 1 + rng.uniform(0.01, 0.06) * grain
    colour = mix(shade_colour(base, bright.astype(np.float32)), other, specks * np.float32(rng.uniform(0, 0.7)))
    return make_surface(colour, grain * rng.uniform(0.05, 0.4) - 3 * score.astype(np.float32), gloss=0.05)
