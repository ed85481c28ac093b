"""Show a support defect at the place of a request: what its denoising starts from."""

from collections.abc import Sequence

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask

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
    height, width = mask.shape
    matrix = np.asarray(warp, np.float64).reshape(2, 3)
    moved = cv2.warpAffine(
        photo.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    bad = _move(defect, matrix, (height, width)) > 0
    near = cv2.dilate(mask.astype(np.uint8), np.ones((_RING, _RING), np.uint8)) > 0
    ring = near & ~mask & ~bad
    gain = np.ones(3)
    if ring.any():
        gain = (normal[ring].mean(axis=0) + 1) / (moved[ring].mean(axis=0) + 1)
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    alpha = np.clip(depth / _SOFT, 0, 1)[..., None]
    blended = normal + alpha * (moved * gain - normal)
    shown = normal.copy()
    shown[mask] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)[mask]
    return shown


def transplant_label(mask: Mask, defect: Mask, warp: Sequence[float]) -> Mask:
    """Return which pixels of `mask` the support defect came to; the arguments are those of `transplant`."""
    moved = _move(defect, np.asarray(warp, np.float64).reshape(2, 3), mask.shape)
    # Half a pixel of a thin line is still the line.
    return (moved > 0.35) & mask


def _move(defect: Mask, matrix: np.ndarray, frame: tuple[int, ...]) -> np.ndarray:
    """Return which share of each pixel of the frame a moved mask covers."""
    return np.asarray(cv2.warpAffine(defect.astype(np.float32), matrix, frame[::-1], flags=cv2.INTER_LINEAR))
