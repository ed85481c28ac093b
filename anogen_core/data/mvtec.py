"""Datasets laid out like MVTec AD (Bergmann et al., CVPR 2019).

    <root>/<category>/train/good/000.png                    normal photos to learn from
    <root>/<category>/test/good/000.png                     normal photos to test on
    <root>/<category>/test/<defect>/000.png                 defective photos
    <root>/<category>/ground_truth/<defect>/000_mask.png    their masks

The root may also be one category itself; its name is then the directory's name. `good` may be called `ok`, `normal`,
`no_defect` or `defect_free`, in any case.
"""

from pathlib import Path
from typing import Literal, final

from anogen_core.data.categories import find_categories
from anogen_core.data.groups import GroupSettings, group_photos
from anogen_core.data.inventory import (
    LABEL_SUFFIXES,
    Photo,
    class_of,
    existing_root,
    hash_files,
    list_directory,
    make_samples,
)
from anogen_core.data.pairing import MaskFileSettings, pair_masks
from anogen_core.data.problems import Problem, error, warning
from anogen_core.data.reader import Reader, Scan
from anogen_core.records import GOOD


class MvtecReaderSettings(MaskFileSettings):
    """A dataset laid out like MVTec AD; any file names, png, jpg, bmp or tif."""

    kind: Literal["mvtec"] = "mvtec"
    root: str
    """Directory of the categories, or the directory of one category (the one that holds `train` and `test`)."""
    categories: tuple[str, ...] | None = None
    """Categories to read; all that are found when left out."""
    groups: GroupSettings | None = None
    """Table of leakage groups. When left out, `index.csv` in the category is used if it has such a column."""

    def build(self) -> "MvtecReader":
        """Return a reader of this dataset."""
        return MvtecReader(self)


@final
class MvtecReader(Reader):
    """Reads the layout of MVTec AD."""

    def __init__(self, settings: MvtecReaderSettings) -> None:
        self._settings = settings

    def scan(self) -> Scan:
        """Return all samples and everything that is wrong with how the dataset lies on disk.

        Raises:
            InputError: the root is missing or holds no category.
        """
        root = existing_root(self._settings.root)
        directories, problems = find_categories(
            root,
            self._settings.categories,
            is_category=_is_category,
            expected="<category>/train/good, <category>/test/<defect> and <category>/ground_truth/<defect>",
        )
        photos: list[Photo] = []
        for directory in directories:
            found, faults = self._read_category(directory, root=root)
            photos += found
            problems += faults
        digests, faults = hash_files(photo.path for photo in photos)
        splits = {photo.path: _split_of(photo.path) for photo in photos}
        return Scan(
            make_samples(photos, digests, splits, mask_threshold=self._settings.mask_threshold), problems + faults
        )

    def _read_category(self, directory: Path, *, root: Path) -> tuple[list[Photo], list[Problem]]:
        own = list_directory(directory, root=root)
        if own.outside:
            return [], own.problems
        train = list_directory(directory / "train", root=root)
        test = list_directory(directory / "test", root=root)
        truth = list_directory(directory / "ground_truth", root=root)
        problems = train.problems + test.problems + truth.problems + _strays(directory, train.directories)
        for loose in train.images + test.images + truth.images:
            problems.append(warning(loose, "is not read: it lies in no folder of a class.", fix="Move or remove it."))
        problems += _orphans(truth.directories, tested=test.directories)
        folders = [d for d in train.directories if class_of(d) == GOOD] + test.directories
        photos: list[Photo] = []
        for folder in folders:
            found, faults = self._read_folder(folder, category=directory, root=root)
            photos += found
            problems += faults
        if not photos:
            problems.append(
                error(directory, "holds no photo.", fix="Add photos or leave it out by `reader.categories`.")
            )
        photos, faults = group_photos(photos, self._settings.groups, directory=directory)
        return photos, problems + faults

    def _read_folder(self, folder: Path, *, category: Path, root: Path) -> tuple[list[Photo], list[Problem]]:
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
        defect = class_of(folder)
        if defect != GOOD:
            masks = list_directory(category / "ground_truth" / folder.name, root=root)
            pairs, faults = pair_masks(listing.images, masks.images, suffixes=self._settings.mask_suffixes)
            problems += masks.problems + faults
        photos = [Photo(path, category=category.name, defect=defect, mask=pairs.get(path)) for path in listing.images]
        return photos, problems


def _is_category(directory: Path) -> bool:
    return (directory / "train").is_dir() or (directory / "test").is_dir()


def _split_of(photo: Path) -> Literal["train", "test"]:
    return "train" if photo.parent.parent.name == "train" else "test"


def _strays(directory: Path, train_folders: list[Path]) -> list[Problem]:
    return [
        warning(
            folder, "is not read: only normal photos are used for training.", fix=f"Move it to {directory / 'test'}."
        )
        for folder in train_folders
        if class_of(folder) != GOOD
    ]


def _orphans(truth: list[Path], *, tested: list[Path]) -> list[Problem]:
    known = {class_of(folder) for folder in tested} | {GOOD}
    fix = "Put its photos into the folder of the same name in test, or remove it."
    return [
        error(folder, "holds masks of a defect that has no photos.", fix=fix)
        for folder in truth
        if class_of(folder) not in known
    ]
