"""Which mask belongs to which photo: by stem, with a known suffix or none."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from anogen_core.data.inventory import stem_of
from anogen_core.data.problems import Problem, error
from anogen_core.settings import Settings

MASK_SUFFIXES = ("_mask", "-mask", "_gt", "-gt", "_label", "_seg", "_annotation", "_groundtruth", "_ground_truth")
"""What may follow a photo's stem in the name of its mask; upper and lower case are the same."""

_JPEG = frozenset({".jpg", ".jpeg"})
_LOSSLESS = frozenset({".png", ".bmp"})


class MaskFileSettings(Settings):
    """How mask images are named and what their values mean."""

    mask_suffixes: tuple[str, ...] = MASK_SUFFIXES
    """What may follow a photo's stem in the file name of its mask; no suffix at all is always understood."""
    mask_threshold: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Values from this one on are anomalous in masks of more than two values: 1 where all but 0 are defects, 128
    where edges are soft. Without it such a mask is an error."""
    mask_inverted: bool = False
    """Masks are white where the surface is normal and black where it is defective: what is said of their values holds
    of the normal surface. Masks whose values have names are read as these say."""


def pair_masks(
    photos: Sequence[Path], masks: Sequence[Path], *, suffixes: Sequence[str]
) -> tuple[dict[Path, Path], list[Problem]]:
    """Return the mask of each photo that has one, and an error for each mask without a photo or too many.

    A mask whose stem is exactly a photo's comes before one with a suffix. Other case is understood where one fits.
    """
    stems = _Stems(photos)
    candidates: dict[str, list[Path]] = defaultdict(list)
    problems = []
    for mask in sorted(masks, key=lambda mask: (len(mask.stem), mask.name)):
        stem = _photo_stem(stem_of(mask), stems, suffixes=suffixes)
        if stem is None:
            fix = f"Name it like its photo, with nothing or one of {', '.join(suffixes)} added; or remove it."
            problems.append(error(mask, "is a mask without a photo.", fix=fix))
        else:
            candidates[stem].append(mask)
    for first, *others in candidates.values():
        problems += [
            error(other, f"is a second mask of the photo of {first.name}.", fix="Keep one.") for other in others
        ]
    pairs = {photo: candidates[stem_of(photo)][0] for photo in photos if candidates.get(stem_of(photo))}
    return pairs, problems


def named_like(photos: Sequence[Path], masks: Sequence[Path], *, suffixes: Sequence[str]) -> list[Path]:
    """Return the masks that are named like a photo, with a suffix or without."""
    stems = _Stems(photos)
    return [mask for mask in masks if _photo_stem(stem_of(mask), stems, suffixes=suffixes) is not None]


def set_masks_aside(files: Sequence[Path], suffixes: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Return the photos of one directory, and the masks that lie beside them: named like one, with a suffix.

    Where there are such masks, files with a suffix of theirs are masks, too, whose photo is missing. Where each PNG or
    BMP has the name of a JPEG, it is the mask of that.
    """
    twins = _lossless_twins(files)
    aside = set(twins)
    files = [file for file in files if file not in aside]
    stems = _Stems(files)
    shown = {stem_of(file): _without_suffix(stem_of(file), stems, suffixes=suffixes) for file in files}
    with_mask = {stem for stem in shown.values() if stem is not None}
    names = [name.casefold() for name, stem in shown.items() if stem is not None]
    used = {suffix.casefold() for suffix in suffixes if suffix and any(n.endswith(suffix.casefold()) for n in names)}
    photos: list[Path] = []
    masks = twins
    for file in files:
        stem = stem_of(file)
        stray = stem not in with_mask and stem.casefold().endswith(tuple(used))
        (masks if stray or shown[stem] is not None else photos).append(file)
    return photos, masks


def _lossless_twins(files: Sequence[Path]) -> list[Path]:
    """Return the files without loss of information, if a JPEG has the name of each."""
    jpegs = {stem_of(file) for file in files if file.suffix.lower() in _JPEG}
    lossless = [file for file in files if file.suffix.lower() in _LOSSLESS]
    return lossless if all(stem_of(file) in jpegs for file in lossless) else []


class _Stems:
    """The stems of files; one is found as it is written, and in other case where no other differs by that alone."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._exact = {stem_of(file) for file in files}
        alike = Counter(map(str.casefold, self._exact))
        self._folded = {stem.casefold(): stem for stem in self._exact if alike[stem.casefold()] == 1}

    def find(self, stem: str) -> str | None:
        return stem if stem in self._exact else self._folded.get(stem.casefold())


def _photo_stem(mask_stem: str, stems: _Stems, *, suffixes: Sequence[str]) -> str | None:
    whole = stems.find(mask_stem)
    return whole if whole is not None else _without_suffix(mask_stem, stems, suffixes=suffixes)


def _without_suffix(mask_stem: str, stems: _Stems, *, suffixes: Sequence[str]) -> str | None:
    for suffix in suffixes:
        if suffix and mask_stem.casefold().endswith(suffix.casefold()):
            found = stems.find(mask_stem[: len(mask_stem) - len(suffix)])
            if found is not None:
                return found
    return None
