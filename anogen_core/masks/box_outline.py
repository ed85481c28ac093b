"""The outline of a defect that a person only drew a box around."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, window_around
from anogen_core.masks.counterpart import find_counterpart
from anogen_core.masks.segmentation import otsu_threshold, solid_regions
from anogen_core.morphology import dilate
from anogen_core.quality.contrast import restore, to_lab

_SIDE = 256
"""Longer side in pixels at which a defect is looked for: larger boxes are reduced to it."""
_AROUND = 0.3
"""What surrounds a box, in multiples of its longer side..."""
_NARROW = 0.1
"""... or less of it, where all of it comes nowhere again..."""
_LEAST_AROUND = 4
"""... and at least this many pixels."""
_CLEAREST = 98
"""Percentile of the pixels of a box that counts as the clearest."""
_SHARE = 0.85
"""Of the threshold that best parts a box in two: above it a pixel belongs to the defect."""
_FAR = 4
"""What surrounds a box is looked for again up to this many times its longer side beyond it..."""
_FARTHEST = 224
"""... and up to this many pixels of the reduced photo."""
_SEED_RATIO = 1.3
"""A region counts when it holds a pixel of this multiple of that threshold."""


def outline_boxes(photo: Image, boxes: Mask) -> Mask:
    """Return which pixels inside boxes show the defect.

    Boxes that touch count as one. A pixel belongs to the defect when it differs both from what its surroundings let
    expect there (inpainting; Telea, 2004) and from the colours around the box, which may change evenly across it: the
    one sees thin lines on uneven surfaces, the other wide patches. Where nothing stands out, or nothing lies around it,
    a box stays as it is. `benchmarks/box_outlines.py` measures how close outlines come to those that people drew.

    Args:
        photo: (H, W, 3).
        boxes: (H, W), True inside the boxes.
    """
    found = np.zeros_like(boxes)
    count, labels = cv2.connectedComponents(boxes.astype(np.uint8), connectivity=8)
    for label in range(1, count):
        own = labels == label
        box = bounding_box(own)
        window = window_around(own, _LEAST_AROUND + round(_AROUND * max(box.height, box.width)))
        longer = max(box.height, box.width)
        scale = min(1.0, _SIDE / (longer * (1 + 2 * _AROUND)))
        far = window_around(own, round(min(_FAR * longer, _FARTHEST / scale)))
        if (outline := _structured(photo[far], own[far], boxes[far], scale)) is not None:
            found[far] |= outline
        else:
            found[window] |= _outline(photo[window], own[window], boxes[window])
    return found


def _structured(photo: Image, box: Mask, labelled: Mask, scale: float) -> Mask | None:
    """Return the outline inside one box whose surroundings have a structure that comes again nearby; None for others.

    Args:
        photo: (H, W, 3) the box and what is far around.
        box: (H, W), True inside it.
        labelled: (H, W), True inside all boxes.
        scale: At which it is looked at.
    """
    longer = max(side.stop - side.start for side in window_around(box, 0))
    colours = cv2.GaussianBlur(to_lab(_reduced(photo, scale)), (0, 0), 0.7)
    within, hidden = (_reduced(255 * mask.astype(np.uint8), scale) > 0 for mask in (box, labelled))
    for around in (_AROUND, _NARROW):
        window = window_around(within, _LEAST_AROUND + round(around * longer * scale))
        counterpart = find_counterpart(colours, window, hidden)
        if counterpart is not None:
            change, edges = np.zeros(within.shape, np.float32), np.zeros(within.shape, np.float32)
            change[window], edges[window] = _length(counterpart.missed(colours[window])), counterpart.edges
            found = _stands_out([change], within, box)
            # What grows out of an edge begins there.
            along = cv2.resize(edges, box.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
            return found | (box & along & dilate(found, 1))
    return None


def _outline(photo: Image, box: Mask, labelled: Mask) -> Mask:
    """Return the outline inside one box; what other boxes hold is no surrounding."""
    scale = min(1.0, _SIDE / max(photo.shape[:2]))
    small = _reduced(photo, scale)
    within, around = (_reduced(255 * mask.astype(np.uint8), scale) > 0 for mask in (box, ~labelled))
    beside = around & ~within
    if beside.sum() < _LEAST_AROUND**2:
        return box
    return _stands_out([_unexpected(small, within), _unlike(small, beside)], within, box)


def _stands_out(measures: Sequence[np.ndarray], within: Mask, box: Mask) -> Mask:
    """Return which pixels of a box (H, W) measures of those of a reduced one (h, w), `within`, show to stand out."""
    scales = [max(float(np.percentile(measure[within], _CLEAREST)), 1e-6) for measure in measures]
    score = np.mean([np.minimum(m / s, 1) for m, s in zip(measures, scales, strict=True)], axis=0)
    threshold = _SHARE * otsu_threshold(score[within])
    solid = solid_regions(within & (score > threshold), within & (score > min(_SEED_RATIO * threshold, 0.9)))
    height, width = box.shape
    found = cv2.resize(solid.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
    return found & box if (found & box).any() else box


def _reduced(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Return pixels at a scale of at most 1."""
    if scale == 1:
        return np.ascontiguousarray(pixels)
    height, width = (max(1, round(scale * length)) for length in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def _unexpected(photo: Image, box: Mask) -> Float32[np.ndarray, "H W"]:
    """Return how far colours are from those that what surrounds a box lets expect inside."""
    return _length(cv2.GaussianBlur(to_lab(photo) - to_lab(restore(photo, box)), (0, 0), 0.7))


def _unlike(photo: Image, around: Mask) -> Float32[np.ndarray, "H W"]:
    """Return how far colours are from the plane through those around, in deviations along each axis of colour."""
    colours = cv2.GaussianBlur(to_lab(photo), (0, 0), 1.0)
    down, across = np.indices(around.shape, dtype=np.float64) / max(around.shape)
    places = np.stack([np.ones_like(down), down, across], axis=-1)
    plane, *_ = np.linalg.lstsq(places[around], colours[around], rcond=None)
    change = colours - places @ plane
    deviation = 1.4826 * np.median(np.abs(change[around] - np.median(change[around], axis=0)), axis=0)
    return _length(change / np.maximum(deviation, 1.0))


def _length(vectors: np.ndarray) -> Float32[np.ndarray, "H W"]:
    return np.linalg.norm(vectors, axis=2).astype(np.float32)
