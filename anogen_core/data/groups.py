"""Leakage groups: which photos show the same physical part, read from a table beside the photos."""

from pathlib import Path

from anogen_core.data.problems import Problem, error
from anogen_core.data.tables import read_heading, read_table
from anogen_core.settings import Settings

_DEFAULT_FILE = "index.csv"
_DEFAULT_IMAGE_COLUMN = "image"


class GroupSettings(Settings):
    """A table that names the physical part on each photo."""

    file: str = _DEFAULT_FILE
    """CSV file, relative to the category's directory."""
    image_column: str = _DEFAULT_IMAGE_COLUMN
    """Column with the photo's path relative to the category's directory, or its file name."""
    group_column: str = "group"
    """Column with the group's name; an empty value is no group."""


def read_groups(directory: Path, settings: GroupSettings | None) -> tuple[dict[str, str], list[Problem]]:
    """Return the group of each path or file name that the table lists, and what is wrong with the table.

    Without settings, an `index.csv` is used if it has a column `image` and exactly one whose name ends in `group`.
    """
    settings = settings or _discover(directory)
    if settings is None:
        return {}, []
    path = directory / settings.file
    if not path.resolve().is_relative_to(directory.resolve()):
        what = f"leaves the category's directory {directory}."
        return {}, [error(path, what, fix="Put the table beside the photos and correct `reader.groups.file`.")]
    if not path.is_file():
        return {}, [error(path, "is not there.", fix="Correct `reader.groups.file` or leave `reader.groups` out.")]
    rows, problems = read_table(path, [settings.image_column, settings.group_column])
    groups = {
        row.values[settings.image_column].replace("\\", "/"): row.values[settings.group_column]
        for row in rows
        if row.values[settings.group_column]
    }
    return groups, problems


def group_of(photo: Path, *, directory: Path, groups: dict[str, str]) -> str | None:
    """Return the group of a photo; its relative path is looked up before its file name."""
    return groups.get(photo.relative_to(directory).as_posix()) or groups.get(photo.name)


def _discover(directory: Path) -> GroupSettings | None:
    path = directory / _DEFAULT_FILE
    if not path.is_file() or not path.resolve().is_relative_to(directory.resolve()):
        return None
    heading = read_heading(path)
    columns = [name for name in heading if name.casefold().endswith("group")]
    if _DEFAULT_IMAGE_COLUMN not in heading or len(columns) != 1:
        return None
    return GroupSettings(group_column=columns[0])
