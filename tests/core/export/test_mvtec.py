"""Pulling a dataset as image files in the layout of MVTec AD."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from anogen_core.data import MvtecReaderSettings
from anogen_core.errors import InputError
from anogen_core.export import MvtecExporterSettings, parse_exporter, pull
from anogen_core.storage import Dataset


def test_every_image_is_there_without_loss(uri: str, tmp_path: Path) -> None:
    """Each made image and its mask decode to the stored pixels, under names that follow from the request."""
    folder = pull(Dataset(uri), tmp_path / "out")

    for sample in Dataset(uri):
        name = f"{sample.row.defect}/{sample.row.request_id}"
        image = cv2.imread(str(folder / "test" / f"{name}.png"))
        assert image is not None
        np.testing.assert_array_equal(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), sample.image)
        np.testing.assert_array_equal(Image.open(folder / "ground_truth" / f"{name}_mask.png"), sample.mask)
    assert len(list((folder / "test").rglob("*.png"))) == len(list((folder / "ground_truth").rglob("*.png"))) == 6


def test_our_own_reader_of_the_layout_accepts_it(uri: str, tmp_path: Path) -> None:
    """What was pulled is a dataset in the layout that the MVTec reader expects."""
    pull(Dataset(uri), tmp_path / "out")

    samples = MvtecReaderSettings(root=str(tmp_path / "out")).build().read()

    assert sorted({(s.split, s.defect) for s in samples}) == [("test", "crack"), ("test", "hole"), ("train", "good")]
    assert all(s.mask_uri is not None for s in samples if s.split == "test")


def test_sorted_masks_belong_to_sorted_images(uri: str, tmp_path: Path) -> None:
    """Loaders that pair by sorted paths (anomalib's Folder) find for each image a mask whose name holds its own."""
    folder = pull(Dataset(uri), tmp_path / "out")

    images, masks = (sorted(folder.glob(pattern)) for pattern in ("test/*/*.png", "ground_truth/*/*.png"))
    assert all(image.stem in mask.stem for image, mask in zip(images, masks, strict=True))


def test_normal_photos_come_along_when_they_still_agree(uri: str, tmp_path: Path) -> None:
    """Each photo that still gives the background is in train/good once; a changed one is left out, and that is said."""
    folder = pull(Dataset(uri), tmp_path / "out")

    assert sorted(p.name for p in (folder / "train" / "good").iterdir()) == ["000.png", "001.png", "006.png", "008.png"]
    assert "1 real photos" in (folder / "README.md").read_text()
    np.testing.assert_array_equal(Image.open(folder / "train/good/001.png"), Image.open(tmp_path / "001.png"))


def test_normal_photos_of_a_12_bit_camera_agree_too(twelve_bit: Dataset, tmp_path: Path) -> None:
    """They are framed with the white level of the run that made the dataset."""
    folder = pull(twelve_bit, tmp_path / "out")

    used = {row.normal_id.rsplit("/", 1)[-1] for row in twelve_bit.made()}
    assert {path.stem for path in (folder / "train/good").iterdir()} == used


def test_normal_photos_can_be_left_out(uri: str, tmp_path: Path) -> None:
    """Without them there is no train folder and no word about it."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=MvtecExporterSettings(normals=False))

    assert not (folder / "train").exists()
    assert "train/good" not in (folder / "README.md").read_text()


def test_wrong_settings_are_refused() -> None:
    """The message lists the layouts that exist, and names a setting that this layout does not have."""
    with pytest.raises(InputError, match="Expected one of: mvtec, coco"):
        parse_exporter({"kind": "mvtek"})
    with pytest.raises(InputError, match="validation_fraction: this layout has no such setting"):
        parse_exporter({"kind": "mvtec", "validation_fraction": 0.2})
    with pytest.raises(InputError, match=r"validation_fraction: .*less than 1 \(found 2\)"):
        parse_exporter({"kind": "coco", "validation_fraction": 2})
