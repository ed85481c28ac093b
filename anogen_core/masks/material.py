"""What a defect lies on, where a product shows several colours: a dent of the red half of a capsule brings red along.

Lightness says little of that, because light and relief decide it, too; so materials are told apart by a* and b*. On a
product of two tones with nothing between them it counts, too: what lies on the ground of a board lies on no track.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, final

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.arrays import Image, Mask
from anogen_core.masks.sampler import Segmented
from anogen_core.masks.tones import find_tones, lightness_of
from anogen_core.morphology import dilate
from anogen_core.quality.contrast import to_lab

_BLUR: Final = 1.5
"""Standard deviation in pixels: grain has no colour of its own."""
_UNLIKE: Final = 0.25
"""Difference of tints from which materials are others."""
_SEVERAL: Final = 0.03
"""Share of the product on normal photos that is unlike the rest, from which it has several materials."""
_CLEAR: Final = 2
"""Pixels around a defect in which its own colour may show."""
_WIDE: Final = 0.12
"""Width of the ring that is compared, relative to the side of a square of the defect's area: what lies farther off may
be another material..."""
_LEAST_WIDE: Final = 4
"""... and in pixels."""
_SECTORS: Final = 8
_LEAST: Final = 6
"""Pixels of a sector that tell its material."""


class _Around(NamedTuple):
    """A support photo without its defect."""

    tints: np.ndarray
    """(H, W, 2 or 3)."""
    known: Mask
    """(H, W), True where the product shows, clear of the defect."""


@final
class Materials:
    """What surrounds the support defects of a product of several materials."""

    def __init__(self, support: Sequence[tuple[Segmented, Mask]], tones: float | None = None) -> None:
        """Take support photos with the masks (H, W) of their defects, and the lightness between two tones."""
        self._tones = tones
        self._around = [
            _Around(self._tints(shown.photo), shown.foreground & ~dilate(mask, _CLEAR, disc=True))
            for shown, mask in support
        ]
        self._last: tuple[Image, np.ndarray] | None = None

    @classmethod
    def learn(cls, support: Sequence[tuple[Segmented, Mask]], normals: Sequence[Segmented]) -> "Materials | None":
        """Return what surrounds support defects; None where the product is of one material, as normal photos show."""
        shares = []
        for photo, product in normals:
            tints = tints_of(photo)[product]
            if len(tints):
                off = np.linalg.norm(tints - np.median(tints, axis=0), axis=1)
                shares.append(float((off > _UNLIKE).mean()))
        tones = find_tones(normals)
        several = bool(shares) and float(np.median(shares)) >= _SEVERAL
        return cls(support, tones) if several or tones is not None else None

    @property
    def two_toned(self) -> bool:
        """Return whether the product has two tones with nothing between them."""
        return self._tones is not None

    def unlike(self, source: int, warp: Sequence[float], mask: Mask, photo: Image, product: Mask) -> float:
        """Return which share of what is around a placement is another material than around its support defect, 0 to 1.

        Args:
            source: Which support photo.
            warp: Row-major 2x3 affine map from that photo.
            mask: (H, W), True at the placement.
            photo: (H, W, 3) where it is placed.
            product: (H, W), True where the product is.
        """
        if self._last is None or self._last[0] is not photo:
            self._last = photo, self._tints(photo)
        width = _CLEAR + max(_LEAST_WIDE, round(_WIDE * float(mask.sum()) ** 0.5))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = max(0, int(rows[0]) - width), max(0, int(columns[0]) - width)
        near = np.s_[top : rows[-1] + width + 1, left : columns[-1] + width + 1]
        inside, here, around = mask[near], self._last[1][near], self._around[source]
        matrix, size = np.array(warp, np.float64).reshape(2, 3) - [[0, 0, left], [0, 0, top]], inside.shape[::-1]
        there = cv2.warpAffine(around.tints, matrix, size, flags=cv2.INTER_NEAREST)
        known = cv2.warpAffine(around.known.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0
        counts = known & product[near] & dilate(inside, width, disc=True) & ~dilate(inside, _CLEAR, disc=True)
        sector = _sectors(inside)
        found = [counts & (sector == number) for number in range(_SECTORS)]
        off = [np.median(there[of], axis=0) - np.median(here[of], axis=0) for of in found if of.sum() >= _LEAST]
        return float((np.linalg.norm(off, axis=1) > _UNLIKE).mean()) if off else 0.0

    def _tints(self, photo: Image) -> np.ndarray:
        """Return what tells materials apart (H, W, 2 or 3)."""
        if self._tones is None:
            return tints_of(photo)
        return np.dstack([tints_of(photo), (lightness_of(photo) > self._tones).astype(np.float32)])


def tints_of(photo: Image) -> Float32[np.ndarray, "H W 2"]:
    """Return a* and b* of a photo, relative to its lightness (see `relative_change`)."""
    lab = cv2.GaussianBlur(to_lab(photo), (0, 0), _BLUR)
    return np.asarray(lab[..., 1:] / (lab[..., :1] + 16), np.float32)


def _sectors(mask: Mask) -> np.ndarray:
    """Return in which direction (h, w) from the middle of a mask pixels lie, 0 to 7."""
    rows, columns = np.nonzero(mask)
    y, x = np.indices(mask.shape)
    angles = np.arctan2(y - rows.mean(), x - columns.mean())
    return np.asarray(np.floor(angles / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS)
