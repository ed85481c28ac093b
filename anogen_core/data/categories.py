"""Datasets with a directory for each category: which directories are categories, and what all such readers do."""

from collections.abc import Callable, Sequence
from pathlib import Path

from anogen_core.data.groups import GroupSettings, group_photos
from anogen_core.data.inventory import Photo, existing_root, list_directory
from anogen_core.data.pairing import MaskFileSettings
from anogen_core.data.problems import Problem, error
from anogen_core.errors import InputError


class CategorySettings(MaskFileSettings):
    """Where the categories are, and which of them are read."""

    root: str
    """Directory of the categories, or the directory of one category itself."""
    categories: tuple[str, ...] | None = None
    """Categories to read; all that are found when left out."""
    groups: GroupSettings | None = None
    """Table of leakage groups. When left out, `index.csv` in the category is used if it has such a column."""


def read_categories(
    settings: CategorySettings,
    read: Callable[[Path, Path], tuple[list[Photo], list[Problem]]],
    *,
    is_category: Callable[[Path], bool],
    expected: str,
) -> tuple[Path, list[Photo], list[Problem]]:
    """Return the root, the photos of the wanted categories in their leakage groups, and what is wrong with them.

    Args:
        settings: Which categories.
        read: Returns the photos of a category, called with its directory and the root.
        is_category: Whether a directory is one.
        expected: What a category holds, for the error.

    Raises:
        InputError: the root is missing or holds no category.
    """
    root = existing_root(settings.root)
    directories, problems = _find_categories(root, settings.categories, is_category=is_category, expected=expected)
    photos: list[Photo] = []
    for directory in directories:
        own = list_directory(directory, root=root)
        if own.outside:
            problems += own.problems
            continue
        found, faults = read(directory, root)
        problems += faults
        if not found:
            fix = "Add photos or leave it out by `reader.categories`."
            problems.append(error(directory, "holds no photo that can be used.", fix=fix))
        found, faults = group_photos(found, settings.groups, directory=directory)
        photos += found
        problems += faults
    return root, photos, problems


def unwrapped(directory: Path) -> Path:
    """Return the one of the same name inside, as `can/can` of an archive unpacked into a folder of its own, if any."""
    inside = directory / directory.name
    return inside if inside.is_dir() else directory


def _find_categories(
    root: Path, wanted: Sequence[str] | None, *, is_category: Callable[[Path], bool], expected: str
) -> tuple[list[Path], list[Problem]]:
    """Return the directories of the wanted categories (None: all) and an error for each that is missing."""
    listing = list_directory(root, root=root)
    candidates = [d if is_category(d) else unwrapped(d) for d in listing.directories]
    found = {root.name: root} if is_category(root) else {d.name: d for d in candidates if is_category(d)}
    chosen = list(found) if wanted is None else [name for name in wanted if name in found]
    if not chosen and found:
        raise InputError(
            f"reader.categories: {list(wanted or ())} are not in {root}, which holds {sorted(found)}. "
            "Correct the names."
        )
    if not chosen:
        held = ", ".join(folder.name for folder in listing.directories[:12]) or "no directory"
        raise InputError(
            f"reader.root: no category in {root}. Expected {expected}; found {held}. Name the right directory."
        )
    fix = f"Found: {', '.join(sorted(found))}. Correct `reader.categories`."
    missing = [
        error(root / name, "is not a category that is there.", fix=fix) for name in wanted or () if name not in found
    ]
    return [found[name] for name in sorted(set(chosen))], listing.problems + missing
