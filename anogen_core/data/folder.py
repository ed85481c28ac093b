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
exports them: splits are put together, and in them folders may be of defects, too. Folders of the root whose photos have
their masks beside them, in all of them and without a `good`, are of one part each, as KolektorSDD has them: a leakage
group.
Defective photos are test photos, as in MVTec AD. Of the normal photos every fifth, in the order of their content
hashes, is a test photo; identical photos and photos of one leakage group stay together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, final

from pydantic import Field, field_validator

from anogen_core.data.groups import GroupSettings, group_photos
from anogen_core.data.inventory import Photo, existing_root, hash_files, make_samples, names_any_defect
from anogen_core.data.joining import join_masks
from anogen_core.data.labels import TOOLS, Label, read_labels
from anogen_core.data.mask_files import MaskFile, find_masks, number_masks, settle_masks
from anogen_core.data.pairing import MaskFileSettings
from anogen_core.data.photo_folders import PhotoFolder, list_photos
from anogen_core.data.problems import Problem, error, warning
from anogen_core.data.reader import Reader, Scan, Unlabelled
from anogen_core.data.splitting import split_photos
from anogen_core.records import COMBINED, GOOD

_LACKS = f"no usable mask, no box in boxes.csv and no label of {TOOLS}"
_ADD = (
    "Add a mask with the same name to masks/<defect> (a suffix like _mask is allowed), a label file, or a row to "
    "boxes.csv, or remove the photo."
)
_KEEP_ONE = (
    "Keep one, or put labels of several defects into one file, of which one is called like the folder; or move all "
    "photos into `images` itself, where no folder says a defect."
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
        folders, problems = list_photos(root, self._settings.mask_suffixes)
        masks, faults = find_masks(folders, self._settings, root=root)
        paired = set(masks)
        problems += faults
        said = {photo: folder.defect for folder in folders for photo in folder.photos}
        labels = read_labels(root, said, with_masks=bool(masks))
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
            said = _names({name for name in (named, *drawn) if name}, folder.defect)
            several = len(drawn) > 1 == len(own) and mask is None and said - {COMBINED} <= drawn
            said = {COMBINED} if several else said
            if len(said) > 1:
                files = ", ".join(label.file.name for label in own) or "mask"
                what = f"is labelled {' and '.join(sorted(said))} by its folder and labels ({files})."
                problems.append(error(path, what, fix=_KEEP_ONE))
            elif len(own) > 1 and mask is None:
                what = f"has labels in {' and '.join(label.file.name for label in own)}."
                problems.append(error(path, what, fix="Keep them in one file."))
            unnamed = GOOD if mask is None else self._settings.defect
            defect = folder.defect if folder.defect in said else min(said, default=unnamed)
            parts = own[0].parts if several else ()
            boxes, outline = (own[0].boxes, own[0].outline) if own and mask is None else ((), None)
            photo = Photo(path, category, defect, mask=mask, boxes=boxes, outline=outline, parts=parts)
            photos.append(replace(photo, group=folder.part))
        return photos, problems


def _names(told: set[str], folder: str | None) -> set[str]:
    """Return the defects that a photo is said to show, one if its labels and its folder agree.

    Names of kinds go before those that say only that there is a defect, and of these the label's before the folder's.
    """
    names = told | ({folder} if folder else set())
    if not told or folder in (None, GOOD, COMBINED):
        return names
    return {name for name in names if not names_any_defect(name)} or told


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
