"""Long thin defects: scratch, crack, cut, thread, fold."""

import cv2
import numpy as np

from anogen_core.procedural.defects.flaw import (
    Flawed,
    colour_under,
    darker,
    foreign,
    lighter,
    other,
    paint,
    polish,
    raise_by,
)
from anogen_core.procedural.defects.outlines import Spot, centred_walk, ribbon, taper, walk
from anogen_core.procedural.fields import Field, blur, smooth_noise
from anogen_core.procedural.surfaces.surface import Surface


def scratch(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return one or a few nearly straight fine grooves, bright or dark, that come and go along their length."""
    count = int(rng.choice([1, 1, 1, 2, 3, 5]))
    lines = np.zeros(surface.shape, np.float32)
    heading, wobble = rng.uniform(0, 2 * np.pi), rng.choice([0.05, 0.15, 0.5])
    for _ in range(count):
        aim = heading + rng.normal(0, 0.08)
        path = walk(rng, (0.0, 0.0), heading=aim, length=spot.extent * rng.uniform(0.6, 1), wobble=wobble)
        path += (
            np.array([spot.column, spot.row]) - path.mean(axis=0) + rng.normal(0, 0.07 * spot.extent, 2) * (count > 1)
        )
        width = rng.uniform(0.6, 2.2)
        lines = np.maximum(lines, ribbon(surface.shape, path, taper(len(path), width=width, sharp=0.4)))
    gaps = np.clip(1 + rng.uniform(0, 0.7) * smooth_noise(rng, surface.shape, period=max(spot.extent / 5, 4)), 0, 1)
    share = lines * gaps * np.float32(rng.uniform(0.6, 1))
    under = colour_under(surface, lines)
    colour = lighter(rng, under) if rng.random() < 0.6 and under.mean() < 0.75 else darker(rng, under)
    grooved = raise_by(paint(surface, share, colour), -np.float32(rng.uniform(0.3, 2)) * blur(share, 0.6))
    return Flawed(polish(grooved, share, 0.6), lines * (gaps > 0.25))


def crack(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a dark jagged line with changing width, often branched, with slightly lifted banks."""
    path = centred_walk(rng, spot, wobble=rng.uniform(0.2, 1.1), jag=rng.uniform(0.1, 0.55))
    width = float(np.clip(spot.extent * rng.uniform(0.006, 0.035), 0.8, 4.5))
    jitter = np.exp(rng.normal(0, 0.3, len(path)))
    lines = ribbon(surface.shape, path, taper(len(path), width=width, sharp=rng.uniform(0.2, 0.8)) * jitter + 0.3)
    for _ in range(int(rng.choice([0, 0, 1, 2, 4]))):
        start = int(rng.integers(1, len(path) - 1))
        ahead = path[start + 1] - path[start - 1]
        heading = np.arctan2(ahead[1], ahead[0]) + rng.choice([-1, 1]) * rng.uniform(0.3, 1.1)
        length = spot.extent * rng.uniform(0.12, 0.4)
        branch = walk(rng, tuple(path[start]), heading=heading, length=length, wobble=0.5, jag=0.4)
        thin = np.linspace(width * 0.7, 0.5, len(branch))
        lines = np.maximum(lines, ribbon(surface.shape, branch, thin))
    dark = darker(rng, colour_under(surface, lines), most=0.4)
    banks = blur(lines, 2.0) * np.float32(rng.uniform(-0.5, 1.2))
    opened = raise_by(paint(surface, lines * np.float32(rng.uniform(0.7, 1)), dark), banks - blur(lines, 0.6) * 2)
    return Flawed(polish(opened, lines, 0.0), lines)


def cut(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a clean slit: pointed ends, dark inside, one lip in the light."""
    path = centred_walk(rng, spot, wobble=rng.uniform(0.02, 0.35))
    width = float(np.clip(spot.extent * rng.uniform(0.04, 0.16), 1.2, 12))
    slit = ribbon(surface.shape, path, taper(len(path), width=width, sharp=1.0))
    lips = np.clip(ribbon(surface.shape, path, taper(len(path), width=width * 2 + 2, sharp=0.8)) - slit, 0, 1)
    under = colour_under(surface, slit)
    opened = paint(surface, lips * np.float32(rng.uniform(0, 0.6)), lighter(rng, under))
    opened = paint(opened, slit, darker(rng, under, most=0.35))
    relief = blur(lips, 1.0) * np.float32(rng.uniform(0.3, 2)) - blur(slit, 1.0) * np.float32(rng.uniform(1, 4))
    return Flawed(polish(raise_by(opened, relief), slit, 0.0), np.maximum(slit, lips))


def thread(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a fibre or wire that lies in loops on the surface and throws a shadow."""
    path = centred_walk(rng, spot, wobble=rng.uniform(0.8, 4.5))
    width = rng.uniform(0.8, 3.2)
    fibre = ribbon(surface.shape, path, width)
    offset = rng.normal(0, 1.2, 2)
    shift = np.array([[1, 0, offset[0]], [0, 1, offset[1]]])
    shadow = blur(cv2.warpAffine(fibre, shift, fibre.shape[::-1]), 0.8)
    under = colour_under(surface, fibre)
    shaded = paint(surface, np.clip(shadow - fibre, 0, 1) * np.float32(rng.uniform(0.2, 0.7)), under * np.float32(0.3))
    laid = raise_by(paint(shaded, fibre, foreign(rng, under)), blur(fibre, 0.7) * np.float32(width * 0.8))
    return Flawed(polish(laid, fibre, rng.uniform(0, 0.6)), fibre)


def fold(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a crease or wrinkles: ridges with a lit and a shaded side, no change of colour but in the very fold."""
    ridges = np.zeros(surface.shape, np.float32)
    band: Field = np.zeros(surface.shape, np.float32)
    heading = rng.uniform(0, 2 * np.pi)
    width = float(np.clip(spot.extent * rng.uniform(0.04, 0.13), 1.5, 9))
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        path = walk(
            rng, (0.0, 0.0), heading=heading + rng.normal(0, 0.3), length=spot.extent, wobble=rng.uniform(0.1, 1)
        )
        path += np.array([spot.column, spot.row]) - path.mean(axis=0) + rng.normal(0, 0.1 * spot.extent, 2)
        line = ribbon(surface.shape, path, taper(len(path), width=width, sharp=0.8))
        ridges += blur(line, width * 0.45) * np.float32(rng.choice([-1, 1]) * rng.uniform(0.5, 1.1) * width)
        band = np.maximum(band, ribbon(surface.shape, path, taper(len(path), width=width * 1.6, sharp=0.8)))
    core = np.clip(np.abs(ridges) / (np.abs(ridges).max() + 1e-6) * 3 - 2, 0, 1)
    creased = paint(surface, core * np.float32(rng.uniform(0, 0.5)), other(rng, colour_under(surface, band)))
    return Flawed(raise_by(creased, ridges), band)
