"""Where defects may lie: the foreground of the photo, inside what people drew as legal and outside what is illegal."""

import functools
import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.data.frame import read_mask, read_photo, resize_mask, to_frame
from anogen_core.errors import InputError
from anogen_core.masks.foreground import ForegroundSettings, find_foreground
from anogen_core.masks.product import Product
from anogen_core.records import Sample

_KEPT: Final = 256
"""Photos whose foreground is kept."""


class Ground(NamedTuple):
    """A photo as defects see it."""

    foreground: Mask
    """(H, W), True where a defect may lie."""
    product: Mask
    """(H, W), True where the product is, whatever people drew."""


class Grounds:
    """Those of the normal photos of a category, kept for the next request at a bit a pixel."""

    def __init__(self, product: Product, category: str, defect: str, load: Callable[[Sample], Image]) -> None:
        """Take what `find_region` does, and how a photo is loaded."""
        self._find = functools.partial(find_region, product=product, category=category, defect=defect)
        self._load, self._drawn = load, bool(product.settings.legal or product.settings.illegal)
        self._packed = functools.lru_cache(maxsize=_KEPT)(self._pack)

    def of(self, normal: Sample) -> Ground:
        """Return where defects may lie on a normal photo; raises as `find_region`."""
        bits, shape = self._packed(normal)
        masks = [np.unpackbits(b, count=math.prod(shape)).reshape(shape).view(bool) for b in bits]
        return Ground(masks[0], masks[-1])

    def _pack(self, normal: Sample) -> tuple[list[np.ndarray], tuple[int, ...]]:
        photo = self._load(normal)
        found = [self._find(photo, drawn=drawn) for drawn in ((True, False) if self._drawn else (False,))]
        return [np.packbits(mask) for mask in found], found[0].shape


def find_region(image: Image, product: Product, category: str, defect: str, *, drawn: bool = True) -> Mask:
    """Return (H, W) True where a defect may lie on a photo.

    Args:
        image: (H, W, 3) photo in the frame.
        product: How the product is found, and what people drew.
        category: Stands for `{category}` in paths.
        defect: Stands for `{defect}` in paths.
        drawn: Whether what people drew as legal and illegal counts.

    Raises:
        InputError: an image of `foreground.template`, `foreground.legal` or `foreground.illegal` is missing, not
            usable or empty.
    """
    settings, frame = product.settings_of(defect), image.shape[:2]
    files = dict(_files(settings, category, defect))
    template = files.pop("template", None)
    scene = None if template is None else _read_template(template, _digest("template", template), frame)
    region = find_foreground(image, settings, background=product.background, template=scene)
    for name, path in files.items() if drawn else ():
        image_of = _read(name, path, _digest(name, path), frame)
        region = region & (image_of if name == "legal" else ~image_of)
    return region


def region_digests(settings: ForegroundSettings, category: str, defect: str) -> list[str]:
    """Return the sha256 of the images that decide a defect's places; raises as `find_region`."""
    return [_digest(name, path) for name, path in _files(settings, category, defect)]


def _files(settings: ForegroundSettings, category: str, defect: str) -> Iterator[tuple[str, Path]]:
    for name, pattern in (("template", settings.template), ("legal", settings.legal), ("illegal", settings.illegal)):
        if pattern is not None:
            yield name, Path(pattern.replace("{category}", category).replace("{defect}", defect))


def _digest(name: str, path: Path) -> str:
    return hashlib.sha256(_bytes(name, path)).hexdigest()


def _bytes(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"foreground.{name}: {path} cannot be read ({error.strerror}). Expected {_EXPECTED[name]}; "
            "`{category}` and `{defect}` in the path stand for their names."
        ) from error


_EXPECTED = {
    "template": "a photo of the empty scene, or a mask image, 255 where the part is",
    "legal": "a mask image, 255 where the region is",
    "illegal": "a mask image, 255 where the region is",
}


@functools.lru_cache(maxsize=64)
def _read_template(path: Path, digest: str, frame: tuple[int, int]) -> Image | Mask:
    del digest  # a file that was replaced is read anew
    photo = read_photo(path)
    if set(np.unique(photo)) <= {0, 255}:
        return np.asarray(resize_mask(photo[..., 0] > 0, frame), bool)
    return to_frame(photo, frame)


@functools.lru_cache(maxsize=64)
def _read(name: str, path: Path, digest: str, frame: tuple[int, int]) -> Mask:
    del digest  # a file that was drawn anew is read anew
    mask = resize_mask(read_mask(path), frame)
    if name == "legal" and not mask.any():
        raise InputError(f"foreground.legal: {path} is empty. Paint 255 where defects may lie.")
    return np.asarray(mask, bool)
