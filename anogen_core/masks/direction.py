"""Which way defects lie: across the edge of the product, or along what the surface runs along.

A dent bites into a part from outside, whichever side of the part it is on; a missing thread runs as threads do.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, overload

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.diffusion.crop import thickness
from anogen_core.masks.rim import find_ring
from anogen_core.masks.sampler import Region, largest_regions
from anogen_core.morphology import dilate
from anogen_core.outline import decode_outline
from anogen_core.records import Placement

_CROSSES: Final = 0.05
"""Share of a defect's rim that lies beside the product, and on it, from which the defect is at the edge."""
_PIECES: Final = 0.4
"""Size of the second piece of either share, relative to the largest, from which the rim crosses several edges."""
_AROUND: Final = 6
"""Pixels beyond a defect over which the direction of an edge is measured."""
_CLEAR: Final = 0.2
"""Distance of the middles of product and background, in radii of the disc they are measured in, from which an edge has
a direction: 0.85 at a straight edge, 0 in a narrow strip."""
_SIDES: Final = ((0, -1), (0, 1), (-1, 0), (1, 0))
"""Where out is, as (x, y), at the top, the bottom, the left and the right of a photo."""
_WIDELY: Final = 0.15
"""Of a defect's longer side: what the border cuts off on several sides, when it does so on so many pixels of each."""
_CUT: Final = 0.5
"""Pixels of the border that a defect takes up, relative to how thick it is near there, from which it is cut off."""
_ELONGATED: Final = 2.0
"""Standard deviation along a defect over that across it from which it has an axis."""
PHOTOS: Final = 3
"""Fewer directions agree by chance."""
_PERIODS: Final = ((math.pi, math.radians(10)), (math.pi / 2, math.radians(5)))
"""Axes agree, or are at right angles to each other, within these deviations: of three at random four in a hundred."""
_LEAST_SPREAD: Final = math.radians(3)


class Edge(NamedTuple):
    """Where a defect crosses the edge of the product, or the photo's border cuts it off."""

    point: tuple[float, float]
    """(x, y) in pixels: the middle between where the edge meets the rim of the defect."""
    outward: float
    """Direction off the product, or out of the photo, in radians from x towards y."""
    width: float
    """Pixels between where the edge meets the rim of the defect."""


class Axes(NamedTuple):
    """What directions of the defects of a kind have in common."""

    mean: float
    """Radians from x towards y."""
    spread: float
    """Largest deviation from the mean, and a half more, in radians."""
    period: float
    """pi where all lie alike, pi / 2 where some are at right angles to others; 2 pi where the way along counts, too."""


def find_edge(mask: Mask, foreground: Mask) -> Edge | None:
    """Return where a defect crosses the edge of the product; None where it does not, or crosses several edges.

    Marks all across a shaft, or around a groove, leave two pieces of the part on their rim, with background between
    them; where a defect crosses one edge, one piece is much the largest of the part or of the background.

    What the defect did to the foreground inside its mask does not count.

    Args:
        mask: (H, W), True at the defect.
        foreground: (H, W), True where the product is.
    """
    (top, left), ring, near = find_ring(mask, foreground)
    if not ring.any() or not _CROSSES <= float(near[ring].mean()) <= 1 - _CROSSES:
        return None
    if all(_second_piece(side) >= _PIECES for side in (ring & near, ring & ~near)):
        return None
    beside = dilate(ring & ~near, 1)
    rows, columns = np.nonzero(ring & near & beside)
    if not rows.size:
        return None
    point = (left + float(columns.mean()), top + float(rows.mean()))
    width = math.hypot(float(np.ptp(columns)), float(np.ptp(rows)))
    outward = outward_at(foreground, point, width, hidden=mask)
    return None if outward is None else Edge(point, outward, width)


def _second_piece(pixels: Mask) -> float:
    """Return how large the second largest connected piece is, relative to the largest."""
    stats = cv2.connectedComponentsWithStats(pixels.astype(np.uint8))[2]
    *_, second, first = [0, *sorted(stats[1:, cv2.CC_STAT_AREA].tolist())]
    return float(second / first)


def find_border(mask: Mask) -> Edge | None:
    """Return where the photo's border cuts a defect off; None where it does not, barely, or on several sides.

    Args:
        mask: (H, W), True at the defect.
    """
    sides = [(side, np.flatnonzero(line)) for side, line in zip(_SIDES, _border_lines(mask), strict=True)]
    (side, touched), (_, other) = sorted(sides, key=lambda pair: -len(pair[1]))[:2]
    if len(other) > _CROSSES * len(touched) or not _reaches(mask, side, len(touched)):
        return None
    middle, last = float(touched[0] + touched[-1]) / 2, (mask.shape[1] - 1, mask.shape[0] - 1)
    point = (last[0] if side[0] > 0 else 0.0, middle) if side[0] else (middle, last[1] if side[1] > 0 else 0.0)
    return Edge((float(point[0]), point[1]), math.atan2(side[1], side[0]), float(touched[-1] - touched[0]))


def find_corner(mask: Mask) -> tuple[np.ndarray, np.ndarray] | None:
    """Return at which sides, (left, top) and (right, bottom), the photo's border cuts a wide defect off on several.

    None where less is cut off: what ends there as a line may end anywhere. So may what no square of the photo holds.

    Args:
        mask: (H, W), True at the defect.
    """
    if not mask.any():
        return None
    longer = max(int(np.ptp(axis)) + 1 for axis in np.nonzero(mask))
    if longer > min(mask.shape):
        return None
    top, bottom, left, right = (bool(line.sum() >= _WIDELY * longer) for line in _border_lines(mask))
    return (np.array([left, top]), np.array([right, bottom])) if top + bottom + left + right > 1 else None


def _reaches(mask: Mask, side: tuple[int, int], touched: int) -> bool:
    """Return whether a defect that takes up so many pixels of a side goes on beyond it: cracks taper towards it."""
    deep = math.ceil(thickness(mask))
    within = slice(-deep, None) if sum(side) > 0 else slice(deep)
    near = mask[:, within] if side[0] else mask[within]
    return 0 < touched >= _CUT * thickness(near)


def is_cut_off(placement: Placement, frame: tuple[int, int]) -> bool:
    """Return whether the border of a frame (height, width) cuts an outline off."""
    if placement.outline is None:
        return False
    box = placement.box
    mask = decode_outline(placement.outline, (box.height, box.width))
    free = (box.y, frame[0] - box.y - box.height), (box.x, frame[1] - box.x - box.width)
    return find_border(np.pad(mask, [(min(1, first), min(1, last)) for first, last in free])) is not None


def border_points(foreground: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (n, 2) as (x, y) of the photo's border that show the product, and where out is there (n,)."""
    last = foreground.shape[1] - 1, foreground.shape[0] - 1
    points, outward = [], []
    for side, line in zip(_SIDES, _border_lines(foreground), strict=True):
        along = np.flatnonzero(line)
        across = np.full_like(along, last[0 if side[0] else 1] if sum(side) > 0 else 0)
        points.append(np.stack([across, along] if side[0] else [along, across], axis=1))
        outward.append(np.full(len(along), math.atan2(side[1], side[0])))
    return np.concatenate(points), np.concatenate(outward)


def _border_lines(mask: Mask) -> tuple[Mask, Mask, Mask, Mask]:
    return mask[0], mask[-1], mask[:, 0], mask[:, -1]


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
    radius = width / 2 + 1
    offsets = contour - point
    near = offsets[np.abs(offsets).max(axis=1) <= radius]
    grid = np.zeros((2 * math.ceil(radius) + 1,) * 2, np.uint8)
    places = near + math.ceil(radius)
    grid[places[:, 1], places[:, 0]] = 1
    _, labels = cv2.connectedComponents(grid)
    # The opposite side of a narrow part is another edge.
    own = near[labels[places[:, 1], places[:, 0]] == labels[math.ceil(radius), math.ceil(radius)]]
    ends = own[np.abs(np.linalg.norm(own, axis=1) - width / 2) < 1]
    if len(ends) < 2:
        return None
    sides = ends @ ends[0] > 0
    if sides.all():
        return None
    return np.asarray(point + (ends[sides].mean(axis=0) + ends[~sides].mean(axis=0)) / 2)


def find_axis(shape: Mask, least: float = _ELONGATED) -> float | None:
    """Return the direction of a defect that is longer than wide, in radians from x towards y; None otherwise.

    Args:
        shape: (h, w), True at the defect.
        least: Standard deviation along it over that across it.
    """
    rows, columns = np.nonzero(shape)
    if rows.size < 2:
        return None
    values, vectors = np.linalg.eigh(np.cov(columns, rows) + np.eye(2) / 12)  # a pixel has an extent, too
    if values[1] < least**2 * values[0]:
        return None
    return math.atan2(float(vectors[1, 1]), float(vectors[0, 1]))


def find_axes(found: Sequence[Region]) -> Axes | None:
    """Return what the axes of the largest defect of each photo have in common; None where some have none or differ."""
    largest = largest_regions(found)
    axes = [axis for region in largest if (axis := find_axis(region.shape)) is not None]
    if len(axes) < max(PHOTOS, len(largest)):
        return None
    return next((common for limits in _PERIODS if (common := agree(axes, *limits)) is not None), None)


def agree(angles: Sequence[float], period: float, tolerance: float) -> Axes | None:
    """Return what directions have in common; None where one deviates from the mean by more than the tolerance.

    Args:
        angles: Radians from x towards y.
        period: Radians; directions a period apart are alike.
        tolerance: Radians.
    """
    turns = 2 * math.pi / period * np.array(angles)
    mean = math.atan2(np.sin(turns).mean(), np.cos(turns).mean()) * period / (2 * math.pi)
    spread = max(abs(turn_between(angle, mean, period)) for angle in angles)
    return Axes(mean, max(1.5 * spread, _LEAST_SPREAD), period) if spread <= tolerance else None


@overload
def turn_between(start: float, end: float, period: float = ...) -> float: ...
@overload
def turn_between(start: float, end: np.ndarray, period: float = ...) -> np.ndarray: ...
def turn_between(start: float, end: float | np.ndarray, period: float = 2 * math.pi) -> float | np.ndarray:
    """Return the smallest turn in radians that leads from one direction to another; those a period apart are alike."""
    return (end - start + period / 2) % period - period / 2


def inside_share(region: Region, edge: Edge) -> float:
    """Return which share of a region lies on the product's side of a straight edge."""
    rows, columns = np.nonzero(region.shape)
    right, down = columns + region.corner[0] - edge.point[0], rows + region.corner[1] - edge.point[1]
    return float((right * math.cos(edge.outward) + down * math.sin(edge.outward) <= 0.5).mean())
