"""Masks made wider and narrower (mathematical morphology)."""

import cv2
import numpy as np
from jaxtyping import Bool

from anogen_core.arrays import Mask


def dilate(mask: Bool[np.ndarray, "H W"], by: int, *, disc: bool = False) -> Mask:
    """Return a mask (H, W) with all that is up to `by` pixels from it: along each axis, or as a disc reaches."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _element(by, disc=disc)) > 0)


def erode(mask: Bool[np.ndarray, "H W"], by: int) -> Mask:
    """Return a mask (H, W) without what is up to `by` pixels from its outside along each axis.

    What is beyond the border of the photo is not outside.
    """
    return np.asarray(cv2.erode(mask.astype(np.uint8), _element(by, disc=False)) > 0)


def _element(by: int, *, disc: bool) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE if disc else cv2.MORPH_RECT, (2 * by + 1, 2 * by + 1))
