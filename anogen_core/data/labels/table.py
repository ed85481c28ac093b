"""Boxes from a table: one row per box, any number of rows per photo."""

from collections import defaultdict
from pathlib import Path

from anogen_core.data.inventory import names_good
from anogen_core.data.labels.label import Label, Labels, PhotoNames, is_plain_name
from anogen_core.data.problems import Problem, error
from anogen_core.data.tables import Row, read_heading, read_table
from anogen_core.records import Box, Part

BOXES = "boxes.csv"
BOX_COLUMNS = ("image", "defect", "x", "y", "width", "height")
_OF_LABELS = frozenset(
    {"xmin", "x_min", "ymin", "y_min", "x1", "y1", "bbox", "encodedpixels", "region_shape_attributes"}
)
"""Columns, in lower case, that tables of labels have and no others."""


def label_columns(table: Path) -> list[str]:
    """Return the columns of a CSV file that only tables of labels have."""
    return [name for name in read_heading(table) if name.lower() in _OF_LABELS]


def read_boxes(table: Path, names: PhotoNames, labels: Labels) -> None:
    """Add the boxes and defects of all photos that the table names; nothing when there is no table.

    `image` is a path relative to the directory of the photos, or a file name that only one photo has, or only one in
    the folder of the row's defect.
    """
    if not table.is_file():
        return
    rows, problems = read_table(table, BOX_COLUMNS)
    boxes: dict[Path, list[Box]] = defaultdict(list)
    of_defects: dict[Path, dict[str, list[Box]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        place = f"{table}:{row.line}"
        photo, box = _photo(row, names, place=place), _box(row)
        if isinstance(photo, Problem):
            problems.append(photo)
        elif box is None or not is_plain_name(row.values["defect"]):
            what = f"is not a box: {', '.join(row.values[name] or '(empty)' for name in BOX_COLUMNS[1:])}."
            fix = "Give the defect's name and x, y, width, height as whole pixels, width and height at least 1."
            problems.append(error(place, what, fix=fix))
        elif not names_good(row.values["defect"]):
            boxes[photo].append(box)
            of_defects[photo][row.values["defect"]].append(box)
    for photo, found in boxes.items():
        parts = tuple(Part(defect=name, boxes=tuple(own)) for name, own in sorted(of_defects[photo].items()))
        labels.found[photo].append(Label(table, parts, tuple(found)))
    labels.problems.extend(problems)
    labels.doubtful.update(names.photos if problems else ())


def _photo(row: Row, names: PhotoNames, *, place: str) -> Path | Problem:
    name = row.values["image"].replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/"):
        what = f"names {name!r}, which leaves the directory of the photos."
        return error(place, what, fix="Name the photo by its path inside that directory.")
    matches = names.find(name, [row.values["defect"]])
    if len(matches) == 1:
        return matches[0]
    what = f"names {name!r}; {'no photo' if not matches else 'more than one photo'} has this name."
    return error(place, what, fix="Name the photo by its path inside the directory of the photos, or remove the row.")


def _box(row: Row) -> Box | None:
    try:
        x, y, width, height = (float(row.values[name]) for name in BOX_COLUMNS[2:])
        return Box(x=int(x), y=int(y), width=int(width), height=int(height)) if _whole(x, y, width, height) else None
    except (ValueError, OverflowError):
        return None


def _whole(*numbers: float) -> bool:
    return all(number.is_integer() and abs(number) < 2**31 for number in numbers)
