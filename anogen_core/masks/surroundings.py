"""How alike the surroundings of defects and those of places on photos are, by their colours on a reduced photo."""

import math
from typing import Final, NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.masks.sampler import Region
from anogen_core.morphology import dilate
from anogen_core.quality.contrast import to_lab

_SIDE: Final = 320
"""Longer side in pixels of the photos that are compared."""
_AROUND: Final = 0.6
"""Surroundings reach this many times a defect's longer side beyond it..."""
_LEAST_AROUND: Final = 5
"""... and at least this many pixels."""
_HIDDEN: Final = 0.15
"""The defect may show this many times its longer side beyond its mask..."""
_TONE: Final = 20.0
"""Difference in L* from the middle between two tones from which a pixel is all of one."""
_LEAST_HIDDEN: Final = 2
"""... and at least this many pixels."""


class Seen(NamedTuple):
    """A photo as it is compared."""

    frame: tuple[int, int]
    """Height and width of the photo."""
    size: tuple[int, int]
    """Height and width of the reduced one."""
    colours: np.ndarray
    """(h, w, 3) differences in CIELAB from the photo's median, or its tones."""
    spectrum: np.ndarray
    """(4, h, w // 2 + 1) of the colours and of the sum of their squares."""


class Cutting(NamedTuple):
    """Surroundings cut out of a support photo."""

    colours: np.ndarray
    """(h, w, 3)."""
    weights: np.ndarray
    """(h, w), 0 at the defect."""
    middle: tuple[int, int]
    """(row, column) of the middle of the defect."""
    off: tuple[float, float]
    """(down, right) from the centre of that pixel to the very middle."""
    longer: float
    """Longer side of the defect in pixels."""


class View(NamedTuple):
    """Surroundings in one of their positions."""

    spectrum: np.ndarray
    """(4, h, w // 2 + 1), conjugated: of the weighted colours, doubled and negative, and of the weights."""
    constant: float
    area: float
    shape: tuple[int, int]
    middle: tuple[int, int]
    """(row, column) of the middle of the defect."""
    off: tuple[float, float]
    """(down, right) from the centre of that pixel to the very middle."""


class Position(NamedTuple):
    """How surroundings may be found again."""

    mirrored: bool
    """From left to right, before they are turned."""
    quarters: int
    """Quarter turns against the clock."""


EIGHT: Final = tuple(Position(mirrored, quarters) for mirrored in (False, True) for quarters in range(4))
"""All positions that quarter turns and mirroring give."""


def see(photo: Image, middle: float | None = None) -> Seen:
    """Return a photo (H, W, 3) as it is compared.

    Of two tones the photo's median may be either, and light changes them: there counts on which side of the lightness
    between them, `middle`, each pixel is.
    """
    frame = photo.shape[0], photo.shape[1]
    scale = min(1.0, _SIDE / max(frame))
    size = max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))
    lab = cv2.GaussianBlur(cv2.resize(to_lab(photo), size[::-1], interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    if middle is None:
        colours = (lab - np.median(lab.reshape(-1, 3), axis=0)).astype(np.float32)
    else:
        colours = np.zeros(lab.shape, np.float32)
        colours[..., 0] = np.clip(lab[..., 0] - middle, -_TONE, _TONE)
    planes = np.concatenate([np.moveaxis(colours, -1, 0), np.square(colours).sum(axis=-1)[None]])
    return Seen(frame, size, colours, np.fft.rfft2(planes))


def cut_around(
    region: Region, seen: Seen, least: int = _LEAST_AROUND, *, room: float | None = None, wide: float = _AROUND
) -> Cutting:
    """Return the surroundings of a region, at least so many pixels wide.

    Args:
        region: The region.
        seen: Its photo.
        least: The pixels.
        room: Share of the frame that is left beside them to every side, if that makes them narrower.
        wide: How wide they are, in multiples of the longer side of the region.
    """
    (height, width), longer = seen.size, longer_side(region, seen)
    middle = region.centre[0] * height - 0.5, region.centre[1] * width - 0.5
    around = max(least, round(wide * longer))
    if room is not None:
        gaps = (
            min(at, side - 1 - at) - part * side / whole / 2 - room * side
            for at, side, part, whole in zip(middle, seen.size, region.shape.shape, seen.frame, strict=True)
        )
        around = max(_LEAST_AROUND, min(around, math.floor(min(gaps))))
    return _cut(region, seen, middle, around, ~_covered(region, seen))


def cut_out(region: Region, seen: Seen, middle: tuple[float, float]) -> Cutting:
    """Return what a photo without the defect shows under a region and close to it, whose middle is there at (y, x)."""
    (height, width), around = seen.size, _hidden(region, seen)
    by = [at - (part * side - 0.5) for at, part, side in zip(middle, region.centre, seen.size, strict=True)]
    shift = np.array([[1, 0, by[1]], [0, 1, by[0]]])
    under = cv2.warpAffine(_covered(region, seen).astype(np.uint8), shift, (width, height), flags=cv2.INTER_NEAREST)
    return _cut(region, seen, middle, around, under > 0)


def _hidden(region: Region, seen: Seen) -> int:
    """Return how many pixels beyond its mask a region may show."""
    return max(_LEAST_HIDDEN, round(_HIDDEN * longer_side(region, seen)))


def _covered(region: Region, seen: Seen) -> Mask:
    """Return where a region may show on its reduced photo (h, w): in its mask and close to it."""
    own = cv2.resize(region.within(seen.frame).astype(np.float32), seen.size[::-1], interpolation=cv2.INTER_AREA)
    return dilate(own > 0, _hidden(region, seen), disc=True)


def longer_side(region: Region, seen: Seen) -> float:
    """Return the longer side of a region in pixels of the reduced photo."""
    return max(part * side / whole for part, side, whole in zip(region.shape.shape, seen.size, seen.frame, strict=True))


def _cut(region: Region, seen: Seen, middle: tuple[float, float], around: int, counts: Mask) -> Cutting:
    """Return what lies up to so many pixels around a region with its middle at (y, x); `counts` (h, w) of it."""
    row, column = (min(side - 1, max(0, math.floor(at + 0.5))) for at, side in zip(middle, seen.size, strict=True))
    down, right = (
        round(part * side / whole / 2) + around
        for part, side, whole in zip(region.shape.shape, seen.size, seen.frame, strict=True)
    )
    top, left = max(0, row - down), max(0, column - right)
    window = np.s_[top : row + down + 1, left : column + right + 1]
    return Cutting(
        seen.colours[window],
        counts[window].astype(np.float32),
        (row - top, column - left),
        (middle[0] - row, middle[1] - column),
        longer_side(region, seen),
    )


def view_of(cutting: Cutting, position: Position, size: tuple[int, int]) -> View:
    """Return surroundings in a position, ready to be compared with photos of this size (h, w)."""
    marker = np.zeros(cutting.weights.shape, bool)
    marker[cutting.middle] = True
    colours, weights, marker = (
        np.rot90(plane[:, ::-1] if position.mirrored else plane, position.quarters)
        for plane in (cutting.colours, cutting.weights, marker)
    )
    weighted = colours * weights[..., None]
    planes = np.concatenate([-2 * np.moveaxis(weighted, -1, 0), weights[None]])
    row, column = np.argwhere(marker)[0].tolist()
    off = cutting.off[0], -cutting.off[1] if position.mirrored else cutting.off[1]
    for _ in range(position.quarters):
        off = -off[1], off[0]
    fits = weights.shape[0] <= size[0] and weights.shape[1] <= size[1]
    return View(
        spectrum=np.conj(np.fft.rfft2(planes, s=size)) if fits else np.empty(0),
        constant=float((weighted * colours).sum(dtype=np.float64)),
        area=float(weights.sum()),
        shape=(weights.shape[0], weights.shape[1]),
        middle=(row, column),
        off=off,
    )


def distance(view: View, seen: Seen) -> np.ndarray:
    """Return the mean squared difference of colours (h, w) with the defect's middle at each pixel; inf where cut off.

    The square is expanded: each of its terms is a correlation, and all of them take one inverse transform.
    """
    found = np.full(seen.size, math.inf)
    rows, columns = seen.size[0] - view.shape[0] + 1, seen.size[1] - view.shape[1] + 1
    if rows < 1 or columns < 1 or not view.area:
        return found
    total = np.fft.irfft2((seen.spectrum * view.spectrum).sum(axis=0), s=seen.size)[:rows, :columns] + view.constant
    row, column = view.middle
    found[row : row + rows, column : column + columns] = np.maximum(total, 0) / view.area
    return found


def least_around(distances: np.ndarray, reach: int) -> np.ndarray:
    """Return the least of the distances (h, w) up to this many pixels away along each axis."""
    return cv2.erode(distances, np.ones((2 * reach + 1,) * 2, np.uint8), borderValue=math.inf)


def share_as_like(distances: np.ndarray, point: tuple[int, int], may: Mask, reach: int) -> tuple[float, float]:
    """Return which share of the places of a photo is at least as like as one of them, and how unlike that is.

    Args:
        distances: (h, w) of all places.
        point: (row, column) of the one, known to some pixels only.
        may: (h, w), True at the places that are compared with it.
        reach: The pixels.
    """
    best = least_around(distances, reach)
    others, own = best[may & np.isfinite(best)], float(best[point])
    if not math.isfinite(own) or not others.size:
        return 1.0, math.inf
    return max(float((others <= own).mean()), 1 / others.size), own


def between_pixels(distances: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return by how much (n, 2), down and right, minima of distances (h, w) lie off the centres of their pixels."""
    padded, found = np.pad(distances, 1, constant_values=math.inf), []
    for down, right in ((1, 0), (0, 1)):
        before, after = padded[rows + 1 - down, columns + 1 - right], padded[rows + 1 + down, columns + 1 + right]
        with np.errstate(invalid="ignore"):
            curve = before + after - 2 * distances[rows, columns]
        known = np.isfinite(curve) & (curve > 0)
        slope = np.where(known, before, 0) - np.where(known, after, 0)
        found.append(np.clip(slope / np.where(known, 2 * curve, 1), -0.5, 0.5))
    return np.stack(found, axis=1)


def mean_around(distances: np.ndarray, reach: int) -> np.ndarray:
    """Return the mean of the finite distances (h, w) up to this many pixels away along each axis; 0 where none are."""
    finite, size = np.isfinite(distances), (2 * reach + 1,) * 2
    total = cv2.blur(np.where(finite, distances, 0), size, borderType=cv2.BORDER_CONSTANT)
    share = cv2.blur(finite.astype(np.float64), size, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(np.where(share > 0, total / np.maximum(share, 1e-9), 0.0))
