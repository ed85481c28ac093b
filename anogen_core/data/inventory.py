"""What lies in a dataset's directories: found, checked for leaving the root, and hashed; no pixel is decoded."""

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anogen_core.data.files import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES
from anogen_core.data.problems import Problem, error, unreadable, warning
from anogen_core.errors import InputError
from anogen_core.records import GOOD, Box, Part, Sample

LABEL_SUFFIXES = frozenset({".json", ".txt", ".xml"})
"""Endings of the label files that are read, in lower case."""
_IMAGES = IMAGE_SUFFIXES | OTHER_IMAGE_SUFFIXES
_NAMES_OF_GOOD = re.compile(r"normal|(good|ok)( .+)?|(no|non|not|without)( any)? defect(s|ive)?|defect (free|less)")
_NAMES_OF_BAD = re.compile(
    r"bad|ng|nok|ko|nio|(not|non) ok|defect(s|ive)?|anomal(y|ies|ous)|abnormal|fault(s|y)?|fail(ed|ure|ures)?"
    r"|reject(s|ed)?"
)
_UNUSABLE_CHARACTERS = {"Cc", "Cs"}  # control characters; bytes that are not UTF-8


@dataclass(frozen=True)
class Listing:
    """The content of one directory, sorted by name. Hidden and unrelated files are not in it."""

    images: list[Path] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)
    directories: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    outside: bool = False
    """The directory leaves the root and was not looked into."""


@dataclass(frozen=True)
class Photo:
    """A photo that was found and not yet read."""

    path: Path
    category: str
    defect: str
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()
    outline: tuple[int, ...] | None = None
    parts: tuple[Part, ...] = ()
    group: str | None = None


def existing_root(root: str) -> Path:
    """Return the root of a dataset with its symbolic links resolved.

    Raises:
        InputError: it is not there or not a directory.
    """
    path = Path(root)
    try:
        if path.is_dir():
            return path.resolve()
        found = "a file" if path.exists() else "nothing"
    except (OSError, ValueError) as failure:
        found = str(failure)
    raise InputError(
        f"reader.root: expected a directory at {root!r}, found {found}. Name the directory of your photos."
    )


def subdirectory(directory: Path, *names: str) -> Path:
    """Return the sub directory with the first of some names, in lower case or as it is written; the first if none."""
    try:
        found = {entry.name.lower(): entry.name for entry in sorted(os.scandir(directory), key=lambda e: e.name)}
    except OSError:
        found = {}
    for name in names:
        if (directory / name).is_dir():
            return directory / name
        if name in found and (directory / found[name]).is_dir():
            return directory / found[name]
    return directory / names[0]


def names_good(name: str) -> bool:
    """Return whether a name is one of good parts: good, ok, normal, no_defect or defect_free, also `good weld`.

    Case does not matter, nor whether words are joined by `_`, `-` or a space. Any other name is that of a defect.
    """
    return _NAMES_OF_GOOD.fullmatch(_words(name)) is not None


def names_any_defect(name: str) -> bool:
    """Return whether a name says that there is a defect and not which: bad, ng, defective and the like, in any case."""
    return _NAMES_OF_BAD.fullmatch(_words(name)) is not None


def _words(name: str) -> str:
    return re.sub(r"[-_ ]+", " ", name.strip().lower())


def class_of(directory: Path) -> str:
    """Return the class of the photos in a directory: its name, or `good` where that names good parts."""
    return GOOD if names_good(directory.name) else directory.name


def photo_directory(root: Path) -> Path:
    """Return `images`, or what Pascal VOC, Supervisely and Severstal call it; `images` where none is there."""
    return subdirectory(root, "images", "image", "jpegimages", "img", "imgs", "train_images")


def photo_root(root: Path) -> Path:
    """Return where the photos of a plain folder begin: `photo_directory`, or without one the root itself.

    That is where the root holds photos, or a folder of normal ones.
    """
    images = photo_directory(root)
    if images.is_dir():
        return images
    own = list_directory(root, root=root)
    return root if own.images or any(class_of(directory) == GOOD for directory in own.directories) else images


def up_to_root(directory: Path, root: Path) -> list[Path]:
    """Return a directory and those above it up to the root, the nearest first; none outside the root."""
    return [place for place in (directory, *directory.parents) if place.is_relative_to(root)]


def list_directory(directory: Path, *, root: Path, suffixes: frozenset[str] = _IMAGES) -> Listing:
    """Return the files with some endings and the sub directories of a directory; one that is not there is empty."""
    listing = Listing()
    try:
        if not directory.resolve().is_relative_to(root):
            return Listing(problems=[_leaves(directory, root=root)], outside=True)
        with os.scandir(directory) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return listing
    except (OSError, RuntimeError) as failure:
        listing.problems.append(unreadable(directory, failure))
        return listing
    for entry in found:
        try:
            _sort_in(entry, listing, root=root, suffixes=suffixes)
        except (OSError, RuntimeError) as failure:  # a loop of links, no permission
            listing.problems.append(unreadable(Path(entry.path), failure))
    return listing


def _sort_in(entry: "os.DirEntry[str]", listing: Listing, *, root: Path, suffixes: frozenset[str]) -> None:
    path = Path(entry.path)
    suffix = path.suffix.lower()
    directory = not entry.name.startswith(".") and entry.is_dir()
    if entry.name.startswith(".") or not (directory or suffix in suffixes):
        return
    if any(unicodedata.category(character) in _UNUSABLE_CHARACTERS for character in path.name):
        what = "has a name that is not plain Unicode text."
        listing.problems.append(error(path, what, fix="Rename it (and its mask)."))
    elif directory:
        listing.directories.append(path)
    elif suffix in OTHER_IMAGE_SUFFIXES:
        what = f"is not read: {suffix} is not among the formats that are."
        listing.problems.append(warning(path, what, fix="Save it as a PNG if it belongs to the data."))
    elif entry.is_symlink() and not path.resolve().is_relative_to(root):
        listing.problems.append(_leaves(path, root=root))
    else:
        (listing.labels if suffix in LABEL_SUFFIXES else listing.images).append(path)


def _leaves(path: Path, *, root: Path) -> Problem:
    fix = "Copy what it points to into the root, or remove the link."
    return error(path, f"is a link that leaves the root {root}.", fix=fix)


def hash_files(paths: Iterable[Path]) -> tuple[dict[Path, str], list[Problem]]:
    """Return the sha256 of each file, and an error for each file that cannot be read."""
    ordered = list(paths)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(_hash_file, ordered))
    digests = {path: result for path, result in zip(ordered, results, strict=True) if isinstance(result, str)}
    return digests, [result for result in results if isinstance(result, Problem)]


def _hash_file(path: Path) -> str | Problem:
    try:
        # Opening a pipe would wait for ever.
        if not path.is_file():
            what = "is not a regular file, or a link to nothing."
            return error(path, what, fix="Remove it or put the photo there.")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as failure:
        return unreadable(path, failure)


def make_samples(
    photos: Sequence[Photo],
    digests: dict[Path, str],
    splits: dict[Path, Literal["train", "test"]],
    *,
    mask_threshold: int | None,
    mask_inverted: bool,
) -> list[Sample]:
    """Return the records of all photos that have a digest, sorted by id."""
    ids = _unique_ids(photos, splits)
    samples = [
        Sample(
            sample_id=ids[photo.path],
            category=photo.category,
            defect=photo.defect,
            split=splits[photo.path],
            image_uri=str(photo.path),
            mask_uri=str(photo.mask) if photo.mask else None,
            mask_threshold=mask_threshold if photo.mask else None,
            mask_inverted=mask_inverted and photo.mask is not None,
            boxes=photo.boxes,
            outline=photo.outline,
            sha256=digests[photo.path],
            group=photo.group,
            parts=photo.parts,
        )
        for photo in photos
        if photo.path in digests
    ]
    return sorted(samples, key=lambda sample: sample.sample_id)


def _unique_ids(photos: Sequence[Photo], splits: dict[Path, Literal["train", "test"]]) -> dict[Path, str]:
    """Return `<category>/<split>/<defect>/<file stem>` of each photo.

    Where photos would share an id, those of several directories have these before the stem, from where their paths
    part, and those of one directory keep their endings.
    """
    alike: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for photo in photos:
        alike["/".join((photo.category, splits[photo.path], photo.defect)), stem_of(photo.path)].append(photo.path)
    ids: dict[Path, str] = {}
    for (place, stem), paths in alike.items():
        above = os.path.commonpath([path.parent for path in paths])
        beside = Counter(path.parent for path in paths)
        for path in paths:
            name = path.parent.relative_to(above) / stem
            ids[path] = f"{place}/{name.as_posix()}" + (path.suffix if beside[path.parent] > 1 else "")
    return ids


def stem_of(path: Path) -> str:
    """Return the file name without its ending, in the one Unicode form that all systems agree on."""
    return unicodedata.normalize("NFC", path.stem)
