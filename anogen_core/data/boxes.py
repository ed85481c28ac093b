"""Boxes from a table: one row per box, any number of rows per photo."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anogen_core.data.problems import Problem, error
from anogen_core.data.tables import Row, read_table
from anogen_core.records import Box

BOX_COLUMNS = ("image", "defect", "x", "y", "width", "height")


@dataclass(frozen=True)
class BoxLabels:
    """What the table says about each photo."""

    boxes: dict[Path, list[Box]] = field(default_factory=lambda: defaultdict(list))
    defects: dict[Path, set[str]] = field(default_factory=lambda: defaultdict(set))
    problems: list[Problem] = field(default_factory=list)


def read_boxes(table: Path, *, photos: Sequence[Path], directory: Path) -> BoxLabels:
    """Return the boxes and defects of all photos that the table names; nothing when there is no table.

    `image` is a path relative to the directory of the photos, or a file name that only one photo has, or only one in
    the folder of the row's defect.
    """
    labels = BoxLabels()
    if not table.is_file():
        return labels
    rows, problems = read_table(table, BOX_COLUMNS)
    labels.problems.extend(problems)
    known = {photo.relative_to(directory).as_posix(): [photo] for photo in photos}
    for photo in photos:
        if photo.parent != directory:
            known.setdefault(photo.name, []).append(photo)
    for row in rows:
        _add(row, labels, place=f"{table}:{row.line}", known=known)
    return labels


def _add(row: Row, labels: BoxLabels, *, place: str, known: dict[str, list[Path]]) -> None:
    name = row.values["image"].replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/"):
        what = f"names {name!r}, which leaves the directory of the photos."
        labels.problems.append(error(place, what, fix="Name the photo by its path inside that directory."))
        return
    matches = known.get(name.removeprefix("./").removeprefix("images/"), [])
    if len(matches) > 1:
        matches = [photo for photo in matches if photo.parent.name == row.values["defect"]] or matches
    if len(matches) != 1:
        what = f"names {name!r}; {'no photo' if not matches else 'more than one photo'} has this name."
        labels.problems.append(
            error(place, what, fix="Name the photo by its path inside the directory of the photos, or remove the row.")
        )
        return
    box = _box(row)
    if box is None or not _plain_name(row.values["defect"]):
        what = f"is not a box: {', '.join(row.values[name] or '(empty)' for name in BOX_COLUMNS[1:])}."
        fix = "Give the defect's name and x, y, width, height as whole pixels, width and height at least 1."
        labels.problems.append(error(place, what, fix=fix))
        return
    labels.boxes[matches[0]].append(box)
    labels.defects[matches[0]].add(row.values["defect"])


def _box(row: Row) -> Box | None:
    try:
        x, y, width, height = (float(row.values[name]) for name in BOX_COLUMNS[2:])
        return Box(x=int(x), y=int(y), width=int(width), height=int(height)) if _whole(x, y, width, height) else None
    except (ValueError, OverflowError):
        return None


def _whole(*numbers: float) -> bool:
    return all(number.is_integer() and abs(number) < 2**31 for number in numbers)


def _plain_name(name: str) -> bool:
    return bool(name) and name.isprintable() and not {"/", "\N{REPLACEMENT CHARACTER}"} & set(name)
