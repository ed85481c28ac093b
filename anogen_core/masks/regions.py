"""Where defects may lie: the foreground of the photo, inside what people drew as legal and outside what is illegal."""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.data.frame import read_mask, resize_mask
from anogen_core.errors import InputError
from anogen_core.masks.foreground import ForegroundSettings, find_foreground


def find_region(image: Image, settings: ForegroundSettings, category: str, defect: str) -> Mask:
    """Return (H, W) True where a defect may lie on a photo.

    Raises:
        InputError: a mask image of `foreground.legal` or `foreground.illegal` is missing, not binary or empty, or the
            two leave nothing.
    """
    region, frame = find_foreground(image, settings), image.shape[:2]
    for name, path in _files(settings, category, defect):
        drawn = _read(name, path, hashlib.sha256(_bytes(name, path)).hexdigest(), frame)
        region = region & (drawn if name == "legal" else ~drawn)
    return region


def region_digests(settings: ForegroundSettings, category: str, defect: str) -> list[str]:
    """Return the sha256 of the mask images that restrict a defect's places; raises as `find_region`."""
    return [hashlib.sha256(_bytes(name, path)).hexdigest() for name, path in _files(settings, category, defect)]


def _files(settings: ForegroundSettings, category: str, defect: str) -> Iterator[tuple[str, Path]]:
    for name, pattern in (("legal", settings.legal), ("illegal", settings.illegal)):
        if pattern is not None:
            yield name, Path(pattern.replace("{category}", category).replace("{defect}", defect))


def _bytes(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"foreground.{name}: {path} cannot be read ({error.strerror}). Expected a mask image, 255 where the region "
            "is; `{category}` and `{defect}` in the path stand for their names."
        ) from error


@functools.lru_cache(maxsize=64)
def _read(name: str, path: Path, digest: str, frame: tuple[int, int]) -> Mask:
    del digest  # a file that was drawn anew is read anew
    mask = resize_mask(read_mask(path), frame)
    if name == "legal" and not mask.any():
        raise InputError(f"foreground.legal: {path} is empty. Paint 255 where defects may lie.")
    return np.asarray(mask, bool)
