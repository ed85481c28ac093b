"""Masks that label files hold as a PNG."""

import struct

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.data.labels.drawing import ShapeError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def size_of(png: bytes) -> tuple[int, int]:
    """Return the (height, width) that a PNG claims; nothing is decoded.

    Raises:
        ValueError: it is no PNG.
        struct.error: it is cut off.
    """
    if not png.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    width, height = struct.unpack_from(">II", png, len(_SIGNATURE) + 8)
    return height, width


def decode_mask(png: bytes, size: tuple[int, int]) -> Mask:
    """Return where a PNG of (height, width) is opaque, or without alpha not black.

    Raises:
        ShapeError: it cannot be decoded, or has another size.
    """
    try:
        fits = size_of(png) == size
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED) if fits else None
    except (ValueError, struct.error, cv2.error):
        pixels = None
    if pixels is None or pixels.shape[:2] != size:
        raise ShapeError("has a mask that is no PNG of the size that is said.")
    if pixels.ndim == 3:
        pixels = pixels[..., 3] if pixels.shape[2] == 4 else pixels.max(axis=2)
    return np.asarray(pixels > 0)
