"""Pixels as PNG files."""

import cv2
import numpy as np
from jaxtyping import UInt8

_COMPRESSION = [cv2.IMWRITE_PNG_COMPRESSION, 3]


def png(pixels: UInt8[np.ndarray, "..."]) -> bytes:
    """Return an RGB image (H, W, 3) or a mask (H, W) as PNG, without loss."""
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", ordered, _COMPRESSION)[1].tobytes()
