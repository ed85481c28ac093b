"""Which photos are the same one: by their files, or by the pixels in files of other names, formats and compression."""

import functools
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anogen_core.data.files import decode, read_header
from anogen_core.data.frame import FrameSettings, to_rgb
from anogen_core.records import Sample

BURNT = 0.05
"""Share of the values above white from which photos are taken for brighter than the settings say."""
_REMEMBERED = 1 << 16


def burnt_share(pixels: np.ndarray[Any, Any], *, white_level: int) -> float:
    """Return the share of the values of decoded pixels that are above white; 0 for 8 bit photos."""
    return float((pixels > white_level).mean()) if pixels.dtype == np.uint16 else 0.0


def pixel_digest(pixels: np.ndarray[Any, Any], *, white_level: int) -> str:
    """Return a digest, in hex, of decoded pixels (OpenCV's channel order, 8 or 16 bit): of what is seen of the photo.

    That is its RGB at the white level. Where much is above white, it is the pixels as stored: white photos look the
    same as each other and are not.
    """
    burnt = burnt_share(pixels, white_level=white_level) > BURNT
    seen = pixels if burnt else to_rgb(pixels, white_level=white_level)
    digest = hashlib.sha256(repr(seen.shape).encode())
    digest.update(np.ascontiguousarray(seen).data)
    return digest.hexdigest()


def copies_of(photos: Sequence[Sample], *, among: Sequence[Sample], settings: FrameSettings) -> list[Sample]:
    """Return the samples that show the same photo as one of `photos`: of equal files or equal pixels.

    Only samples as large as one of `photos` are decoded, once per process.

    Raises:
        UnusableFileError: a photo cannot be read, or is another than when the data was read.
    """
    files = {photo.sha256: photo for photo in photos}
    if not files:
        return []
    others = [sample for sample in among if sample.sha256 not in files]
    size, digest = partial(_size, settings.max_pixels), partial(_digest, settings.white_level)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        sizes = set(pool.map(size, files.values()))
        alike = [s for s, of_sample in zip(others, pool.map(size, others), strict=True) if of_sample in sizes]
        seen = set(pool.map(digest, files.values() if alike else ()))
        same = {s.sha256 for s, of_sample in zip(alike, pool.map(digest, alike), strict=True) if of_sample in seen}
    return [sample for sample in among if sample.sha256 in files or sample.sha256 in same]


def _size(max_pixels: int, sample: Sample) -> tuple[int, int]:
    return _size_once(sample.image_uri, sample.sha256, max_pixels)


def _digest(white_level: int, sample: Sample) -> str:
    return _digest_once(sample.image_uri, sample.sha256, white_level)


@functools.lru_cache(_REMEMBERED)
def _size_once(path: str, sha256: str, max_pixels: int) -> tuple[int, int]:
    del sha256
    return read_header(Path(path), max_pixels=max_pixels).size


@functools.lru_cache(_REMEMBERED)
def _digest_once(path: str, sha256: str, white_level: int) -> str:
    return pixel_digest(decode(Path(path), sha256=sha256), white_level=white_level)
