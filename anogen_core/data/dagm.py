"""DAGM 2007 (Weakly Supervised Learning for Industrial Optical Inspection) as its authors distribute it.

    <root>/Class1/Train/0576.PNG                photos
    <root>/Class1/Train/Label/0576_label.PNG    masks of the defective ones
    <root>/Class1/Train/Label/Labels.txt        names the masks
    <root>/Class1/Test/...                      the same

The root may also be one class itself. A photo without a mask is normal; those of a class have one kind of defect, which
has no name. Normal photos keep their split; defective photos are test photos, also those in `Train`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, final

from pydantic import Field

from anogen_core.data.categories import CategorySettings, read_categories
from anogen_core.data.files import IMAGE_SUFFIXES
from anogen_core.data.inventory import Photo, hash_files, list_directory, make_samples
from anogen_core.data.pairing import pair_masks
from anogen_core.data.problems import Problem, error, unreadable, warning
from anogen_core.data.reader import Reader, Scan
from anogen_core.records import GOOD

_TRAIN, _TEST, _MASKS, _TABLE = "Train", "Test", "Label", "Labels.txt"


class DagmReaderSettings(CategorySettings):
    """The dataset DAGM 2007 as its authors distribute it, or photos laid out like it."""

    kind: Literal["dagm"] = "dagm"
    defect: Annotated[str, Field(pattern=r"^[^/\n]+$")] = "defect"
    """What the defect of each class is called."""

    def build(self) -> "DagmReader":
        """Return a reader of this dataset."""
        return DagmReader(self)


@final
class DagmReader(Reader):
    """Reads the layout of DAGM 2007."""

    def __init__(self, settings: DagmReaderSettings) -> None:
        self._settings = settings

    def scan(self) -> Scan:
        """Return all samples and everything that is wrong with how the dataset lies on disk.

        Raises:
            InputError: the root is missing or holds no class.
        """
        expected = f"<class>/{_TRAIN} and <class>/{_TEST} with photos, and {_MASKS} with masks in each"
        _, photos, problems = read_categories(self._settings, self._read_class, is_category=is_dagm, expected=expected)
        digests, faults = hash_files(photo.path for photo in photos)
        splits: dict[Path, Literal["train", "test"]] = {
            p.path: "train" if p.defect == GOOD and p.path.parent.name == _TRAIN else "test" for p in photos
        }
        threshold, inverted = self._settings.mask_threshold, self._settings.mask_inverted
        samples = make_samples(photos, digests, splits, mask_threshold=threshold, mask_inverted=inverted)
        return Scan(samples, problems + faults)

    def _read_class(self, directory: Path, root: Path) -> tuple[list[Photo], list[Problem]]:
        photos: list[Photo] = []
        problems: list[Problem] = []
        for split in (directory / _TRAIN, directory / _TEST):
            listing = list_directory(split, root=root)
            masks = list_directory(split / _MASKS, root=root)
            pairs, faults = pair_masks(listing.images, masks.images, suffixes=self._settings.mask_suffixes)
            problems += listing.problems + masks.problems + faults
            problems += _missing(split / _MASKS / _TABLE, masks.images, suffixes=self._settings.mask_suffixes)
            for nested in listing.directories:
                if nested.name != _MASKS:
                    what = "is not read: photos are expected one level higher."
                    problems.append(warning(nested, what, fix=f"Move its photos to {split}."))
            if listing.images and not pairs:
                what = f"has no masks in {_MASKS}: all its photos are taken for normal ones."
                problems.append(warning(split, what, fix="Put the masks there if some photos are defective."))
            for path in listing.images:
                defect = self._settings.defect if path in pairs else GOOD
                photos.append(Photo(path, directory.name, defect, mask=pairs.get(path)))
        return photos, problems


def is_dagm(directory: Path) -> bool:
    """Return whether a directory is a class of DAGM 2007."""
    return any((directory / split / _MASKS).is_dir() for split in (_TRAIN, _TEST))


def _missing(table: Path, masks: list[Path], *, suffixes: Sequence[str]) -> list[Problem]:
    """Return an error for each mask that a table names and that is not there: its photo would be taken for normal."""
    try:
        words = table.read_text(encoding="utf-8", errors="replace").split() if table.is_file() else []
    except OSError as failure:
        return [unreadable(table, failure)]
    there = {mask.name.casefold() for mask in masks}
    named = [Path(word) for word in words if Path(word).suffix.lower() in IMAGE_SUFFIXES]
    fix = f"Copy it there again, or remove its photo, which would be taken for normal, and its line of {table.name}."
    return [
        error(table.with_name(file.name), f"is not there, and {table.name} names it.", fix=fix)
        for file in named
        if file.stem.casefold().endswith(tuple(suffixes)) and file.name.casefold() not in there
    ]
