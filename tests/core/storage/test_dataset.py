"""Writing, sealing and reading a dataset, on a local path and on S3."""

import json
import pickle
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from anogen_core.errors import InputError, StorageError
from anogen_core.records import LedgerRow, Outcome
from anogen_core.storage import Dataset, DatasetWriter, open_store, verify
from tests.datasets import encode_pixels


@pytest.fixture
def uri(location: str) -> str:
    return f"{location}/bottle.zarr"


def test_plain_zarr_reads_a_sealed_dataset(uri: str, making: Any) -> None:
    """Stock zarr and pyarrow, without this project, read pixels, labels, seeds and ledger, the last shard included."""
    making.dataset(uri)
    images, masks = making.pixels()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(uri, mode="r")
    table = pq.read_table(open_buffer(uri, "samples.parquet")).to_pylist()
    made = [row for row in table if row["row"] is not None]

    np.testing.assert_array_equal(group["image"][:], images)
    np.testing.assert_array_equal(group["box_mask"][:], masks)
    np.testing.assert_array_equal(group["mask"][:], masks)
    assert group["image"].metadata.dimension_names == ("sample", "y", "x", "channel")
    defects = group.attrs["anogen"]["defects"]
    assert [defects[i] for i in group["label"][:]] == [row["defect"] for row in made]
    assert group["seed"][:].tolist() == [row["seed"] for row in made]
    assert [row["row"] for row in made] == list(range(6))
    assert set(table[0]) == set(LedgerRow.model_fields)


def test_the_documented_lines_read_a_dataset(uri: str, making: Any) -> None:
    """The example in docs/dataset-format.md runs as it stands, on disk and on S3."""
    making.dataset(uri)
    document = (Path(__file__).parents[3] / "docs" / "dataset-format.md").read_text(encoding="utf-8")
    example = document.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}

    exec(re.sub(r'uri = ".*?"', f"uri = {uri!r}", example), names)  # noqa: S102 - our own documentation

    assert names["image"].shape == (16, 24, 3)
    assert names["defect"] == names["ledger"][0]["defect"] == "crack"


def test_reading_a_ledger_leaves_no_thread_behind(tmp_path: Path, making: Any) -> None:
    """It would abort the interpreter of a short command at its end now and then, and the exit code would be lost."""
    making.dataset(f"{tmp_path}/bottle.zarr")
    code = f"""
import threading
from anogen_core.storage import Dataset
from psutil import Process
dataset = Dataset({str(tmp_path / "bottle.zarr")!r})
before = {{thread.id for thread in Process().threads()}}
assert len(dataset.ledger()) == 10
ours = {{thread.native_id for thread in threading.enumerate()}}
print({{thread.id for thread in Process().threads()}} - before - ours)
"""

    end = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)

    assert (end.stdout, end.stderr, end.returncode) == ("set()\n", "", 0)


def open_buffer(uri: str, key: str) -> Any:
    import io

    return io.BytesIO(open_store(uri).read(key))


def test_our_reader_agrees_with_what_was_written(uri: str, making: Any) -> None:
    """Single reads, iteration and ledger return what went in, from a dataset that was pickled."""
    making.dataset(uri)
    images, masks = making.pixels()
    dataset: Dataset = pickle.loads(pickle.dumps(Dataset(uri)))  # noqa: S301

    samples = list(dataset)

    assert len(dataset) == 6
    for i in range(6):
        np.testing.assert_array_equal(dataset.image(i), images[i])
        np.testing.assert_array_equal(dataset.mask(i), masks[i])
        np.testing.assert_array_equal(dataset.box_mask(i), masks[i])
        np.testing.assert_array_equal(samples[i].image, images[i])
        assert samples[i].row == dataset.made()[i]
    assert [row.request_id for row in dataset.ledger()] == [f"crack-{i:06d}" for i in range(10)]
    assert dataset.request("crack-000003").reason == "reason 3"
    for outside in (-1, 6):
        with pytest.raises(IndexError):
            dataset.image(outside)
    with pytest.raises(InputError, match="crack-000000"):
        dataset.request("no-such-request")


def test_some_images_are_read_without_the_shards_of_others(tmp_path: Path, making: Any) -> None:
    """The images of chosen rows come in order; a shard that holds none of them need not even be there."""
    making.dataset(f"{tmp_path}/d.zarr")
    images, _ = making.pixels()
    (tmp_path / "d.zarr/image/c/0/0/0/0").unlink()
    dataset = Dataset(f"{tmp_path}/d.zarr")

    found = list(dataset.read(dataset.made()[5:]))

    assert [sample.row.row for sample in found] == [5]
    np.testing.assert_array_equal(found[0].image, images[5])
    with pytest.raises(StorageError, match="image/c/0"):
        list(dataset.read(dataset.made()[3:]))


def test_the_summary_reconciles_before_and_after_the_seal(uri: str, making: Any) -> None:
    """Planned is the sum of all outcomes once sealed; before that the counts so far are told."""
    spec = making.spec()
    writer = DatasetWriter(uri, spec)
    writer.create()
    empty = Dataset(uri).summary()
    making.write(writer, spec, 1)
    partial = Dataset(uri).summary()
    for shard in (0, 2):
        making.write(writer, spec, shard)
    writer.seal()
    sealed = Dataset(uri).summary()

    assert (empty["sealed"], empty["planned"], empty["made"], empty["digest"]) == (False, 10, 0, None)
    assert [partial[k] for k in ("made", "filtered", "blocked", "failed")] == [1, 1, 1, 1]
    assert [sealed[k] for k in ("planned", "made", "filtered", "blocked", "failed")] == [10, 6, 2, 1, 1]
    assert sealed["defects"] == {"crack": 4, "hole": 2}
    assert sealed["image_size"] == [16, 24]
    assert sealed["base_model"] == {"name": "tiny", "fingerprint": "f00d", "licence": "Apache-2.0"}
    assert json.loads(json.dumps(sealed)) == sealed
    assert sealed["digest"] == Dataset(uri).ref().digest == Dataset(uri).manifest.digest


def test_nothing_that_looks_like_a_dataset_exists_before_the_seal(uri: str, making: Any) -> None:
    """Zarr finds no group and our reader says what to do."""
    writer = DatasetWriter(uri, making.spec())
    writer.create()
    making.write(writer, making.spec(), 0)

    with pytest.raises((FileNotFoundError, zarr.errors.GroupNotFoundError)):
        zarr.open_group(uri, mode="r")
    with pytest.raises(InputError, match="not sealed yet"):
        Dataset(uri).image(0)
    with pytest.raises(StorageError, match=r"2 of 3 shards are not stored yet \(the first is 1\)"):
        writer.seal()
    assert verify(uri) == [f"{Dataset(uri).uri}: is not sealed yet (10 images planned)."]


def test_the_parts_are_gone_after_the_seal(uri: str, making: Any) -> None:
    """Only the sealed dataset remains; sealing and asking for receipts again still work."""
    making.dataset(uri)
    writer = DatasetWriter(uri, making.spec())

    receipts = [writer.committed(shard) for shard in range(3)]

    assert list(open_store(uri.replace(".zarr", ".parts")).list()) == []
    assert [r.made for r in receipts if r is not None] == [3, 1, 2]
    assert writer.seal() == writer.seal() == Dataset(uri).ref()


def test_a_sealed_shard_is_never_made_again(uri: str, making: Any) -> None:
    """A commit record that a killed seal left behind without its objects does not make work of a finished shard."""
    spec = making.spec()
    writer = DatasetWriter(uri, spec)
    writer.create()
    receipt = making.write(writer, spec, 0)
    parts = open_store(uri.replace(".zarr", ".parts"))
    record = parts.read("commits/000000.json")
    making.dataset(uri)
    parts.put("commits/000000.json", record)

    assert writer.committed(0) == receipt
    writer.seal()
    assert list(parts.list()) == []


def test_of_two_writers_of_a_shard_one_wins_with_all_of_its_objects(uri: str, making: Any) -> None:
    """Both get the same receipt, and only the winner's objects stay."""
    spec = making.spec()
    DatasetWriter(uri, spec).create()
    content = making.shard(spec, 0)

    def write(_: int) -> Any:
        return DatasetWriter(uri, spec).write_shard(
            0,
            content.rows,
            encode_pixels(
                content.images, box_masks=content.masks, masks=content.masks, confidences=content.confidences
            ),
            seconds=1.0,
        )

    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(write, range(4)))
    kept = {key.split("/")[2] for key in open_store(uri.replace(".zarr", ".parts")).list("data")}

    assert len({receipt.attempt for receipt in receipts}) == 1
    assert kept == {receipts[0].attempt}


def test_a_writer_that_comes_after_the_seal_leaves_nothing(uri: str, making: Any) -> None:
    """A worker that hung while another made its shard may end when the dataset is sealed and its parts are removed."""
    digest, spec = making.dataset(uri), making.spec()
    late = making.shard(spec, 0)

    receipt = DatasetWriter(uri, spec).write_shard(
        0,
        late.rows,
        encode_pixels(late.images, box_masks=late.masks, masks=late.masks, confidences=late.confidences),
        seconds=1.0,
    )

    assert receipt == Dataset(uri).manifest.receipts[0]
    assert Dataset(uri).ref().digest == digest
    assert verify(uri) == []
    assert list(open_store(uri.replace(".zarr", ".parts")).list()) == []


def test_two_sealers_do_not_disturb_each_other(uri: str, making: Any) -> None:
    """Sealing at the same time gives both the same sound dataset."""
    spec = making.spec()
    writer = DatasetWriter(uri, spec)
    writer.create()
    for shard in range(3):
        making.write(writer, spec, shard)

    with ThreadPoolExecutor(3) as pool:
        refs = list(pool.map(lambda _: DatasetWriter(uri, spec).seal(), range(3)))

    assert len({ref.digest for ref in refs}) == 1
    assert verify(uri) == []


def test_a_damaged_part_is_made_again(uri: str, making: Any) -> None:
    """A shard whose object was cut or deleted counts as not made; the result is the undisturbed one."""
    spec = making.spec()
    writer = DatasetWriter(uri, spec)
    writer.create()
    for shard in range(3):
        making.write(writer, spec, shard)
    parts = open_store(uri.replace(".zarr", ".parts"))
    images = [key for key in parts.list("data") if key.endswith("/image")]
    parts.put(images[0], parts.read(images[0])[:-1])
    parts.put("commits/000001.json", b"{")
    parts.delete(images[2])

    assert len(verify(uri)) == 4
    assert [writer.committed(shard) is None for shard in range(3)] == [True, True, True]
    assert making.dataset(uri) == making.dataset(uri.replace("bottle.zarr", "undisturbed.zarr"))
    assert verify(uri) == []


def test_a_part_that_rotted_is_found_by_the_seal_and_made_again(uri: str, making: Any) -> None:
    """Sealing refuses changed bytes of the right size, and the next run replaces them."""
    spec = making.spec()
    writer = DatasetWriter(uri, spec)
    writer.create()
    for shard in range(3):
        making.write(writer, spec, shard)
    parts = open_store(uri.replace(".zarr", ".parts"))
    key = next(key for key in parts.list("data/000001") if key.endswith("/mask"))
    parts.put(key, bytes([parts.read(key)[0] ^ 1]) + parts.read(key)[1:])

    assert any("sha256" in problem for problem in verify(uri))
    with pytest.raises(StorageError, match="Run again: shard 1 will be made anew"):
        writer.seal()
    assert making.dataset(uri) == making.dataset(uri.replace("bottle.zarr", "undisturbed.zarr"))


def test_the_digest_is_of_the_content_alone(location: str, making: Any) -> None:
    """Order of shards, attempts, places of photos and settings for people do not change it; a pixel and a seed do."""

    def digest(name: str, *, order: list[int], photos: str, pixel: int = 0, seed: int = 0) -> str:
        spec = making.spec(settings={"reader": {"root": photos}})
        writer = DatasetWriter(f"{location}/{name}.zarr", spec)
        writer.create()
        for shard in order:
            rows, images, masks = making.shard(spec, shard, uri=photos)
            images[0, 0, 0, 0] ^= pixel
            rows[0] = rows[0].model_copy(update={"seed": rows[0].seed + seed})
            writer.write_shard(shard, rows, encode_pixels(images, box_masks=masks, masks=masks), seconds=float(shard))
        return writer.seal().digest

    first = digest("a", order=[0, 1, 2], photos="/here")

    assert digest("b", order=[2, 0, 1], photos="/there") == first
    assert digest("c", order=[0, 1, 2], photos="/here", pixel=1) != first
    assert digest("d", order=[0, 1, 2], photos="/here", seed=1) != first


@pytest.mark.s3
def test_the_digest_is_the_same_on_every_store(tmp_path: Path, s3_bucket: str, making: Any) -> None:
    """A dataset on S3 equals the one on disk."""
    assert making.dataset(f"{tmp_path}/a.zarr") == making.dataset(f"{s3_bucket}/{tmp_path.name}/b.zarr")


def test_a_dataset_without_any_image_is_sound(uri: str, making: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When every request was blocked the ledger still says why, and zarr opens empty arrays."""
    monkeypatch.setattr(making, "outcome", staticmethod(lambda _: Outcome.BLOCKED))
    making.dataset(uri)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(uri, mode="r")

    assert group["image"].shape == (0, 16, 24, 3)
    assert group["label"][:].tolist() == []
    assert Dataset(uri).summary()["blocked"] == 10
    assert list(Dataset(uri)) == []
    assert verify(uri) == []


@pytest.mark.parametrize("sealed", [False, True])
def test_another_dataset_is_never_written_over(uri: str, making: Any, sealed: bool) -> None:  # noqa: FBT001
    """A different spec at the same place is refused, naming the difference; other paths in the settings are not."""
    if sealed:
        making.dataset(uri)
    else:
        DatasetWriter(uri, making.spec()).create()

    DatasetWriter(uri, making.spec(settings={"reader": {"root": "/moved"}})).create()
    with pytest.raises(InputError, match="config_fingerprint is '0123456789abcdef' there, expected 'other'"):
        DatasetWriter(uri, making.spec(config_fingerprint="other")).create()


def test_a_foreign_zarr_group_is_never_written_over(tmp_path: Path, making: Any) -> None:
    """A Zarr group of someone else is left alone."""
    zarr.create_group(tmp_path / "mine.zarr", zarr_format=3)

    with pytest.raises(InputError, match="without a manifest"):
        DatasetWriter(f"{tmp_path}/mine.zarr", making.spec()).create()


def test_a_place_without_a_dataset_is_explained(location: str, making: Any) -> None:
    """Reading nothing says what was expected; a writer wants a name that ends in .zarr."""
    with pytest.raises(InputError, match="there is no dataset"):
        Dataset(f"{location}/nothing.zarr").summary()
    with pytest.raises(InputError, match="there is no dataset"):
        verify(f"{location}/nothing")
    with pytest.raises(InputError, match=r"ends in \.zarr"):
        DatasetWriter(f"{location}/name", making.spec())


@pytest.mark.parametrize("fault", ["shape", "dtype", "grey mask", "count", "row", "defect", "shard"])
def test_a_shard_that_does_not_fit_its_spec_is_refused(tmp_path: Path, making: Any, fault: str) -> None:
    """Nothing is stored of a shard with the wrong shape, values, counts or rows."""
    spec = making.spec()
    rows, images, masks = making.shard(spec, 0)
    shard = 0
    if fault == "shape":
        images = images[:, :-1]
    elif fault == "dtype":
        images = images.astype(np.float32)
    elif fault == "grey mask":
        masks[0, 0, 0] = 7
    elif fault == "count":
        rows = rows[:-1]
    elif fault == "row":
        rows[0] = rows[0].model_copy(update={"row": 0})
    elif fault == "defect":
        rows[0] = rows[0].model_copy(update={"defect": "unknown"})
    else:
        shard = 3
    writer = DatasetWriter(f"{tmp_path}/d.zarr", spec)

    with pytest.raises(ValueError, match=r"expected|not in the plan|must have"):
        writer.write_shard(shard, rows, encode_pixels(images, box_masks=masks, masks=masks), seconds=0.0)
    assert list(open_store(tmp_path).list()) == []


def test_datasets_of_the_first_format_are_read_and_verified() -> None:
    """They have no confidence maps and fewer columns; a map is the mask there, and every digest still follows."""
    uri = str(Path(__file__).parents[2] / "golden" / "anods-1.zarr")

    dataset = Dataset(uri)

    assert verify(uri) == []
    assert dataset.manifest.spec.format_version == "anods/1"
    assert [row.contrast for row in dataset.ledger()] == [None, 0.25, None, 0.25]
    assert {(row.quality, row.confidence, row.instances) for row in dataset.ledger()} == {(None, None, None)}
    for index, sample in enumerate(dataset):
        np.testing.assert_array_equal(sample.confidence, sample.mask)
        np.testing.assert_array_equal(dataset.confidence(index), sample.mask)
        assert [box.as_list() for box in sample.row.boxes] == [[1, 2, 3, 4]]
