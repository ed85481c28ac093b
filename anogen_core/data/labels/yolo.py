"""YOLO's text files (docs.ultralytics.com/datasets): one for each photo, one line for each shape.

A line is `class x y width height` (centre and size of a box) or `class x1 y1 x2 y2 x3 y3 ...` (an outline), in
fractions of the photo. Classes are numbers; their names are in `classes.txt`, `data.yaml` (or another one with `names`)
or, as Darknet and CVAT have them, in `obj.names`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from anogen_core.data.inventory import list_directory
from anogen_core.data.labels.drawing import Drawing, ShapeError

CLASS_FILES = ("classes.txt", "data.yaml")
"""Files that name the classes; where there is none, any other YAML file that has names does, or one `*.names`."""
_ONE_A_LINE = frozenset({".txt", ".names"})
_OTHERS = frozenset({".yaml", ".yml", ".names"})
_BOX = 5
_OUTLINE = 7


@dataclass(frozen=True)
class Classes:
    """The names of the classes, and the file that holds them."""

    file: Path
    names: dict[int, str]


def class_files(directory: Path, *, root: Path) -> list[Path]:
    """Return the files of a directory that name classes: one of `CLASS_FILES`, or all others that have names."""
    found = [file for name in CLASS_FILES if (file := directory / name).is_file()]
    others = [] if found else list_directory(directory, root=root, suffixes=_OTHERS).images
    return found[:1] or [file for file in others if _has_names(file)]


def read_classes(files: Sequence[Path]) -> Classes:
    """Return the names in `classes.txt`, `*.names` (one a line) or `data.yaml` (`names`, a list or numbered).

    Raises:
        ShapeError: a file does not hold them, or several do that differ.
        OSError: one cannot be read.
    """
    first, *others = [Classes(file, _read_names(file)) for file in files]
    if other := next((classes.file for classes in others if classes.names != first.names), None):
        raise ShapeError(f"names other classes than {other.name} beside it: keep one of them.")
    return first


def _has_names(file: Path) -> bool:
    try:
        return bool(_read_names(file))
    except (ShapeError, OSError):
        return False


def _read_names(file: Path) -> dict[int, str]:
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    if file.suffix.lower() in _ONE_A_LINE:
        lines = text.strip().splitlines()
        if not lines:
            raise ShapeError("names no class: one name a line is expected.")
        return {number: line.strip() for number, line in enumerate(lines)}
    try:
        document = yaml.safe_load(text)
        names = document["names"]
        named = dict(enumerate(names)) if isinstance(names, list) else {int(k): v for k, v in names.items()}
        if not named:
            raise ValueError("no names")  # noqa: TRY301 - told like the other ways to have none
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as failure:
        raise ShapeError("does not name the classes: `names: [scratch, dent]` is expected.") from failure
    return {number: str(name) for number, name in named.items()}


def draw_yolo(text: str, drawing: Drawing, *, classes: Classes | None) -> None:
    """Add the shape of each line.

    Args:
        text: The file.
        drawing: Takes the shapes.
        classes: The names of the classes; without any the photo's folder says the defect.

    Raises:
        ShapeError: a line cannot be used.
    """
    extent = np.array(drawing.size[::-1], np.float64)
    for count, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            number, values = _parse(line.split())
            drawing.name(_name(number, classes, drawing))
            if len(values) == _BOX - 1:
                centre, half = values[:2], values[2:] / 2
                drawing.rectangle(np.array([centre - half, centre + half]) * extent)
            else:
                drawing.polygon(values.reshape(-1, 2) * extent)
        except ShapeError as failure:
            raise ShapeError(f"line {count} {failure}") from failure


def _parse(words: Sequence[str]) -> tuple[int, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    try:
        number, values = int(words[0]), np.array([float(word) for word in words[1:]])
    except ValueError:
        number, values = -1, np.empty(0)
    fits = len(words) == _BOX or (len(words) >= _OUTLINE and len(words) % 2 == 1)
    if number < 0 or not fits or not np.isfinite(values).all():
        expected = "`class x y width height` or `class x1 y1 x2 y2 x3 y3 ...`"
        raise ShapeError(f"is no YOLO label: {expected} is expected, in fractions of the photo.")
    return number, values


def _name(number: int, classes: Classes | None, drawing: Drawing) -> str:
    if classes is None:
        if drawing.folder_says is None:
            files = " or ".join(CLASS_FILES)
            raise ShapeError(f"has the class {number}, whose name is not known: there is no {files}.")
        return drawing.folder_says
    if number not in classes.names:
        raise ShapeError(f"has the class {number}, which is not among the {len(classes.names)} of {classes.file}.")
    return classes.names[number]
