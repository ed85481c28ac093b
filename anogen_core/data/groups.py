"""Leakage groups: which photos show the same physical part, read from a table beside the photos."""

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from anogen_core.data.inventory import Photo
from anogen_core.data.problems import Problem, error, warning
from anogen_core.data.tables import read_heading, read_table
from anogen_core.settings import Settings

_DEFAULT_FILE = "index.csv"
_DEFAULT_IMAGE_COLUMN = "image"
_VERSION = re.compile(r"(?P<source>.+)\.rf\.[0-9A-Za-z]{16,}")
"""Stem of a photo as Roboflow exports it, which makes several versions of one, turned, bent or relit."""


class GroupSettings(Settings):
    """A table that names the physical part on each photo."""

    file: str = _DEFAULT_FILE
    """CSV file, relative to the category's directory."""
    image_column: str = _DEFAULT_IMAGE_COLUMN
    """Column with the photo's path (relative to the category's directory or its parent, or absolute) or its file name;
    the ending may be left out."""
    group_column: str = "group"
    """Column with the group's name; an empty value is no group."""


class _Entry(NamedTuple):
    """A row that gives a group to photos."""

    line: int
    name: str
    group: str
    photos: tuple[Path, ...]
    """The photos that the name fits."""

    @property
    def vague(self) -> bool:
        """Return whether the name fits several photos: each of them has its group unless another row names it alone."""
        return len(self.photos) > 1

    def __str__(self) -> str:
        return f"{self.name!r} in line {self.line}"


def group_photos(
    photos: Sequence[Photo], settings: GroupSettings | None, *, directory: Path
) -> tuple[list[Photo], list[Problem]]:
    """Return the photos of a category with the groups that its table gives them, and what is wrong with the table.

    Without settings, an `index.csv` is used if it has a column `image` and exactly one whose name ends in `group`;
    without that, the versions of a photo that Roboflow exports are a group.
    """
    table, problems = (settings, []) if settings else _discover(directory)
    if table is None or not photos:
        return _group_versions(photos), problems
    path = directory / table.file
    if not path.resolve().is_relative_to(directory.resolve()):
        fix = "Put the table beside the photos and correct `reader.groups.file`."
        return list(photos), [error(path, f"leaves the category's directory {directory}.", fix=fix)]
    if not path.is_file():
        fix = "Correct `reader.groups.file` or leave `reader.groups` out."
        return list(photos), [error(path, "is not there.", fix=fix)]
    rows, problems = read_table(path, [table.image_column, table.group_column])
    fitting = _fitter([photo.path for photo in photos])
    entries = [
        _Entry(row.line, row.values[table.image_column], group, fitting(row.values[table.image_column]))
        for row in rows
        if (group := row.values[table.group_column])
    ]
    example = photos[0].path.relative_to(directory).as_posix()
    if not problems:
        problems += _strangers(path, entries, chosen=settings is not None, example=example)
    problems += _vague(path, entries, example=example)
    of_photo: dict[Path, list[_Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.vague):
        for photo in entry.photos:
            of_photo[photo].append(entry)
    problems += _contradictions(path, of_photo, directory=directory)
    grouped = [replace(p, group=of_photo[p.path][0].group) if p.path in of_photo else p for p in photos]
    return grouped, problems


def _group_versions(photos: Sequence[Photo]) -> list[Photo]:
    versions = {p.path: match["source"] for p in photos if (match := _VERSION.fullmatch(p.path.stem))}
    return [replace(photo, group=photo.group or versions.get(photo.path)) for photo in photos]


def _discover(directory: Path) -> tuple[GroupSettings | None, list[Problem]]:
    path = directory / _DEFAULT_FILE
    if not path.is_file() or not path.resolve().is_relative_to(directory.resolve()):
        return None, []
    heading = read_heading(path)
    columns = [name for name in heading if name.casefold().endswith("group")]
    if not columns:
        return None, []
    has_image = _DEFAULT_IMAGE_COLUMN in heading
    if has_image and len(columns) == 1:
        return GroupSettings(group_column=columns[0]), []
    what = f"has the column{'s' if len(columns) > 1 else ''} {', '.join(columns)}"
    what += "" if has_image else f" and no column {_DEFAULT_IMAGE_COLUMN}"
    fix = (
        "If a column says which part is on each photo, name it: "
        f"`reader.groups: {{file: {_DEFAULT_FILE}, image_column: {_DEFAULT_IMAGE_COLUMN if has_image else '...'}, "
        f"group_column: {columns[0]}}}`."
    )
    return None, [warning(path, f"{what}: it is not clear which are the leakage groups, and none are read.", fix=fix)]


def _fitter(photos: Sequence[Path]) -> Callable[[str], tuple[Path, ...]]:
    """Return a function that gives the photos whose path ends in a name.

    The name is looked for as it is written, then without the ending of the file, then both in any case.
    """
    by_last: dict[str, list[Path]] = defaultdict(list)
    for photo in photos:
        for last in (photo.name, photo.stem):
            by_last[_plain(last).casefold()].append(photo)

    def fitting(name: str) -> tuple[Path, ...]:
        wanted = "/" + posixpath.normpath(_plain(name.replace("\\", "/"))).lstrip("/")
        candidates = by_last.get(wanted.rsplit("/", 1)[-1].casefold(), [])
        for fold in (str, str.casefold):
            for form in (Path, _without_ending):
                ends = fold(wanted)
                found = [p for p in candidates if fold("/" + _plain(form(p).as_posix())).endswith(ends)]
                if found:
                    return tuple(found)
        return ()

    return fitting


def _without_ending(path: Path) -> Path:
    return path.with_name(path.stem)


def _plain(text: str) -> str:
    """Return text in the one Unicode form that all systems agree on."""
    return unicodedata.normalize("NFC", text)


def _strangers(path: Path, entries: Sequence[_Entry], *, chosen: bool, example: str) -> list[Problem]:
    """Return what to say of rows that name no photo; a table that was chosen by settings has to name some."""
    strangers = [entry for entry in entries if not entry.photos]
    fix = f"Name photos by their path in the category's directory, like {example}, or remove the rows."
    if chosen and len(strangers) == len(entries):
        shown = f": {strangers[0]} fits none" if strangers else ""
        return [error(path, f"gives no photo a leakage group{shown}.", fix=f"{fix} Or leave `reader.groups` out.")]
    if not strangers:
        return []
    what = f"has {len(strangers)} of {len(entries)} rows with a leakage group that name no photo, {strangers[0]} first."
    return [warning(path, what, fix=fix)]


def _vague(path: Path, entries: Sequence[_Entry], *, example: str) -> list[Problem]:
    """Return a warning if some names fit several photos."""
    vague = [entry for entry in entries if entry.vague]
    if not vague:
        return []
    what = (
        f"has {len(vague)} of {len(entries)} rows that name several photos, {vague[0]} first "
        f"({len(vague[0].photos)} photos): all photos of a row are taken for one part."
    )
    fix = f"If they are not, name photos by their path in the category's directory, like {example}."
    return [warning(path, what, fix=fix)]


def _contradictions(path: Path, of_photo: Mapping[Path, Sequence[_Entry]], *, directory: Path) -> list[Problem]:
    """Return an error if rows that are equally exact give a photo different groups."""
    found: list[tuple[Path, _Entry, _Entry]] = []
    for photo, (first, *others) in of_photo.items():
        other = next((e for e in others if e.vague == first.vague and e.group != first.group), None)
        if other is not None:
            found.append((photo, first, other))
    if not found:
        return []
    photo, first, other = found[0]
    more = (
        f" ({len(found) - 1} more {'photos have' if len(found) > 2 else 'photo has'} two as well)"
        if len(found) > 1
        else ""
    )
    what = (
        f"gives {photo.relative_to(directory).as_posix()} the leakage group {other.group!r}, "
        f"and {first.group!r} in line {first.line}{more}."
    )
    fix = "Keep one. A photo that shows two parts joins them: give all photos of both the same group."
    return [error(f"{path}:{other.line}", what, fix=fix)]
