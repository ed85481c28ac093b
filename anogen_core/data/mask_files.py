"""The mask images of a plain folder, and which defect each says.

    <root>/masks/<defect>/b.png                      its folder's
    <root>/masks/b.png, <root>/masks/train/b.png,    what the folder or another label of its photo says, else
    <root>/train/masks/b.png                         `reader.defect`
    <root>/SegmentationClass/b.png                   the same, beside VOC's `JPEGImages`
    <root>/images/.../b_mask.png beside b.png,       the same
    or b.png beside b.jpg, or
    <root>/<defect>/masks/b.png,                     (in any directory of photos, or above one: of the photos there)
    or <root>/<defect>_mask/b.png                    (beside that of the photos)

Of all but the first kind a mask that marks nothing belongs to a normal photo. In `masks` a folder named like a photo,
such as `masks/<defect>/b/`, holds masks that are one together.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from anogen_core.data.folder_names import MASK_FOLDERS, is_split, masks_of_others
from anogen_core.data.inventory import class_of, list_directory, stem_of, subdirectory, up_to_root
from anogen_core.data.labels.drawing import ShapeError
from anogen_core.data.labels.label import Label, Labels
from anogen_core.data.labels.numbered import (
    CLASS_TABLE,
    LABEL_MAP,
    MaskClasses,
    draw_numbered,
    read_class_table,
    read_label_map,
)
from anogen_core.data.mask_values import MaskValues
from anogen_core.data.pairing import MaskFileSettings, named_like, pair_masks
from anogen_core.data.photo_folders import PhotoFolder
from anogen_core.data.problems import Problem, UnusableFileError, error, warning
from anogen_core.records import GOOD

_NAME_THEM = "Correct it, or set `reader.mask_classes`, {1: NAME} or {'#ff0000': NAME}, which is read instead."


class MaskFile(NamedTuple):
    """The mask of a photo, and the defect that its own folder says."""

    path: Path
    defect: str | None


class _Group(NamedTuple):
    """Masks of one directory, and the photos that they may belong to."""

    masks: list[Path]
    photos: list[Path]
    defect: str | None


class _Look(NamedTuple):
    """What was seen in a mask."""

    marks: bool = True
    is_flat: bool = False
    value: str = ""
    """The one value besides 0, or colour as "#rrggbb"; nothing where there are several."""


def find_masks(
    folders: Sequence[PhotoFolder], settings: MaskFileSettings, *, root: Path
) -> tuple[dict[Path, MaskFile], list[Problem]]:
    """Return the mask of every photo that has one, and what is wrong with how masks lie."""
    problems: list[Problem] = []
    found: dict[Path, MaskFile] = {}
    for masks, photos, defect in _groups(folders, problems, suffixes=settings.mask_suffixes, root=root):
        pairs, faults = pair_masks(photos, masks, suffixes=settings.mask_suffixes)
        problems += faults + _shared(pairs)
        for photo, mask in pairs.items():
            if photo in found:
                problems.append(_second(photo, found[photo], MaskFile(mask, defect)))
            found.setdefault(photo, MaskFile(mask, defect))
    return found, problems


def number_masks(
    masks: dict[Path, MaskFile], labels: Labels, names: Mapping[int | str, str], *, root: Path
) -> list[Problem]:
    """Make labels of the masks whose values or colours name the defects, and return what is wrong with such masks.

    Args:
        masks: Those of all photos; numbered ones are taken out.
        labels: Theirs are added, in place of other labels of the photo.
        names: What the values (or colours, #rrggbb) mean in all masks; without any, what a table in the directory of a
            mask or one above says.
        root: Directory of the dataset.
    """
    problems: list[Problem] = []
    given = MaskClasses.of(names) if names else None
    tables = {mask.path.parent: given or _find_table(mask.path.parent, root, problems) for mask in masks.values()}
    numbered = {
        photo: (mask.path, table) for photo, mask in masks.items() if (table := tables[mask.path.parent]) is not None
    }

    def draw(photo: Path) -> Label | Problem | None:
        try:
            return draw_numbered(photo, *numbered[photo])
        except UnusableFileError as failure:
            return failure.problem
        except ShapeError as failure:
            return error(numbered[photo][0], str(failure), fix="Correct the mask or the names of its values.")

    with ThreadPoolExecutor() as pool:
        drawn = list(pool.map(draw, numbered))
    for photo, said in zip(numbered, drawn, strict=True):
        del masks[photo]
        if isinstance(said, Problem):
            labels.found.pop(photo, None)
            labels.doubtful.add(photo)
            problems.append(said)
        elif said is not None:
            labels.found[photo] = [said]
    return problems


def settle_masks(
    masks: dict[Path, MaskFile], folders: Sequence[PhotoFolder], *, threshold: int | None, inverted: bool
) -> list[Problem]:
    """Take out the masks that mark nothing and those of normal photos, and return what is doubtful or wrong with them.

    Only masks that may say that a photo is normal, since they lie in no folder of a defect, are decoded.
    """
    said = {photo: folder.defect for folder in folders for photo in folder.photos}
    told = [photo for photo, mask in masks.items() if mask.defect is None and said[photo] in (None, GOOD)]
    with ThreadPoolExecutor() as pool:
        looks = list(
            pool.map(partial(_look, threshold=threshold, inverted=inverted), (masks[photo].path for photo in told))
        )
    problems, of_values = [], dict[str, Path]()
    for photo, look in zip(told, looks, strict=True):
        if look.marks and said[photo] is None:
            of_values.setdefault(look.value, masks[photo].path)
            continue
        mask = masks.pop(photo).path
        if look.marks:
            problems.append(_flat(mask) if look.is_flat else _marks_normal(mask, photo))
    values = sorted(of_values.keys() - {""})
    if threshold is None and len(values) > 1:
        first, second, *others = values
        more = ", ..." if others else ""
        what = f"marks {second} where {of_values[first].name} marks {first}: both are read as one defect."
        fix = f"Name them by `reader.mask_classes: {{{first}: NAME, {second}: NAME{more}}}` if they tell kinds apart."
        problems.append(warning(of_values[second], what, fix=fix))
    return problems


def _find_table(directory: Path, root: Path, problems: list[Problem]) -> MaskClasses | None:
    """Return what the table nearest to masks says, from their directory up to the root."""
    for place in up_to_root(directory, root):
        for name, read in ((CLASS_TABLE, read_class_table), (LABEL_MAP, read_label_map)):
            if not (place / name).is_file():
                continue
            try:
                return read(place / name)
            except (ShapeError, OSError) as failure:
                problems.append(error(place / name, str(failure), fix=_NAME_THEM))
                return None
    return None


def _groups(
    folders: Sequence[PhotoFolder], problems: list[Problem], *, suffixes: Sequence[str], root: Path
) -> Iterator[_Group]:
    for folder in folders:
        yield _Group(folder.masks, folder.photos, None)
    for directory, near in _mask_folders(folders, root=root).items():
        listing = list_directory(directory, root=root)
        problems += listing.problems
        photos = _without_namesakes(near)
        defects = [d for d in listing.directories if is_split(d) or any(f.defect == class_of(d) for f in near)]
        of_photos = [d for d in named_like(photos, listing.directories, suffixes=suffixes) if d not in defects]
        yield _Group(listing.images + of_photos, photos, None)
        for inner in (d for d in listing.directories if d not in of_photos):
            split = is_split(inner)
            if class_of(inner) == GOOD:
                continue
            images = list_directory(inner, root=root)
            problems += images.problems
            same = [f for f in near if split and inner.name in f.path.relative_to(root).parts]
            photos = [p for f in same or near if split or f.defect in (None, inner.name) for p in f.photos]
            several = named_like(photos, images.directories, suffixes=suffixes)
            yield _Group(images.images + several, photos, None if split else inner.name)


def _mask_folders(folders: Sequence[PhotoFolder], *, root: Path) -> dict[Path, list[PhotoFolder]]:
    """Return the directories of masks, each with the folders of photos that they may belong to.

    One lies in a directory of photos or above it, up to the root, and is about all photos there; or beside one.
    """
    found: dict[Path, list[PhotoFolder]] = {}
    above = sorted({place for folder in folders for place in up_to_root(folder.path, root)})
    read = {folder.path for folder in folders}
    for place in above:
        beside = masks_of_others(list_directory(place, root=root).directories, root=root)
        for directory, other in ((subdirectory(place, *MASK_FOLDERS), None), *beside.items()):
            if directory not in read and directory.is_dir():
                found[directory] = [f for f in folders if f.path.is_relative_to(other or place)]
    return found


def _without_namesakes(folders: Sequence[PhotoFolder]) -> list[Path]:
    """Return all photos but the normal ones that are called like one of a defect: a mask is that one's."""
    others = [photo for folder in folders if folder.defect != GOOD for photo in folder.photos]
    stems = {stem_of(photo) for photo in others}
    return others + [p for f in folders if f.defect == GOOD for p in f.photos if stem_of(p) not in stems]


def _shared(pairs: Mapping[Path, Path]) -> list[Problem]:
    """Return an error for each mask that several photos of one name would have."""
    fix = "Put it into a folder with the name of that defect."
    return [
        error(mask, f"fits {count} photos of that name in folders of several defects.", fix=fix)
        for mask, count in Counter(pairs.values()).items()
        if count > 1
    ]


def _second(photo: Path, first: MaskFile, second: MaskFile) -> Problem:
    if first.defect and second.defect and first.defect != second.defect:
        what = f"has masks of two defects, {first.defect} and {second.defect}."
        return error(photo, what, fix="Keep one, or draw both in one label file.")
    return error(photo, f"has two masks, {first.path} and {second.path}.", fix="Keep one.")


def _look(mask: Path, *, threshold: int | None, inverted: bool) -> _Look:
    """Return what a mask marks; one that cannot be read may mark anything."""
    try:
        values = MaskValues.read(mask)
    except UnusableFileError:
        return _Look()
    marked = (values.shades >= (threshold or 1)) != inverted
    return _Look(bool(marked.any()), bool(marked.all()), "" if inverted else values.only_value())


def _marks_normal(mask: Path, photo: Path) -> Problem:
    fix = f"Move the photo out of {photo.parent}, or remove the mask."
    return error(mask, f"marks a defect of {photo}, which lies among the normal photos.", fix=fix)


def _flat(mask: Path) -> Problem:
    what = "marks all of a photo that lies among the normal ones."
    return warning(mask, what, fix="It is ignored. Check that masks are not inverted: 0 is normal, 255 is anomalous.")
