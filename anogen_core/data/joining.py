"""Masks that are a directory of files each, as MVTec LOCO AD has them: together they are the mask of one photo."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from anogen_core.arrays import Mask
from anogen_core.data.files import PIXEL_CEILING, read_header, verify
from anogen_core.data.frame import read_mask
from anogen_core.data.inventory import Photo, list_directory
from anogen_core.data.problems import Problem, UnusableFileError, error
from anogen_core.outline import encode_outline


def join_masks(
    photos: Sequence[Photo], *, root: Path, inverted: bool = False
) -> tuple[list[Photo], list[Problem], frozenset[Path]]:
    """Return the photos with an outline in place of each mask that is a directory: all that any file in it marks.

    Every value but 0 is anomalous, or 0 alone where masks are inverted. The problems are those of the masks alone; the
    last value is the photos that have no outline because of such a problem, or because their own size cannot be read.
    """
    several = {photo.path: photo.mask for photo in photos if photo.mask is not None and photo.mask.is_dir()}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        join = partial(_join, root=root, inverted=inverted)
        joined = dict(zip(several, pool.map(join, several, several.values()), strict=True))
    problems = [problem for _, faults, _ in joined.values() for problem in faults]
    outlined = [replace(p, mask=None, outline=joined[p.path][0]) if p.path in joined else p for p in photos]
    return outlined, problems, frozenset(path for path, (_, _, doubtful) in joined.items() if doubtful)


def _join(
    photo: Path, directory: Path, *, root: Path, inverted: bool
) -> tuple[tuple[int, ...] | None, list[Problem], bool]:
    """Return the outline of one photo, what is wrong with its masks, and whether it has none because of that."""
    listing = list_directory(directory, root=root)
    problems = listing.problems
    try:
        union: Mask = np.zeros(read_header(photo, max_pixels=PIXEL_CEILING).size, bool)
    except UnusableFileError:
        return None, problems, True
    for file in listing.images:
        try:
            problems += _add(file, union, inverted=inverted)
        except UnusableFileError as failure:
            problems.append(failure.problem)
    if any(problem.severity == "error" for problem in problems):
        return None, problems, True
    return (encode_outline(union) if union.any() else None), problems, False


def _add(file: Path, union: Mask, *, inverted: bool) -> list[Problem]:
    """Add a mask to the union in place; return what is wrong with it."""
    header, problems = verify(file, max_pixels=PIXEL_CEILING)
    if header.size != union.shape:
        sizes = [f"{height}x{width}" for height, width in (header.size, union.shape)]
        what = f"is a mask of {sizes[0]} for a photo of {sizes[1]} (height x width)."
        return [*problems, error(file, what, fix="Save the mask in the size of its photo.")]
    mask = read_mask(file, threshold=1, inverted=inverted)
    if not mask.any():
        what = "is an empty mask: no pixel is anomalous."
        return [*problems, error(file, what, fix="Draw the defect, or remove the file.")]
    union |= mask
    return problems
