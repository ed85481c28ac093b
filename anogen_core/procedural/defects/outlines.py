"""Where a defect is: blobs, ribbons, bites and sprinkles, as shares from 0 (untouched) to 1 (defect)."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from anogen_core.procedural.fields import Field, Shape, coordinates, fractal_noise


@dataclass(frozen=True)
class Spot:
    """Place and size of a defect."""

    row: float
    column: float
    extent: float
    """Longest side in pixels."""


def blob(
    rng: np.random.Generator,
    shape: Shape,
    spot: Spot,
    *,
    ragged: float = 0.3,
    longish: float = 2.0,
    softness: float = 1.2,
) -> Field:
    """Return a closed patch: `ragged` 0 is an ellipse, 1 a torn shape; up to `longish` times longer than wide."""
    rows, columns = coordinates(shape)
    turn = rng.uniform(0, np.pi)
    right, down = columns - np.float32(spot.column), rows - np.float32(spot.row)
    radius = max(spot.extent / 2, 1.0)
    along = (np.cos(turn) * right + np.sin(turn) * down) / np.float32(radius)
    across = (np.cos(turn) * down - np.sin(turn) * right) / np.float32(radius / rng.uniform(1, longish))
    edge = np.float32(1 / (1 + 0.7 * ragged)) - np.hypot(along, across)
    if ragged > 0:
        octaves = 2 + int(3 * ragged)
        noise = fractal_noise(
            rng, shape, period=max(radius * rng.uniform(0.5, 1.1), 2.0), octaves=octaves, roughness=0.6
        )
        edge += np.float32(ragged * 0.45) * noise * np.clip(1.6 - np.hypot(along, across), 0, 1)
    return np.asarray(np.clip(edge * np.float32(radius / softness) + 0.5, 0, 1), np.float32)


def walk(
    rng: np.random.Generator,
    start: tuple[float, float],
    *,
    heading: float,
    length: float,
    wobble: float,
    jag: float = 0.0,
) -> Float[np.ndarray, "P 2"]:
    """Return points (x, y) of a path: `wobble` bends it slowly, `jag` (radians) breaks it at every step."""
    count = int(np.clip(length / 3, 4, 60))
    drift = np.cumsum(rng.normal(0, wobble / np.sqrt(count), count))
    angles = heading + drift + rng.normal(0, jag, count) if jag else heading + drift
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (length / count)
    return start + np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])


def centred_walk(rng: np.random.Generator, spot: Spot, *, wobble: float, jag: float = 0.0) -> Float[np.ndarray, "P 2"]:
    """Return a path of the spot's extent whose middle lies on the spot, in a random direction."""
    path = walk(rng, (0.0, 0.0), heading=rng.uniform(0, 2 * np.pi), length=spot.extent, wobble=wobble, jag=jag)
    return path - (path.min(axis=0) + path.max(axis=0)) / 2 + [spot.column, spot.row]


def ribbon(shape: Shape, path: Float[np.ndarray, "P 2"], widths: float | Float[np.ndarray, " P"]) -> Field:
    """Return a line along the path, of a width in pixels (one number, or one per point); below 1 it fades."""
    half = np.broadcast_to(np.asarray(widths, float), len(path)) / 2
    tangents = np.gradient(path, axis=0)
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-6)
    sides = np.stack([-tangents[:, 1], tangents[:, 0]], axis=1) * np.maximum(half, 0.3)[:, None]
    left, right = path + sides, path - sides
    canvas = np.zeros(shape, np.uint8)
    for index in range(len(path) - 1):
        corners = np.array([left[index], left[index + 1], right[index + 1], right[index]])
        cv2.fillConvexPoly(canvas, np.round(corners * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) * np.float32(min(1.0, half.max() * 2) / 255)


def taper(count: int, *, width: float, sharp: float = 0.7) -> Float[np.ndarray, " P"]:
    """Return widths that are largest in the middle and end in points."""
    return width * np.sin(np.linspace(0.02, 0.98, count) * np.pi) ** sharp


def bite(rng: np.random.Generator, shape: Shape, spot: Spot, *, ragged: float, softness: float = 1.0) -> Field:
    """Return a polygon with few corners and rough sides, as if broken out."""
    corners = int(rng.integers(4, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) + np.arange(corners) * 1e-3
    radii = spot.extent / 2 * rng.uniform(0.5, 1.0, corners)
    points = np.stack([spot.column + radii * np.cos(angles), spot.row + radii * np.sin(angles)], axis=1)
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    signed = cv2.distanceTransform(canvas, cv2.DIST_L2, 3) - cv2.distanceTransform(255 - canvas, cv2.DIST_L2, 3)
    noise = fractal_noise(rng, shape, period=max(spot.extent / 4, 2.5), octaves=4, roughness=0.65)
    # OpenCV calls the distance to nothing the greatest number there is.
    signed = np.clip(signed, -sum(shape), sum(shape))
    edge = signed + np.float32(ragged * min(spot.extent * 0.1, 5)) * noise
    return np.asarray(np.clip(edge / np.float32(max(softness, 1e-3)) + 0.5, 0, 1), np.float32)


def sprinkle(rng: np.random.Generator, shape: Shape, spot: Spot, *, count: int, size: tuple[float, float]) -> Field:
    """Return `count` small ellipses around the spot, denser in its middle, with diameters in the `size` range."""
    canvas = np.zeros(shape, np.uint8)
    places = rng.normal((spot.column, spot.row), spot.extent / 5, (count, 2))
    long = rng.uniform(*size, count)
    short = long * rng.uniform(0.45, 1, count)
    turns = rng.uniform(0, 180, count)
    for place, axes, turn in zip(places, np.stack([long, short], axis=1) / 2, turns, strict=True):
        centre = (int(place[0] * 16), int(place[1] * 16))
        cv2.ellipse(canvas, centre, (int(axes[0] * 16), int(axes[1] * 16)), turn, 0, 360, 255, -1, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255
