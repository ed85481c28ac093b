"""Which directories of a root are categories."""

from collections.abc import Callable, Sequence
from pathlib import Path

from anogen_core.data.inventory import list_directory
from anogen_core.data.problems import Problem, error
from anogen_core.errors import InputError


def find_categories(
    root: Path, wanted: Sequence[str] | None, *, is_category: Callable[[Path], bool], expected: str
) -> tuple[list[Path], list[Problem]]:
    """Return the directories of the wanted categories and an error for each that is missing.

    Args:
        root: Directory of the categories, or one category itself.
        wanted: Their names; None for all that are found.
        is_category: Whether a directory is one.
        expected: What a category holds, for the error.

    Raises:
        InputError: there is none.
    """
    listing = list_directory(root, root=root)
    found = {root.name: root} if is_category(root) else {d.name: d for d in listing.directories if is_category(d)}
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
