"""What label files say of photos, and which photos they mean."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from anogen_core.data.problems import Problem
from anogen_core.records import Box, Part

TOOLS = "LabelMe, YOLO, COCO, Pascal VOC, CVAT, Label Studio, Supervisely or VIA"
"""Whose label files are read."""
_NOT_STORED: Final = re.compile(r"[^-\w.]")


@dataclass(frozen=True)
class Label:
    """What one file says of one photo."""

    file: Path
    parts: tuple[Part, ...]
    """Each defect that it names, once."""
    boxes: tuple[Box, ...] = ()
    outline: tuple[int, ...] | None = None
    """Run lengths of the mask of all defects (see `anogen_core.outline`); None where there are boxes alone."""

    @property
    def defects(self) -> frozenset[str]:
        """Return the names of the defects."""
        return frozenset(part.defect for part in self.parts)


@dataclass(frozen=True)
class Labels:
    """What all files say, and what is wrong with them."""

    found: dict[Path, list[Label]] = field(default_factory=lambda: defaultdict(list))
    problems: list[Problem] = field(default_factory=list)
    doubtful: set[Path] = field(default_factory=set)
    """Photos whose labels may be in a file that has errors."""


class PhotoNames:
    """Finds photos by the names that tables and label files call them."""

    def __init__(self, photos: Iterable[Path], *, directory: Path) -> None:
        self.photos = tuple(photos)
        self._known: dict[str, list[Path]] = {p.relative_to(directory).as_posix(): [p] for p in self.photos}
        self._stored: dict[str, list[Path]] = defaultdict(list)
        for photo in self.photos:
            if photo.parent != directory:
                self._known.setdefault(photo.name, []).append(photo)
            self._stored[_as_stored(photo.name)].append(photo)

    def find(self, name: str, defects: Sequence[str]) -> list[Path]:
        """Return the photos of a name: a path in the directory of the photos, or a file name, maybe as a server has it.

        Among several photos of a file name the one in a folder of these defects is meant.
        """
        matches = self._known.get(name.removeprefix("./").removeprefix("images/")) or self._stored.get(name, [])
        return [p for p in matches if p.parent.name in defects] or matches if len(matches) > 1 else matches


def _as_stored(name: str) -> str:
    """Return what Django, and Label Studio with it, makes of the name of a file that is uploaded."""
    return _NOT_STORED.sub("", name.strip().replace(" ", "_"))


def is_plain_name(name: str) -> bool:
    """Return whether a text can be the name of a defect."""
    return bool(name) and name.isprintable() and not {"/", "\N{REPLACEMENT CHARACTER}"} & set(name)
