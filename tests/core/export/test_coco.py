"""Pulling a dataset in the format of COCO, opened by pycocotools."""

from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from anogen_core.export import CocoExporterSettings, pull
from anogen_core.storage import Dataset


def test_pycocotools_reads_what_is_stored(uri: str, tmp_path: Path) -> None:
    """Images, masks, boxes, areas and categories are the dataset's; an image without a mask has no instance."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=CocoExporterSettings())
    coco = COCO(str(folder / "annotations/instances_train.json"))

    assert {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())} == {1: "crack", 2: "hole"}
    assert len(coco.getImgIds()) == 6
    for sample in Dataset(uri):
        (image,) = [i for i in coco.dataset["images"] if i["file_name"] == f"{sample.row.request_id}.png"]
        np.testing.assert_array_equal(Image.open(folder / "train" / image["file_name"]), sample.image)
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert len(annotations) == bool(sample.mask.any())
        for annotation in annotations:
            np.testing.assert_array_equal(coco.annToMask(annotation) * np.uint8(255), sample.mask)
            assert annotation["bbox"] == [1, 2, 3, 4]
            assert annotation["area"] == 11
            assert coco.cats[annotation["category_id"]]["name"] == sample.row.defect


def test_validation_images_have_a_file_of_their_own(uri: str, tmp_path: Path) -> None:
    """Both files together hold every image once, with ids that never meet."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=CocoExporterSettings(validation_fraction=0.5))
    train, val = (COCO(str(folder / f"annotations/instances_{split}.json")) for split in ("train", "val"))

    assert len(train.imgs) + len(val.imgs) == 6
    assert train.imgs
    assert val.imgs
    assert not set(train.imgs) & set(val.imgs)
    assert not set(train.anns) & set(val.anns)
    assert {p.name for p in (folder / "val").iterdir()} == {i["file_name"] for i in val.imgs.values()}
