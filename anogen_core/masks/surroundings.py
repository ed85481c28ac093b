"""How alike the surroundings of defects and those of places on photos are, by their colours on a reduced photo."""

import math
from typing import Final, NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Image
from anogen_core.masks.sampler import Region
from anogen_core.quality.contrast import to_lab

_SIDE: Final = 320
"""Longer side in pixels of the photos that are compared."""
_AROUND: Final = 0.6
"""Surroundings reach this many times a defect's longer side beyond it..."""
_LEAST_AROUND: Final = 5
"""... and at least this many pixels."""
_HIDDEN: Final = 0.15
"""The defect may show this many times its longer side beyond its mask..."""
_LEAST_HIDDEN: Final = 2
"""... and at least this many pixels."""


class Seen(NamedTuple):
    """A photo as it is compared."""

    frame: tuple[int, int]
    """Height and width of the photo."""
    size: tuple[int, int]
    """Height and width of the reduced one."""
    colours: np.ndarray
    """(h, w, 3) differences in CIELAB from the photo's median."""
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


class Position(NamedTuple):
    """How surroundings may be found again."""

    mirrored: bool
    """From left to right, before they are turned."""
    quarters: int
    """Quarter turns against the clock."""


EIGHT: Final = tuple(Position(mirrored, quarters) for mirrored in (False, True) for quarters in range(4))
"""All positions that quarter turns and mirroring give."""


def see(photo: Image) -> Seen:
    """Return a photo (H, W, 3) as it is compared."""
    frame = photo.shape[0], photo.shape[1]
    scale = min(1.0, _SIDE / max(frame))
    size = max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))
    lab = cv2.GaussianBlur(cv2.resize(to_lab(photo), size[::-1], interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    colours = (lab - np.median(lab.reshape(-1, 3), axis=0)).astype(np.float32)
    planes = np.concatenate([np.moveaxis(colours, -1, 0), np.square(colours).sum(axis=-1)[None]])
    return Seen(frame, size, colours, np.fft.rfft2(planes))


def cut_around(region: Region, seen: Seen) -> Cutting:
    """Return the surroundings of a region."""
    (height, width), (rows, columns) = seen.size, region.shape.shape
    down, across = height / seen.frame[0], width / seen.frame[1]
    longer = max(rows * down, columns * across)
    own = cv2.resize(region.within(seen.frame).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    reach = 2 * max(_LEAST_HIDDEN, round(_HIDDEN * longer)) + 1
    hidden = cv2.dilate((own > 0).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    around = max(_LEAST_AROUND, round(_AROUND * longer))
    row, column = (min(side - 1, int(part * side)) for part, side in zip(region.centre, seen.size, strict=True))
    top, left = max(0, row - round(rows * down / 2) - around), max(0, column - round(columns * across / 2) - around)
    window = np.s_[
        top : row + round(rows * down / 2) + around + 1, left : column + round(columns * across / 2) + around + 1
    ]
    weights = (hidden[window] == 0).astype(np.float32)
    return Cutting(seen.colours[window], weights, (row - top, column - left), longer)


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
    fits = weights.shape[0] <= size[0] and weights.shape[1] <= size[1]
    return View(
        spectrum=np.conj(np.fft.rfft2(planes, s=size)) if fits else np.empty(0),
        constant=float((weighted * colours).sum(dtype=np.float64)),
        area=float(weights.sum()),
        shape=(weights.shape[0], weights.shape[1]),
        middle=(row, column),
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


def mean_around(distances: np.ndarray, reach: int) -> np.ndarray:
    """Return the mean of the finite distances (h, w) up to this many pixels away along each axis; 0 where none are."""
    finite, size = np.isfinite(distances), (2 * reach + 1,) * 2
    total = cv2.blur(np.where(finite, distances, 0), size, borderType=cv2.BORDER_CONSTANT)
    share = cv2.blur(finite.astype(np.float64), size, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(np.where(share > 0, total / np.maximum(share, 1e-9), 0.0))
