"""The demo's texture: grained leather, and what goes wrong with it.

Neither the material nor its defects occur in the training scenes.
"""

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.procedural.defects.flaw import flatten, paint, polish, raise_by
from anogen_core.procedural.defects.outlines import Spot, blob, centred_walk, ribbon, taper
from anogen_core.procedural.fields import Field, Shape, blur, cells, fractal_noise, smooth_noise, step, warp
from anogen_core.procedural.light import Camera, Light, light_up, photograph, uneven_light
from anogen_core.procedural.surfaces.surface import Surface, make_surface, shade_colour

SHAPE: Shape = (256, 256)
"""Frame in pixels."""


def photograph_leather(rng: np.random.Generator, defect: str | None) -> tuple[Image, Mask]:
    """Return a photo of a new piece of leather and the mask of its defect: "burn", "scar" or None."""
    surface = _grain_leather(rng)
    mask = np.zeros(SHAPE, bool)
    if defect is not None:
        surface, share = {"burn": _burn, "scar": _scar}[defect](rng, surface)
        mask = share > 0.3
    lamp = Light(
        azimuth=float(rng.normal(-2.0, 0.1)), elevation=0.72, ambient=0.35, shine=0.16, focus=10,
        hot_spot=(float(rng.normal(0.2, 0.1)), float(rng.normal(0.3, 0.1))),
    )  # fmt: skip
    camera = Camera(
        exposure=float(rng.uniform(0.8, 0.92)), contrast=1.05, gamma=1.0, vignette=0.25,
        blur=float(rng.uniform(0.45, 0.65)), noise=0.01, quality=None, grey=False,
    )  # fmt: skip
    lit = light_up(surface, lamp) * uneven_light(rng, SHAPE, strength=0.12)[..., None]
    return photograph(lit, camera, rng), mask


def _grain_leather(rng: np.random.Generator) -> Surface:
    """Return leather: pebbles of two sizes between creases, long soft wrinkles, hair pores."""
    pebbles = _pebbles(rng, period=float(rng.uniform(9.0, 10.0)))
    small = _pebbles(rng, period=5.0)
    wrinkles = 1 - np.abs(fractal_noise(rng, SHAPE, period=(34, 60), octaves=3))
    creases = np.clip(wrinkles - 0.72, 0, 1) * 2.2
    pores = step(smooth_noise(rng, SHAPE, period=2.2) - 2.1, softness=0.6)
    relief = 0.75 * pebbles + 0.25 * small - 0.5 * creases
    clouds = fractal_noise(rng, SHAPE, period=80, octaves=4)
    brown = np.array([0.50, 0.27, 0.14]) * rng.uniform(0.94, 1.06) * (1 + rng.normal(0, 0.015, 3))
    bright = 0.66 + 0.42 * relief + 0.025 * clouds - 0.25 * pores
    height = 3.0 * relief - 1.2 * pores + 0.4 * clouds
    colour = shade_colour(brown, np.clip(bright, 0.1, 2).astype(np.float32))
    return make_surface(colour, blur(height.astype(np.float32), 0.5), gloss=(0.25 + 0.35 * relief).astype(np.float32))


def _pebbles(rng: np.random.Generator, *, period: float) -> Field:
    """Return round-backed cells, 0 in the creases between them and 1 on their backs, each of its own height."""
    parts = cells(rng, SHAPE, period=period)
    backs = rng.uniform(0.75, 1.1, len(parts.seeds)).astype(np.float32)[parts.labels]
    dome = np.sqrt(np.clip(blur(parts.border, 0.7) / np.float32(period * 0.36), 0, 1)) * backs
    return warp(blur(dome, 0.6), rng, amount=period * 0.22, period=period * 1.7)


def _spot(rng: np.random.Generator, low: float, high: float) -> Spot:
    """Return a place that leaves a margin to the frame, and an extent between two."""
    return Spot(float(rng.uniform(40, 216)), float(rng.uniform(40, 216)), float(rng.uniform(low, high)))


def _burn(rng: np.random.Generator, surface: Surface) -> tuple[Surface, Field]:
    """Return the leather touched by something hot: a charred blistered middle, a scorched rim, the grain shrunken."""
    spot = _spot(rng, 30, 62)
    softness = spot.extent * 0.4
    share = blob(rng, SHAPE, spot, ragged=0.35, longish=1.7, softness=softness)
    inner = np.clip(share * 2.6 - 1.5 + 0.25 * fractal_noise(rng, SHAPE, period=6, octaves=3), 0, 1)
    blisters = fractal_noise(rng, SHAPE, period=7, octaves=3, roughness=0.6)
    scorch = surface.colour * np.array([0.5, 0.38, 0.32], np.float32)
    char = shade_colour(np.array([0.055, 0.045, 0.04]), np.clip(1 + 0.4 * blisters, 0.2, 2.5))
    burnt = paint(paint(surface, np.clip(share * 1.2, 0, 0.95), scorch), inner, char)
    burnt = raise_by(flatten(burnt, inner * np.float32(0.8)), inner * (1.1 * blisters - 1.0) - 1.5 * share)
    return polish(burnt, inner, 0.55), np.maximum(inner, share * np.float32(0.62))


def _scar(rng: np.random.Generator, surface: Surface) -> tuple[Surface, Field]:
    """Return the leather of an animal that was hurt: a pale raised seam without grain, drawn together at its sides."""
    spot = _spot(rng, 48, 105)
    path = centred_walk(rng, spot, wobble=rng.uniform(0.25, 0.8))
    width = rng.uniform(5.0, 9.0)
    swell = 1 + 0.25 * np.interp(np.linspace(0, 1, len(path)), np.linspace(0, 1, 8), rng.normal(0, 1, 8))
    widths = taper(len(path), width=width, sharp=0.45) * np.clip(swell, 0.5, 1.6)
    seam = blur(ribbon(SHAPE, path, widths), 1.1)
    pulled = np.clip(blur(ribbon(SHAPE, path, widths * 2.1), 2.0) - seam, 0, 1)
    folds = fractal_noise(rng, SHAPE, period=5, octaves=3, roughness=0.8)
    tissue = np.array([0.68, 0.43, 0.29]) * rng.uniform(0.95, 1.05)
    pale = shade_colour(tissue, 1 + 0.1 * folds)
    healed = paint(
        paint(surface, pulled * np.float32(0.45), surface.colour * np.float32(0.6)), seam * np.float32(0.8), pale
    )
    relief = 3.2 * blur(seam, 1.6) - 1.5 * pulled + 0.5 * folds * seam
    healed = raise_by(flatten(healed, seam), relief.astype(np.float32))
    return polish(healed, seam, 0.6), seam
