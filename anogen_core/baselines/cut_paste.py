"""The strongest simple control: real support defects, cut out and pasted on normal photos (CutPaste, Li et al. 2021).

Generated defects are worth their cost only where they beat this at the same places and in the same number.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, cut, window_around
from anogen_core.records import Box
from anogen_core.transplant import transplant_label

CUT_PASTE_VERSION = 2
"""Raised by hand when a change here changes a pasted photo."""


def paste_outline(normal: Image, outline: Mask, photo: Image, mask: Mask, warp: Sequence[float]) -> tuple[Image, Mask]:
    """Return a normal photo with the defect that an outline was taken from inside it, and its exact mask.

    Its border is hard; outside the mask the photo is unchanged. The mask is the label of a generated defect there.

    Args:
        normal: (H, W, 3) photo to paste on.
        outline: (H, W), True where the defect goes; at least one pixel.
        photo: (h, w, 3), shows the defect.
        mask: (h, w), True where `photo` is defective.
        warp: Row-major 2x3 affine map from pixels (x, y) of `photo` to pixels of `normal`.
    """
    label = transplant_label(outline, mask, warp)
    pasted = label if label.any() else outline
    window = window_around(pasted, 0)
    matrix = np.array(warp, np.float64).reshape(2, 3)
    matrix[:, 2] -= window[1].start, window[0].start
    inside, image = pasted[window], normal.copy()
    moved = cv2.warpAffine(photo, matrix, inside.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    image[window][inside] = moved[inside]
    return image, pasted


def paste_defect(
    normal: Image, place: Box, photo: Image, mask: Mask, *, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Return a normal photo with the defect of another photo in the middle of `place`, and its exact mask.

    The defect is mirrored at random along either axis. It keeps its size, so it may be larger than the place, and is
    moved into the frame; only one that is larger than the frame shrinks, with its aspect ratio. Its border is hard;
    outside the mask the photo is unchanged.

    Args:
        normal: (H, W, 3) photo to paste on.
        place: Where to paste, inside the frame.
        photo: (h, w, 3), shows the defect.
        mask: (h, w), of the defect in `photo`; at least one pixel.
        rng: Decides the mirroring.
    """
    box = bounding_box(mask)
    defect, shape = cut(photo, box), cut(mask, box).astype(np.float32)
    for axis in (0, 1):
        if rng.random() < 0.5:
            defect, shape = np.flip(defect, axis), np.flip(shape, axis)
    rows, columns = normal.shape[:2]
    scale = min(1.0, columns / box.width, rows / box.height)
    width, height = max(1, int(box.width * scale)), max(1, int(box.height * scale))
    defect, coverage = (
        np.asarray(cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA))
        for part in (defect, shape)
    )
    # A thin defect that shrinks covers no pixel by half.
    inside = coverage >= coverage.max() / 2
    x = int(np.clip(place.x + (place.width - width) // 2, 0, columns - width))
    y = int(np.clip(place.y + (place.height - height) // 2, 0, rows - height))
    image, pasted = normal.copy(), np.zeros(normal.shape[:2], bool)
    image[y : y + height, x : x + width][inside] = defect[inside]
    pasted[y : y + height, x : x + width] = inside
    return image, pasted
