"""Pictures of arrays: outlines, enlarged details, heat maps and contact sheets, all as RGB uint8."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from anogen_core.arrays import Image, Mask
from anogen_core.morphology import dilate
from anogen_core.report.content import GeneratedExample

LABEL_COLOUR = (0, 214, 255)
"""Outline of a mask that a person drew."""
BOX_COLOUR = (255, 176, 0)
"""Outline of a planned mask."""
_HALO = (16, 18, 20)
_GAP = 6


def to_data_uri(array: np.ndarray, quality: int | None = 90) -> str:
    """Return a picture as a `data:` address: JPEG of that quality, or PNG when it is None."""
    if quality is None:
        return "data:image/png;base64," + base64.b64encode(encode_png(array)).decode()
    # Full colour resolution, or thin coloured lines turn grey.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1, *sampling]
    return "data:image/jpeg;base64," + base64.b64encode(_encode(array, ".jpg", flags)).decode()


def encode_png(array: np.ndarray) -> bytes:
    """Return an RGB (H, W, 3) or grey (H, W) uint8 picture as PNG."""
    return _encode(array, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 9])


def fit(image: np.ndarray, side: int) -> np.ndarray:
    """Return the picture with its longer side scaled to `side`: averaged when it shrinks, cubic when it grows."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale == 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def outline(image: Image, mask: Mask, *, side: int, colour: tuple[int, int, int] = LABEL_COLOUR) -> Image:
    """Return the photo scaled to `side` with a line around the mask; it lies outside, so that it hides no defect."""
    picture = fit(image, side).copy()
    height, width = picture.shape[:2]
    # A mask thinner than a pixel of the thumbnail must not vanish: any coverage counts.
    coverage = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    inside = coverage > 0
    picture[dilate(inside, 5, disc=True) & ~inside] = _HALO
    picture[dilate(inside, 4, disc=True) & ~dilate(inside, 1, disc=True)] = colour
    return picture


def detail(image: np.ndarray, mask: Mask, *, side: int, context: float = 1.7) -> np.ndarray:
    """Return the region around the mask, enlarged to `side`.

    Args:
        image: Any array in the frame of `mask`.
        mask: What to look at; an empty one gives the whole picture.
        side: Longer side of the result in pixels.
        context: Side of the region in units of the mask's longer side.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return fit(image, side)
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    wanted = max(16, round(longest * context))
    top, bottom = _span(int(rows[0]), int(rows[-1]), wanted, image.shape[0])
    left, right = _span(int(columns[0]), int(columns[-1]), wanted, image.shape[1])
    return fit(image[top:bottom, left:right], side)


def mask_picture(mask: Mask, side: int) -> UInt8[np.ndarray, "h w"]:
    """Return the mask as white on black."""
    return (fit(mask.astype(np.float32), side).clip(0, 1) * 255).round().astype(np.uint8)


def label_picture(box: Mask, mask: Mask, side: int) -> UInt8[np.ndarray, "h w"]:
    """Return the pixel mask in white on the box in dark grey."""
    return (fit(0.3 * box.astype(np.float32) + 0.7 * mask, side).clip(0, 1) * 255).round().astype(np.uint8)


def heat_overlay(image: Image, heatmap: Float[np.ndarray, "H W"], *, peak: float, side: int) -> Image:
    """Return the photo under its anomaly map: nothing is tinted at 0, the colour is full at `peak`."""
    picture = fit(image, side)
    height, width = picture.shape[:2]
    level = cv2.resize(np.nan_to_num(heatmap).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    level = np.clip(level / max(peak, 1e-12), 0, 1)
    colours = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    opacity = 0.8 * np.sqrt(level)[..., None]
    return ((1 - opacity) * picture + opacity * colours).round().astype(np.uint8)


def contact_sheet(examples: Sequence[GeneratedExample], columns: int = 1, *, side: int = 192) -> Image:
    """Return one picture of all examples: normal with its box | mask | generated | detail, `columns` examples across.

    Raises:
        ValueError: there is no example, or `columns` is below 1.
    """
    if not examples or columns < 1:
        raise ValueError(
            f"Expected examples and at least one column, found {len(examples)} examples and {columns} columns."
        )
    strips = [_strip(example, side) for example in examples]
    tall, wide = max(s.shape[0] for s in strips) + _GAP, max(s.shape[1] for s in strips) + 3 * _GAP
    rows = -(-len(strips) // columns)
    sheet = np.full((rows * tall + _GAP, min(columns, len(strips)) * wide - _GAP, 3), 255, np.uint8)
    for number, strip in enumerate(strips):
        y, x = _GAP + number // columns * tall, _GAP + number % columns * wide
        sheet[y : y + strip.shape[0], x : x + strip.shape[1]] = strip
    return sheet


def _strip(example: GeneratedExample, side: int) -> Image:
    tiles = [
        outline(example.normal, example.box_mask, side=side, colour=BOX_COLOUR),
        np.repeat(label_picture(example.box_mask, example.mask, side)[..., None], 3, axis=2),
        fit(example.generated, side),
        detail(example.generated, example.box_mask, side=side),
    ]
    height = max(tile.shape[0] for tile in tiles)
    strip = np.full((height, sum(tile.shape[1] + _GAP for tile in tiles) - _GAP, 3), 255, np.uint8)
    x = 0
    for tile in tiles:
        strip[: tile.shape[0], x : x + tile.shape[1]] = tile
        x += tile.shape[1] + _GAP
    return strip


def _span(first: int, last: int, wanted: int, length: int) -> tuple[int, int]:
    """Return (start, end) of `wanted` pixels around first..last, moved and shortened to lie in 0..length."""
    size = min(wanted, length)
    start = min(max((first + last + 1 - size) // 2, 0), length - size)
    return start, start + size


def _encode(array: np.ndarray, suffix: str, flags: list[int]) -> bytes:
    stored = array[..., ::-1] if array.ndim == 3 else array
    done, buffer = cv2.imencode(suffix, np.ascontiguousarray(stored), flags)
    if not done:
        raise ValueError(f"A picture of shape {array.shape} and type {array.dtype} cannot be encoded as {suffix}.")
    return buffer.tobytes()
