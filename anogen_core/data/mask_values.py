"""The values that a mask image holds, and what to do where there are several besides 0."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from anogen_core.data.files import decode
from anogen_core.data.problems import Problem, error

_MOST_KINDS = 31
"""More values than this number nothing: they are shades, such as soft edges have."""
_SHOWN = 8
SOFT_EDGES = 128
"""The threshold of masks whose edges are soft."""
_DARK, _BRIGHT = 64, 192
_SOFT = 0.25
"""Of few values: share of the bright pixels up to which those between dark and bright are edges. Of many it is 1."""


@dataclass(frozen=True)
class MaskValues:
    """The pixels of one mask, as stored: (H, W), or (H, W, 3) in OpenCV's BGR order, 8 or 16 bit."""

    pixels: np.ndarray[Any, Any]

    @cached_property
    def found(self) -> tuple[int, ...]:
        """The distinct values in ascending order; of colours red, green and blue in one number."""
        if not self.are_colours:
            return tuple(map(int, np.unique(self.shades)))
        bits = 8 * self.pixels.itemsize
        blue, green, red = (self.pixels[..., channel].astype(np.uint64) for channel in range(3))
        return tuple(map(int, np.unique(red << 2 * bits | green << bits | blue)))

    @cached_property
    def are_colours(self) -> bool:
        """Whether any pixel is not grey."""
        return self.pixels.ndim == 3 and bool((self.pixels != self.pixels[..., :1]).any())

    @cached_property
    def shades(self) -> np.ndarray[Any, Any]:
        """The largest channel of each pixel."""
        return self.pixels if self.pixels.ndim == 2 else self.pixels.max(axis=2)

    @cached_property
    def is_binary(self) -> bool:
        """Whether there is no more than one value besides 0."""
        marked = self.pixels[self.shades > 0]
        return not (marked != marked[:1]).any()

    @property
    def kind(self) -> str:
        """What the mask holds."""
        return "colours" if self.are_colours else "values"

    @property
    def surface(self) -> str:
        """What normal pixels are to be."""
        return "black" if self.are_colours else "0"

    @property
    def marked(self) -> tuple[int, ...]:
        """The distinct values but 0."""
        return tuple(value for value in self.found if value)

    @property
    def number_something(self) -> bool:
        """Whether values besides 0 are so few, and numbers so low, that they tell kinds or parts of defects apart."""
        lowest = self.are_colours or self.found[-1] <= _MOST_KINDS
        return self.found[0] == 0 and lowest and 1 < len(self.marked) <= _MOST_KINDS

    @property
    def has_soft_edges(self) -> bool:
        """Whether a mask of many values is dark and bright, with shades between at the edges, as JPEG stores masks."""
        dark, bright = (int(np.count_nonzero(own)) for own in (self.shades < _DARK, self.shades >= _BRIGHT))
        most = 1.0 if len(self.marked) > _MOST_KINDS else _SOFT
        between = self.shades.size - dark - bright
        return self.shades.dtype == np.uint8 and len(self.marked) > 1 and dark > 0 < bright and between <= most * bright

    @classmethod
    def read(cls, path: Path) -> "MaskValues":
        """Return the values of a mask image; alpha is dropped.

        Raises:
            UnusableFileError: the file cannot be decoded.
        """
        pixels = decode(path)
        return cls(pixels[..., :3] if pixels.ndim == 3 else pixels)

    def shown(self) -> str:
        """Return the first values besides 0, colours as #rrggbb."""
        more = ", ..." * (len(self.marked) > _SHOWN)
        return ", ".join(map(self._name, self.marked[:_SHOWN])) + more

    def only_value(self) -> str:
        """Return the one value besides 0 as a run file names it; nothing where there is none, or several."""
        marked = self.pixels[self.shades > 0]
        return self._key(MaskValues(marked[None, :1]).found[0]) if marked.size and self.is_binary else ""

    def problem(self, path: Path) -> Problem:
        """Return the error that a mask of several values besides 0 is without a threshold."""
        if self.found[0]:
            held = f"{len(self.found)} {self.kind} and no {self.surface}"
            what = f"is not binary: it holds {held}, which is the normal surface."
        else:
            what = f"is not binary: it holds {len(self.marked)} {self.kind} besides {self.surface}."
        fix = "save it with 0 for normal and 255 for anomalous, as a PNG (JPEG blurs edges)."
        setting = self._setting()
        return error(path, what, fix=f"{setting}, or {fix}" if setting else fix[0].upper() + fix[1:])

    def _setting(self) -> str:
        """Return which settings help, as the beginning of a remedy; nothing where none does."""
        if self.found[0]:
            lowest, next_one = self.found[:2]
            setting = f"Set `reader.mask_threshold: {next_one}` if {lowest} is the normal surface"
            return "" if self.are_colours else setting
        if len(self.marked) > _MOST_KINDS:
            return f"Set `reader.mask_threshold: {SOFT_EDGES}` if its edges are soft"
        first = ", ".join(f"{self._key(value)}: NAME" for value in self.marked[:2])
        classes = f"{{{first}{', ...' * (len(self.marked) > 2)}}}"
        soft = f" ({SOFT_EDGES} if they are shades of soft edges)" * (not self.number_something)
        return (
            f"Set `reader.mask_threshold: 1` if all of {self.shown()} are defects{soft}, in a plain folder "
            f"`reader.mask_classes: {classes}` if they tell kinds apart"
        )

    def _name(self, value: int) -> str:
        return f"#{value:0{6 * self.pixels.itemsize}x}" if self.are_colours else str(value)

    def _key(self, value: int) -> str:
        return f'"{self._name(value)}"' if self.are_colours else self._name(value)
