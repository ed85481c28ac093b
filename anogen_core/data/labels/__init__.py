"""Labels of a plain folder that are no mask images: a table of boxes, and the files of labelling tools.

    <root>/boxes.csv                  image,defect,x,y,width,height
    <root>/images/<defect>/b.json     LabelMe, beside its photo
    <root>/images/<defect>/b.txt      YOLO, beside its photo, or
    <root>/labels/<defect>/b.txt      in folders like those of the photos (train/labels beside train/images)
    <root>/annotations/*.json         COCO, Label Studio or VIA, or in the root or any folder of photos
    <root>/annotations.xml            CVAT, or in `annotations` or any folder of photos
    <root>/annotations/b.xml          Pascal VOC, or beside its photo
    <root>/<dataset>/ann/b.jpg.json   Supervisely, beside `img`, or in the root
    <root>/<defect>/labels/b.txt      any of them, in a folder of photos or above it: about the photos there
    <root>/json/b.json                any but YOLO, in a folder of label files, where there are no masks or other labels
    <root>/train.csv                  ImageId,ClassId,EncodedPixels, as the Severstal steel data set has them

Every photo has its labels in one of these files. A photo whose label names several defects is `combined`.
"""

from collections.abc import Mapping
from pathlib import Path

from anogen_core.data.inventory import photo_root
from anogen_core.data.labels.files import LabelFiles
from anogen_core.data.labels.label import TOOLS, Label, Labels, PhotoNames
from anogen_core.data.labels.table import BOXES, read_boxes

__all__ = ["TOOLS", "Label", "Labels", "read_labels"]


def read_labels(root: Path, photos: Mapping[Path, str | None], *, with_masks: bool) -> Labels:
    """Return the labels of photos in `photo_root`, or in `<root>/train/images` and other splits.

    Args:
        root: Directory of the dataset.
        photos: Each photo with the defect that its folder says; None directly in `images` and in a split.
        with_masks: Whether there are masks of photos. Folders of other names are not searched for label files then.
    """
    labels = Labels()
    images = photo_root(root)
    names = PhotoNames(photos, directory=images if all(p.is_relative_to(images) for p in photos) else root)
    read_boxes(root / BOXES, names, labels)
    LabelFiles(root, photos, names, labels).read(anywhere=not with_masks)
    return labels
