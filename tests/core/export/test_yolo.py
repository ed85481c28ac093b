"""Pulling a dataset for Ultralytics YOLO, read by the format's published rules."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from anogen_core.export import YoloExporterSettings, pull
from anogen_core.export.yolo import YoloExporter
from anogen_core.storage import Dataset


def rows(folder: Path, image: Path) -> list[list[float]]:
    """Return the label lines of an image, found as Ultralytics does: `images` becomes `labels`, the ending `txt`."""
    label = folder / "labels" / image.relative_to(folder / "images").with_suffix(".txt")
    return [[float(value) for value in line.split()] for line in label.read_text().splitlines()]


def fill(lines: list[list[float]], height: int, width: int) -> np.ndarray[Any, Any]:
    """Return the mask that Ultralytics draws of outlines: corners in pixels, rounded down, filled."""
    mask = np.zeros((height, width), np.uint8)
    for line in lines:
        assert len(line) > 6, "Ultralytics takes a shorter line for a box"
        assert all(0 <= value <= 1 for value in line[1:])
        points = (np.array(line[1:]).reshape(-1, 2) * [width, height]).astype(np.int32)
        cv2.fillPoly(mask, [points], 255)
    return mask


def test_images_and_masks_come_back(uri: str, tmp_path: Path) -> None:
    """data.yaml names folders and classes; filling the outlines gives the stored masks."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=YoloExporterSettings())
    data = yaml.safe_load((folder / "data.yaml").read_text())

    assert data["names"] == {0: "crack", 1: "hole"}
    assert data["train"] == data["val"] == "images/train"
    for sample in Dataset(uri):
        image = folder / data["train"] / f"{sample.row.request_id}.png"
        np.testing.assert_array_equal(Image.open(image), sample.image)
        np.testing.assert_array_equal(fill(rows(folder, image), 16, 24), sample.mask)
        assert {data["names"][line[0]] for line in rows(folder, image)} <= {sample.row.defect}


def test_boxes_instead_of_outlines(uri: str, tmp_path: Path) -> None:
    """A line is the class and the box around the mask: centre and size in fractions of the image."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=YoloExporterSettings(labels="boxes"))

    image = folder / "images/train/crack-000001.png"
    assert rows(folder, image) == [[1, *np.round([2.5 / 24, 4 / 16, 3 / 24, 4 / 16], 6)]]
    assert rows(folder, folder / "images/train/crack-000000.png") == []


def test_normal_photos_have_empty_labels(uri: str, tmp_path: Path) -> None:
    """Each photo that still agrees is an image without defects, in the split of the images made on it."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=YoloExporterSettings(validation_fraction=0.5))

    photos = sorted((folder / "images").glob("*/good/*.png"))
    assert sorted(p.name for p in photos) == ["000.png", "001.png", "006.png", "008.png"]
    assert all(rows(folder, photo) == [] for photo in photos)
    for line in (folder / "samples.csv").read_text().splitlines()[1:]:
        for photo in photos:
            if f"good/{photo.stem}," in line:
                assert line.startswith(f"images/{photo.parts[-3]}/")


def test_validation_images_are_apart(uri: str, tmp_path: Path) -> None:
    """With a validation fraction, data.yaml names two folders, and no image is in both."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=YoloExporterSettings(validation_fraction=0.5))
    data = yaml.safe_load((folder / "data.yaml").read_text())

    train, val = ({p.name for p in (folder / data[split]).glob("*.png")} for split in ("train", "val"))
    assert train
    assert val
    assert len(train | val) == len(train) + len(val) == 6


@pytest.mark.parametrize("seed", range(5))
def test_outlines_keep_ragged_masks(seed: int) -> None:
    """Parts of any shape, down to one pixel and a line of two, come back; only holes are filled."""
    rng = np.random.default_rng(seed)
    blob = cv2.GaussianBlur(rng.random((61, 47)), (0, 0), 2.5)
    mask = np.where(blob > np.quantile(blob, 0.85), 255, 0).astype(np.uint8)
    mask[:6, :12] = 0
    mask[1, 1] = mask[3, 4:6] = mask[1:3, 9] = 255
    outer, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    without_holes = cv2.drawContours(np.zeros_like(mask), outer, -1, 255, cv2.FILLED)

    label = YoloExporter(YoloExporterSettings())._label(0, mask, [mask > 0]).decode()

    lines = [[float(value) for value in line.split()] for line in label.splitlines()]
    np.testing.assert_array_equal(fill(lines, 61, 47), without_holes)
