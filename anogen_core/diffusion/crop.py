"""The square around a mask that is zoomed to the model's size, generated, zoomed back and pasted.

This is what lets a small model serve any frame size and gives a small defect enough latent cells.
"""

import math
from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import Field

from anogen_core.arrays import Image, ImageBatch, LatentMask, Mask
from anogen_core.errors import MaskPlacementError, ThinMaskError
from anogen_core.records import Box
from anogen_core.settings import Settings


class CropSettings(Settings):
    """How large a square is cut out around a mask."""

    context: Annotated[float, Field(ge=1, le=8)] = 1.6
    """Side of the square in units of the mask's longer side: how much of the surroundings the model sees at least,
    where `min_cells` leaves room for it."""
    canvas: Annotated[int, Field(ge=32, multiple_of=32)] | None = None
    """Side in pixels of the canvas that a square is zoomed to; default: the size the base model was trained for. A
    larger one keeps more detail of large defects and costs time with its area."""
    min_cells: Annotated[int, Field(ge=1, le=64)] = 5
    """Latent cells that the mask's longer side spans at least; small masks are zoomed in until it does. Requests are
    blocked when the canvas has fewer cells along a side."""


_CANVAS_STEP = 32
_THINNEST = 0.05
"""Latent cells that a mask has to be thick for a model to paint something that can be seen (docs/your-photos.md)."""


def bounding_box(mask: Mask) -> Box:
    """Return the smallest box that holds every anomalous pixel.

    Raises:
        MaskPlacementError: the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise MaskPlacementError("The mask has no anomalous pixel; expected at least one.")
    x, y = int(columns[0]), int(rows[0])
    return Box(x=x, y=y, width=int(columns[-1]) - x + 1, height=int(rows[-1]) - y + 1)


def window_around(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of a mask's bounding box and up to `margin` pixels around it.

    What depends on a mask and little around it is computed there: large frames cost no more than small ones.

    Raises:
        MaskPlacementError: the mask is empty.
    """
    box = bounding_box(mask)
    return (
        slice(max(0, box.y - margin), min(mask.shape[0], box.y + box.height + margin)),
        slice(max(0, box.x - margin), min(mask.shape[1], box.x + box.width + margin)),
    )


def middle_of(mask: Mask) -> Box:
    """Return the middle part of a mask's bounding box that some square of the frame can hold: mostly all of it.

    Where the mask has no pixel there, as that of two defects at the ends of a long frame, it is that of the largest
    region.

    Raises:
        MaskPlacementError: the mask is empty.
    """
    middle = _middle(bounding_box(mask), min(mask.shape))
    if cut(mask, middle).any():
        return middle
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return _middle(bounding_box(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()), min(mask.shape))


def _middle(box: Box, limit: int) -> Box:
    width, height = min(box.width, limit), min(box.height, limit)
    return Box(x=box.x + (box.width - width) // 2, y=box.y + (box.height - height) // 2, width=width, height=height)


def choose_crop(box: Box, frame: tuple[int, int], cells: int, resolution: int, settings: CropSettings) -> Box:
    """Return the square to generate for a mask with bounding box `box`.

    The square is cut at native scale when it can be: it grows with the mask (`context`), but never so far that the
    mask spans fewer than `min_cells` latent cells.

    Args:
        box: Bounding box of the mask, in pixels of the frame.
        frame: (height, width) of the frame.
        cells: Latent cells along one side of the model's canvas.
        resolution: Side of the model's canvas in pixels.
        settings: How large the square may be.

    Raises:
        MaskPlacementError: the mask is longer than the shorter side of the frame, so no square holds it.
    """
    height, width = frame
    longest, limit = max(box.width, box.height), min(frame)
    if longest > limit:
        raise MaskPlacementError(
            f"The mask spans {longest} px but the largest square in a frame of {width}x{height} px has {limit} px. "
            "Lower `mask_sampler` sizes or split the mask."
        )
    wanted = min(max(settings.context * longest, resolution), longest * cells / settings.min_cells)
    side = max(longest, min(limit, round(wanted)))
    x = _start(box.x + box.width / 2, side, width)
    y = _start(box.y + box.height / 2, side, height)
    return Box(x=x, y=y, width=side, height=side)


def require_cells(
    mask: Mask, crop: Box, cells: int, resolution: int, settings: CropSettings, *, thin: bool = False
) -> None:
    """Refuse a mask that covers too little of the latent grid for a model to paint something into it.

    Args:
        mask: (H, W), True where the defect goes.
        crop: The square that is generated for it.
        cells: Latent cells along one side of the model's canvas.
        resolution: Side of the model's canvas in pixels.
        settings: How many cells it spans at least.
        thin: Whether it may be as thin as it likes: what it will show is there before the model paints.

    Raises:
        MaskPlacementError: it spans fewer cells than `min_cells`.
        ThinMaskError: it is too thin.
    """
    factor = resolution // cells
    if cells < settings.min_cells:
        raise MaskPlacementError(
            f"the canvas of {resolution} px has {cells} latent cells a side, expected {settings.min_cells} under the "
            "mask; lower `generation.crop.min_cells` or set "
            f"`generation.crop.canvas: {_round_up(settings.min_cells * factor)}`"
        )
    if thin:
        return
    found = thickness(cut(mask, crop)) * cells / crop.width
    if found < _THINNEST:
        # Rounded, so that reports count alike requests together.
        bound = (math.floor(100 * found) + 1) / 100
        raise ThinMaskError(
            f"the mask is less than {bound} latent cells thick at the zoom of its square, "
            f"too thin to be painted (expected {_THINNEST} at least); start from support defects (`generation.start: "
            "support` with `generation.keep_detail`, transplanted masks and `generation.sampler.strength` below 1), or "
            f"raise `generation.crop.canvas` to {_round_up(resolution * _THINNEST / found)} or more"
        )


def thickness(mask: np.ndarray) -> float:
    """Return the diameter of the largest disc inside a mask (H, W), in pixels."""
    return 2 * float(cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5).max())


def _round_up(side: float) -> int:
    """Return the smallest canvas of at least `side` pixels."""
    return _CANVAS_STEP * math.ceil(side / _CANVAS_STEP)


def _start(centre: float, side: int, length: int) -> int:
    return int(min(max(round(centre - side / 2), 0), length - side))


def cut(image: Image, crop: Box) -> Image:
    """Return the view of `image` inside `crop`."""
    return image[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]


def zoom(array: np.ndarray, side: int) -> np.ndarray:
    """Return a square array resized to `side`: area-averaged when shrinking, cubic when enlarging."""
    if array.shape[0] == side:
        return array
    interpolation = cv2.INTER_AREA if array.shape[0] > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(array, (side, side), interpolation=interpolation))


def to_canvas(image: Image, crop: Box, resolution: int) -> ImageBatch:
    """Return the crop as a (1, 3, resolution, resolution) tensor in [-1, 1]."""
    canvas = zoom(cut(image, crop).astype(np.float32), resolution)
    return torch.from_numpy(np.ascontiguousarray(canvas.transpose(2, 0, 1)))[None] / 127.5 - 1


def fill_canvas(canvas: ImageBatch, mask: Mask) -> ImageBatch:
    """Return a (1, 3, H, W) canvas in [-1, 1] with what the mask (H, W) covers filled in (see `fill_photo`)."""
    pixels = ((canvas[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    filled = fill_photo(np.ascontiguousarray(pixels), mask).astype(np.float32)
    return torch.from_numpy(filled).permute(2, 0, 1)[None] / 127.5 - 1


def fill_photo(photo: Image, mask: Mask) -> Image:
    """Return a photo with what the mask covers filled in from around it (Telea, 2004).

    A guess of how a photo looked before it was damaged; the rim of the mask is filled too.
    """
    hole = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    return cv2.inpaint(photo, hole, 3, cv2.INPAINT_TELEA)


def to_latent_mask(mask: Mask, crop: Box, cells: int) -> LatentMask:
    """Return (1, 1, cells, cells) with 1 where ANY pixel under the latent cell is anomalous (the paper's code)."""
    inside = np.argwhere(cut(mask, crop))
    reduced = np.zeros((cells, cells), np.float32)
    scale = cells / crop.width
    # A pixel [p, p + 1) touches the cells from floor(p * scale) to the last one it reaches into.
    first = np.floor(inside * scale).astype(int)
    last = np.minimum(np.ceil((inside + 1) * scale).astype(int) - 1, cells - 1)
    if scale <= 1:
        for rows, columns in ((a, b) for a in (first[:, 0], last[:, 0]) for b in (first[:, 1], last[:, 1])):
            reduced[rows, columns] = 1
    else:
        for (top, left), (bottom, right) in zip(first, last, strict=True):
            reduced[top : bottom + 1, left : right + 1] = 1
    return torch.from_numpy(reduced)[None, None]


def paste(normal: Image, generated: np.ndarray, crop: Box, mask: Mask, feather: float) -> Image:
    """Return `normal` with the generated square shown inside the mask only.

    Every pixel outside the mask is byte-equal to `normal`; the feather lies inside the mask.

    Args:
        normal: (H, W, 3) uint8.
        generated: (side, side, 3) float, 0-255, at the frame's scale.
        crop: Where the square lies.
        mask: (H, W), True where anomalous.
        feather: Share of the mask's depth over which the square fades in from the border; 0 is a hard edge.
    """
    inside = cut(mask, crop)
    padded = np.pad(inside, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    alpha = np.clip(depth / (1 + feather * depth.max(initial=0)), 0, 1) if feather > 0 else inside.astype(np.float32)
    result = normal.copy()
    region = cut(result, crop)
    blended = region + alpha[..., None] * (generated - region)
    region[inside] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)[inside]
    return result
