"""Tables of run lengths, as the Severstal steel data set has them: one row for each photo and class.

    ImageId,ClassId,EncodedPixels
    0002cc93b.jpg,1,29102 12 29346 24

Runs are pairs of a start, counted from 1 down the columns, and a length.
"""

import functools
from collections import defaultdict
from pathlib import Path

import numpy as np

from anogen_core.data.labels.drawing import Drawing, ShapeError
from anogen_core.data.labels.entries import Entries, Entry
from anogen_core.data.tables import Row, read_heading, read_table

_COLUMNS = ("ImageId", "ClassId", "EncodedPixels")


def is_table_of_runs(table: Path) -> bool:
    """Return whether a CSV file has the columns of one."""
    return set(_COLUMNS) <= set(read_heading(table))


def read_runs(table: Path) -> Entries:
    """Return the rows of each photo; those without runs say nothing.

    Raises:
        ShapeError: a row is not complete, or the file cannot be read.
    """
    rows, problems = read_table(table, _COLUMNS)
    if problems:
        raise ShapeError(f"line {problems[0].file.rpartition(':')[2]} {problems[0].what}")
    of_photos: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.values["EncodedPixels"]:
            of_photos[row.values["ImageId"]].append(row)
    return Entries(
        [
            Entry((name,), frozenset(row.values["ClassId"] for row in own), functools.partial(_draw, own))
            for name, own in of_photos.items()
        ]
    )


def _draw(rows: list[Row], drawing: Drawing) -> None:
    for row in rows:
        try:
            drawing.name(row.values["ClassId"])
            _add(row.values["EncodedPixels"], drawing)
        except ShapeError as failure:
            raise ShapeError(f"line {row.line} {failure}") from failure


def _add(text: str, drawing: Drawing) -> None:
    height, width = drawing.size
    try:
        starts, lengths = np.array([int(number) for number in text.split()]).reshape(-1, 2).T
    except (ValueError, OverflowError):
        raise ShapeError("has `EncodedPixels` that are not pairs of whole numbers.") from None
    ends = starts - 1 + lengths
    if starts.min() < 1 or lengths.min() < 0 or ends.max() > height * width:
        raise ShapeError(f"has runs outside the {height}x{width} pixels (height x width) of its photo.")
    mask = np.zeros(height * width, bool)
    for start, end in zip(starts - 1, ends, strict=True):
        mask[start:end] = True
    drawing.mask(mask.reshape((height, width), order="F"))
