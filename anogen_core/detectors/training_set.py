"""The photos a detector learns from, as arrays in memory."""

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anogen_core.errors import InputError
from anogen_core.resizing import resize

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Normal photos and, optionally, generated defective ones. All photos of one size; 8 bits per channel.

    Generated photos whose mask is empty are left out, with one warning.

    Raises:
        InputError: the shapes, types or values do not fit together, or every mask is empty.
    """

    normals: NDArray[np.uint8]
    """(N, H, W, 3), RGB."""
    generated: NDArray[np.uint8] | None = None
    """(M, H, W, 3), RGB; None for the arm without generated data."""
    masks: NDArray[Any] | None = None
    """(M, H, W), uint8 or bool, not 0 where anomalous or inside the box."""
    origins: NDArray[np.int64] | None = None
    """(M,), the row in `normals` that each generated photo was made from, -1 when it is not known; None for all -1.
    With it the detector learns what was there without the defect, inside the box as well."""
    weak: NDArray[np.bool_] | None = None
    """(M,), whether a mask is a box that holds normal pixels too; None for what the detector's `supervision` says."""

    def __post_init__(self) -> None:
        _check_photos("normals", self.normals)
        extra = self.origins is not None or self.weak is not None
        if (self.generated is None) != (self.masks is None) or (self.generated is None and extra):
            raise InputError(
                "TrainingSet expects generated and masks together, origins and weak only with them, or none."
            )
        if self.generated is None or self.masks is None:
            return
        _check_photos("generated", self.generated)
        if self.masks.shape != self.generated.shape[:3] or self.masks.dtype not in (np.uint8, np.bool_):
            raise InputError(
                f"masks must be uint8 or bool of shape {self.generated.shape[:3]}, one per generated photo; "
                f"found {self.masks.dtype} {self.masks.shape}."
            )
        if self.origins is not None:
            self._check_origins(len(self.generated), self.origins)
        if self.weak is not None and (self.weak.shape != (len(self.generated),) or self.weak.dtype != np.bool_):
            raise InputError(
                f"weak must be bool of shape ({len(self.generated)},), one per generated photo; "
                f"found {self.weak.dtype} {self.weak.shape}."
            )
        self._leave_out_unlabelled(np.asarray(self.masks.any(axis=(1, 2))))

    def resized(self, size: int) -> "TrainingSet":
        """Return the set with square photos of this side in pixels.

        Boxes grow outward to whole pixels: what is outside a reduced box is certainly outside the box. Exact masks
        keep their outline, and lines thinner than a pixel stay in one piece.
        """
        return TrainingSet(
            normals=resize_photos(self.normals, size),
            generated=None if self.generated is None else resize_photos(self.generated, size),
            masks=None if self.masks is None else self._resized_masks(self.masks, size),
            origins=self.origins,
            weak=self.weak,
        )

    def _resized_masks(self, masks: NDArray[Any], size: int) -> NDArray[np.bool_]:
        weak = np.ones(len(masks), bool) if self.weak is None else self.weak
        return np.stack([resize_mask(mask, size, outward=box) for mask, box in zip(masks, weak, strict=True)])

    def digest(self) -> str:
        """Return 32 hex digits that identify all arrays."""
        hasher = hashlib.blake2b(digest_size=16)
        for array in (self.normals, self.generated, self.masks, self.origins, self.weak):
            hasher.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
            hasher.update(b"" if array is None else np.ascontiguousarray(array).data)
        return hasher.hexdigest()

    def _leave_out_unlabelled(self, labelled: NDArray[np.bool_]) -> None:
        count, empty = len(labelled), np.flatnonzero(~labelled)
        if not len(empty):
            return
        if len(empty) == count:
            raise InputError(f"The masks of all {count} generated photos are empty; expected anomalous pixels in them.")
        shown = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        log.warning("%d of %d generated photos have an empty mask and are left out: %s.", len(empty), count, shown)
        for name in ("generated", "masks", "origins", "weak"):
            values = getattr(self, name)
            object.__setattr__(self, name, None if values is None else values[labelled])

    def _check_origins(self, count: int, origins: NDArray[np.int64]) -> None:
        valid = origins.shape == (count,) and np.issubdtype(origins.dtype, np.integer)
        if not valid or origins.min() < -1 or origins.max() >= len(self.normals):
            raise InputError(
                f"origins must be {count} rows of normals (0 to {len(self.normals) - 1}, -1 for unknown), one per "
                f"generated photo; found {origins.dtype} {origins.shape}."
            )


def resize_photos(photos: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return RGB photos (N, H, W, 3) as squares of this side: averaged along sides that shrink, bilinear along others.

    `resizing.RULE` says it in full.
    """
    if photos.shape[1:3] == (size, size):
        return photos
    return np.stack([resize_photo(photo, size) for photo in photos])


def resize_photo(photo: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return one RGB photo (H, W, 3) as `resize_photos` does."""
    return resize(photo, (size, size), growing=cv2.INTER_LINEAR)


def resize_mask(mask: NDArray[Any], size: int, *, outward: bool) -> NDArray[np.bool_]:
    """Return a mask (H, W) as a square of this side: every pixel it touches (`outward`), or what its outline asks for.

    These are pixels covered at least half as much as the best covered one beside them: half of a pixel at the edge of a
    wide defect, while one that is thinner than a pixel stays in one piece. A mask that is not empty keeps a pixel.
    """
    covered = resize((mask != 0).astype(np.float32), (size, size), growing=cv2.INTER_LINEAR)
    least = 0 if outward else cv2.dilate(covered, np.ones((3, 3), np.uint8)) / 2
    return np.asarray((covered > 0) & (covered >= least), dtype=np.bool_)


def _check_photos(name: str, photos: NDArray[Any]) -> None:
    if photos.ndim != 4 or photos.shape[3] != 3 or len(photos) == 0 or photos.dtype != np.uint8:
        raise InputError(f"{name} must be uint8 RGB (N, H, W, 3) with N >= 1; found {photos.dtype} {photos.shape}.")
