"""Tables that come with a dataset: CSV files, read row by row so that one bad line does not hide the others."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from anogen_core.data.problems import Problem, error

_SAVE_AGAIN = "Save the table again as CSV in UTF-8."


class Row(NamedTuple):
    """One line of a table."""

    line: int
    """Line number in the file; the heading is line 1."""
    values: dict[str, str]
    """The required columns, without surrounding spaces."""


def read_heading(path: Path) -> list[str]:
    """Return the column names of a CSV file; none when it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            heading = stream.readline(65536)
    except OSError:
        return []
    return [name.strip().strip('"') for name in heading.split(_delimiter(heading))]


def read_table(path: Path, columns: Sequence[str]) -> tuple[list[Row], list[Problem]]:
    """Return the rows of a CSV file (commas or semicolons) and what is wrong with the others.

    Columns beyond the required ones are ignored, and so are blank lines. Bytes that are not UTF-8 become U+FFFD.
    """
    missing = [name for name in columns if name not in read_heading(path)]
    if missing:
        what = f"has no column {', '.join(map(repr, missing))}, or is not a readable CSV file."
        return [], [error(path, what, fix=f"Its first line must name the columns {','.join(columns)}.")]
    rows: list[Row] = []
    problems: list[Problem] = []
    try:
        for line, values in _records(path):
            absent = [name for name in columns if values.get(name) is None]
            if absent:
                what = f"has no value for {', '.join(map(repr, absent))}."
                problems.append(error(f"{path}:{line}", what, fix="Complete the line or remove it."))
            else:
                rows.append(Row(line, {name: values[name].strip() for name in columns}))
    except (csv.Error, OSError) as failure:
        last = rows[-1].line if rows else 1
        problems.append(error(f"{path}:{last + 1}", f"cannot be read as CSV ({failure}).", fix=_SAVE_AGAIN))
    return rows, problems


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        delimiter = _delimiter(stream.readline(65536))
        stream.seek(0)
        reader = csv.DictReader(stream, delimiter=delimiter, strict=True, skipinitialspace=True)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        for record in reader:
            yield reader.line_num, record


def _delimiter(heading: str) -> str:
    return ";" if heading.count(";") > heading.count(",") else ","
