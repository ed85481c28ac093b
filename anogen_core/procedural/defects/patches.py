"""Defects with an area: stain, discoloration, contamination, corrosion, print fault."""

from dataclasses import replace

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
    rough,
)
from anogen_core.procedural.defects.outlines import Spot, bite, blob, centred_walk, ribbon, sprinkle, taper
from anogen_core.procedural.fields import blur, coordinates, fractal_noise, smooth_noise, step
from anogen_core.procedural.surfaces.surface import Surface, mix


def stain(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a spill that has dried: the texture shows through, the rim may be darker, drops may lie around."""
    softness = rng.choice([1.2, 2.5, max(spot.extent * 0.12, 1.5)])
    share = blob(rng, surface.shape, spot, ragged=rng.uniform(0.1, 0.9), longish=2.5, softness=softness)
    if rng.random() < 0.3:
        drops = sprinkle(rng, surface.shape, spot, count=int(rng.integers(3, 12)), size=(1.5, spot.extent * 0.15 + 2))
        share = np.maximum(share, drops)
    under = colour_under(surface, share)
    tint = other(rng, under) if rng.random() < 0.6 else foreign(rng, under)
    wet = np.clip(surface.colour * (tint / np.maximum(under, 0.03)), 0, 1)
    clouds = np.clip(1 + 0.25 * fractal_noise(rng, surface.shape, period=max(spot.extent / 4, 3)), 0, 1.3)
    rim = np.clip(share * (1 - blur(share, max(spot.extent * 0.05, 1))) * 4, 0, 1) * np.float32(rng.choice([0, 0.5, 1]))
    strength = np.clip(share * clouds * np.float32(rng.uniform(0.35, 0.95)), 0, 1)
    stained = paint(paint(surface, strength, wet), rim * np.float32(0.5), darker(rng, under))
    return Flawed(polish(stained, share, rng.uniform(0, 0.7)), share)


def discoloration(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a patch of another shade or hue with its texture unharmed, with soft borders or a burn's rings."""
    share = blob(rng, surface.shape, spot, ragged=rng.uniform(0.1, 0.7), longish=3, softness=max(spot.extent * 0.3, 2))
    under = colour_under(surface, share)
    hue = np.asarray(rng.uniform(0.55, 1.45, 3), np.float32)
    factor = hue / hue.mean() * np.float32(rng.choice([rng.uniform(0.4, 0.75), rng.uniform(1.25, 1.8)]))
    changed = np.clip(surface.colour * factor, 0, 1)
    if under.mean() > 0.75:
        changed = np.clip(surface.colour * np.minimum(factor, 0.85), 0, 1)
    rings = share
    if rng.random() < 0.3:
        rings = share * (0.65 + 0.35 * np.cos(share * rng.uniform(6, 14)))
    return Flawed(paint(surface, np.asarray(rings * rng.uniform(0.5, 1), np.float32), changed), share)


def contamination(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return foreign matter on the surface: a crumb, a drop of glue, dust, or a smear."""
    kind = int(rng.integers(4))
    if kind == 0:
        share = bite(rng, surface.shape, spot, ragged=rng.uniform(0.3, 1))
    elif kind == 1:
        share = blob(rng, surface.shape, spot, ragged=rng.uniform(0, 0.4), longish=2)
    elif kind == 2:
        largest = max(spot.extent * 0.2, 2.5)
        share = sprinkle(rng, surface.shape, spot, count=int(rng.integers(5, 60)), size=(1.2, largest))
    else:
        path = centred_walk(rng, spot, wobble=rng.uniform(0.1, 1.5))
        smear = ribbon(surface.shape, path, taper(len(path), width=max(spot.extent * 0.25, 2)))
        share = np.clip(smear * (0.8 + 0.7 * smooth_noise(rng, surface.shape, period=3)), 0, 1)
    thick = blur(share, float(np.clip(spot.extent * 0.06, 0.6, 4))) * np.float32(np.clip(spot.extent * 0.12, 0.8, 6))
    matter = foreign(rng, colour_under(surface, share))
    grain = fractal_noise(rng, surface.shape, period=rng.uniform(2, 8), octaves=3)
    colour = matter * (1 + np.float32(rng.uniform(0.02, 0.25)) * grain)[..., None]
    covered = paint(surface, share * np.float32(rng.uniform(0.75, 1)), np.clip(colour, 0, 1))
    relief = thick + share * grain * np.float32(rng.uniform(0, 0.8) if kind != 1 else 0.05)
    return Flawed(polish(raise_by(covered, relief), share, 0.9 if kind == 1 else rng.uniform(0, 0.4)), share)


def corrosion(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return eaten-away matter: a cluster of rough dark pits with torn borders, often with a rusty halo."""
    area = blob(rng, surface.shape, spot, ragged=rng.uniform(0.5, 1), longish=3, softness=max(spot.extent * 0.5, 3))
    texture = fractal_noise(
        rng, surface.shape, period=max(spot.extent * rng.uniform(0.08, 0.35), 2.5), octaves=4, roughness=0.65
    )
    pits = step(area * 3 - 1.3 + rng.uniform(0.4, 1.0) * texture, softness=rng.uniform(0.2, 0.8))
    pits = pits * np.float32(area > 0.02)
    under = colour_under(surface, area)
    rust = np.array([0.45, 0.24, 0.1], np.float32) * np.float32(rng.uniform(0.5, 1.3))
    product = rust if rng.random() < 0.45 else darker(rng, under, most=0.7)
    relief = rough(rng, surface, period=spot.extent * 0.12)
    colour = np.clip(product * (1 + 0.35 * relief)[..., None], 0, 1)
    halo = blur(pits, max(spot.extent * 0.06, 1)) * np.float32(rng.uniform(0, 0.6))
    eaten = paint(paint(surface, halo, under * 0.4 + product * 0.4), pits * np.float32(rng.uniform(0.6, 1)), colour)
    depth = pits * (relief * np.float32(rng.uniform(0.5, 1.6)) - np.float32(rng.uniform(0, 2)))
    return Flawed(polish(raise_by(eaten, depth), pits, rng.uniform(0, 0.3)), np.maximum(pits, halo))


def print_fault(rng: np.random.Generator, surface: Surface, spot: Spot) -> Flawed:
    """Return a printing or coating mistake: a shifted or doubled piece, a void, a streak or a blot."""
    kind = int(rng.integers(4))
    share = bite(rng, surface.shape, spot, ragged=rng.uniform(0, 0.3))
    if kind == 0:
        rows, columns = coordinates(surface.shape)
        turn, far = rng.uniform(0, 2 * np.pi), max(spot.extent * rng.uniform(0.1, 0.4), 3)
        rows, columns = rows + np.float32(far * np.sin(turn)), columns + np.float32(far * np.cos(turn))
        moved = cv2.remap(surface.colour, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        ghost = np.minimum(moved, surface.colour) * np.float32(rng.uniform(0.55, 0.9))
        return Flawed(paint(surface, share, ghost), share)
    if kind == 1:
        share = blob(rng, surface.shape, spot, ragged=rng.uniform(0.2, 0.8))
        even = replace(surface, colour=mix(surface.colour, blur(surface.colour, 6), share))
        return Flawed(paint(even, share * np.float32(0.8), lighter(rng, colour_under(surface, share))), share)
    if kind == 2:
        path = centred_walk(rng, spot, wobble=0.03)
        share = ribbon(surface.shape, path, rng.uniform(1.5, max(spot.extent * 0.12, 3)))
    else:
        share = blob(rng, surface.shape, spot, ragged=rng.uniform(0, 0.5))
    return Flawed(
        paint(surface, share * np.float32(rng.uniform(0.6, 1)), foreign(rng, colour_under(surface, share))), share
    )
