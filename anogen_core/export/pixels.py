"""Pixels as PNG files."""

import cv2
import numpy as np
from jaxtyping import UInt8

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


def png(pixels: UInt8[np.ndarray, "..."]) -> bytes:
    """Return an RGB image (H, W, 3) or a mask (H, W) as PNG, without loss."""
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", ordered, _COMPRESSION)[1].tobytes()
