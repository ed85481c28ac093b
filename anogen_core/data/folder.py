"""A plain folder of your own.

    <root>/images/good/a.png          normal photos
    <root>/images/<defect>/b.jpg      defective photos
    <root>/masks/<defect>/b.png       their masks (or as `anogen_core.data.mask_files` says), or
    <root>/boxes.csv                  their boxes: image,defect,x,y,width,height, one row per box, or
                                      label files of tools (see `anogen_core.data.labels`)

A photo whose label names several defects is `combined`, as MVTec AD has it.
`good` may be called `ok`, `normal`, `no_defect` or `defect_free`, in any case.
`images` may be called `JPEGImages`, as Pascal VOC has it, `image`, `img` or `train_images`, or left out: then
`good` and the others lie in the root. Photos may also lie in it itself: then a mask or another
label says the defect, and those without any are normal.
So they may in folders of a split, `images/train` as Ultralytics has it, or `train/images` or `train` as Roboflow
exports them: splits are put together. Folders of the root whose photos have their masks beside them, in all of them
and without a `good`, are of one part each, as KolektorSDD has them: a leakage group.
Defective photos are test photos, as in MVTec AD. Of the normal photos every fifth, in the order of their content
hashes, is a test photo; identical photos and photos of one leakage group stay together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, final

from pydantic import Field, field_validator

from anogen_core.data.groups import GroupSettings, group_photos
from anogen_core.data.inventory import (
    Photo,
    class_of,
    existing_root,
    hash_files,
    list_directory,
    make_samples,
    photo_directory,
    photo_root,
    stem_of,
)
from anogen_core.data.joining import join_masks
from anogen_core.data.labels import TOOLS, Label, read_labels
from anogen_core.data.mask_files import (
    MaskFile,
    PhotoFolder,
    find_masks,
    holds_labels,
    is_split,
    number_masks,
    settle_masks,
)
from anogen_core.data.pairing import MaskFileSettings, set_masks_aside
from anogen_core.data.problems import Problem, error, warning
from anogen_core.data.reader import Reader, Scan, Unlabelled
from anogen_core.data.splitting import split_photos
from anogen_core.errors import InputError
from anogen_core.records import COMBINED, GOOD

_LACKS = f"no usable mask, no box in boxes.csv and no label of {TOOLS}"
_ADD = (
    "Add a mask with the same name to masks/<defect> (a suffix like _mask is allowed), a label file, or a row to "
    "boxes.csv, or remove the photo."
)
_KEEP_ONE = (
    "Keep one, or put labels of several defects into one file, of which one is called like the folder. A photo in "
    "`images` itself has no folder that says a defect."
)


class FolderReaderSettings(MaskFileSettings):
    """A plain folder with `images` and `masks`, `boxes.csv` or the files of labelling tools."""

    kind: Literal["folder"] = "folder"
    root: str
    """Directory that holds `images`, or splits: `train/images`, or photos and labels in `train`, and others."""
    category: Annotated[str, Field(pattern=r"^[^/\n]+$")] | None = None
    """Name of what the photos show; the directory's name when left out."""
    defect: Annotated[str, Field(pattern=r"^[^/\n]+$")] = "defect"
    """What a defect is called of which neither a folder nor a label says the name: masks alone do not."""
    mask_classes: Mapping[
        Annotated[int, Field(ge=1, le=65535)] | Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")],
        Annotated[str, Field(pattern=r"^[^/\n]+$")],
    ] = Field(default_factory=dict)
    """Which defects the values of masks number, as {1: crack, 2: hole}, or their colours name, as {"#ff0000": crack};
    then one mask may show several. When left out, `_classes.csv` beside the masks is used, as Roboflow exports it, or
    `labelmap.txt`, as CVAT does."""
    groups: GroupSettings | None = None
    """Table of leakage groups. When left out, `index.csv` in the root is used if it has such a column."""

    @field_validator("mask_classes")
    @classmethod
    def _are_of_one_kind(cls, names: Mapping[int | str, str]) -> Mapping[int | str, str]:
        if len({type(key) for key in names}) > 1:
            raise ValueError("name either values, as 1, or colours, as '#ff0000'")
        return names

    def build(self) -> "FolderReader":
        """Return a reader of this folder."""
        return FolderReader(self)


@final
class FolderReader(Reader):
    """Reads a plain folder."""

    def __init__(self, settings: FolderReaderSettings) -> None:
        self._settings = settings

    def scan(self) -> Scan:
        """Return all samples and everything that is wrong with how the folder lies on disk.

        Raises:
            InputError: the root is missing or holds no photo in `images`.
        """
        root = existing_root(self._settings.root)
        folders, problems = _list_photos(root, self._settings.mask_suffixes)
        problems += _same_names(folders) + _pairs(folders)
        masks, faults = find_masks(folders, self._settings, root=root)
        paired = set(masks)
        problems += faults
        labels = read_labels(root, {photo: folder.defect for folder in folders for photo in folder.photos})
        problems += labels.problems + number_masks(masks, labels, self._settings.mask_classes, root=root)
        threshold, inverted = self._settings.mask_threshold, self._settings.mask_inverted
        problems += settle_masks(masks, folders, threshold=threshold, inverted=inverted)
        photos: list[Photo] = []
        category = self._settings.category or root.name
        for folder in folders:
            found, faults = self._label(folder, masks=masks, labels=labels.found, category=category)
            photos += found
            problems += faults
        problems += _named_parts(root, photos) + _without_mask(photos, folders, paired)
        photos, faults, doubtful = join_masks(photos, root=root, inverted=inverted)
        problems += faults
        photos, faults = group_photos(photos, self._settings.groups, directory=root)
        problems += faults
        digests, faults = hash_files(photo.path for photo in photos)
        splits = split_photos(photos, digests)
        samples = make_samples(photos, digests, splits, mask_threshold=threshold, mask_inverted=inverted)
        unlabelled = Unlabelled(_LACKS, _ADD, doubtful | labels.doubtful)
        return Scan(samples, problems + faults, unlabelled, chose_splits=True)

    def _label(
        self, folder: PhotoFolder, *, masks: Mapping[Path, MaskFile], labels: Mapping[Path, list[Label]], category: str
    ) -> tuple[list[Photo], list[Problem]]:
        """Return the photos of one directory with their defects, and an error where two labels disagree."""
        photos, problems = [], []
        for path in folder.photos:
            mask, named = masks.get(path, (None, None))
            own = labels.get(path, [])
            drawn = {part.defect for label in own for part in label.parts}
            several = len(drawn) > 1 == len(own) and mask is None and folder.defect in (None, COMBINED, *drawn)
            said = {COMBINED} if several else {name for name in (folder.defect, named, *drawn) if name}
            if len(said) > 1:
                files = ", ".join(label.file.name for label in own) or "mask"
                what = f"is labelled {' and '.join(sorted(said))} by its folder and labels ({files})."
                problems.append(error(path, what, fix=_KEEP_ONE))
            elif len(own) > 1 and mask is None:
                what = f"has labels in {' and '.join(label.file.name for label in own)}."
                problems.append(error(path, what, fix="Keep them in one file."))
            unnamed = GOOD if mask is None else self._settings.defect
            defect = COMBINED if several else folder.defect or named or min(said, default=unnamed)
            parts = own[0].parts if several else ()
            boxes, outline = (own[0].boxes, own[0].outline) if own and mask is None else ((), None)
            photo = Photo(path, category, defect, mask=mask, boxes=boxes, outline=outline, parts=parts)
            photos.append(replace(photo, group=folder.part))
        return photos, problems


def split_images(root: Path) -> list[Path]:
    """Return where the photos of splits are, as Roboflow and Supervisely export them; nowhere beside `images`.

    That is `train/images` (YOLO), or `train` itself where photos and no folders lie in it (COCO); `<any>/img` beside
    `<any>/ann` (Supervisely).
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
        elif inside.images and not inside.directories:
            found.append(split)
    return found


def _part_folders(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the folders of photos of one part each; none unless masks lie beside the photos of all of them."""
    listings = {d: list_directory(d, root=root) for d in list_directory(root, root=root).directories}
    found = {d: set_masks_aside(listing.images, suffixes) for d, listing in listings.items() if listing.images}
    return list(found) if all(masks for _, masks in found.values()) else []


def _named_parts(root: Path, photos: Sequence[Photo]) -> list[Problem]:
    """Return a warning where folders that were taken for parts may be of defects: no part is good and defective."""
    kinds: dict[str, set[bool]] = {}
    for photo in photos:
        if photo.group is not None:
            kinds.setdefault(photo.group, set()).add(photo.defect == GOOD)
    if not kinds or any(len(own) > 1 for own in kinds.values()):
        return []
    what = f"holds folders ({', '.join(sorted(kinds)[:3])}) that were taken for one part each, not for defects."
    return [warning(root, what, fix=f"If they name defects, call the folder of normal photos {GOOD}.")]


def _without_mask(photos: Sequence[Photo], folders: Sequence[PhotoFolder], paired: set[Path]) -> list[Problem]:
    """Return a warning for each photo that is normal for want of a mask where most normal ones have an empty one."""
    unnamed = {path for folder in folders if folder.defect is None for path in folder.photos}
    normal = [photo.path for photo in photos if photo.defect == GOOD and photo.path in unnamed]
    without = [path for path in normal if path not in paired]
    if len(without) >= len(normal) - len(without):
        return []
    fix = "Add its mask if it is defective; an empty one says that it is not."
    return [warning(path, "is taken for a normal photo, since it has no mask.", fix=fix) for path in without]


def _list_photos(root: Path, suffixes: Sequence[str]) -> tuple[list[PhotoFolder], list[Problem]]:
    images = photo_root(root)
    listing = list_directory(images, root=root)
    folders = [PhotoFolder(images, *set_masks_aside(listing.images, suffixes), None)]
    problems = listing.problems
    own = [directory for directory in listing.directories if images != root or not holds_labels(directory)]
    splits = split_images(root) if images != root else []
    parts = _part_folders(root, suffixes) if images != root and not images.is_dir() and not splits else []
    for directory in (*own, *splits, *parts):
        place = directory if directory in splits or is_split(directory) else _photos_of(directory, root=root)
        inner = list_directory(place, root=root)
        if images == root and not inner.images:
            continue  # anything may lie in a root, such as what a run wrote
        unnamed = is_split(directory) or directory in (*splits, *parts)
        photos, masks = set_masks_aside(inner.images, suffixes)
        part = directory.name if directory in parts else None
        folders.append(PhotoFolder(place, photos, masks, None if unnamed else class_of(directory), part=part))
        problems += inner.problems
        beside = [] if place == directory else list_directory(directory, root=root).directories
        for nested in (*inner.directories, *(d for d in beside if d != place and not holds_labels(d))):
            what = f"is not read: photos are expected in {place}."
            problems.append(warning(nested, what, fix=f"Move its photos to {place}."))
    told = any(problem.severity == "error" for problem in problems)
    if not told and not any(folder.photos for folder in folders):
        raise _no_photo(images, root=root)
    return folders, problems


def _photos_of(directory: Path, *, root: Path) -> Path:
    """Return where the photos of a defect are: in its directory, or in `images` there if none lies in it itself."""
    inside = photo_directory(directory)
    return inside if inside.is_dir() and not list_directory(directory, root=root).images else directory


def _no_photo(images: Path, *, root: Path) -> InputError:
    """Return the error that no photo is where photos are expected, with the first folder that has some."""
    inside = list_directory(root, root=root).directories
    deeper = [inner for directory in inside for inner in list_directory(directory, root=root).directories]
    found = next((d for d in (*inside, *deeper) if list_directory(d, root=root).images), None)
    held = ", ".join(directory.name for directory in inside[:12]) or "no directory"
    held += f", and {found} photos" if found else ""
    return InputError(
        f"reader.root: no photo in {images}. Expected images/{GOOD} and images/<defect>, {GOOD} and <defect>, or "
        f"images/train, train/images or train with labels; {root} holds {held}. Put photos there or name another "
        f"directory. If they are kinds of defects, call that of the normal photos {GOOD}."
    )


def _same_names(folders: list[PhotoFolder]) -> list[Problem]:
    """Return an error for each photo of a split that is called like one of another: labels may lie elsewhere."""
    first: dict[str, Path] = {}
    problems = []
    for photo in (photo for folder in folders if folder.defect is None is folder.part for photo in folder.photos):
        other = first.setdefault(stem_of(photo), photo)
        if other.parent != photo.parent:
            problems.append(error(photo, f"is called like {other}.", fix="Rename one, and its label file."))
    return problems


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
