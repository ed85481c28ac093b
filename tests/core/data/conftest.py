"""A small healthy dataset, to be broken by the tests."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest


def _write_photos(folder: Path, names: list[str], *, seed: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for name in names:
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (32, 48, 3), dtype=np.uint8))


def _write_masks(folder: Path, names: list[str], *, number: int | None = None) -> None:
    """Write masks of 80 pixels of 255; with a number, of that, and those after the first elsewhere, of 40 pixels."""
    folder.mkdir(parents=True)
    mask = np.zeros((32, 48), np.uint8)
    mask[8:16, 10:20] = number or 255
    for name in names:
        cv2.imwrite(str(folder / name), mask)
        if number is not None:
            mask = np.zeros((32, 48), np.uint8)
            mask[20:24, 10:20] = number + 1


@pytest.fixture
def mvtec_root(tmp_path: Path) -> Path:
    """One category `bottle`: 3 train photos, 2 good and 4 cracked test photos of 32x48 pixels."""
    root = tmp_path / "mvtec"
    bottle = root / "bottle"
    _write_photos(bottle / "train" / "good", ["000.png", "001.png", "002.png"], seed=1)
    _write_photos(bottle / "test" / "good", ["000.png", "001.png"], seed=2)
    _write_photos(bottle / "test" / "crack", ["000.png", "001.png", "002.png", "003.png"], seed=3)
    _write_masks(bottle / "ground_truth" / "crack", ["000_mask.png", "001_mask.png", "002_mask.png", "003_mask.png"])
    return root


@pytest.fixture
def ad2_root(tmp_path: Path) -> Path:
    """One category `can` of MVTec AD 2: 3 train, 2 validation, 2 good and 4 bad public, 3 private photos."""
    root = tmp_path / "ad2"
    can = root / "can"
    bad = ["000_overexposed", "000_regular", "001_regular", "002_regular"]
    _write_photos(can / "train" / "good", [f"00{i}_regular.png" for i in range(3)], seed=8)
    _write_photos(can / "validation" / "good", [f"00{i}_regular.png" for i in range(2)], seed=9)
    _write_photos(can / "test_public" / "good", [f"00{i}_regular.png" for i in range(2)], seed=10)
    _write_photos(can / "test_public" / "bad", [f"{name}.png" for name in bad], seed=11)
    _write_masks(can / "test_public" / "ground_truth" / "bad", [f"{name}_mask.png" for name in bad])
    _write_photos(can / "test_private", ["000_regular.png", "001_regular.png"], seed=12)
    _write_photos(can / "test_private_mixed", ["000_mixed.png"], seed=13)
    return root


@pytest.fixture
def loco_root(tmp_path: Path) -> Path:
    """One category `bag` of MVTec LOCO AD: 3 train, 1 validation, 2 good and 3 test photos of each kind of anomaly.

    Every anomalous photo has a directory with a mask of 80 pixels, whose value is its number; 000 has another of 40.
    """
    root = tmp_path / "loco"
    bag = root / "bag"
    _write_photos(bag / "train" / "good", ["000.png", "001.png", "002.png"], seed=14)
    _write_photos(bag / "validation" / "good", ["000.png"], seed=15)
    _write_photos(bag / "test" / "good", ["000.png", "001.png"], seed=16)
    for seed, kind in ((17, "logical_anomalies"), (18, "structural_anomalies")):
        _write_photos(bag / "test" / kind, ["000.png", "001.png", "002.png"], seed=seed)
        for number in range(3):
            truth = bag / "ground_truth" / kind / f"00{number}"
            _write_masks(truth, ["000.png", "001.png"][: 2 if number == 0 else 1], number=3 * seed + number)
    return root


@pytest.fixture
def folder_root(tmp_path: Path) -> Path:
    """A plain folder `caps`: 10 good and 4 dented photos with masks."""
    root = tmp_path / "caps"
    _write_photos(root / "images" / "good", [f"g{i}.png" for i in range(10)], seed=4)
    _write_photos(root / "images" / "dent", [f"d{i}.png" for i in range(4)], seed=5)
    _write_masks(root / "masks" / "dent", [f"d{i}.png" for i in range(4)])
    return root


@pytest.fixture
def root(folder_root: Path) -> Path:
    """The plain folder `caps` of 32x48 pixels without its masks."""
    shutil.rmtree(folder_root / "masks")
    return folder_root


@pytest.fixture
def visa_root(tmp_path: Path) -> Path:
    """One category `candle` of VisA: 6 normal photos, of which its table tests 2, and 4 defective ones."""
    root = tmp_path / "visa"
    data = root / "candle" / "Data"
    _write_photos(data / "Images" / "Normal", [f"{i:04d}.JPG" for i in range(6)], seed=6)
    _write_photos(data / "Images" / "Anomaly", [f"{i:03d}.JPG" for i in range(4)], seed=7)
    (data / "Masks" / "Anomaly").mkdir(parents=True)
    for number in range(4):
        mask = np.zeros((32, 48), np.uint8)
        mask[8:16, 10:20] = 1 + number
        mask[20:24, 10:20] = number
        cv2.imwrite(str(data / "Masks" / "Anomaly" / f"{number:03d}.png"), mask)
    normal = [f"candle/Data/Images/Normal/{i:04d}.JPG" for i in range(6)]
    bad = [f"candle/Data/Images/Anomaly/{i:03d}.JPG,{{}},candle/Data/Masks/Anomaly/{i:03d}.png" for i in range(4)]
    labels = ["chunk of wax missing", '"weird candle wick, chunk of wax missing"', "other", "chunk of wax missing"]
    annotations = [f"{path},normal," for path in normal]
    annotations += [row.format(label) for row, label in zip(bad, labels, strict=True)]
    (root / "candle" / "image_anno.csv").write_text("\r\n".join(["image,label,mask", *annotations]) + "\r\n")
    splits = [f"candle,{'test' if i < 2 else 'train'},normal,{path}," for i, path in enumerate(normal)]
    splits += [f"candle,test,anomaly,{row.replace('{},', '')}" for row in bad]
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\r\n".join(["object,split,label,image,mask", *splits]) + "\r\n")
    return root


@pytest.fixture
def dagm_root(tmp_path: Path) -> Path:
    """One class `Class1` of DAGM 2007: 3 normal and 2 defective photos in `Train`, 2 and 2 in `Test`."""
    root = tmp_path / "dagm"
    for split, start, normal in (("Train", 576, 3), ("Test", 1, 2)):
        names = [f"{start + i:04d}" for i in range(normal + 2)]
        _write_photos(root / "Class1" / split, [f"{name}.PNG" for name in names], seed=start)
        _write_masks(root / "Class1" / split / "Label", [f"{name}_label.PNG" for name in names[normal:]])
        (root / "Class1" / split / "Label" / "Labels.txt").write_text("1\n")
    return root
