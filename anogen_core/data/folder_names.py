"""What the names of directories say: a split, masks or label files, or the masks of the directory beside."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from anogen_core.data.files import IMAGE_SUFFIXES, PIXEL_LIMIT, read_header
from anogen_core.data.inventory import LABEL_SUFFIXES, list_directory
from anogen_core.data.mask_values import MaskValues
from anogen_core.data.problems import UnusableFileError

MASK_FOLDERS: Final = ("masks", "mask", "ground_truth", "gt", "segmentationclass", "labels", "label", "annotations")
"""What directories of masks are called, in lower case; label files may lie in the last three."""
_LABEL_FOLDERS: Final = ("segmentationobject", "ann")
"""What VOC calls the directory of masks that number the objects of a photo, and Supervisely that of label files."""
_SPLIT: Final = re.compile(r"(train|training|val|valid|validation|test|testing|default)(_data|\d{4})?|obj_.+_data")
"""Also those of COCO (`train2017`) and CVAT (`default`, for photos of no other one; `obj_train_data`)."""
_MASK: Final = r"(?:mask|gt|ground_?truth|label|seg|segmentation|annotation)s?"
_OF_OTHERS: Final = re.compile(rf"(?P<before>.+)[-_ ]{_MASK}|{_MASK}[-_ ](?P<after>.+)")


def is_split(directory: Path) -> bool:
    """Return whether a directory has the name of a split, which is none of a defect."""
    return _SPLIT.fullmatch(directory.name.lower()) is not None


def holds_labels(directory: Path) -> bool:
    """Return whether a directory has the name of one with masks or label files, not with photos."""
    return directory.name.lower() in (*MASK_FOLDERS, *_LABEL_FOLDERS)


def label_tree(directory: Path, *, root: Path) -> list[Path]:
    """Return a directory and all below it where these hold label files and no images; nothing where they do not."""
    own = list_directory(directory, root=root, suffixes=LABEL_SUFFIXES | IMAGE_SUFFIXES)
    if own.images or not (own.labels or own.directories):
        return []
    found = [directory]
    for inner in own.directories:
        inside = label_tree(inner, root=root)
        if not inside:
            return []
        found += inside
    return found


def masks_of_others(directories: Sequence[Path], *, root: Path) -> dict[Path, Path | None]:
    """Return which of some directories beside each other hold masks, and of which other one: None is any.

    `bad_mask`, `gt-bad` and the like are of `bad`, or of any where that is not there. Their first image has to be a
    mask: `solder_mask` may well name a defect, as may `label_scratch` beside `scratch`.
    """
    named = {directory.name.casefold(): directory for directory in directories}
    found: dict[Path, Path | None] = {}
    for directory in directories:
        match = _OF_OTHERS.fullmatch(directory.name.casefold())
        if match and shows_mask(directory, root=root):
            found[directory] = named.get(match["before"] or match["after"])
    return found


def shows_mask(directory: Path, *, root: Path) -> bool:
    """Return whether the first image of a directory that can be read has few values, or those of soft edges."""
    for image in list_directory(directory, root=root).images:
        try:
            read_header(image, max_pixels=PIXEL_LIMIT)
            values = MaskValues.read(image)
        except UnusableFileError:
            continue
        return values.is_binary or values.number_something or values.has_soft_edges
    return False
