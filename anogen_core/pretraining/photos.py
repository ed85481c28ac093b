"""Normal photos of a user as training scenes."""

from pathlib import Path

import cv2
import numpy as np

from anogen_core.arrays import Image
from anogen_core.data.files import IMAGE_SUFFIXES, read_header
from anogen_core.errors import InputError


def list_photos(directory: Path) -> list[Path]:
    """Return the image files below a directory, sorted.

    Raises:
        InputError: there is none.
        UnusableFileError: one of them is not an image that can be read.
    """
    found = sorted(path for path in directory.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{directory}: holds no photo. Expected PNG, JPEG, BMP or TIFF files of good parts below it.")
    for path in found:
        read_header(path)
    return found


def cut_square(photo: Image, rng: np.random.Generator, *, size: int) -> Image:
    """Return a random square of the photo, between `size` pixels and all of its shorter side, as `size` pixels."""
    shorter = min(photo.shape[:2])
    smallest = min(size, shorter)
    side = round(smallest * (shorter / smallest) ** float(rng.random()))
    top, left = (int(rng.integers(0, length - side + 1)) for length in photo.shape[:2])
    square = np.ascontiguousarray(photo[top : top + side, left : left + side])
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
