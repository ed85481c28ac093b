"""Where defects may lie: the foreground of the photo, inside what people drew as legal and outside what is illegal."""

import functools
import hashlib
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.data.frame import read_photo, resize_mask, to_frame
from anogen_core.data.mask_values import MaskValues
from anogen_core.errors import InputError
from anogen_core.masks.foreground import ForegroundSettings, find_foreground
from anogen_core.masks.product import Product
from anogen_core.records import Sample

_KEPT: Final = 2**14
"""Photos whose product is kept, at a few kilobytes each."""


class Ground(NamedTuple):
    """A photo as defects see it."""

    foreground: Mask
    """(H, W), True where a defect may lie."""
    product: Mask
    """(H, W), True where the product is, whatever people drew."""


class Grounds:
    """Those of the normal photos of a category: the product is sought once on a photo, for all defects."""

    def __init__(
        self, product: Product, category: str, frame: tuple[int, int], load: Callable[[Sample], Image]
    ) -> None:
        """Take how the product is found, the category, the (height, width) of its photos, and how one is loaded."""
        self.product, self.load, self._category, self._frame = product, load, category, frame
        self._first: dict[tuple[str, Path | None], str] = {}
        self._packed = functools.lru_cache(maxsize=_KEPT)(self._pack)
        self._allowed = functools.cache(self._find_allowed)

    def of(self, normal: Sample, defect: str) -> Ground:
        """Return where a defect may lie on a normal photo; raises as `find_region`."""
        settings = self.product.settings_of(defect)
        if settings.method == "full":
            found = np.ones(self._frame, bool)
        else:
            # Defects whose product is found alike share what was found for the first of them.
            template = dict(_files(settings, self._category, defect)).get("template")
            packed = self._packed(normal, self._first.setdefault((settings.method, template), defect))
            bits = np.frombuffer(zlib.decompress(packed), np.uint8)
            found = np.unpackbits(bits, count=math.prod(self._frame)).reshape(self._frame).view(bool)
        allowed = self._allowed(defect)
        return Ground(found if allowed is None else found & allowed, found)

    def _pack(self, normal: Sample, defect: str) -> bytes:
        found = find_region(self.load(normal), self.product, self._category, defect, drawn=False)
        return zlib.compress(np.packbits(found).tobytes(), level=1)

    def _find_allowed(self, defect: str) -> Mask | None:
        return _drawn(self.product.settings, self._category, defect, self._frame)


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
    template = dict(_files(settings, category, defect)).get("template")
    scene = None if template is None else _read_template(template, _digest("template", template), frame)
    region = find_foreground(image, settings, background=product.background, template=scene)
    allowed = _drawn(settings, category, defect, frame) if drawn else None
    return region if allowed is None else region & allowed


def _drawn(settings: ForegroundSettings, category: str, defect: str, frame: tuple[int, int]) -> Mask | None:
    """Return (H, W) True where people allow a defect to lie; None where they drew nothing."""
    found = None
    for name, path in _files(settings, category, defect):
        if name != "template":
            image = _read(name, path, _digest(name, path), frame)
            one = image if name == "legal" else ~image
            found = one if found is None else found & one
    return found


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
    values = MaskValues.read(path)
    if not values.is_binary:
        raise InputError(
            f"foreground.{name}: {path} holds {len(values.marked)} {values.kind} besides {values.surface}. "
            f"Paint 255 where the region is and 0 elsewhere, and save it as a PNG (JPEG blurs edges)."
        )
    mask = resize_mask(np.asarray(values.shades > 0), frame)
    if name == "legal" and not mask.any():
        raise InputError(f"foreground.legal: {path} is empty. Paint 255 where defects may lie.")
    return np.asarray(mask, bool)
