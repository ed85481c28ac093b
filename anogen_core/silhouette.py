"""Part and background at the edge of a part: a bite out of it shows what is behind the part, wherever it is made.

Both are told apart by their colours, which are learned on either side of the edge.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from anogen_core.arrays import Image, Mask
from anogen_core.quality.contrast import to_lab

_CLEAR = 3.0
"""Pixels from the line of the edge at which it is sure what belongs to which side: edges are not quite straight."""
_LEAST = 12
"""Pixels of either side that tell its colours."""
_NOISE = 4.0
"""Variance of colours (CIELAB) that means nothing."""


class Sides(NamedTuple):
    """Pixels (h, w) on either side of the edge of a part, clear of it."""

    part: Bool[np.ndarray, "h w"]
    beyond: Bool[np.ndarray, "h w"]


def find_sides(edge: Sequence[float], warp: np.ndarray, shape: tuple[int, ...]) -> Sides:
    """Return what lies on which side of an edge.

    Args:
        edge: x and y of a point of it and the direction off the part in radians, in a support photo.
        warp: (2, 3) map from that photo.
        shape: Height and width of where it leads.
    """
    x, y, outward = edge
    point = warp @ [x, y, 1.0]
    # Edges run along t, which becomes A t; what is across them becomes A^-T n.
    across = np.linalg.inv(warp[:, :2]).T @ [np.cos(outward), np.sin(outward)]
    across /= np.linalg.norm(across)
    rows, columns = np.indices(shape[:2])
    off = (columns - point[0]) * across[0] + (rows - point[1]) * across[1]
    return Sides(off < -_CLEAR, off > _CLEAR)


def background_share(photo: Image, part: Mask, beyond: Mask) -> Float64[np.ndarray, "h w"] | None:
    """Return how likely each pixel shows background; None where too little of a side is known.

    Args:
        photo: (h, w, 3).
        part: (h, w), True at pixels of the part...
        beyond: (h, w), ... and of the background, both without a defect.
    """
    if min(part.sum(), beyond.sum()) < _LEAST:
        return None
    colours = cv2.GaussianBlur(to_lab(photo), (0, 0), 0.7).astype(np.float64)
    odds = (_surprise(colours, part) - _surprise(colours, beyond)) / 2
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


def fill_background(photo: Image, background: Mask) -> Image:
    """Return a photo whose part is replaced by the background around it (inpainting; Telea, 2004)."""
    hidden = cv2.dilate((~background).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(cv2.inpaint(np.ascontiguousarray(photo), hidden, 3, cv2.INPAINT_TELEA))


def _surprise(colours: np.ndarray, known: Mask) -> np.ndarray:
    """Return minus twice the log-likelihood (h, w) of colours among those of the known pixels."""
    sample = colours[known]
    mean, spread = sample.mean(axis=0), np.cov(sample.T) + _NOISE * np.eye(3)
    off = colours - mean
    return np.asarray(np.einsum("hwi,ij,hwj->hw", off, np.linalg.inv(spread), off) + np.log(np.linalg.det(spread)))
