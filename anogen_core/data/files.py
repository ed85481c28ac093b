"""Safe reading of image files: the header before the pixels, and one clear message for every bad file."""

import hashlib
import stat
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from anogen_core.data.problems import Problem, UnusableFileError, error, unreadable, warning

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Endings of the files that are read as photos and masks, in lower case."""
OTHER_IMAGE_SUFFIXES = frozenset({".webp", ".gif", ".heic", ".heif", ".avif", ".jp2", ".jfif", ".ppm", ".pgm", ".dng"})
"""Endings of images that are not read, but told of."""

PIXEL_LIMIT = 100_000_000
"""Default of the largest number of pixels that is decoded."""
PIXEL_CEILING = 178_956_970
"""Pillow refuses to open anything larger, whatever the settings say."""

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa"})
_ORIENTATION_TAG = 0x0112
_QUARTER_TURNS = range(5, 9)
_COPY_AGAIN = "Copy it again from its source or remove it."


class Header(NamedTuple):
    """What an image file says about itself before its pixels are decoded."""

    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        return self.height, self.width


def read_header(path: Path, *, max_pixels: int = PIXEL_LIMIT) -> Header:
    """Return the header of an image file; no pixel is decoded.

    Raises:
        UnusableFileError: the file is missing, empty, not an image, of an unusable kind or too large.
    """
    return _examine(path, max_pixels=max_pixels)


def verify(path: Path, *, max_pixels: int = PIXEL_LIMIT) -> tuple[Header, list[Problem]]:
    """Return the header of an image file whose pixels are complete, and warnings about what is not used of it.

    The size is checked before anything is decoded, so a decompression bomb costs nothing.

    Raises:
        UnusableFileError: as `read_header`, or the file is truncated or damaged.
    """
    warnings: list[Problem] = []
    return _examine(path, max_pixels=max_pixels, warnings=warnings), warnings


def decode(path: Path, *, sha256: str | None = None) -> np.ndarray[Any, Any]:
    """Return the pixels as stored: (H, W) or (H, W, 3 or 4) in OpenCV's BGR order, uint8 or uint16.

    EXIF orientation is ignored; the orientation tag of TIFF itself is obeyed, as every TIFF decoder does.

    Raises:
        UnusableFileError: the file cannot be read, OpenCV cannot decode it, its pixels are not whole numbers of 8 or
            16 bits, or it is not the file that has this digest.
    """
    try:
        data = path.read_bytes()
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            fix = "Put the original file back, or begin another run with the new one."
            raise UnusableFileError(error(path, "has changed since it was read first.", fix=fix))
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except OSError as failure:
        raise UnusableFileError(unreadable(path, failure)) from failure
    except cv2.error as failure:
        raise UnusableFileError(error(path, f"cannot be decoded ({_reason(failure)}).", fix=_COPY_AGAIN)) from failure
    if pixels is None:
        raise UnusableFileError(error(path, "cannot be decoded by OpenCV.", fix="Save it again as an ordinary PNG."))
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UnusableFileError(
            error(path, f"has {pixels.dtype} pixels; 8 or 16 bits are expected.", fix="Save it as an 8 or 16 bit PNG.")
        )
    return pixels


def shown_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) of a usable photo as viewers show it: turned if its EXIF orientation asks for that."""
    with Image.open(path, formats=_FORMATS) as image:
        return (image.width, image.height) if _orientation(image) in _QUARTER_TURNS else (image.height, image.width)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that is not obeyed; 1 is upright."""
    # TIFF's own tag is obeyed. Pillow would decode a PNG in search of EXIF data behind its pixels.
    looked_at = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
    return int(image.getexif().get(_ORIENTATION_TAG, 1)) if looked_at else 1


def _examine(path: Path, *, max_pixels: int, warnings: list[Problem] | None = None) -> Header:
    """Return the header; with a list for `warnings`, look at all of the file and add to it."""
    _require_bytes(path)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            header = Header(image.height, image.width)
            _require_usable(path, image.mode, header, max_pixels=max_pixels)
            if warnings is not None:
                warnings += _unused(path, image)
                # Of a PNG this compares the checksums of all chunks, at a fraction of the cost of decoding.
                image.verify() if image.format == "PNG" else image.load()
            return header
    except UnusableFileError:
        raise
    except UnidentifiedImageError as failure:
        what = "is not a PNG, JPEG, BMP or TIFF image that can be read, whatever its name says."
        raise UnusableFileError(error(path, what, fix="Save it as a PNG or remove it.")) from failure
    except Image.DecompressionBombError as failure:
        raise _bomb(path, f"more than {PIXEL_CEILING:,}", limit=max_pixels) from failure
    except Exception as failure:  # Pillow's decoders raise almost any type on damaged files
        what = f"is truncated or damaged ({_reason(failure)})."
        raise UnusableFileError(error(path, what, fix=_COPY_AGAIN)) from failure


def _require_bytes(path: Path) -> None:
    try:
        status = path.stat()
        regular = stat.S_ISREG(status.st_mode)
        if regular:
            path.open("rb").close()
    except OSError as failure:
        raise UnusableFileError(unreadable(path, failure)) from failure
    if not regular:
        raise UnusableFileError(error(path, "is not a regular file.", fix="Remove it."))
    if status.st_size == 0:
        raise UnusableFileError(error(path, "is empty (0 bytes).", fix=_COPY_AGAIN))


def _unused(path: Path, image: Image.Image) -> list[Problem]:
    """Return a warning for each thing in the file that is not used."""
    warnings = []
    orientation = _orientation(image)
    if orientation != 1:
        what = f"is turned or mirrored by viewers (EXIF orientation {orientation}); its pixels are used as stored."
        fix = (
            "If its mask or boxes were drawn on what viewers show, or other photos are stored upright, save it as it "
            "is shown, without the tag."
        )
        warnings.append(warning(path, what, fix=fix))
    if image.has_transparency_data:
        warnings.append(
            warning(path, "has an alpha channel, which is dropped.", fix="If it is opaque, nothing needs to be done.")
        )
    if getattr(image, "n_frames", 1) > 1:
        warnings.append(warning(path, "holds several images; only the first is read.", fix="Save them one by one."))
    return warnings


def _require_usable(path: Path, mode: str, header: Header, *, max_pixels: int) -> None:
    pixels = header.height * header.width
    if pixels > max_pixels:
        raise _bomb(path, f"{pixels:,}", limit=max_pixels)
    if mode not in _MODES and not mode.startswith("I;16"):
        what = f"has the pixel type {mode}; grey or RGB with 8 or 16 bits is expected."
        raise UnusableFileError(error(path, what, fix="Save it as a grey or RGB PNG."))


def _bomb(path: Path, pixels: str, *, limit: int) -> UnusableFileError:
    what = f"claims {pixels} pixels, more than the limit of {limit:,} (a decompression bomb?)."
    return UnusableFileError(error(path, what, fix="Remove it, or raise `frame.max_pixels` if the size is right."))


def _reason(failure: Exception) -> str:
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    first_line = (str(failure).splitlines() or [""])[0]
    return first_line[:120] or type(failure).__name__
