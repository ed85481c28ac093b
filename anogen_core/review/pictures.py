"""Pixels and masks as a browser takes them: PNG, small JPEG, outlines as SVG paths."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

_FAST: Final = [cv2.IMWRITE_PNG_COMPRESSION, 1]
_THUMBNAIL: Final = 96
_FINER: Final = 4
"""Contours run through the centres of pixels; on a grid this much finer they lie close to the pixels' edges."""
_SMALLEST_DETAIL: Final = 48


def png(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Return an RGB image as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _FAST)[1].tobytes()


def thumbnail(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Return an RGB image as JPEG whose longer side is at most 96 pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, _THUMBNAIL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes()


def outline(mask: UInt8[np.ndarray, "H W"]) -> str:
    """Return the borders of a mask, holes included, as an SVG path in pixels of the mask."""
    height, width = mask.shape
    finer = cv2.resize(mask, (width * _FINER, height * _FINER), interpolation=cv2.INTER_NEAREST)
    contours = cv2.findContours(finer, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0]
    paths = []
    for contour in contours:
        points = (contour[:, 0] + 0.5) / _FINER
        paths.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z")
    return "".join(paths)


def detail(mask: UInt8[np.ndarray, "H W"]) -> tuple[float, float, float, float]:
    """Return (x, y, width, height) of a window around a mask, in the proportions of the frame and inside it."""
    frame_height, frame_width = mask.shape
    if not mask.any():
        return (0, 0, frame_width, frame_height)
    x, y, width, height = cv2.boundingRect(mask)
    scale = max(1.6 * width / frame_width, 1.6 * height / frame_height, _SMALLEST_DETAIL / min(mask.shape))
    scale = min(1.0, scale)
    window_width, window_height = frame_width * scale, frame_height * scale
    left = min(max(0.0, x + width / 2 - window_width / 2), frame_width - window_width)
    top = min(max(0.0, y + height / 2 - window_height / 2), frame_height - window_height)
    return (left, top, window_width, window_height)
