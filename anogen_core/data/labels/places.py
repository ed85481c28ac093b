"""Where the label files of a plain folder may lie, and which photos those of each place may be about."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from anogen_core.data.folder_names import label_tree
from anogen_core.data.inventory import LABEL_SUFFIXES, list_directory, photo_directory, subdirectory, up_to_root

_NOT_TEXT: Final = LABEL_SUFFIXES - {".txt"}
"""Text files that lie anywhere are about anything."""
_FOLDERS: Final = {"labels": LABEL_SUFFIXES, "annotations": _NOT_TEXT, "ann": frozenset({".json"})}
"""What directories of label files are called, and the endings of such files there."""


class LabelPlace(NamedTuple):
    """A directory that label files may lie in."""

    directory: Path
    near: frozenset[Path]
    """Directories of the photos that they may be about."""
    suffixes: frozenset[str]
    own: frozenset[Path] = frozenset()
    """Those of these that it is the place of, by where it lies: they come first."""
    is_for_labels: bool = True
    """Whether other files with such endings are told of."""


def label_places(root: Path, folders: Iterable[Path]) -> list[LabelPlace]:
    """Return the places for label files of the photos in some directories.

    That is beside the photos and above them, up to the root; and in directories called `labels`, `annotations` or `ann`
    there. Of the folders in these, those that are like folders of photos are about them, others as what they lie in.
    """
    near: dict[Path, set[Path]] = defaultdict(set)
    suffixes: dict[Path, frozenset[str]] = defaultdict(frozenset)
    own: dict[Path, set[Path]] = defaultdict(set)
    named: set[Path] = set()

    def add(directory: Path, folder: Path, endings: frozenset[str], *, is_own: bool = False) -> None:
        near[directory].add(folder)
        suffixes[directory] |= endings
        own[directory].update([folder] if is_own else ())

    for folder in folders:
        add(folder, folder, LABEL_SUFFIXES, is_own=True)
        for above in up_to_root(folder, root):
            add(above, folder, _NOT_TEXT)
            for name, endings in _FOLDERS.items():
                directory = subdirectory(above, name)
                named.add(directory)
                add(directory, folder, endings)
                for start in (above, photo_directory(above)):
                    if folder.is_relative_to(start):
                        add(directory / folder.relative_to(start), folder, endings, is_own=True)
    for directory in sorted(named):
        for inner in list_directory(directory, root=root).directories:
            if inner not in near:
                near[inner], suffixes[inner] = near[directory], suffixes[directory]
    return [
        LabelPlace(
            directory,
            frozenset(near[directory]),
            suffixes[directory],
            own=frozenset(own[directory]),
            is_for_labels=directory != root or root in own[root],
        )
        for directory in sorted(near)
    ]


def other_places(root: Path, folders: Iterable[Path], *, known: Iterable[LabelPlace]) -> list[LabelPlace]:
    """Return the directories of other names, beside the photos or above them, that hold label files alone."""
    read = {place.directory for place in known}
    near: dict[Path, set[Path]] = defaultdict(set)
    for folder in folders:
        for above in up_to_root(folder, root):
            for directory in list_directory(above, root=root).directories:
                near[directory].add(folder)
    return [
        LabelPlace(directory, frozenset(near[top]), _NOT_TEXT, is_for_labels=False)
        for top in sorted(near.keys() - read)
        for directory in label_tree(top, root=root)
    ]
