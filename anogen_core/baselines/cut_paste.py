"""The strongest simple control: real support defects, cut out and pasted on normal photos (CutPaste, Li et al. 2021).

Generated defects are worth their cost only where they beat this at the same places and in the same number.
"""

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, cut
from anogen_core.records import Box

CUT_PASTE_VERSION = 1
"""Raised by hand when a change here changes a pasted photo."""


def paste_defect(
    normal: Image, place: Box, photo: Image, mask: Mask, *, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Return a normal photo with the defect of another photo in the middle of `place`, and its exact mask.

    The defect is mirrored at random along either axis and scaled, with its aspect ratio, to the largest size that fits.
    Its border is hard; outside the mask the photo is unchanged.

    Args:
        normal: the photo to paste on.
        place: where to paste, inside the frame.
        photo: shows the defect.
        mask: of the defect in `photo`; at least one pixel.
        rng: decides the mirroring.
    """
    box = bounding_box(mask)
    defect, shape = cut(photo, box), cut(mask, box).astype(np.float32)
    for axis in (0, 1):
        if rng.random() < 0.5:
            defect, shape = np.flip(defect, axis), np.flip(shape, axis)
    scale = min(place.width / box.width, place.height / box.height)
    width, height = max(1, int(box.width * scale)), max(1, int(box.height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    defect = cv2.resize(np.ascontiguousarray(defect), (width, height), interpolation=method)
    coverage = np.asarray(cv2.resize(np.ascontiguousarray(shape), (width, height), interpolation=method))
    # A thin defect that shrinks keeps its most anomalous pixels.
    inside = coverage >= min(0.5, float(coverage.max()))
    x, y = place.x + (place.width - width) // 2, place.y + (place.height - height) // 2
    image, pasted = normal.copy(), np.zeros(normal.shape[:2], bool)
    image[y : y + height, x : x + width][inside] = defect[inside]
    pasted[y : y + height, x : x + width] = inside
    return image, pasted
