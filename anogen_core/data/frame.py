"""The frame: the one size and range of values in which all photos of a category are used."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import numpy as np
from pydantic import Field

from anogen_core.arrays import Image, Mask
from anogen_core.data.files import PIXEL_CEILING, PIXEL_LIMIT, decode, read_header
from anogen_core.data.mask_values import MaskValues
from anogen_core.data.problems import UnusableFileError, error
from anogen_core.errors import InputError
from anogen_core.outline import decode_outline
from anogen_core.records import GOOD, Box, Sample
from anogen_core.resizing import resize
from anogen_core.settings import Settings

FULL_WHITE = 65535
"""The white of a 16 bit photo that uses all its bits."""

DECODING: Final = (
    "cv2.imdecode (OpenCV) with IMREAD_UNCHANGED: pixels as stored, EXIF orientation is not obeyed. A 16 bit value v "
    "becomes 255 * min(v, white_level) / white_level, rounded to the nearest whole number, halves up. Then RGB: grey "
    "in three equal channels, alpha dropped, BGR turned round."
)
"""What `read_photo` does, for whoever repeats it without this code."""

_Side = Annotated[int, Field(ge=16, le=16384)]


class FrameSettings(Settings):
    """The common size of all photos and the meaning of 16 bit values."""

    size: tuple[_Side, _Side] | None = None
    """Height and width in pixels to which photos and masks are resized; their own size when all agree."""
    white_level: Annotated[int, Field(ge=1, le=FULL_WHITE)] = FULL_WHITE
    """The value in 16 bit photos that becomes 255; 4095 for a 12 bit camera. 8 bit photos are used as they are."""
    max_pixels: Annotated[int, Field(ge=1, le=PIXEL_CEILING)] = PIXEL_LIMIT
    """Files that claim more pixels than this are refused before they are decoded."""


def frame_size_of(samples: Sequence[Sample], settings: FrameSettings) -> tuple[int, int]:
    """Return the frame's (height, width) for the photos of one category, reading headers alone.

    Raises:
        InputError: there is no photo, one cannot be read, or sizes differ and `frame.size` is not set.
    """
    if settings.size is not None:
        return settings.size
    if not samples:
        raise InputError("frame.size: there is no photo to take the size from. Set `frame.size`.")
    sizes = Counter(read_header(Path(s.image_uri), max_pixels=settings.max_pixels).size for s in samples)
    if len(sizes) > 1:
        shown = ", ".join(f"{height}x{width} ({count} photos)" for (height, width), count in sizes.most_common(4))
        usual = list(sizes.most_common(1)[0][0])
        raise InputError(
            f"frame.size: the photos of {samples[0].category} have {len(sizes)} sizes (height x width): {shown}. "
            f"Set `frame.size`, for example {usual}."
        )
    return next(iter(sizes))


def load_image(sample: Sample, frame_size: tuple[int, int], *, white_level: int = FULL_WHITE) -> Image:
    """Return a photo in the frame as RGB, 0-255.

    `read_photo` at the stored size, then resized as `resizing.RULE` says, with `cv2.INTER_CUBIC` along sides that grow.
    The aspect ratio is not kept. Whoever repeats these steps gets the same bytes.

    Raises:
        UnusableFileError: the file cannot be decoded, or is another than when the data was read.
    """
    pixels = decode(Path(sample.image_uri), sha256=sample.sha256)
    return to_frame(to_rgb(pixels, white_level=white_level), frame_size)


def to_frame(rgb: Image, frame_size: tuple[int, int]) -> Image:
    """Return a photo as RGB resized to the frame; see `load_image`."""
    return resize(rgb, frame_size, growing=cv2.INTER_CUBIC)


def load_mask(sample: Sample, frame_size: tuple[int, int]) -> Mask:
    """Return where a photo is anomalous, in the frame: its mask or its filled boxes.

    That is nowhere if it is normal, or if no label says the place of its defect.

    Resized (see `resize_mask`) from the size as stored.

    Raises:
        UnusableFileError: the mask or the photo cannot be used.
    """
    if sample.defect == GOOD or not sample.is_labelled:
        return np.zeros(frame_size, bool)
    if sample.mask_uri is not None:
        return resize_mask(read_sample_mask(sample), frame_size)
    size = read_header(Path(sample.image_uri), max_pixels=PIXEL_CEILING).size
    if sample.outline is None:
        return resize_mask(fill_boxes(sample.boxes, size), frame_size)
    try:
        return resize_mask(decode_outline(sample.outline, size), frame_size)
    except ValueError as failure:
        what = "has another size than when its label was read."
        raise UnusableFileError(error(sample.image_uri, what, fix="Start the run again.")) from failure


def read_photo(path: Path, *, white_level: int = FULL_WHITE) -> Image:
    """Return a photo as stored, as RGB 0-255: grey in three equal channels, palettes expanded, alpha dropped.

    A 16 bit value v becomes 255 * min(v, white) / white, rounded to the nearest whole number, halves up.

    Raises:
        UnusableFileError: the file cannot be decoded.
    """
    return to_rgb(decode(path), white_level=white_level)


def to_rgb(pixels: np.ndarray[Any, Any], *, white_level: int = FULL_WHITE) -> Image:
    """Return decoded pixels (OpenCV's channel order, 8 or 16 bit) as RGB 0-255; see `read_photo`."""
    if pixels.dtype == np.uint16:
        limited = np.minimum(pixels, white_level).astype(np.uint32)
        pixels = ((510 * limited + white_level) // (2 * white_level)).astype(np.uint8)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def repaint(pixels: np.ndarray[Any, Any], rgb: Image, *, white_level: int = FULL_WHITE) -> np.ndarray[Any, Any]:
    """Return a copy of decoded pixels that shows an RGB image of their size, in their own channels and bit depth.

    A value stays as it is where the image equals the photo as `to_rgb` gives it. Elsewhere the difference is added to
    it, in 16 bit times white / 255, rounded to the nearest whole number, halves up, and cut off at 0 and white. Of a
    grey photo the image's lightness counts (`cv2.COLOR_RGB2GRAY`). Alpha is kept.
    """
    white = white_level if pixels.dtype == np.uint16 else 255
    shown, painted = to_rgb(pixels, white_level=white_level), pixels.copy()
    if pixels.ndim == 2:
        values, shown, wanted = painted, shown[..., 0], cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    else:
        values, wanted = painted[..., 2::-1], rgb
    changed = wanted != shown
    difference = wanted[changed].astype(np.int32) - shown[changed]
    start = np.minimum(values[changed], white).astype(np.int32)
    values[changed] = np.clip(start + (2 * difference * white + 255) // 510, 0, white)
    return painted


def read_sample_mask(sample: Sample) -> Mask:
    """Return the mask image of a sample that has one, in the size as stored; see `read_mask`.

    Raises:
        UnusableFileError: the mask cannot be used.
    """
    return read_mask(Path(str(sample.mask_uri)), threshold=sample.mask_threshold, inverted=sample.mask_inverted)


def read_mask(path: Path, *, threshold: int | None = None, inverted: bool = False) -> Mask:
    """Return a mask image as stored: 0 is normal, the one other value is anomalous. Polarity is never guessed.

    With a threshold any values are allowed, and those from it on are anomalous. In an inverted mask they are normal,
    and all others anomalous. Of a colour mask the largest channel
    counts; alpha is dropped.

    Raises:
        UnusableFileError: the file cannot be decoded, or holds more than one value (or colour) besides 0 and there is
            no threshold.
    """
    values = MaskValues.read(path)
    if threshold is not None:
        return np.asarray((values.shades >= threshold) != inverted)
    if not values.is_binary:
        raise UnusableFileError(values.problem(path))
    return np.asarray((values.shades > 0) != inverted)


def fill_boxes(boxes: Sequence[Box], size: tuple[int, int]) -> Mask:
    """Return a mask of (height, width) that is true inside the boxes; what lies outside the photo is cut off."""
    mask = np.zeros(size, bool)
    for box in boxes:
        mask[max(box.y, 0) : max(box.y + box.height, 0), max(box.x, 0) : max(box.x + box.width, 0)] = True
    return mask


def resize_mask(mask: Mask, frame_size: tuple[int, int]) -> Mask:
    """Return the mask in the frame: a frame pixel is anomalous if at least half of its area is.

    That is 255 * mask resized as `resizing.RULE` says, with `cv2.INTER_AREA` along sides that grow, >= 128, on uint8.
    When that leaves nothing of a mask that is not empty, every frame pixel that an anomalous pixel (y, x) falls on,
    (y * H // h, x * W // w), is anomalous instead: a thin defect never vanishes.
    """
    if mask.shape == frame_size:
        return mask
    height, width = frame_size
    resized: Mask = resize(255 * mask.astype(np.uint8), frame_size, growing=cv2.INTER_AREA) >= 128
    if not resized.any() and mask.any():
        rows, columns = np.nonzero(mask)
        resized[rows * height // mask.shape[0], columns * width // mask.shape[1]] = True
    return resized
