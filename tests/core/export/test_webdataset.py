"""Pulling a dataset as tar shards, read back by the webdataset package."""

import tarfile
from pathlib import Path

import numpy as np
import webdataset

from anogen_core.export import WebDatasetExporterSettings, pull
from anogen_core.storage import Dataset


def test_the_webdataset_package_reads_it_back(uri: str, tmp_path: Path) -> None:
    """Image, mask and metadata of every sample, in the order of the plan."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=WebDatasetExporterSettings(images_per_shard=4))
    shards = sorted(str(p) for p in folder.glob("*.tar"))

    found = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))

    assert [Path(shard).name for shard in shards] == ["bottle-train-000000.tar", "bottle-train-000001.tar"]
    assert len(found) == 6
    for read, stored in zip(found, Dataset(uri), strict=True):
        assert read["__key__"] == stored.row.request_id
        np.testing.assert_array_equal(read["png"], stored.image)
        np.testing.assert_array_equal(read["mask.png"][..., 0], stored.mask)
        assert read["json"] == {**stored.row.model_dump(mode="json"), "label": int(stored.row.defect == "hole")}


def test_shards_carry_no_time_and_no_owner(uri: str, tmp_path: Path) -> None:
    """Archives depend on their contents alone."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=WebDatasetExporterSettings())

    (shard,) = folder.glob("*.tar")
    with tarfile.open(shard) as archive:
        entries = archive.getmembers()
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname, e.mode) for e in entries} == {(0, 0, 0, "", "", 0o644)}
    assert [e.name for e in entries[:3]] == ["crack-000000.png", "crack-000000.mask.png", "crack-000000.json"]


def test_splits_have_shards_of_their_own(uri: str, tmp_path: Path) -> None:
    """No shard holds more than the stated number of images, and the table says where each one is."""
    settings = WebDatasetExporterSettings(images_per_shard=2, validation_fraction=0.5)
    folder = pull(Dataset(uri), tmp_path / "out", settings=settings)

    keys = {}
    for shard in folder.glob("*.tar"):
        with tarfile.open(shard) as archive:
            keys[shard.name] = [name[:-5] for name in archive.getnames() if name.endswith(".json")]
    table = [line.split(",")[:2] for line in (folder / "samples.csv").read_text().splitlines()[1:]]
    assert {name.split("-")[1] for name in keys} == {"train", "val"}
    assert max(len(own) for own in keys.values()) == 2
    assert sorted([name, key] for name, own in keys.items() for key in own) == sorted(table)
