"""Masks whose values or colours name the defects: 1 or red for one kind, 2 or blue for another, 0 for the surface.

Roboflow exports masks of numbers ("Semantic Segmentation Masks") with a table of these beside them, `_classes.csv`:

    Pixel Value, Class
    0, background
    1, crack

CVAT ("Segmentation mask") exports masks of colours with a table in the root, `labelmap.txt`:

    # label:color_rgb:parts:actions
    background:0,0,0::
    crack:250,50,83::
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anogen_core.data.files import decode
from anogen_core.data.labels.drawing import Drawing, ShapeError
from anogen_core.data.labels.label import Label

CLASS_TABLE = "_classes.csv"
LABEL_MAP = "labelmap.txt"
_SURFACE = "background"
_SHOWN = 8


@dataclass(frozen=True)
class MaskClasses:
    """What the values of masks mean, or their colours as 0xRRGGBB."""

    names: Mapping[int, str]
    are_colours: bool = False
    surface: int = 0
    """The value or colour of what is no defect."""

    @classmethod
    def of(cls, names: Mapping[int | str, str]) -> "MaskClasses":
        """Return the meaning of values, or of colours that are written as #rrggbb."""
        if all(isinstance(key, int) for key in names):
            return cls({int(key): name for key, name in names.items()})
        return cls({int(str(key).removeprefix("#"), 16): name for key, name in names.items()}, are_colours=True)

    def shown(self, value: int) -> str:
        """Return a value as a person writes it."""
        return f"#{value:06x}" if self.are_colours else str(value)


def read_class_table(file: Path) -> MaskClasses:
    """Return the name of each number but 0.

    Raises:
        ShapeError: a row is not a number and a name, or there is none.
        OSError: the file cannot be read.
    """
    try:
        rows = [row for row in csv.reader(_lines(file)) if row]
    except csv.Error as failure:
        raise ShapeError(f"is no table ({failure}).") from failure
    names: dict[int, str] = {}
    for row in rows[1:]:
        number = row[0].strip()
        if len(row) != 2 or not _is_number(number, largest=99999):
            raise ShapeError(f"has the row {','.join(row)!r}; a pixel value and a class are expected.")
        names[int(number)] = row[1].strip()
    return _named(MaskClasses({number: name for number, name in names.items() if number}))


def read_label_map(file: Path) -> MaskClasses:
    """Return the name of each colour; that of `background`, or black, is the surface.

    Raises:
        ShapeError: a line is not a name and a colour, two names have one colour, or there is none but the surface.
        OSError: the file cannot be read.
    """
    names: dict[int, str] = {}
    for count, line in enumerate(_lines(file), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colour, *_ = (*line.split(":"), "")
        parts = [part.strip() for part in colour.split(",")]
        if len(parts) != 3 or not all(_is_number(part, largest=255) for part in parts):
            raise ShapeError(f"has line {count}, {line!r}; `label:red,green,blue:parts:actions` is expected.")
        code = int.from_bytes(int(part) for part in parts)
        if code in names:
            raise ShapeError(f"gives {names[code]!r} and {name.strip()!r} one colour, {colour}.")
        names[code] = name.strip()
    surface = next((code for code, name in names.items() if name.lower() == _SURFACE), 0)
    named = {code: name for code, name in names.items() if code != surface}
    return _named(MaskClasses(named, are_colours=True, surface=surface))


def _named(classes: MaskClasses) -> MaskClasses:
    if not classes.names:
        raise ShapeError("names no defect.")
    return classes


def draw_numbered(photo: Path, mask: Path, classes: MaskClasses) -> Label | None:
    """Return what a mask says of its photo; None where all of it is surface.

    Raises:
        ShapeError: the mask has another size, or holds a value without a name.
        UnusableFileError: a file cannot be decoded.
    """
    values = _colours(mask) if classes.are_colours else _numbers(mask)
    drawing = Drawing(photo)
    unnamed = values != classes.surface
    if not unnamed.any():
        return None
    for value, name in classes.names.items():
        own = values == value
        if own.any():
            drawing.name(name)
            drawing.mask(own)
            unnamed &= ~own
    unknown = np.unique(values[unnamed]).tolist()
    if unknown:
        shown = ", ".join(map(classes.shown, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
        named = ", ".join(f"{classes.shown(value)} {name}" for value, name in sorted(classes.names.items()))
        kind = "colours" if classes.are_colours else "numbers"
        raise ShapeError(f"holds {shown}, and the {kind} with a name are: {named} (`reader.mask_classes`).")
    return drawing.label(mask)


def _numbers(mask: Path) -> np.ndarray[Any, Any]:
    """Return the values (H, W) of a mask; of one with a palette the places in that."""
    pixels = decode(mask)
    if pixels.ndim == 2:
        return pixels
    with Image.open(mask) as image:
        if image.mode == "P":
            return np.asarray(image)
    if (pixels[..., :3] != pixels[..., :1]).any():
        raise ShapeError("holds colours; values that number the defects are expected, or name the colours, as #ff0000.")
    return pixels[..., 0]


def _colours(mask: Path) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return the colours (H, W) of a mask as 0xRRGGBB; alpha is dropped."""
    pixels = decode(mask)
    if pixels.dtype != np.uint8:
        raise ShapeError("has 16 bits; colours of 8 bits are expected.")
    channels = [pixels] * 3 if pixels.ndim == 2 else [pixels[..., channel] for channel in (2, 1, 0)]
    red, green, blue = (channel.astype(np.uint32) for channel in channels)
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as failure:
        raise ShapeError(f"is no table in UTF-8 ({failure}).") from failure


def _is_number(text: str, *, largest: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(largest)) and int(text) <= largest
