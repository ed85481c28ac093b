"""How the outline of a support defect is changed: mirrored, scaled, turned and bent a little."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.diffusion.crop import bounding_box, cut, thickness, window_around
from anogen_core.masks.sampler import Region

_BENDS = 4
"""Control points of the bending along each side."""
_LARGEST_BEND = 0.25
"""Of an outline's thickness."""
_OVERSHOOT = 1.5
"""Times its amount that bending moves points at most, between control points."""


class Change(NamedTuple):
    """How a region is changed before it is turned."""

    region: Region
    mirrored: bool
    scale: np.ndarray
    """(x, y)."""

    def along(self, direction: float) -> float:
        """Return what becomes of a direction in radians."""
        right = -math.cos(direction) if self.mirrored else math.cos(direction)
        return math.atan2(self.scale[1] * math.sin(direction), self.scale[0] * right)

    def across(self, direction: float) -> float:
        """Return what becomes of the direction across an edge: an edge along t becomes S t, and its normal S^-1 n."""
        return self._replace(scale=1 / self.scale).along(direction)


def large_enough(region: Region, scale: np.ndarray, min_size: int) -> np.ndarray:
    """Return the scale (x, y) of a region, enlarged until its longer side has at least `min_size` pixels."""
    return scale * max(1.0, min_size / max(np.array(region.shape.shape[::-1]) * scale))


class Outline(NamedTuple):
    """A changed outline."""

    mask: Mask
    """(h, w), cut to its bounding box."""
    warp: np.ndarray
    """(3, 3) affine map from pixels (x, y) of the support photo to those of `mask`."""


def deform(change: Change, turn: float, *, bend: float, margin: int, rng: np.random.Generator) -> Outline:
    """Return a region changed, turned and bent.

    Args:
        change: The region, and how it is mirrored and scaled.
        turn: Radians from x towards y.
        bend: Points move by about this fraction of the longer side, and by no more than a quarter of the thickness.
        margin: Pixels by which the outline is widened.
        rng: Draws the bending.
    """
    shape = change.region.shape
    warp = moved(np.eye(3), -change.region.corner[0], -change.region.corner[1])
    if change.mirrored:
        shape = shape[:, ::-1]
        warp = np.array([[-1.0, 0, shape.shape[1] - 1], [0, 1, 0], [0, 0, 1]]) @ warp
    turned, matrix = _transform(shape, change.scale, turn)
    most = _LARGEST_BEND * thickness(cut(turned, bounding_box(turned)))
    amount = min(bend * max(shape.shape) * float(change.scale.max()), most)
    # All that follows is far smaller than the space in which the outline is turned.
    window = window_around(turned, math.ceil(_OVERSHOOT * amount) + margin + 2)
    found, unbent = _widen(_bend(turned, amount, rng, window), margin), _widen(turned[window], margin)
    if not found.any() or _pieces(found) > _pieces(unbent):
        found = unbent
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    outline = found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] > 0
    top, left = window[0].start + int(rows[0]), window[1].start + int(columns[0])
    return Outline(outline, moved(matrix @ warp, -left, -top))


def moved(warp: np.ndarray, right: int, down: int) -> np.ndarray:
    """Return a (3, 3) affine map followed by a shift in pixels."""
    return np.array([[1.0, 0, right], [0, 1, down], [0, 0, 1]]) @ warp


def _pieces(shape: np.ndarray) -> int:
    return int(cv2.connectedComponents(shape)[0])


def _widen(shape: np.ndarray, margin: int) -> np.ndarray:
    size = 2 * margin + 1
    return cv2.dilate(shape, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def _transform(shape: Mask, scale: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline as uint8, scaled by (x, y) and turned, with space around it, and its (3, 3) map.

    The turn is in radians from x towards y.
    """
    rows, columns = shape.shape
    reach = int(np.ceil(np.hypot(columns * scale[0], rows * scale[1]) * 1.3)) + 8
    cosine, sine = math.cos(turn), math.sin(turn)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag(scale)
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    shift = np.floor(reach / 2 - matrix @ centre)  # whole pixels: an unchanged outline stays as it is
    affine = np.column_stack([matrix, shift])
    soft = cv2.warpAffine(shape.astype(np.float32), affine, (reach, reach))
    # Half a pixel of a thin line is still the line.
    return (soft > 0.35).astype(np.uint8), np.vstack([affine, [0, 0, 1]])


def _bend(shape: np.ndarray, amount: float, rng: np.random.Generator, window: tuple[slice, slice]) -> np.ndarray:
    """Return a window of the outline moved by a smooth random field of `amount` pixels (Simard et al., 2003)."""
    coarse = rng.normal(0, amount / 2, (2, _BENDS, _BENDS)).clip(-amount, amount).astype(np.float32)
    side = shape.shape[0]
    across, down = (cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)[window] for field in coarse)
    rows, columns = np.ogrid[window]
    moved = cv2.remap(
        shape.astype(np.float32),
        columns.astype(np.float32) + across,
        rows.astype(np.float32) + down,
        cv2.INTER_LINEAR,
    )
    return (moved > 0.35).astype(np.uint8)
