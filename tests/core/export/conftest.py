"""A sealed dataset whose normal photos exist, shared by the tests of all layouts."""

import hashlib
import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from anogen_core.config import RunConfig
from anogen_core.storage import Dataset, DatasetWriter
from tests.datasets import encode_pixels, make_dataset

Making: Any = runpy.run_path(str(Path(__file__).parents[1] / "storage" / "conftest.py"))["Making"]


@pytest.fixture
def making() -> Any:
    return Making


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """Return a sealed dataset of 6 images: 8 and 9 share one normal photo, that of image 2 was changed since.

    The mask of image 0 is empty; all others were refined: the box mask has 12 pixels, the mask 11.
    """
    spec = Making.spec()
    writer = DatasetWriter(f"{tmp_path}/store/bottle.zarr", spec)
    writer.create()
    for shard in range(3):
        rows, images, masks = Making.shard(spec, shard, uri=str(tmp_path))
        made = [place for place, row in enumerate(rows) if row.outcome.value == "made"]
        for image, mask, place in zip(images, masks, made, strict=True):
            number = int(rows[place].request_id[-6:])
            if number == 9:
                image[mask == 0] = Making.shard(spec, 2).images[0][mask == 0]
                photo = tmp_path / "008.png"
            else:
                photo = _photo(tmp_path, number, image, mask)
            rows[place] = rows[place].model_copy(
                update={
                    "normal_id": f"bottle/train/good/{photo.stem}",
                    "normal_uri": str(photo),
                    "normal_sha256": hashlib.sha256(photo.read_bytes()).hexdigest(),
                }
            )
        refined = masks.copy()
        refined[:, 2, 1] = 0
        writer.write_shard(shard, rows, encode_pixels(images, box_masks=masks, masks=refined), seconds=1.0)
    Image.new("RGB", (24, 16)).save(tmp_path / "002.png")
    return writer.seal().uri


@pytest.fixture
def twelve_bit(small_run: dict[str, Any], photos: Path, tmp_path: Path) -> Dataset:
    """Return a dataset that a run made on grey 16 bit photos with values up to 4095, in tmp_path/photos."""
    for file in sorted((photos / "bolt").rglob("*.png")):
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        target = tmp_path / "photos/bolt" / file.relative_to(photos / "bolt")
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), grey if "ground_truth" in target.parts else grey.astype(np.uint16) * 16 + 7)
    own = {
        "output": str(tmp_path / "run"),
        "frame": {"white_level": 4095},
        "reader": {"kind": "mvtec", "root": str(tmp_path / "photos")},
    }
    return Dataset(make_dataset(RunConfig.model_validate({**small_run, **own}), "bolt").uri)


def _photo(folder: Path, number: int, image: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> Path:
    """Write the normal photo of an image: equal outside the mask, grey inside."""
    normal = np.where(mask[..., None] > 0, np.uint8(128), image)
    Image.fromarray(normal).save(folder / f"{number:03d}.png")
    return folder / f"{number:03d}.png"
