"""Where a model in training is asked to paint: a box around the defect or its outline, as in generation."""

import numpy as np
import torch

from anogen_core.arrays import LatentMask

BOX_SHARE, OUTLINE_SHARE = 0.4, 0.54
"""Shares of boxes around the defect and of its own outline, to which a support mask is like; the rest is the whole
canvas."""


def choose_places(defects: LatentMask, rng: np.random.Generator) -> LatentMask:
    """Return (B, 1, h, w) with 1 where the model paints: it covers the defect, or lies anywhere when there is none.

    Args:
        defects: (B, 1, h, w), above 0 on cells that a defect touches.
        rng: Source of sizes and places.
    """
    return torch.stack([_place(defect > 0, rng) for defect in defects[:, 0]])[:, None].float()


def _place(defect: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    draw = rng.random()
    if draw >= BOX_SHARE + OUTLINE_SHARE:
        return torch.ones_like(defect)
    if not defect.any():
        return _random_box(defect, rng)
    if draw < BOX_SHARE:
        return _box_around(defect, rng)
    reach = int(rng.integers(2))
    spread = torch.nn.functional.max_pool2d(defect[None].float(), 2 * reach + 1, stride=1, padding=reach)
    return spread[0] > 0


def _box_around(defect: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return the bounding box of the defect, larger by up to two cells on each side."""
    rows, columns = torch.nonzero(defect, as_tuple=True)
    top, left, bottom, right = rng.integers(0, 3, 4)
    box = torch.zeros_like(defect)
    box[
        max(0, int(rows.min() - top)) : int(rows.max() + bottom) + 1,
        max(0, int(columns.min() - left)) : int(columns.max() + right) + 1,
    ] = True
    return box


def _random_box(like: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return a box with sides between an eighth and two thirds of the canvas."""
    box = torch.zeros_like(like)
    height, width = (int(rng.integers(side // 8, side * 2 // 3 + 1)) for side in like.shape)
    top, left = (
        int(rng.integers(0, side - length + 1)) for side, length in zip(like.shape, (height, width), strict=True)
    )
    box[top : top + height, left : left + width] = True
    return box
