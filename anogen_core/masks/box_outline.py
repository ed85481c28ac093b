"""The outline of a defect that a person only drew a box around."""

import math
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

OUTLINE_VERSION = 2
"""Raised by hand when a change here finds other outlines: workers of one run have to find the same."""

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
_SHARES = 1.1, 0.75
"""Of the threshold that best parts a box in two: above it a pixel belongs to the defect. The first one where few pixels
lie above that threshold, which is too low for classes so unlike in size; the second one where many do..."""
_FILLED = 0.12, 0.35
"""... namely these shares of the box."""
_DIRECTIONS = 12
"""Directions in which a surface may go on across a box..."""
_END = 6
"""... from what lies in so many pixels at either end."""
_FAR = 4
"""What surrounds a box is looked for again up to this many times its longer side beyond it..."""
_FARTHEST = 224
"""... and up to this many pixels of the reduced photo."""
_SEED_RATIO = 1.3
"""A region counts when it holds a pixel of this multiple of that threshold."""


def outline_boxes(photo: Image, boxes: Mask) -> Mask:
    """Return which pixels inside boxes show the defect.

    Boxes that touch count as one. A pixel belongs to the defect when it differs from all that its surroundings let
    expect there: inpainting (Telea, 2004), what goes on from both sides along one direction, and their colours, which
    may change evenly across the box. The first sees thin lines on uneven surfaces, the second does so where grooves,
    bars and marks of a tool cross the box, the third sees wide patches. Where nothing stands out a box stays as it is.
    `benchmarks/box_outlines.py` measures how close outlines come to those that people drew.

    Args:
        photo: (H, W, 3).
        boxes: (H, W), True inside the boxes.
    """
    found = np.zeros_like(boxes)
    for own in _apart(boxes):
        longer, window = _surroundings(own)
        scale = min(1.0, _SIDE / (longer * (1 + 2 * _AROUND)))
        far = window_around(own, round(min(_FAR * longer, _FARTHEST / scale)))
        if (outline := _structured(photo[far], own[far], boxes[far], scale)) is not None:
            found[far] |= outline
        else:
            found[window] |= _outline(photo[window], own[window], boxes[window])
    return found


def as_clear(photo: Image, boxes: Mask, normals: Sequence[Image]) -> int:
    """Return on how many normal photos a box holds something that is as clear as what was found in it; the worst box's.

    Surface has outlines, too: where a box holds as clear a one on photos without a defect, the label is in doubt.

    Args:
        photo: (H, W, 3).
        boxes: (H, W), True inside the boxes, of which there is one at least.
        normals: Photos (H, W, 3) without a defect.
    """
    usual = np.array([_clearness(normal, boxes) for normal in normals])
    return int((usual >= _clearness(photo, boxes)).sum(axis=0).max()) if len(normals) else 0


def _clearness(photo: Image, boxes: Mask) -> list[float]:
    """Return how far what each box's outline holds differs from what its surroundings let expect; 0 without any."""
    found, outlines = [], outline_boxes(photo, boxes)
    for own in _apart(boxes):
        _, window = _surroundings(own)
        seen = _Seen(photo[window], own[window], boxes[window])
        held = seen.reduced(outlines[window] & own[window]) & seen.within
        if not (seen.is_told and held.any()):
            found.append(0.0)
            continue
        measures = seen.measures()
        found.append(float((np.prod(measures, axis=0) ** (1 / len(measures)))[held].mean()))
    return found


def _apart(boxes: Mask) -> list[Mask]:
    """Return the boxes (H, W) that do not touch, one by one."""
    count, labels = cv2.connectedComponents(boxes.astype(np.uint8), connectivity=8)
    return [labels == label for label in range(1, count)]


def _surroundings(own: Mask) -> tuple[int, tuple[slice, slice]]:
    """Return the longer side of a box, and the window of it and of what is around."""
    box = bounding_box(own)
    longer = max(box.height, box.width)
    return longer, window_around(own, _LEAST_AROUND + round(_AROUND * longer))


class _Seen:
    """One box and what is around it, at the scale at which it is looked at."""

    def __init__(self, photo: Image, box: Mask, labelled: Mask) -> None:
        """Take a photo (H, W, 3), and which pixels one box and all boxes hold: what others do is no surrounding."""
        self._scale = min(1.0, _SIDE / max(photo.shape[:2]))
        self.photo = _reduced(photo, self._scale)
        self.within = self.reduced(box)
        self.beside = self.reduced(~labelled) & ~self.within
        self.is_told = int(self.beside.sum()) >= _LEAST_AROUND**2
        """Whether there are surroundings."""

    def reduced(self, mask: Mask) -> Mask:
        """Return a mask (H, W) at that scale: every pixel that it touches."""
        touched: Mask = _reduced(255 * mask.astype(np.uint8), self._scale) > 0
        return touched

    def measures(self) -> list[Float32[np.ndarray, "H W"]]:
        """Return how far each pixel is from what its surroundings let expect, in three ways."""
        off = _off_lines(self.photo, self.within, self.beside)
        return [_unexpected(self.photo, self.within), off, _unlike(self.photo, self.beside)]


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
    seen = _Seen(photo, box, labelled)
    if not seen.is_told:
        # A box around all that there is: most of it is surface.
        return _stands_out([_unlike(seen.photo, seen.within)], seen.within, box)
    return _stands_out(seen.measures(), seen.within, box)


def _stands_out(measures: Sequence[np.ndarray], within: Mask, box: Mask) -> Mask:
    """Return which pixels of a box (H, W) measures of those of a reduced one (h, w), `within`, show to stand out."""
    scales = [max(float(np.percentile(measure[within], _CLEAREST)), 1e-6) for measure in measures]
    shares = [np.minimum(m / s, 1) for m, s in zip(measures, scales, strict=True)]
    score = np.prod(shares, axis=0) ** (1 / len(shares))
    parting = otsu_threshold(score[within])
    threshold = float(np.interp((score[within] > parting).mean(), _FILLED, _SHARES)) * parting
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


def _off_lines(photo: Image, box: Mask, beside: Mask) -> Float32[np.ndarray, "H W"]:
    """Return how far colours inside a box are from those that go on along the direction that explains most of it.

    Args:
        photo: (H, W, 3).
        box: (H, W), True where it is to be told.
        beside: (H, W), True where the surface is known.
    """
    colours, inpainted = to_lab(photo), to_lab(restore(photo, box))
    best, least = np.zeros(box.shape, np.float32), np.inf
    for number in range(_DIRECTIONS):
        guess, told = _along(colours, box, beside, 180 * number / _DIRECTIONS)
        guess = np.where((box & told)[..., None], guess, np.where(box[..., None], inpainted, colours))
        off = _length(cv2.GaussianBlur(colours - guess, (0, 0), 0.7))
        if (usual := float(np.median(off[box]))) < least:
            best, least = off, usual
    return best


def _along(colours: np.ndarray, box: Mask, beside: Mask, degrees: float) -> tuple[Float32[np.ndarray, "H W 3"], Mask]:
    """Return colours (H, W, 3) inside a box that lie between those at both ends of a line, and where there is an end.

    Args:
        colours: (H, W, 3).
        box: (H, W), True where they are told.
        beside: (H, W), True where colours count.
        degrees: Direction of the lines.
    """
    height, width = box.shape
    side = math.ceil(math.hypot(height, width))
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turn[:, 2] += (side - width) / 2, (side - height) / 2
    turned = cv2.warpAffine(colours, turn, (side, side))
    known = cv2.warpAffine(beside.astype(np.float32), turn, (side, side)) > 0.99
    share = cv2.blur(known.astype(np.float32), (_END, 1))
    ends = cv2.blur(turned * known[..., None], (_END, 1)) / np.maximum(share, 1e-6)[..., None]
    columns = np.broadcast_to(np.arange(side), (side, side))
    first = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    last = np.minimum.accumulate(np.where(known, columns, side)[:, ::-1], axis=1)[:, ::-1]
    begun, ended = first >= 0, last < side
    way = np.where(begun & ended, (columns - first) / np.maximum(last - first, 1), ended)[..., None]
    rows = np.arange(side)[:, None]
    line = (1 - way) * ends[rows, np.maximum(first, 0)] + way * ends[rows, np.minimum(last, side - 1)]
    back, size = cv2.invertAffineTransform(turn), (width, height)
    told = cv2.warpAffine((begun | ended).astype(np.float32), back, size) > 0.5
    return cv2.warpAffine(line.astype(np.float32), back, size), told


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
