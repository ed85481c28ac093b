"""Stone-like things: concrete, stone, ceramic, tile, glass."""

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
)
from anogen_core.procedural.surfaces.surface import Surface, make_surface, mix, pick_colour, shade_colour


def concrete(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return cement skin: clouds, sand, small pores."""
    clouds = fractal_noise(rng, shape, period=rng.uniform(25, 110), octaves=5, roughness=0.6)
    sand = fractal_noise(rng, shape, period=log_uniform(rng, 1.2, 4), octaves=2, roughness=0.8)
    pores = step(smooth_noise(rng, shape, period=rng.uniform(3, 7)) - rng.uniform(2.2, 3.2), softness=0.5)
    base = pick_colour(rng, hue=(20, 60), colourful=0.18, value=(0.3, 0.8))
    bright = 1 + rng.uniform(0.04, 0.13) * clouds + rng.uniform(0.02, 0.1) * sand - 0.45 * pores
    return make_surface(shade_colour(base, bright), sand * rng.uniform(0.1, 0.5) - 2 * pores, gloss=0.0)


def stone(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return granite or marble: crystals of a few colours, or veins through clouds."""
    base = pick_colour(rng, hue=(0, 360), colourful=0.25, value=(0.25, 0.9))
    if rng.random() < 0.5:
        crystals = cells(rng, shape, period=log_uniform(rng, 3, 12))
        shades = rng.normal(1, rng.uniform(0.1, 0.35), len(crystals.seeds)).astype(np.float32)[crystals.labels]
        bright = blur(shades * (0.85 + 0.15 * np.clip(crystals.border, 0, 1)), 0.7)
        return make_surface(shade_colour(base, bright), blur(shades, 1) * 0.3, gloss=rng.uniform(0.1, 0.6))
    clouds = fractal_noise(rng, shape, period=rng.uniform(50, 160), octaves=5, roughness=0.55)
    veins = np.exp(-np.abs(clouds) * rng.uniform(4, 14))
    fine = fractal_noise(rng, shape, period=3, octaves=2)
    other = pick_colour(rng, hue=(0, 360), colourful=0.3, value=(0.1, 0.9))
    colour = mix(
        shade_colour(base, 1 + 0.06 * clouds + 0.03 * fine), other, (veins * rng.uniform(0.3, 0.8)).astype(np.float32)
    )
    return make_surface(colour, fine * 0.05, gloss=rng.uniform(0.2, 0.8))


def ceramic(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return a smooth dense body: nearly even, glazed or sintered, with faint streaks or specks."""
    clouds = fractal_noise(rng, shape, period=rng.uniform(40, 160), octaves=3)
    specks = step(smooth_noise(rng, shape, period=rng.uniform(1.2, 3)) - rng.uniform(2.4, 3.5), softness=0.4)
    grain = fractal_noise(rng, shape, period=(1.2, log_uniform(rng, 1.2, 60)), octaves=2)
    base = pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0.02, 0.3), value=(0.12, 0.95))
    bright = 1 + rng.uniform(0.01, 0.07) * clouds + rng.uniform(0.01, 0.07) * grain - rng.uniform(-0.2, 0.4) * specks
    return make_surface(shade_colour(base, bright), grain * rng.uniform(0.01, 0.12), gloss=rng.uniform(0.2, 1))


def tile(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return wall or floor tiles with joints, or one terrazzo-like printed face of speckles."""
    base = pick_colour(rng, hue=(0, 360), colourful=0.3, value=(0.3, 0.95))
    fleck = fractal_noise(rng, shape, period=log_uniform(rng, 3, 14), octaves=3, roughness=0.6)
    other = pick_colour(rng, hue=(0, 360), colourful=0.3, value=(0.05, 0.9))
    flecks = step(fleck - rng.uniform(0.3, 1.6), softness=rng.uniform(0.1, 0.8)) * rng.uniform(0.1, 0.9)
    face = mix(shade_colour(base, 1 + 0.03 * fleck), other, flecks.astype(np.float32))
    rows, columns = coordinates(shape)
    side = log_uniform(rng, 40, 160)
    aspect = rng.choice([1.0, 1.0, 2.0])
    gap_rows = np.abs((rows / side + rng.random()) % 1 - 0.5) * side
    gap_columns = np.abs((columns / (side * aspect) + rng.random()) % 1 - 0.5) * side * aspect
    joint = step((rng.uniform(0.8, 3) - np.minimum(gap_rows, gap_columns)).astype(np.float32), softness=1.5)
    joint = joint * np.float32(rng.random() < 0.7)
    mortar = pick_colour(rng, hue=(20, 60), colourful=0.1, value=(0.15, 0.9))
    gloss = np.float32(rng.uniform(0.2, 0.9)) * (1 - joint)
    return make_surface(mix(face, mortar, joint), blur(-2 * joint, 0.8) + 0.04 * fleck, gloss=gloss)


def glass(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return a clear or frosted pane or wafer: reflections that bend slowly, hardly any grain."""
    bend = fractal_noise(rng, shape, period=rng.uniform(60, 220), octaves=2)
    reflection = np.exp(-((bend - rng.uniform(-1, 1)) ** 2) * rng.uniform(1, 8))
    frost = rng.standard_normal(shape, dtype=np.float32) * np.float32(rng.uniform(0, 0.05))
    base = pick_colour(rng, hue=(140, 240), colourful=0.25, value=(0.12, 0.85))
    bright = 1 + rng.uniform(0.03, 0.3) * reflection + 0.03 * bend + frost
    return make_surface(
        shade_colour(base, bright.astype(np.float32)), bend * rng.uniform(0, 0.8), gloss=rng.uniform(0.6, 1)
    )
