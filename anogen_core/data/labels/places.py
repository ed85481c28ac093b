"""Where the label files of a plain folder may lie, and which photos those of each place may be about."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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


class _Claim(NamedTuple):
    """Label files of a directory may be about the photos in a folder."""

    directory: Path
    folder: Path
    suffixes: frozenset[str]
    is_own: bool = False


def label_places(root: Path, folders: Sequence[Path]) -> list[LabelPlace]:
    """Return the places for label files of the photos in some directories.

    That is beside the photos and above them, up to the root; and in directories called `labels`, `annotations` or `ann`
    there. Of the folders in these, those that are like folders of photos are about them, others as what they lie in.
    """
    claims: dict[Path, list[_Claim]] = defaultdict(list)
    for claim in _claims(root, folders):
        claims[claim.directory].append(claim)
    return [
        LabelPlace(
            directory,
            near=frozenset(claim.folder for claim in own),
            suffixes=frozenset().union(*(claim.suffixes for claim in own)),
            own=frozenset(claim.folder for claim in own if claim.is_own),
            is_for_labels=directory != root or root in folders,
        )
        for directory, own in sorted(claims.items())
    ]


def other_places(root: Path, folders: Sequence[Path], *, known: Iterable[LabelPlace]) -> list[LabelPlace]:
    """Return the directories of other names, beside the photos or above them, that hold label files alone."""
    read = {place.directory for place in known}
    near = {
        directory: below
        for above, below in _above(root, folders).items()
        for directory in list_directory(above, root=root).directories
    }
    return [
        LabelPlace(directory, frozenset(near[top]), _NOT_TEXT, is_for_labels=False)
        for top in sorted(near.keys() - read)
        for directory in label_tree(top, root=root)
    ]


def _claims(root: Path, folders: Sequence[Path]) -> Iterator[_Claim]:
    for folder in folders:
        yield _Claim(folder, folder, LABEL_SUFFIXES, is_own=True)
    for above, below in _above(root, folders).items():
        yield from (_Claim(above, folder, _NOT_TEXT) for folder in below)
        starts = (above, photo_directory(above))
        like = [(f, f.relative_to(start)) for f in below for start in starts if f.is_relative_to(start)]
        for name, suffixes in _FOLDERS.items():
            directory = subdirectory(above, name)
            own = [_Claim(directory / rest, folder, suffixes, is_own=True) for folder, rest in like]
            taken = {claim.directory for claim in own}
            others = [d for d in list_directory(directory, root=root).directories if d not in taken]
            yield from own
            yield from (_Claim(place, folder, suffixes) for place in (directory, *others) for folder in below)


def _above(root: Path, folders: Sequence[Path]) -> dict[Path, list[Path]]:
    """Return the directories that are or hold some folders, up to the root, each with these."""
    found: dict[Path, list[Path]] = defaultdict(list)
    for folder in folders:
        for above in up_to_root(folder, root):
            found[above].append(folder)
    return found
