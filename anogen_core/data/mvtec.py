"""Datasets laid out like MVTec AD (Bergmann et al., CVPR 2019), MVTec AD 2 or MVTec LOCO AD.

    <root>/<category>/train/good/000.png                    normal photos to learn from
    <root>/<category>/test/good/000.png                     normal photos to test on
    <root>/<category>/test/<defect>/000.png                 defective photos
    <root>/<category>/ground_truth/<defect>/000_mask.png    their masks

    <root>/<category>/ground_truth/test/<defect>/...        or there
    <root>/<category>/test/<defect>_mask/000.png            or beside the folder of the photos

    <root>/<category>/validation/good/000.png               normal photos to learn from, too
    <root>/<category>/test_public/...                       like test, with ground_truth inside it (MVTec AD 2)
    <root>/<category>/ground_truth/<defect>/000/000.png     masks that are one together, of any value (MVTec LOCO AD)

The root may also be one category itself; its name is then the directory's name. `good` may be called `ok`, `normal`,
`no_defect` or `defect_free`, in any case, and `ground_truth` `gt` or `masks`. The case of all of these does not matter,
but of `test_public`. MVTec AD 2 shows each part in several lights, which the names of its files
tell: photos of one part are a leakage group.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, final

from anogen_core.data.categories import CategorySettings, read_categories
from anogen_core.data.folder_names import masks_of_others
from anogen_core.data.groups import GroupSettings
from anogen_core.data.inventory import (
    LABEL_SUFFIXES,
    Listing,
    Photo,
    class_of,
    hash_files,
    list_directory,
    make_samples,
    stem_of,
    subdirectory,
)
from anogen_core.data.joining import join_masks
from anogen_core.data.pairing import pair_masks, set_masks_aside
from anogen_core.data.problems import Problem, error, warning
from anogen_core.data.reader import Reader, Scan, Unlabelled
from anogen_core.records import GOOD

_SPLITS: Final[Mapping[str, Literal["train", "test"]]] = {
    "train": "train",
    "validation": "train",
    "test": "test",
    "test_public": "test",
}
"""Directories of a category that hold a folder for each class, and the split of their photos."""
_MASKS: Final = {"test": "", "test_public": "test_public"}
"""The directory that holds the one with the masks of the photos in such a directory."""
_NAMES_OF_MASKS: Final = ("ground_truth", "groundtruth", "gt", "masks", "mask")
_ADD: Final = (
    "Add a mask with the same name to ground_truth/<defect> (a suffix like _mask is allowed), or remove the photo."
)
_PRIVATE: Final = frozenset({"test_private", "test_private_mixed"})
"""Photos of MVTec AD 2 whose labels are not published."""
_LIGHTING: Final = re.compile(r"_(regular|overexposed|underexposed|shift_\d+)$")
"""How the file names of MVTec AD 2 end: each part is shown in several lights, as `000_regular` and `000_shift_1`."""


class MvtecReaderSettings(CategorySettings):
    """A dataset laid out like MVTec AD, MVTec AD 2 or MVTec LOCO AD; any file names, png, jpg, bmp or tif."""

    kind: Literal["mvtec"] = "mvtec"
    groups: GroupSettings | None = None
    """Table of leakage groups. When left out, `index.csv` in the category is used if it has such a column. Photos named
    as in MVTec AD 2 (`000_regular`, `000_shift_1`) that are in no table are of one group by their number."""

    def build(self) -> "MvtecReader":
        """Return a reader of this dataset."""
        return MvtecReader(self)


@final
class MvtecReader(Reader):
    """Reads the layouts of MVTec AD, MVTec AD 2 and MVTec LOCO AD."""

    def __init__(self, settings: MvtecReaderSettings) -> None:
        self._settings = settings

    def scan(self) -> Scan:
        """Return all samples and everything that is wrong with how the dataset lies on disk.

        Raises:
            InputError: the root is missing or holds no category.
        """
        expected = "<category>/train/good, <category>/test/<defect> and <category>/ground_truth/<defect>"
        root, photos, problems = read_categories(
            self._settings, self._read_category, is_category=is_category, expected=expected
        )
        photos, faults, doubtful = join_masks(photos, root=root, inverted=self._settings.mask_inverted)
        problems += faults
        digests, faults = hash_files(photo.path for photo in photos)
        splits = {photo.path: _SPLITS[photo.path.parent.parent.name.lower()] for photo in photos}
        threshold, inverted = self._settings.mask_threshold, self._settings.mask_inverted
        samples = make_samples(photos, digests, splits, mask_threshold=threshold, mask_inverted=inverted)
        return Scan(samples, problems + faults, Unlabelled(fix=_ADD, doubtful=doubtful))

    def _read_category(self, directory: Path, root: Path) -> tuple[list[Photo], list[Problem]]:
        problems = _unpublished(directory, list_directory(directory, root=root).directories)
        photos: list[Photo] = []
        for name in _SPLITS:
            found, faults = self._read_split(directory, name, root=root)
            photos += found
            problems += faults
        return photos, problems

    def _read_split(self, category: Path, name: str, *, root: Path) -> tuple[list[Photo], list[Problem]]:
        own = list_directory(subdirectory(category, name), root=root)
        if own.outside:
            return [], own.problems
        truth = subdirectory(category / _MASKS[name], *_NAMES_OF_MASKS) if name in _MASKS else None
        folders = [folder for folder in own.directories if folder != truth]
        if truth is not None and (truth / name).is_dir() and name not in {folder.name for folder in folders}:
            truth = truth / name
        masks = list_directory(truth, root=root) if truth else Listing()
        aside = masks_of_others(folders, root=root)
        folders = [folder for folder in folders if folder not in aside]
        truth = None if masks.outside else truth
        problems = own.problems + masks.problems
        for loose in own.images + masks.images:
            problems.append(warning(loose, "is not read: it lies in no folder of a class.", fix="Move or remove it."))
        if _SPLITS[name] == "train":
            problems += _strays(folders, category=category)
            folders = [folder for folder in folders if class_of(folder) == GOOD]
        problems += _orphans([*masks.directories, *(d for d, other in aside.items() if other is None)], tested=folders)
        photos: list[Photo] = []
        for folder in folders:
            places = [truth / folder.name] if truth is not None else []
            places += [place for place, other in aside.items() if other == folder]
            found, faults = self._read_folder(folder, category=category.name, places=places, root=root)
            photos += found
            problems += faults
        return photos, problems

    def _read_folder(
        self, folder: Path, *, category: str, places: Sequence[Path], root: Path
    ) -> tuple[list[Photo], list[Problem]]:
        """Return the photos of one class, with their masks from some places or beside them."""
        listing = list_directory(folder, root=root)
        problems = listing.problems + [
            warning(nested, "is not read: photos are expected one level higher.", fix=f"Move its photos to {folder}.")
            for nested in listing.directories
        ]
        labels = list_directory(folder, root=root, suffixes=LABEL_SUFFIXES).labels
        if labels:
            what = f"holds label files ({labels[0].name}), which are not read in this layout."
            fix = "Add masks, or lay the photos out as a plain folder (images/good, images/<defect>), where they are."
            problems.append(warning(folder, what, fix=fix))
        pairs: dict[Path, Path] = {}
        defect, suffixes = class_of(folder), self._settings.mask_suffixes
        images, beside = set_masks_aside(listing.images, suffixes)
        if defect != GOOD:
            for masks in (list_directory(place, root=root) for place in places):
                beside += masks.images + masks.directories
                problems += masks.problems
            pairs, faults = pair_masks(images, beside, suffixes=suffixes)
            problems += faults
        elif beside:
            what = f"holds {len(beside)} images that are named like masks of its photos ({beside[0].name}): not read."
            problems.append(warning(folder, what, fix="Remove them: photos of good parts have no defect."))
        photos = [
            Photo(path, category=category, defect=defect, mask=pairs.get(path), group=_part_of(path)) for path in images
        ]
        return photos, problems


def is_category(directory: Path) -> bool:
    """Return whether a directory is a category in this layout."""
    return any(subdirectory(directory, name).is_dir() for name in _SPLITS)


def _part_of(photo: Path) -> str | None:
    """Return the leakage group of a photo that is named as in MVTec AD 2: its directory and the number of the part."""
    part, lights = _LIGHTING.subn("", stem_of(photo))
    return "/".join((*photo.parts[-3:-1], part)) if lights else None


def _unpublished(category: Path, directories: list[Path]) -> list[Problem]:
    found = [directory.name for directory in directories if directory.name in _PRIVATE]
    if not found:
        return []
    what = f"holds {' and '.join(found)}, not read: no labels of these photos are published."
    return [warning(category, what, fix="Nothing needs to be done.")]


def _strays(folders: list[Path], *, category: Path) -> list[Problem]:
    what = "is not read: only normal photos are used for training."
    fix = f"Move it to {category / 'test'}, and its masks to {category / 'ground_truth'}."
    return [warning(folder, what, fix=fix) for folder in folders if class_of(folder) != GOOD]


def _orphans(truth: list[Path], *, tested: list[Path]) -> list[Problem]:
    known = {class_of(folder) for folder in tested} | {GOOD}
    fix = (
        "Put its photos into the folder of the same name in test, call it like the folder of its photos, or remove it."
    )
    return [
        error(folder, "holds masks of a defect that has no photos.", fix=fix)
        for folder in truth
        if class_of(folder) not in known and folder.name.lower() not in _SPLITS
    ]
