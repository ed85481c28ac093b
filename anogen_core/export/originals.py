"""The photos that defects were generated on as their files hold them, and images in their channels and bit depth."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, final

import numpy as np

from anogen_core.data.files import PIXEL_CEILING, decode, read_header
from anogen_core.data.frame import FULL_WHITE, repaint
from anogen_core.digests import digest_file
from anogen_core.errors import InputError
from anogen_core.export.pixels import reorder
from anogen_core.records import LedgerRow
from anogen_core.storage import Dataset, DatasetSpec, StoredSample

_Pixels = np.ndarray[Any, Any]


def white_level(spec: DatasetSpec) -> int:
    """Return the value in 16 bit photos that became 255 in a dataset."""
    return int(spec.settings.get("run", {}).get("frame", {}).get("white_level", FULL_WHITE))


@final
class Originals:
    """The files of the normal photos under some images, all found and checked before the first pixel is used.

    A photo is found below `root` by the end of the path that it had, as much of it as there is: `root` may be what the
    run read, any directory in it, or a copy of either.

    Args:
        dataset: What is exported.
        rows: The chosen images.
        root: Directory below which the photos are.

    Raises:
        InputError: a photo is missing, has changed or cannot be read, or was resized for the dataset.
    """

    def __init__(self, dataset: Dataset, rows: Iterable[LedgerRow], root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"originals: {root} is not a directory. Name the one that holds the normal photos.")
        self._frame = (dataset.spec.height, dataset.spec.width)
        self._white_level = white_level(dataset.spec)
        self._files: dict[str, Path] = {}
        photos = {row.normal_sha256: row for row in rows}
        lost = []
        for sha256, row in photos.items():
            path = next((path for path in _candidates(root, row) if digest_file(path) == sha256), None)
            if path is None:
                lost.append(row)
                continue
            self._require_frame(path, read_header(path, max_pixels=PIXEL_CEILING).size)
            self._files[sha256] = path
        if lost:
            raise InputError(
                f"originals: {len(lost)} of {len(photos)} photos are missing below {root} or have changed "
                f"since the dataset was made; {_loss(root, lost[0])} Put the original files there, name the directory "
                "that holds them, or pull without `originals`."
            )

    def photo(self, row: LedgerRow) -> _Pixels:
        """Return the photo under an image as stored: grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4), 8 or 16 bit.

        Raises:
            InputError: the file has changed meanwhile.
        """
        return reorder(self._read(row)[1])

    def image(self, sample: StoredSample) -> _Pixels:
        """Return a generated image in channels and bit depth of its photo (see `repaint`), as `photo` does.

        Outside the box mask it is the photo, value for value.

        Raises:
            InputError: the file has changed meanwhile, or gives another background than the dataset has.
        """
        path, pixels = self._read(sample.row)
        painted = repaint(pixels, sample.image, white_level=self._white_level)
        outside = sample.box_mask == 0
        if not np.array_equal(painted[outside], pixels[outside]):
            raise InputError(
                f"originals: {path} differs from {sample.row.request_id} where no defect was painted: it is decoded "
                "otherwise here than where the dataset was made. Pull there, or without `originals`."
            )
        return reorder(painted)

    def _read(self, row: LedgerRow) -> tuple[Path, _Pixels]:
        """Return a photo's file and its pixels in OpenCV's order of channels."""
        path = self._files[row.normal_sha256]
        pixels = decode(path, sha256=row.normal_sha256)
        self._require_frame(path, pixels.shape[:2])
        return path, pixels

    def _require_frame(self, path: Path, size: tuple[int, ...]) -> None:
        if size != self._frame:
            shown, made = ("x".join(map(str, sides)) for sides in (size, self._frame))
            raise InputError(
                f"originals: {path} is {shown} pixels (height x width) and the dataset's images are {made}: "
                "photos were resized for it (`frame.size`). Make a dataset in the size of the photos, or pull without "
                "`originals`."
            )


def _candidates(root: Path, row: LedgerRow) -> list[Path]:
    """Return the files below a directory whose path ends as that of a photo did, the longest such end first."""
    path = Path(row.normal_uri)
    parts = path.relative_to(path.anchor).parts
    ends = (root.joinpath(*parts[start:]) for start in range(len(parts)))
    return [path for path in ends if path.is_file()]


def _loss(root: Path, row: LedgerRow) -> str:
    found = _candidates(root, row)
    if not found:
        return f"there is no {Path(row.normal_uri).name} for {row.normal_id}."
    return f"{found[0]} has sha256 {digest_file(found[0])[:16]}..., expected {row.normal_sha256[:16]}..."
