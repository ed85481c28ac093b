"""Masks whose values number the defects: 1 for one kind, 2 for another, 0 for the surface.

Roboflow exports such masks ("Semantic Segmentation Masks") with a table of the numbers beside them:

    Pixel Value, Class
    0, background
    1, crack
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from anogen_core.data.files import decode
from anogen_core.data.labels.drawing import Drawing, ShapeError
from anogen_core.data.labels.label import Label

CLASS_TABLE = "_classes.csv"
_SHOWN = 8


def read_class_table(file: Path) -> dict[int, str]:
    """Return the name of each number but 0.

    Raises:
        ShapeError: a row is not a number and a name.
        OSError: the file cannot be read.
    """
    try:
        rows = [row for row in csv.reader(file.read_text(encoding="utf-8-sig").splitlines()) if row]
    except (UnicodeDecodeError, csv.Error) as failure:
        raise ShapeError(f"is no table in UTF-8 ({failure}).") from failure
    names: dict[int, str] = {}
    for row in rows[1:]:
        number = row[0].strip()
        if len(row) != 2 or not (number.isascii() and number.isdigit() and len(number) <= 5):
            raise ShapeError(f"has the row {','.join(row)!r}; a pixel value and a class are expected.")
        names[int(number)] = row[1].strip()
    return {number: name for number, name in names.items() if number}


def draw_numbered(photo: Path, mask: Path, names: Mapping[int, str]) -> Label | None:
    """Return what a mask says of its photo; None where all of it is 0.

    Raises:
        ShapeError: the mask has another size, holds colours, or a value without a name.
        UnusableFileError: a file cannot be decoded.
    """
    pixels = decode(mask)
    if pixels.ndim == 3 and (pixels[..., :3] != pixels[..., :1]).any():
        raise ShapeError("holds colours; values that number the defects are expected.")
    values = pixels if pixels.ndim == 2 else pixels[..., 0]
    found = [value for value in np.flatnonzero(np.bincount(values.ravel())).tolist() if value]
    unknown = [value for value in found if value not in names]
    if unknown:
        shown = ", ".join(map(str, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
        named = ", ".join(f"{number} {name}" for number, name in sorted(names.items()))
        raise ShapeError(f"holds {shown}, and the numbers with a name are: {named} (`reader.mask_classes`).")
    drawing = Drawing(photo)
    for value in found:
        drawing.name(names[value])
        drawing.mask(values == value)
    return drawing.label(mask) if found else None
