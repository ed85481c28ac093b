"""Part and background at the edge of a part: a bite out of it shows what is behind the part, wherever it is made.

Both are told apart by their colours, which are learned on either side of the edge.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from anogen_core.arrays import Image, Mask
from anogen_core.morphology import dilate, erode
from anogen_core.quality.contrast import to_lab

_CLEAR = 3.0
"""Pixels from the line of the edge at which it is sure what belongs to which side: edges are not quite straight."""
_LEAST = 12
"""Pixels of either side that tell its colours."""
_MAJORITY, _ROUNDS = 0.75, 3
"""Share of a side's pixels that tell its colours, and how often those are chosen anew."""
_WIDER = 1.61
"""Variance of normally distributed colours relative to that of this share of them."""
_NOISE = 4.0
"""Variance of colours (CIELAB) that means nothing."""
_SHADE = 36.0
"""Variance of lightness by which a background differs where a part shades it."""
_STRANGE = 16.0
"""Squared distance in spreads at which a colour is as likely one of neither side: paint, rust, a burn."""
_THIN = 1
"""Half the thickness in pixels of the thinnest thing that has a colour of its own."""
_BLURRED = 3
"""Pixels on each side of the blurred edge of a part whose colours are mixed of both sides."""
_COARSE = 8.0
"""Standard deviation in pixels of what is light and shade on a background; what is finer is its own."""
_ALIKE = 0.3
"""Bhattacharyya distance below which colours are alike: their means lie 1.5 spreads apart."""


class _Colours(NamedTuple):
    """Colours of one side (CIELAB)."""

    mean: Float64[np.ndarray, "3"]
    spread: Float64[np.ndarray, "3 3"]
    """Their covariance."""


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

    What has the colours of neither side is no background: it is the defect's own, wherever it lies.

    Args:
        photo: (h, w, 3).
        part: (h, w), True at pixels of the part...
        beyond: (h, w), ... and of the background, both without a defect.
    """
    if min(part.sum(), beyond.sum()) < _LEAST:
        return None
    colours = _smooth(photo)
    background = _learn(colours, beyond)
    background = background._replace(spread=background.spread + np.diag([_SHADE, 0, 0]))
    as_background, strange = _surprise(colours, background), _STRANGE + _log_volume(background.spread)
    # Where an edge is round, background shows on the side of the part, too.
    sure = part & erode(as_background > strange, _BLURRED)
    own = _learn(colours, sure if 2 * sure.sum() > part.sum() else part)
    as_part = _surprise(colours, own)
    neither = np.minimum(as_part, as_background) > strange
    # A crack may be as thin as a blurred edge is, but its colour lies not between those of both sides.
    neither = _unmixed(neither, as_background < as_part) | (
        neither & (_off_mixtures(colours, own, background) > _STRANGE)
    )
    odds = (np.where(neither, strange, as_part) - as_background) / 2
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


def are_alike(photo: Image, other: Image, background: Mask) -> bool:
    """Return whether two photos (h, w, 3) have the same colours at the pixels (h, w) of their background."""
    first, second = _learn(_smooth(photo), background), _learn(_smooth(other), background)
    off, common = first.mean - second.mean, (first.spread + second.spread) / 2
    volumes = _log_volume(common) - (_log_volume(first.spread) + _log_volume(second.spread)) / 2
    return bool(off @ np.linalg.inv(common) @ off / 8 + volumes / 2 < _ALIKE)


def reaching(share: Float64[np.ndarray, "h w"], beyond: Mask) -> Float64[np.ndarray, "h w"]:
    """Return shares of background without what does not go on to the background beyond the edge.

    Highlights of a part have the colours of its background, too.

    Args:
        share: How likely each pixel shows background.
        beyond: (h, w), True at pixels beyond the edge.
    """
    _, pieces = cv2.connectedComponents((share > 0.5).astype(np.uint8))
    found = np.unique(pieces[beyond & (pieces > 0)])
    return np.where(dilate(np.isin(pieces, found), _BLURRED) if found.size else False, share, 0.0)


def fill_background(photo: Image, background: Mask, other: Image | None = None, *, shown: Mask | None = None) -> Image:
    """Return a photo whose part is replaced by background.

    That around the part goes on (inpainting; Telea, 2004). Where none is known the photo stays as it is.

    Args:
        photo: (h, w, 3).
        background: (h, w), True where it shows background; its rim, where the edge is blurred, is replaced too.
        other: (h, w, 3) photo of the same background to take its detail from; light and shade are those of `photo`.
        shown: (h, w), True where that one shows background.
    """
    known = erode(background, _BLURRED)
    if known.sum() < _LEAST:
        known = erode(background, _THIN)
    if not known.any():
        return photo
    filled = np.asarray(cv2.inpaint(np.ascontiguousarray(photo), (~known).astype(np.uint8), 3, cv2.INPAINT_TELEA))
    if other is None or shown is None or not shown.any():
        return filled
    detail = other - _coarse(other, shown)
    whole = _coarse(filled, np.ones_like(known)) + detail
    return np.where(known[..., None], photo, np.clip(np.rint(whole), 0, 255).astype(np.uint8))


def _coarse(photo: np.ndarray, counts: Mask) -> np.ndarray:
    """Return light and shade of a photo (h, w, 3), as the pixels that count show it."""
    weight = counts.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), _COARSE)
    blurred = cv2.GaussianBlur(photo.astype(np.float32) * weight[..., None], (0, 0), _COARSE)
    return np.asarray(blurred / np.maximum(total, 1e-3)[..., None])


def _off_mixtures(colours: np.ndarray, part: _Colours, background: _Colours) -> np.ndarray:
    """Return the squared distance (h, w) in spreads of colours to the nearest mixture of those of both sides."""
    inverse = np.linalg.inv((part.spread + background.spread) / 2)
    across, off = background.mean - part.mean, colours - part.mean
    share = np.clip(off @ inverse @ across / max(across @ inverse @ across, 1e-9), 0, 1)
    off = off - share[..., None] * across
    return np.asarray(np.einsum("hwi,ij,hwj->hw", off, inverse, off))


def _unmixed(neither: Mask, background: Mask) -> Mask:
    """Return what is of neither side (h, w) without the pixels of the edge, which are thin and have a side either way.

    Args:
        neither: (h, w), True where the colours are those of neither side.
        background: (h, w), True where they are more like the background's.
    """
    edge = dilate(~neither & background, _BLURRED) & dilate(~neither & ~background, _BLURRED)
    thick = dilate(erode(neither, _BLURRED), _BLURRED)
    return thick | dilate(erode(neither & ~edge, _THIN), _THIN)


def _smooth(photo: Image) -> Float64[np.ndarray, "h w 3"]:
    """Return the colours of a photo (CIELAB), single noisy pixels averaged out."""
    return np.asarray(cv2.GaussianBlur(to_lab(photo), (0, 0), 0.7), np.float64)


def _learn(colours: np.ndarray, known: Mask) -> _Colours:
    """Return the colours of a side, whatever a minority of its pixels is (Rousseeuw and Van Driessen, 1999).

    An edge is never quite where it is thought to be, and a rim of the part among the background would make everything
    background.
    """
    sample = colours[known]
    off = sample - np.median(sample, axis=0)
    far = np.square(off / (np.median(np.abs(off), axis=0) + 1)).sum(axis=1)
    for _ in range(_ROUNDS):
        chosen = sample[far <= np.quantile(far, _MAJORITY)]
        learned = _Colours(chosen.mean(axis=0), _WIDER * np.cov(chosen.T) + _NOISE * np.eye(3))
        far = _surprise(sample, learned)
    return learned


def _surprise(colours: np.ndarray, side: _Colours) -> np.ndarray:
    """Return minus twice the log-likelihood (h, w) of colours among those of a side."""
    off = colours - side.mean
    return np.asarray(np.einsum("...i,ij,...j->...", off, np.linalg.inv(side.spread), off) + _log_volume(side.spread))


def _log_volume(spread: np.ndarray) -> float:
    return float(np.linalg.slogdet(spread)[1])
