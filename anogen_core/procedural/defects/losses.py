"""Defects where matter is gone or pressed in: hole, dent, chip, missing part."""

from dataclasses import replace

import cv2
import numpy as np

from anogen_core.procedural.defects.flaw import (
    Flawed,
    colour_under,
    darker,
    flatten,
    foreign,
    lighter,
    paint,
    polish,
    raise_by,
    rough,
)
from anogen_core.procedural.defects.outlines import Spot, bite, blob, sprinkle
from anogen_core.procedural.fields import Field, blur, fractal_noise
from anogen_core.procedural.surfaces.surface import Surface, mix


def hole(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return blowholes, pores or a bored hole: dark, with a lit far rim; one, or a cluster of pits."""
    if rng.random() < 0.3:
        largest = max(spot.extent * 0.25, 2.5)
        share = sprinkle(rng, surface.shape, spot, count=int(rng.integers(3, 25)), size=(1.8, largest))
        size = largest
    else:
        size = min(spot.extent, rng.choice([12, 25, 60]))
        ragged = rng.choice([0.0, 0.25, 0.6])
        softness = rng.uniform(0.8, max(size * 0.2, 1.2))
        share = blob(rng, surface.shape, replace(spot, extent=size), ragged=ragged, longish=3.5, softness=softness)
    under = colour_under(surface, share)
    deep = blur(share, max(size * 0.08, 0.6))
    inside = darker(rng, under, most=0.5) * (1.2 - 0.5 * deep)[..., None]
    rim = np.clip(blur(share, 1.2) - share, 0, 1) * np.float32(rng.choice([0, 0.6, 1.2]))
    opened = paint(paint(surface, np.clip(rim, 0, 1), lighter(rng, under)), share, inside)
    relief = -deep * np.float32(np.clip(size * rng.uniform(0.05, 0.25), 0.5, 5))
    return Flawed(polish(raise_by(opened, relief), share, 0.0), np.maximum(share, rim * 0.6))


def dent(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a hollow or bump with unchanged colour: only its lit and shaded sides show."""
    softness = spot.extent * rng.uniform(0.25, 0.7) + 1
    share = blob(rng, surface.shape, spot, ragged=rng.choice([0, 0.2, 0.5]), longish=3, softness=softness)
    depth = np.clip(spot.extent * rng.uniform(0.1, 0.3), 0.8, 12) * rng.choice([-1, -1, 1])
    sunk = raise_by(surface, share * np.float32(depth))
    if rng.random() < 0.3:
        worn = share * np.float32(rng.uniform(0.1, 0.4))
        sunk = paint(sunk, worn, darker(rng, colour_under(surface, share)))
    return Flawed(sunk, np.asarray((share > 0.08) & (share < 2), np.float32))


def chip(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a piece broken out: a sharp border, a rough or shell-like inside, lighter or darker than the skin."""
    share = bite(rng, surface.shape, spot, ragged=rng.uniform(0.3, 1.2))
    under = colour_under(surface, share)
    relief = _fracture(rng, surface, spot)
    core = lighter(rng, under) if rng.random() < 0.45 and under.mean() < 0.7 else darker(rng, under, most=0.75)
    inside = np.clip(core * (1 + np.float32(rng.uniform(0.08, 0.3)) * relief)[..., None], 0, 1)
    strength = np.float32(np.clip(spot.extent * 0.05, 0.5, 2.5))
    broken = paint(flatten(surface, share), share * np.float32(rng.uniform(0.7, 1)), inside)
    depth = share * (
        relief * strength * np.float32(rng.uniform(0.2, 0.8)) - strength * np.float32(rng.uniform(0.5, 2.5))
    )
    edge = np.clip(blur(share, 0.8) - blur(share, 2.0), 0, 1) * np.float32(rng.choice([0, 1.5]))
    return Flawed(polish(paint(raise_by(broken, depth), np.clip(edge, 0, 1), lighter(rng, under)), share, 0.1), share)


def _fracture(rng: np.random.Generator, surface: Surface, spot: Spot) -> Field:
    """Return the relief of a fresh break: grainy, or in rings around where the blow fell."""
    grain = rough(rng, surface, period=spot.extent * rng.uniform(0.1, 0.4))
    if rng.random() < 0.6:
        return grain
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.indices(surface.shape, dtype=np.float32)
    far = np.hypot(
        rows - np.float32(spot.row + spot.extent * 0.6 * np.sin(angle)),
        columns - np.float32(spot.column + spot.extent * 0.6 * np.cos(angle)),
    )
    rings = np.sin(far / np.float32(max(spot.extent * 0.04, 1.2)) + grain)
    return np.asarray(0.7 * rings + 0.4 * grain, np.float32)


def missing_part(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a place where a piece is absent: what lies below or behind shows, with a step and its shadow."""
    if rng.random() < 0.5:
        share = bite(rng, surface.shape, spot, ragged=rng.choice([0.0, 0.4]), softness=0.8)
    else:
        share = blob(rng, surface.shape, spot, ragged=rng.choice([0.0, 0.4]), longish=2, softness=0.8)
    under = colour_under(surface, share)
    below = foreign(rng, under) if rng.random() < 0.6 else darker(rng, under, most=0.3)
    behind = 1 - surface.solid
    if behind.sum() > 100 and rng.random() < 0.8:
        below = (surface.colour * behind[..., None]).sum(axis=(0, 1)) / behind.sum()
    grain = 1 + np.float32(0.04) * fractal_noise(rng, surface.shape, period=rng.uniform(2, 12), octaves=3)
    offset = rng.normal(0, np.clip(spot.extent * 0.06, 1, 4), 2)
    shift = np.array([[1, 0, offset[0]], [0, 1, offset[1]]])
    shadow = np.clip(share - cv2.warpAffine(share, shift, share.shape[::-1]), 0, 1)
    floor = below * (grain * (1 - np.float32(0.6) * blur(shadow, 1.0)))[..., None]
    gone = paint(flatten(surface, share), share, np.clip(floor, 0, 1))
    return Flawed(
        replace(gone, gloss=mix(gone.gloss, np.zeros_like(gone.gloss), share)),
        share,
    )
