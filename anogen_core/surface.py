"""How far a support defect lets the surface that it lies on through: a stain does, a missing thread does not."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core import bands
from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, thickness
from anogen_core.morphology import dilate
from anogen_core.quality.contrast import CLEARANCE, moved_beside

_FINEST = 8
"""Thickness in pixels from which a defect is large enough to judge the finest band; twice that for each further one."""
_PERCENTILE = 95
"""Of the absolute values of a band: its strength."""
_RIM = 2.5
"""Pixels from the border of a defect within which the finest band shows it; twice that for each further one."""
_SLACK = 0.05
"""By how much worse than a piece of bare surface a stain's detail may be found elsewhere."""


_LEAST_AROUND = 32
"""Pixels that tell whether the same surrounds a defect on two photos."""
_FINE = 3.0
"""Blur in pixels that removes wires and edges, and leaves light and rounded surfaces."""
_VISIBLE = 8.0
"""Standard deviation in grey values of what it removes around a defect from which that is more than grain."""
_CONTINUES = 0.78
"""Its correlation on two photos from which it is the same."""


class Detail(NamedTuple):
    """How strong a band of detail is in a defect, relative to the calmest side of it."""

    all: float
    core: float
    """Without the defect's rim: the step there is no detail of paint or foil."""


def relative_detail(photo: Float32[np.ndarray, "h w 3"], defect: Mask, beside: Mask) -> list[Detail]:
    """Return how strong each band of detail is in a defect, finest first.

    There are none for thin defects, which are too small to judge.

    Args:
        photo: The defect on its own surface.
        defect: (h, w), True at the defect.
        beside: (h, w), True where that surface shows without it.
    """
    places = [beside & side for side in sides_of(defect)]
    places = [place for place in places if place.sum() >= max(1, defect.sum() / 8)]
    thick = thickness(defect) if defect.any() and places else 0.0
    count = int(np.log2(thick / _FINEST)) + 1 if thick >= _FINEST else 0
    depth = cv2.distanceTransform(np.pad(defect, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    found = []
    for level, band in enumerate(bands.split(photo, count)):
        strength = np.abs(band).mean(axis=2)
        calm = min(np.percentile(strength[place], _PERCENTILE) for place in places)
        core = depth > _RIM * 2.0**level
        core = core if core.sum() >= defect.sum() / 8 else defect
        found.append(
            Detail(*(float(np.percentile(strength[of], _PERCENTILE) / max(calm, 1e-3)) for of in (defect, core)))
        )
    return found


def goes_on(photo: Image, defect: Mask, count: int) -> bool:
    """Return whether the detail of the surface goes on through a defect.

    If so, a piece of it is found again beside the defect as well as pieces of bare surface are (normalised
    cross-correlation). In a weave that is nearly everywhere, and a missing thread is found nowhere; on leather nothing
    is found again, with a stain or without, so it goes on as far as this can tell.

    Args:
        photo: (H, W, 3) support photo.
        defect: (H, W), True where it is defective.
        count: How many of the finest bands to look at.
    """
    if not defect.any():
        return True
    box = bounding_box(defect)
    reach = max(box.height, box.width) + CLEARANCE
    rows = slice(max(0, box.y - reach), box.y + box.height + reach)
    columns = slice(max(0, box.x - reach), box.x + box.width + reach)
    detail = np.sum(bands.split(photo[rows, columns].astype(np.float32), count), axis=0).mean(axis=2)
    inside = np.asarray(defect[rows, columns])
    near = dilate(inside, CLEARANCE // 2)
    bare = moved_beside(inside)
    if not bare:
        return True
    return _found_again(detail, inside, near) >= min(_found_again(detail, place, near) for place in bare) - _SLACK


def continues(photo: Image, moved: Image | Float32[np.ndarray, "h w 3"], known: Mask, around: Mask) -> bool:
    """Return whether what surrounds a defect is there on a photo, too: wires of a mesh, the edge of a part.

    Then the defect's own pixels fit, and of texture that goes on through it there is no need.

    Args:
        photo: (h, w, 3).
        moved: (h, w, 3) photo with the defect, moved to where it is to lie.
        known: (h, w), True where neither shows the defect.
        around: (h, w), True at those of these pixels that are compared.
    """
    if around.sum() < _LEAST_AROUND:
        return False
    weight, sides = known.astype(np.float32), []
    near = np.maximum(cv2.GaussianBlur(weight, (0, 0), _FINE), 1e-3)
    for of in (photo, moved):
        grey = cv2.GaussianBlur(of.astype(np.float32).mean(axis=2), (0, 0), 0.7)
        detail = (grey - cv2.GaussianBlur(grey * weight, (0, 0), _FINE) / near)[around].astype(np.float64)
        sides.append(detail - detail.mean())
    deviations = [float(side.std()) for side in sides]
    return min(deviations) >= _VISIBLE and float((sides[0] * sides[1]).mean()) >= _CONTINUES * math.prod(deviations)


def _found_again(detail: np.ndarray, mask: Mask, near: Mask) -> float:
    """Return the highest correlation of what a mask covers with what it would cover elsewhere, -1 to 1.

    Args:
        detail: (h, w) bands of a photo.
        mask: (h, w), True at what is looked for.
        near: (h, w), True where the defect may show: nowhere to look.
    """
    box = bounding_box(mask)
    piece = (slice(box.y, box.y + box.height), slice(box.x, box.x + box.width))
    template, covered = detail[piece].astype(np.float32), mask[piece].astype(np.float32)
    found = cv2.matchTemplate(detail.astype(np.float32), template, cv2.TM_CCOEFF_NORMED, mask=covered)
    shut = cv2.matchTemplate((near | mask).astype(np.float32), covered, cv2.TM_CCORR) > 0.5
    # Flat pieces have no correlation, or one beyond 1 by rounding.
    usable = found[~shut & np.isfinite(found) & (np.abs(found) <= 1)]
    return float(usable.max(initial=-1))


def sides_of(mask: Mask) -> list[Mask]:
    """Return what lies above, below, left and right of the middle of a mask."""
    rows, columns = np.nonzero(mask) if mask.any() else (np.zeros(1), np.zeros(1))
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    down, right = y - rows.mean(), x - columns.mean()
    wide = np.abs(right) > np.abs(down)
    return [wide & (right > 0), wide & (right <= 0), ~wide & (down > 0), ~wide & (down <= 0)]
