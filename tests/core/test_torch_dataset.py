"""The datasets in Python: for PyTorch's loaders with several workers, and as labelled arrays of xarray."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from torch.utils.data import DataLoader

from anogen_core.errors import InputError
from anogen_core.export.selection import SelectionSettings
from anogen_core.storage import Dataset
from anogen_core.torch_dataset import GeneratedImages

GOLDEN = str(Path(__file__).parents[1] / "golden" / "anods-1.zarr")


def test_workers_return_every_image_with_its_labels() -> None:
    """Two worker processes give what the dataset holds, as floats from 0 to 1."""
    dataset = Dataset(GOLDEN)

    items = [item for batch in DataLoader(GeneratedImages(GOLDEN), num_workers=2) for item in [batch]]

    assert len(items) == len(dataset)
    for item, sample in zip(items, dataset, strict=True):
        image = (item["image"][0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        np.testing.assert_array_equal(image, sample.image)
        np.testing.assert_array_equal(item["mask"][0, 0].numpy() > 0, sample.mask > 0)
        assert item["box_mask"].shape == item["confidence"].shape == torch.Size([1, 1, 16, 24])
        assert item["request_id"] == [sample.row.request_id]
        assert dataset.spec.defects[int(item["label"])] == sample.row.defect


def test_a_selection_is_honoured() -> None:
    """Other defects are not there, unknown ones are refused, and images without a quality pass no threshold."""
    images = GeneratedImages(GOLDEN, SelectionSettings(defects=("crack",)))

    assert 0 < len(images) < len(GeneratedImages(GOLDEN))
    assert {images.defects[images[i]["label"]] for i in range(len(images))} == {"crack"}
    assert len(GeneratedImages(GOLDEN, SelectionSettings(min_quality=0.1))) == 0
    with pytest.raises(InputError, match="no such defect"):
        GeneratedImages(GOLDEN, SelectionSettings(defects=("rust",)))
    with pytest.raises(IndexError):
        images[len(images)]


def test_xarray_opens_a_dataset_with_named_dimensions() -> None:
    """The documented line works, and pixels are those of our reader."""
    opened = xarray.open_zarr(GOLDEN)

    assert opened["image"].dims == ("sample", "y", "x", "channel")
    np.testing.assert_array_equal(opened["image"][1].values, Dataset(GOLDEN).image(1))
    assert opened["mask"].isel(sample=0).shape == (16, 24)
