"""Pixels as PNG files."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

from anogen_core.arrays import Mask
from anogen_core.diffusion.crop import cut
from anogen_core.storage import StoredSample

_COMPRESSION = [cv2.IMWRITE_PNG_COMPRESSION, 3]


def instance_masks(sample: StoredSample) -> list[Mask]:
    """Return the (H, W) mask of each defect of an image; one mask where a reviewer drew it anew."""
    whole = sample.mask > 0
    masks = []
    for box in sample.row.boxes:
        mask = np.zeros_like(whole)
        mask[box.y : box.y + box.height, box.x : box.x + box.width] = cut(whole, box)
        masks.append(mask)
    together = np.logical_or.reduce(masks) if masks else np.zeros_like(whole)
    return masks if np.array_equal(together, whole) else [whole]


def png(pixels: UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]) -> bytes:
    """Return an image (H, W, 3), RGB, or (H, W, 4), RGBA, or a mask or grey image (H, W) as PNG, without loss."""
    return cv2.imencode(".png", reorder(pixels), _COMPRESSION)[1].tobytes()


def reorder(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return RGB or RGBA in OpenCV's order of channels, or the other way round; grey stays as it is."""
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
