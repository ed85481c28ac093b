"""Where a model in training is asked to paint: a box around the defect or its outline, as in generation."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional

from anogen_core.arrays import LatentMask

BOX_SHARE, OUTLINE_SHARE = 0.4, 0.54
"""Shares of boxes around the defect and of its own outline, to which a support mask is like; the rest is the whole
canvas."""


def choose_places(defects: LatentMask, generator: torch.Generator) -> LatentMask:
    """Return (B, 1, h, w) with 1 where the model paints: it covers the defect, or lies anywhere when there is none.

    Args:
        defects: (B, 1, h, w), above 0 on cells that a defect touches.
        generator: Source of sizes and places, on the device of the defects.
    """
    touched = defects[:, 0] > 0
    count = len(touched)
    draw = torch.rand((count, 1, 1), generator=generator, device=defects.device)
    present = touched.any(dim=2).any(dim=1)[:, None, None]
    box = torch.where(present, _box_around(touched, generator), _random_box(touched, generator))
    spread = functional.max_pool2d(defects, 3, stride=1, padding=1)[:, 0] > 0
    wide = torch.rand((count, 1, 1), generator=generator, device=defects.device) < 0.5
    outline = torch.where(present, torch.where(wide, spread, touched), box)
    places = torch.where(draw < BOX_SHARE, box, outline) | (draw >= BOX_SHARE + OUTLINE_SHARE)
    return places[:, None].float()


def _box_around(touched: Bool[Tensor, "B h w"], generator: torch.Generator) -> Bool[Tensor, "B h w"]:
    """Return the bounding boxes of the defects, larger by up to two cells on each side."""
    margins = torch.randint(3, (4, len(touched)), generator=generator, device=touched.device)
    spans = []
    for axis, (before, after) in zip((2, 1), margins.view(2, 2, -1), strict=True):
        line = touched.any(dim=axis)
        places = torch.arange(line.shape[1], device=line.device)
        first = torch.where(line, places, line.shape[1]).amin(1) - before
        last = torch.where(line, places, -1).amax(1) + after
        spans.append((first, last + 1))
    return _boxes(touched, *spans)


def _random_box(touched: Bool[Tensor, "B h w"], generator: torch.Generator) -> Bool[Tensor, "B h w"]:
    """Return boxes with sides between an eighth and two thirds of the canvas."""
    spans = []
    for side in touched.shape[1:]:
        draws = torch.rand((2, len(touched)), generator=generator, device=touched.device)
        shortest = side // 8
        length = shortest + (draws[0] * (side * 2 // 3 + 1 - shortest)).long()
        first = (draws[1] * (side - length + 1)).long()
        spans.append((first, first + length))
    return _boxes(touched, *spans)


def _boxes(
    touched: Bool[Tensor, "B h w"],
    rows: tuple[Int[Tensor, " B"], Int[Tensor, " B"]],
    columns: tuple[Int[Tensor, " B"], Int[Tensor, " B"]],
) -> Bool[Tensor, "B h w"]:
    lines = []
    for length, (first, end) in zip(touched.shape[1:], (rows, columns), strict=True):
        places = torch.arange(length, device=touched.device)
        lines.append((places >= first[:, None]) & (places < end[:, None]))
    return lines[0][:, :, None] & lines[1][:, None, :]
