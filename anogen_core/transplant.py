"""Show a support defect at the place of a request: what its denoising starts from."""

from collections.abc import Sequence

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import window_around

_RING = 9
"""Pixels around a mask that tell how bright the surface is."""
_SOFT = 3.0
"""Pixels over which the border fades in."""


def transplant(normal: Image, mask: Mask, photo: Image, defect: Mask, warp: Sequence[float]) -> Image:
    """Return a normal photo with the defect of a support photo inside `mask`, as bright as the surface around it.

    Args:
        normal: (H, W, 3) photo to show it on; outside the mask nothing changes.
        mask: (H, W), True where the defect goes.
        photo: (h, w, 3) support photo.
        defect: (h, w), True where the support photo is defective.
        warp: Row-major 2x3 affine map from pixels (x, y) of the support photo to pixels of the normal one.
    """
    shown = normal.copy()
    window = window_around(mask, _RING)
    part, inside = shown[window], mask[window]
    matrix = _matrix(warp, window)
    size = inside.shape[1], inside.shape[0]
    moved = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101).astype(
        np.float32
    )
    bad = _move(defect, matrix, size) > 0
    near = cv2.dilate(inside.astype(np.uint8), np.ones((_RING, _RING), np.uint8)) > 0
    ring = near & ~inside & ~bad
    gain = np.ones(3)
    if ring.any():
        gain = (part[ring].mean(axis=0) + 1) / (moved[ring].mean(axis=0) + 1)
    depth = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    alpha = np.clip(depth / _SOFT, 0, 1)[..., None]
    blended = part + alpha * (moved * gain - part)
    part[inside] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)[inside]
    return shown


def transplant_label(mask: Mask, defect: Mask, warp: Sequence[float]) -> Mask:
    """Return which pixels of `mask` the support defect came to; the arguments are those of `transplant`."""
    window = window_around(mask, 0)
    inside = mask[window]
    moved = _move(defect, _matrix(warp, window), (inside.shape[1], inside.shape[0]))
    label = np.zeros_like(mask)
    # Half a pixel of a thin line is still the line.
    label[window] = (moved > 0.35) & inside
    return label


def _matrix(warp: Sequence[float], window: tuple[slice, slice]) -> np.ndarray:
    """Return the map (2, 3) to pixels of a window."""
    matrix = np.array(warp, np.float64).reshape(2, 3)
    rows, columns = window
    matrix[:, 2] -= columns.start, rows.start
    return matrix


def _move(defect: Mask, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which share of each pixel of (width, height) a moved mask covers."""
    return np.asarray(cv2.warpAffine(defect.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR))
