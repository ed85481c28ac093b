"""Which way defects lie: across the edge of the product, or along what the surface runs along.

A dent bites into a part from outside, whichever side of the part it is on; a missing thread runs as threads do.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, overload

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.masks.rim import find_ring
from anogen_core.masks.sampler import Region, largest_regions

_CROSSES: Final = 0.05
"""Share of a defect's rim that lies beside the product, and on it, from which the defect is at the edge."""
_AROUND: Final = 6
"""Pixels beyond a defect over which the direction of an edge is measured."""
_CLEAR: Final = 0.2
"""Distance of the middles of product and background, in radii of the disc they are measured in, from which an edge has
a direction: 0.85 at a straight edge, 0 in a narrow strip."""
_ELONGATED: Final = 2.0
"""Standard deviation along a defect over that across it from which it has an axis."""
_PHOTOS: Final = 3
"""Fewer axes agree by chance."""
_PERIODS: Final = ((math.pi, math.radians(10)), (math.pi / 2, math.radians(5)))
"""Axes agree, or are at right angles to each other, within these deviations: of three at random four in a hundred."""
_LEAST_SPREAD: Final = math.radians(3)


class Edge(NamedTuple):
    """Where a defect crosses the edge of the product."""

    point: tuple[float, float]
    """(x, y) in pixels: the middle between where the edge meets the rim of the defect."""
    outward: float
    """Direction from the product to what is beside it, in radians from x towards y."""
    width: float
    """Pixels between where the edge meets the rim of the defect."""


class Axes(NamedTuple):
    """What the axes of the defects of a kind have in common."""

    mean: float
    """Radians from x towards y."""
    spread: float
    """Largest deviation from the mean, and a half more, in radians."""
    period: float
    """pi where all lie alike, pi / 2 where some are at right angles to others."""


def find_edge(mask: Mask, foreground: Mask) -> Edge | None:
    """Return where a defect crosses the edge of the product; None where it does not, or crosses several edges.

    What the defect did to the foreground inside its mask does not count.

    Args:
        mask: (H, W), True at the defect.
        foreground: (H, W), True where the product is.
    """
    (top, left), ring, near = find_ring(mask, foreground)
    if not ring.any() or not _CROSSES <= float(near[ring].mean()) <= 1 - _CROSSES:
        return None
    beside = cv2.dilate((ring & ~near).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rows, columns = np.nonzero(ring & near & beside)
    if not rows.size:
        return None
    point = (left + float(columns.mean()), top + float(rows.mean()))
    width = math.hypot(float(np.ptp(columns)), float(np.ptp(rows)))
    outward = outward_at(foreground, point, width, hidden=mask)
    return None if outward is None else Edge(point, outward, width)


def find_border(mask: Mask) -> Edge | None:
    """Return where the photo's border cuts a defect off, as an edge; None where it does not, or on several sides.

    Args:
        mask: (H, W), True at the defect.
    """
    height, width = mask.shape
    touched = {
        (0, -1): [(x, 0) for x in np.flatnonzero(mask[0]).tolist()],
        (0, 1): [(x, height - 1) for x in np.flatnonzero(mask[-1]).tolist()],
        (-1, 0): [(0, y) for y in np.flatnonzero(mask[:, 0]).tolist()],
        (1, 0): [(width - 1, y) for y in np.flatnonzero(mask[:, -1]).tolist()],
    }
    most = max(len(points) for points in touched.values())
    sides = [side for side, points in touched.items() if points and len(points) >= _CROSSES * most]
    if len(sides) != 1:
        return None
    points = np.array(touched[sides[0]])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return Edge((float(middle[0]), float(middle[1])), math.atan2(sides[0][1], sides[0][0]), float(np.ptp(points)))


def border_point(frame: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return a random pixel (x, y) of the border of a frame (height, width) and the direction that leads out there."""
    height, width = frame
    along = int(rng.integers(2 * (height + width)))
    if along < 2 * width:
        below = along >= width
        return np.array([along % width, height - 1 if below else 0]), math.pi / 2 if below else -math.pi / 2
    right = along - 2 * width >= height
    return np.array([width - 1 if right else 0, (along - 2 * width) % height]), 0.0 if right else math.pi


def outward_at(
    foreground: Mask, point: tuple[float, float], width: float, *, hidden: Mask | None = None
) -> float | None:
    """Return the direction in radians that leads off the product at a point of its edge; None where none does.

    Args:
        foreground: (H, W), True where the product is.
        point: (x, y) in pixels.
        width: Pixels of the edge that count, and some more on either side.
        hidden: (H, W) pixels that do not count.
    """
    radius = width / 2 + _AROUND
    left, top = (max(0, math.ceil(value - radius)) for value in point)
    near = np.s_[top : math.floor(point[1] + radius) + 1, left : math.floor(point[0] + radius) + 1]
    product = foreground[near]
    rows, columns = np.indices(product.shape)
    offsets = np.stack([columns + left - point[0], rows + top - point[1]])
    counts = np.linalg.norm(offsets, axis=0) <= radius
    if hidden is not None:
        counts &= ~hidden[near]
    on, off = counts & product, counts & ~product
    if not on.any() or not off.any():
        return None
    right, down = (offsets[:, off].mean(axis=1) - offsets[:, on].mean(axis=1)).tolist()
    return math.atan2(down, right) if math.hypot(right, down) >= _CLEAR * radius else None


def find_contour(foreground: Mask) -> np.ndarray:
    """Return (n, 2) pixels (x, y) of the product that have background beside them; the frame's border is no edge."""
    inner = cv2.erode(foreground.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderValue=1)
    return np.argwhere(foreground & (inner == 0))[:, ::-1]


def find_chord(contour: np.ndarray, point: np.ndarray, width: float) -> np.ndarray | None:
    """Return the middle (x, y) of a chord of the edge around a pixel of it; None where the edge ends before.

    Args:
        contour: (n, 2) pixels (x, y) of the edge.
        point: (x, y), one of them.
        width: Length of the chord in pixels.
    """
    if width < 2:
        return point.astype(float)
    offsets = contour - point
    ends = offsets[np.abs(np.linalg.norm(offsets, axis=1) - width / 2) < 1]
    if len(ends) < 2:
        return None
    sides = ends @ ends[0] > 0
    if sides.all():
        return None
    return np.asarray(point + (ends[sides].mean(axis=0) + ends[~sides].mean(axis=0)) / 2)


def find_axis(shape: Mask) -> float | None:
    """Return the direction of a defect (h, w) that is longer than wide, in radians from x towards y; None otherwise."""
    rows, columns = np.nonzero(shape)
    if rows.size < 2:
        return None
    values, vectors = np.linalg.eigh(np.cov(columns, rows) + np.eye(2) / 12)  # a pixel has an extent, too
    if values[1] < _ELONGATED**2 * values[0]:
        return None
    return math.atan2(float(vectors[1, 1]), float(vectors[0, 1]))


def find_axes(found: Sequence[Region]) -> Axes | None:
    """Return what the axes of the largest defect of each photo have in common; None where some have none or differ."""
    largest = largest_regions(found)
    axes = [axis for region in largest if (axis := find_axis(region.shape)) is not None]
    if len(axes) < max(_PHOTOS, len(largest)):
        return None
    for period, tolerance in _PERIODS:
        turns = 2 * math.pi / period * np.array(axes)
        mean = math.atan2(np.sin(turns).mean(), np.cos(turns).mean()) * period / (2 * math.pi)
        spread = max(abs(turn_between(axis, mean, period)) for axis in axes)
        if spread <= tolerance:
            return Axes(mean, max(1.5 * spread, _LEAST_SPREAD), period)
    return None


@overload
def turn_between(start: float, end: float, period: float = ...) -> float: ...
@overload
def turn_between(start: float, end: np.ndarray, period: float = ...) -> np.ndarray: ...
def turn_between(start: float, end: float | np.ndarray, period: float = 2 * math.pi) -> float | np.ndarray:
    """Return the smallest turn in radians that leads from one direction to another; those a period apart are alike."""
    return (end - start + period / 2) % period - period / 2
