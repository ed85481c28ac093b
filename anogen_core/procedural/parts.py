"""Training parts: silhouettes that turn a surface into a thing lying before a ground."""

import cv2
import numpy as np

from anogen_core.procedural.fields import Field, Shape, blur, coordinates, fractal_noise, smooth_noise
from anogen_core.procedural.surfaces.surface import Surface, mix, pick_colour, shade_colour


def cut_part(surface: Surface, rng: np.random.Generator) -> Surface:
    """Return a part made of the surface: a random silhouette, rounded or flat, on a mat or lit table."""
    outline = _soft(_silhouette(rng, surface.shape))
    inside = cv2.distanceTransform((outline > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    height = surface.height + _profile(rng, inside)
    return place_on(surface, _ground(rng, surface.shape), outline=outline, height=height, rng=rng)


def place_on(
    surface: Surface, ground: np.ndarray, *, outline: Field, height: Field, rng: np.random.Generator
) -> Surface:
    """Return the surface within the outline and the ground, under the part's own soft shadow, elsewhere."""
    offset = rng.normal(0, 4, 2)
    matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]]])
    shadow = blur(cv2.warpAffine(outline, matrix, outline.shape[::-1]), rng.uniform(2, 6))
    ground = ground * (1 - np.float32(rng.uniform(0.2, 0.7)) * shadow)[..., None]
    return Surface(
        colour=mix(ground, surface.colour, outline),
        height=np.asarray(height * outline, np.float32),
        gloss=surface.gloss * outline,
        solid=outline,
    )


def _silhouette(rng: np.random.Generator, shape: Shape) -> Field:
    """Return a field that is positive inside the part, in pixels."""
    rows, columns = coordinates(shape)
    side = float(min(shape))
    turn = rng.uniform(0, 2 * np.pi)
    centre = (np.array([0.5, 0.5]) + rng.normal(0, 0.05, 2)) * side
    down, right = rows - np.float32(centre[0]), columns - np.float32(centre[1])
    along = np.cos(turn) * right + np.sin(turn) * down
    across = np.cos(turn) * down - np.sin(turn) * right
    radius = side * float(rng.uniform(0.28, 0.46))
    kind = int(rng.integers(6))
    if kind == 0:
        return radius - np.hypot(along, across)
    if kind == 1:
        aspect = rng.uniform(0.35, 0.9)
        corner = rng.uniform(0.02, 0.5) * radius * aspect
        return _box(along, across, half=(radius, radius * aspect), corner=corner)
    if kind == 2:
        corners = int(rng.integers(5, 9))
        angle = np.arctan2(across, along) % (2 * np.pi / corners) - np.pi / corners
        return radius - np.hypot(along, across) * np.cos(angle) / np.float32(np.cos(np.pi / corners) ** 0.5)
    if kind == 3:
        lumps = np.float32(0.12) * radius * smooth_noise(rng, shape, period=side / 3)
        return radius - np.hypot(along, across * np.float32(rng.uniform(1, 1.5))) + lumps
    if kind == 4:
        return np.asarray(side * np.float32(rng.uniform(0.15, 0.38)) - np.abs(across))
    upright = _box(columns - side / 2, rows - side / 2, half=(side * rng.uniform(0.4, 0.55), side * 0.47), corner=2.0)
    return upright + np.float32(rng.uniform(0, 3)) * smooth_noise(rng, shape, period=side / 2)


def _box(along: Field, across: Field, *, half: tuple[float, float], corner: float) -> Field:
    """Return the signed distance to a box with round corners, positive inside."""
    over_x = np.abs(along) - np.float32(half[0] - corner)
    over_y = np.abs(across) - np.float32(half[1] - corner)
    outside = np.hypot(np.maximum(over_x, 0), np.maximum(over_y, 0))
    return np.asarray(np.float32(corner) - outside - np.minimum(np.maximum(over_x, over_y), 0), np.float32)


def _soft(signed: Field) -> Field:
    return np.asarray(np.clip(signed + 0.5, 0, 1), np.float32)


def _profile(rng: np.random.Generator, inside: Field) -> Field:
    """Return the part's own relief from the distance to its rim: flat with a bevel, or round-backed."""
    depth = max(float(inside.max()), 1.0)
    if rng.random() < 0.5:
        bevel = rng.uniform(1.5, 8)
        return np.asarray(np.minimum(inside, bevel) * rng.uniform(0.2, 1.0), np.float32)
    share = 1 - np.clip(blur(inside, depth * 0.15) / depth, 0, 1)
    return np.asarray(np.sqrt(1 - share**2) * depth * rng.uniform(0.2, 0.6), np.float32)


def _ground(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return a dark mat, a bright table or a conveyor, nearly even."""
    value = (0.02, 0.2) if rng.random() < 0.6 else (0.5, 0.97)
    colour = pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0, 0.35), value=value)
    grain = fractal_noise(rng, shape, period=rng.uniform(1.5, 30), octaves=3)
    return shade_colour(colour, 1 + np.float32(rng.uniform(0, 0.05)) * grain)
