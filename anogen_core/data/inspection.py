"""What is wrong with one photo and its labels: everything in them is decoded once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anogen_core.data.copies import BURNT, burnt_share, pixel_digest
from anogen_core.data.files import decode, shown_size, verify
from anogen_core.data.frame import FrameSettings, read_sample_mask
from anogen_core.data.problems import Problem, UnusableFileError, error, warning
from anogen_core.data.reader import Unlabelled
from anogen_core.records import GOOD, Box, Sample

_TWELVE_BITS = 4095
_MASKS_ALONE = Unlabelled()


@dataclass(frozen=True)
class Finding:
    """What the inspection of one sample found."""

    sample: Sample
    problems: tuple[Problem, ...]
    size: tuple[int, int] | None = None
    """(height, width) as stored; None when the photo cannot be used."""
    digest: str | None = None
    """Of the photo's pixels: the same photo in another file format has the same one. None as for `size`."""


def inspect_sample(sample: Sample, settings: FrameSettings, unlabelled: Unlabelled = _MASKS_ALONE) -> Finding:
    """Return what is wrong with a photo and its mask or boxes; no file, however broken, makes it raise."""
    path = Path(sample.image_uri)
    problems: list[Problem] = []
    size, digest = None, None
    try:
        pixels, problems = inspect_photo(path, settings)
        height, width = pixels.shape[:2]
        size, digest = (height, width), pixel_digest(pixels, white_level=settings.white_level)
    except UnusableFileError as failure:
        problems.append(failure.problem)
    except Exception as failure:  # noqa: BLE001 - no file may stop the search for other problems
        problems.append(_unexpected(path, failure))
    if sample.defect != GOOD:
        problems += _inspect_labels(sample, size, settings) if sample.is_labelled else _no_label(sample, unlabelled)
    return Finding(sample, tuple(problems), size=size, digest=digest)


def inspect_photo(path: Path, settings: FrameSettings) -> tuple[np.ndarray[Any, Any], list[Problem]]:
    """Return the pixels of a usable photo (see `decode`), and warnings about it.

    Raises:
        UnusableFileError: the file is missing, damaged, too large or of an unusable kind.
    """
    header, problems = verify(path, max_pixels=settings.max_pixels)
    pixels = decode(path)
    if pixels.shape[:2] != header.size:
        what = f"claims {_shown(header.size)} pixels and decodes to {_shown(pixels.shape[:2])}."
        raise UnusableFileError(error(path, what, fix="Save it again as an ordinary PNG."))
    problems += _dark(path, pixels, white_level=settings.white_level)
    problems += _burnt(path, pixels, white_level=settings.white_level)
    return pixels, problems


def _inspect_labels(sample: Sample, size: tuple[int, int] | None, settings: FrameSettings) -> list[Problem]:
    path = Path(sample.mask_uri or sample.image_uri)
    try:
        if sample.mask_uri is not None:
            return _inspect_mask(sample, path, size, settings)
        if sample.outline is not None:
            return _covers_most(path, sum(sample.outline[1::2]) / sum(sample.outline))
        return _inspect_boxes(sample, size) if size is not None else []
    except UnusableFileError as failure:
        return [failure.problem]
    except Exception as failure:  # noqa: BLE001 - no file may stop the search for other problems
        return [_unexpected(path, failure)]


def _no_label(sample: Sample, unlabelled: Unlabelled) -> list[Problem]:
    if Path(sample.image_uri) in unlabelled.doubtful:
        return []
    has = f"it shows {sample.defect} and has {unlabelled.lacks}"
    what = f"is tested by its score alone, and not learned from: {has}."
    return [warning(sample.image_uri, what, fix=unlabelled.fix)]


def _inspect_mask(sample: Sample, path: Path, size: tuple[int, int] | None, settings: FrameSettings) -> list[Problem]:
    header, problems = verify(path, max_pixels=settings.max_pixels)
    if size is not None and header.size != size:
        what = f"is a mask of {_shown(header.size)} for a photo of {_shown(size)} (height x width)"
        if header.size == shown_size(Path(sample.image_uri)):
            problems.append(_drawn_on_view(path, what))
        else:
            problems.append(error(path, f"{what}.", fix="Save the mask in the size of its photo."))
    return problems + _inspect_coverage(path, sample)


def _inspect_coverage(path: Path, sample: Sample) -> list[Problem]:
    share, threshold = float(read_sample_mask(sample).mean()), sample.mask_threshold
    if share == 0:
        side = "less" if sample.mask_inverted else "or more"
        least = "" if threshold is None else f", none has the value {threshold} {side} (`reader.mask_threshold`)"
        least += " (`reader.mask_inverted`)" * sample.mask_inverted
        what = f"is an empty mask: no pixel is anomalous{least}."
        return [error(path, what, fix="Draw the defect, or remove the photo.")]
    if sample.mask_inverted:
        return _covers_most(path, share, "0 is anomalous, since `reader.mask_inverted` is set")
    fix = "0 is normal, 255 is anomalous, or set `reader.mask_inverted: true` if that holds of no mask"
    return _covers_most(path, share, fix)


def _covers_most(path: Path, share: float, fix: str = "the defect is marked, not the rest") -> list[Problem]:
    if share <= 0.5:
        return []
    what = "marks more than half of the photo as anomalous."
    return [warning(path, what, fix=f"Check that it is not inverted: {fix}.")]


def _inspect_boxes(sample: Sample, size: tuple[int, int]) -> list[Problem]:
    path, problems = Path(sample.image_uri), []
    for box in sample.boxes:
        if _is_inside(box, size):
            continue
        what = f"has the box {box.as_list()}, which is outside its {_shown(size)} pixels"
        if _is_inside(box, shown_size(path)):
            problems.append(_drawn_on_view(path, what))
        else:
            fix = "Give x, y of the top left pixel, width and height in pixels of the photo as stored."
            problems.append(error(path, f"{what}.", fix=fix))
    return problems


def _is_inside(box: Box, size: tuple[int, int]) -> bool:
    return box.x >= 0 and box.y >= 0 and box.x + box.width <= size[1] and box.y + box.height <= size[0]


def _drawn_on_view(path: Path, what: str) -> Problem:
    """Return the error about a label that fits its photo as viewers show it, and not the pixels that are stored."""
    what += ", but as viewers turn it (EXIF orientation) it fits; pixels are used as they are stored."
    return error(path, what, fix="Save the photo as it is shown, without the tag, or turn its label.")


def _dark(path: Path, pixels: np.ndarray[Any, Any], *, white_level: int) -> list[Problem]:
    if pixels.dtype != np.uint16 or white_level <= _TWELVE_BITS or pixels.max() > _TWELVE_BITS:
        return []
    what = f"has 16 bits and no value above {_TWELVE_BITS}: with white at {white_level} it is nearly black."
    return [warning(path, what, fix=f"Set `frame.white_level: {_TWELVE_BITS}` if a 12 bit camera took it.")]


def _burnt(path: Path, pixels: np.ndarray[Any, Any], *, white_level: int) -> list[Problem]:
    share = burnt_share(pixels, white_level=white_level)
    if share <= BURNT:
        return []
    what = f"has values up to {pixels.max()}: with white at {white_level}, {share:.0%} of them are white."
    return [warning(path, what, fix=f"Raise `frame.white_level`, to {int(pixels.max())} for example.")]


def _shown(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"


def _unexpected(path: Path, failure: Exception) -> Problem:
    return error(path, f"cannot be examined ({type(failure).__name__}: {failure}).", fix="Save it again as a PNG.")
