"""Which directories of a plain folder hold photos, and the defect that the name of each says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from anogen_core.data.folder_names import holds_labels, is_split, label_tree, masks_of_others, shows_mask
from anogen_core.data.inventory import class_of, list_directory, photo_directory, photo_root, stem_of
from anogen_core.data.pairing import set_masks_aside
from anogen_core.data.problems import Problem, warning
from anogen_core.errors import InputError
from anogen_core.records import GOOD

_NORMAL, _DEFECTIVE = "OK", "NG"
"""Directories of a category of Real-IAD."""
_REAL_IAD: Final = (
    f"holds {_NORMAL} and {_DEFECTIVE} of the dataset Real-IAD, which is not read as it is: copy all photos below "
    f"{_NORMAL} into <folder>/{GOOD}, and those below {_DEFECTIVE}/<kind>, with the masks beside them, into "
    "<folder>/<kind>, one folder for each category. A table of leakage groups keeps views of one sample together."
)


@dataclass(frozen=True)
class PhotoFolder:
    """Photos of one directory and the defect that its name says: None in `images` itself, in a split and of a part."""

    path: Path
    photos: list[Path]
    masks: list[Path]
    """Masks that lie beside the photos."""
    defect: str | None
    part: str | None = None
    """The part that all of the photos show, which is a leakage group."""


def list_photos(root: Path, suffixes: Sequence[str]) -> tuple[list[PhotoFolder], list[Problem]]:
    """Return the directories of photos in a plain folder, and what is wrong with how photos lie.

    Raises:
        InputError: there is no photo where photos are expected.
    """
    images = photo_root(root)
    listing = list_directory(images, root=root)
    folders = [PhotoFolder(images, *set_masks_aside(listing.images, suffixes), None)]
    problems = listing.problems
    own = [d for d in _of_photos(listing.directories, root=root) if images != root or not holds_labels(d)]
    splits = split_images(root) if images != root else []
    parts = _part_folders(root, suffixes) if images != root and not images.is_dir() and not splits else []
    for directory in (*own, *splits, *parts):
        place = directory if directory in splits or is_split(directory) else _photos_of(directory, root=root)
        inner = list_directory(place, root=root)
        if images == root and not inner.images:
            continue  # anything may lie in a root, such as what a run wrote
        in_split = is_split(directory) or directory in splits
        unnamed = in_split or directory in parts
        photos, masks = set_masks_aside(inner.images, suffixes)
        part = directory.name if directory in parts else None
        folders.append(PhotoFolder(place, photos, masks, None if unnamed else class_of(directory), part=part))
        problems += inner.problems
        classes = list(_classes(inner.directories, suffixes, problems, root=root)) if in_split else []
        folders += classes
        known = {place, *(folder.path for folder in classes)}
        beside = [] if place == directory else list_directory(directory, root=root).directories
        for nested in _of_photos((*inner.directories, *beside), root=root):
            if nested not in known and not holds_labels(nested) and not label_tree(nested, root=root):
                what = f"is not read: photos are expected in {place}."
                problems.append(warning(nested, what, fix=f"Move its photos to {place}."))
    told = any(problem.severity == "error" for problem in problems)
    if not told and not any(folder.photos for folder in folders):
        raise _no_photo(images, root=root)
    return folders, problems + _pairs(folders)


def split_images(root: Path) -> list[Path]:
    """Return where the photos of splits are, as Roboflow and Supervisely export them; nowhere beside `images`.

    That is `train/images` (YOLO), or `train` itself where photos and no others in folders lie in it (COCO); `<any>/img`
    beside `<any>/ann` (Supervisely).
    """
    if photo_directory(root).is_dir():
        return []
    found = []
    for split in list_directory(root, root=root).directories:
        if not is_split(split) and not ((split / "img").is_dir() and (split / "ann").is_dir()):
            continue
        inside = list_directory(split, root=root)
        if photo_directory(split).is_dir():
            found.append(photo_directory(split))
        elif inside.images and all(holds_labels(d) or label_tree(d, root=root) for d in inside.directories):
            found.append(split)
    return found


def _of_photos(directories: Sequence[Path], *, root: Path) -> list[Path]:
    """Return the directories that hold no masks; what is called like one of masks may be a defect of labels."""
    aside = masks_of_others(directories, root=root)
    return [d for d in directories if d not in aside and not (holds_labels(d) and shows_mask(d, root=root))]


def _classes(
    directories: Sequence[Path], suffixes: Sequence[str], problems: list[Problem], *, root: Path
) -> Iterator[PhotoFolder]:
    """Yield the folders of classes in a split."""
    for directory in _of_photos(directories, root=root):
        listing = list_directory(directory, root=root)
        if listing.images:
            problems += listing.problems
            yield PhotoFolder(directory, *set_masks_aside(listing.images, suffixes), class_of(directory))


def _part_folders(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the folders of photos of one part each; none unless masks lie beside the photos of all of them."""
    listings = {d: list_directory(d, root=root) for d in list_directory(root, root=root).directories}
    found = {d: set_masks_aside(listing.images, suffixes) for d, listing in listings.items() if listing.images}
    return list(found) if all(masks for _, masks in found.values()) else []


def _photos_of(directory: Path, *, root: Path) -> Path:
    """Return where the photos of a defect are: in its directory, or in `images` there if none lies in it itself."""
    inside = photo_directory(directory)
    return inside if inside.is_dir() and not list_directory(directory, root=root).images else directory


def _no_photo(images: Path, *, root: Path) -> InputError:
    """Return the error that no photo is where photos are expected, with the first folder that has some."""
    inside = list_directory(root, root=root).directories
    deeper = [inner for directory in inside for inner in list_directory(directory, root=root).directories]
    if foreign := next((d for d in (root, *inside) if all((d / n).is_dir() for n in (_NORMAL, _DEFECTIVE))), None):
        return InputError(f"reader.root: {foreign} {_REAL_IAD}")
    found = next((d for d in (*inside, *deeper) if list_directory(d, root=root).images), None)
    held = ", ".join(directory.name for directory in inside[:12]) or "no directory"
    held += f", and {found} photos" if found else ""
    return InputError(
        f"reader.root: no photo in {images}. Expected images/{GOOD} and images/<defect>, {GOOD} and <defect>, or "
        f"images/train, train/images or train with labels; {root} holds {held}. Put photos there or name another "
        "directory. Defects are painted on photos of normal parts, which are needed, too: if these are folders of "
        f"kinds of defects, call that of the normal photos {GOOD}."
    )


def _pairs(folders: Sequence[PhotoFolder]) -> list[Problem]:
    """Return a warning for each folder with photos that differ in the ending of their names alone: masks, may be."""
    problems = []
    for folder in folders:
        names = sorted(folder.photos, key=lambda photo: (stem_of(photo), photo.suffix))
        alike = [(one, other) for one, other in pairwise(names) if stem_of(one) == stem_of(other)]
        if alike:
            shown = " and ".join(photo.name for photo in alike[0])
            what = f"holds {len(alike)} pairs of photos with one name, such as {shown}."
            fix = "If one of each is the mask of the other, move it to `masks`, or end its name with _mask."
            problems.append(warning(folder.path, what, fix=fix))
    return problems
