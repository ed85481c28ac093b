"""Soft and moulded things: plastic, rubber, foam, paper, cardboard, film."""

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


def plastic(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return moulded plastic: spark-eroded grain, or smooth with faint flow lines."""
    grain = blur(rng.standard_normal(shape, dtype=np.float32), rng.uniform(0.6, 1.8))
    grain = grain / grain.std()
    flow = fractal_noise(rng, shape, period=(rng.uniform(15, 60), rng.uniform(60, 250)), octaves=2)
    base = pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0, 0.9), value=(0.06, 0.95))
    bright = 1 + rng.uniform(0.005, 0.05) * grain + rng.uniform(0.01, 0.06) * flow
    height = grain * log_uniform(rng, 0.02, 0.4) + flow * rng.uniform(0, 0.4)
    return make_surface(shade_colour(base, bright), height, gloss=rng.uniform(0.1, 0.8))


def rubber(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return rubber: dark and dull, plain, ribbed or studded."""
    dust = fractal_noise(rng, shape, period=log_uniform(rng, 2, 12), octaves=3, roughness=0.7)
    rows, columns = coordinates(shape)
    period = log_uniform(rng, 8, 40)
    kind = rng.integers(3)
    relief = np.zeros(shape, np.float32)
    if kind == 1:
        relief = wave(rows / np.float32(period), sharpness=rng.uniform(0, 0.6))
    elif kind == 2:
        relief = np.clip(wave(rows / np.float32(period)) * wave(columns / np.float32(period)) * 2, -0.2, 1)
    base = pick_colour(rng, hue=(0, 360), colourful=rng.choice([0.05, 0.1, 0.7]), value=(0.05, 0.4))
    bright = 1 + rng.uniform(0.02, 0.12) * dust + 0.15 * relief
    return make_surface(shade_colour(base, bright), relief * period * 0.06 + 0.1 * dust, gloss=rng.uniform(0, 0.3))


def foam(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return open foam or sponge: cells with thin walls and dark insides."""
    bubbles = cells(rng, shape, period=log_uniform(rng, 4, 16))
    openness = rng.random(len(bubbles.seeds), dtype=np.float32)[bubbles.labels]
    hollow = np.clip(bubbles.border * rng.uniform(0.15, 0.4), 0, 1) * openness
    hollow = blur(hollow.astype(np.float32), 0.6)
    base = pick_colour(rng, hue=(0, 360), colourful=0.5, value=(0.25, 0.95))
    bright = 1.05 - rng.uniform(0.3, 0.7) * hollow + 0.04 * smooth_noise(rng, shape, period=2)
    return make_surface(shade_colour(base, bright), -3 * hollow, gloss=0.0)


def paper(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return paper or nonwoven: fine flocks of fibre, white to brown, hardly any relief."""
    flocks = fractal_noise(rng, shape, period=log_uniform(rng, 3, 16), octaves=3, roughness=0.7)
    hairs = smooth_noise(rng, shape, period=(1.2, 9)) + smooth_noise(rng, shape, period=(9, 1.2))
    base = pick_colour(rng, hue=(15, 60), colourful=rng.uniform(0.02, 0.45), value=(0.55, 0.97))
    bright = 1 + rng.uniform(0.01, 0.06) * flocks + rng.uniform(0.01, 0.04) * hairs
    return make_surface(shade_colour(base, bright), hairs * rng.uniform(0.02, 0.2), gloss=0.0)


def cardboard(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return corrugated board: brown, the flutes showing through as faint stripes."""
    rows, _ = coordinates(shape)
    flutes = wave(rows / np.float32(log_uniform(rng, 10, 30)) + 0.03 * smooth_noise(rng, shape, period=50))
    flocks = fractal_noise(rng, shape, period=(2, log_uniform(rng, 4, 20)), octaves=3, roughness=0.7)
    specks = step(smooth_noise(rng, shape, period=(1.3, 4)) - 2.6, softness=0.4)
    base = pick_colour(rng, hue=(22, 38), colourful=0.6, value=(0.45, 0.8))
    bright = 1 + rng.uniform(0.01, 0.06) * flutes + rng.uniform(0.02, 0.07) * flocks - 0.3 * specks
    return make_surface(shade_colour(base, bright), flutes * rng.uniform(0.1, 0.7) + 0.05 * flocks, gloss=0.0)


def film(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return coated web, film or foil: even, with faint coating lines and waves that shine."""
    waves = fractal_noise(rng, shape, period=(rng.uniform(80, 250), rng.uniform(30, 120)), octaves=2)
    lines = smooth_noise(rng, shape, period=(400, rng.uniform(1.5, 8)))
    grain = rng.standard_normal(shape, dtype=np.float32)
    base = pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0, 0.4), value=(0.1, 0.9))
    bright = 1 + rng.uniform(0.01, 0.08) * waves + rng.uniform(0, 0.03) * lines + rng.uniform(0, 0.03) * grain
    colour = mix(shade_colour(base, bright), base * 1.1, np.clip(waves * 0.1, 0, 1))
    return make_surface(colour, waves * rng.uniform(0.2, 2.0), gloss=rng.uniform(0.2, 0.9))
