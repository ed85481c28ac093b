"""Pulling a dataset as image files in the layout of MVTec AD."""

import csv
import hashlib
import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from anogen_core.data import MvtecReaderSettings
from anogen_core.errors import InputError, StorageError
from anogen_core.export import pull
from anogen_core.export.folder import safe_names
from anogen_core.storage import Dataset, DatasetWriter, open_store

Making: Any = runpy.run_path(str(Path(__file__).parent / "storage" / "conftest.py"))["Making"]


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """Return a sealed dataset whose normal photos exist: images 8 and 9 share one, that of image 2 was changed."""
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
        writer.write_shard(shard, rows, images, box_masks=masks, masks=masks, seconds=1.0)
    Image.new("RGB", (24, 16)).save(tmp_path / "002.png")
    return writer.seal().uri


def _photo(folder: Path, number: int, image: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> Path:
    """Write the normal photo of an image: equal outside the mask, grey inside."""
    normal = np.where(mask[..., None] > 0, np.uint8(128), image)
    Image.fromarray(normal).save(folder / f"{number:03d}.png")
    return folder / f"{number:03d}.png"


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_image_is_there_without_loss(uri: str, tmp_path: Path) -> None:
    """Each made image and its mask decode to the stored pixels, under names that follow from the request."""
    ticks: list[None] = []

    folder = pull(Dataset(uri), tmp_path / "out", on_image=lambda: ticks.append(None))

    assert folder == tmp_path / "out" / "bottle"
    assert len(ticks) == 6
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


def test_normal_photos_come_along_when_they_still_agree(uri: str, tmp_path: Path) -> None:
    """Each photo that still gives the background is in train/good once; a changed one is left out, and that is said."""
    folder = pull(Dataset(uri), tmp_path / "out")

    assert sorted(p.name for p in (folder / "train" / "good").iterdir()) == ["000.png", "001.png", "006.png", "008.png"]
    assert "1 real photos" in (folder / "README.md").read_text()
    np.testing.assert_array_equal(Image.open(folder / "train/good/001.png"), Image.open(tmp_path / "001.png"))


def test_the_table_tells_where_each_image_comes_from(uri: str, tmp_path: Path) -> None:
    """samples.csv has one line for each image with existing files, box and normal photo."""
    folder = pull(Dataset(uri), tmp_path / "out")

    lines = list(csv.DictReader((folder / "samples.csv").open(newline="", encoding="utf-8")))

    assert [line["request_id"] for line in lines] == [row.request_id for row in Dataset(uri).made()]
    assert all((folder / line["image"]).is_file() and (folder / line["mask"]).is_file() for line in lines)
    assert lines[0]["box"] == "1 2 3 4"
    assert Dataset(uri).manifest.digest in (folder / "README.md").read_text()


def test_pulling_again_completes_and_repairs(uri: str, tmp_path: Path) -> None:
    """Missing, cut and changed files are written again; whole ones are not touched."""
    folder = pull(Dataset(uri), tmp_path / "out")
    first = contents(folder)
    (folder / "test/crack/crack-000000.png").unlink()
    (folder / "test/crack/crack-000002.png").write_bytes(first["test/crack/crack-000002.png"][:50])
    untouched = (folder / "test/hole/crack-000001.png").stat().st_mtime_ns

    pull(Dataset(uri), tmp_path / "out")

    assert contents(folder) == first
    assert (folder / "test/hole/crack-000001.png").stat().st_mtime_ns == untouched


def test_a_pull_that_broke_off_goes_on(uri: str, tmp_path: Path) -> None:
    """After an error in the middle the same command finishes."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(Dataset(uri), tmp_path / "out", on_image=stop)
    folder = pull(Dataset(uri), tmp_path / "out")

    assert len(list((folder / "test").rglob("*.png"))) == 6


@pytest.mark.parametrize("where", ["out/holiday.jpg", "out/bottle/holiday.jpg", "out/other/test/crack/0.png"])
def test_a_directory_with_something_else_is_left_alone(uri: str, tmp_path: Path, where: str) -> None:
    """A directory that holds anything but exports is refused, and nothing is written to it."""
    file = tmp_path / where
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")

    with pytest.raises(InputError, match="not an export"):
        pull(Dataset(uri), tmp_path / "out")
    assert contents(tmp_path / "out") == {str(file.relative_to(tmp_path / "out")): b"mine"}


def test_several_categories_share_a_directory(uri: str, tmp_path: Path) -> None:
    """A second category goes beside the first; another dataset of the same category does not replace it."""
    Making.dataset(f"{tmp_path}/store/cap.zarr", name="cap-0001", category="cap")
    Making.dataset(f"{tmp_path}/store/again.zarr", config_fingerprint="other", name="bottle-0002")
    pull(Dataset(uri), tmp_path / "out")

    pull(Dataset(f"{tmp_path}/store/cap.zarr"), tmp_path / "out")
    with pytest.raises(InputError, match="another dataset \\(bottle-0001\\)"):
        pull(Dataset(f"{tmp_path}/store/again.zarr"), tmp_path / "out")

    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["bottle", "cap"]


def test_a_file_as_destination_is_refused(uri: str, tmp_path: Path) -> None:
    """The destination must be a directory."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(InputError, match="is a file"):
        pull(Dataset(uri), tmp_path / "file")


def test_an_unknown_layout_is_refused(uri: str, tmp_path: Path) -> None:
    """The message lists the layouts that exist."""
    with pytest.raises(InputError, match="mvtec"):
        pull(Dataset(uri), tmp_path / "out", as_="mvtek")


def test_a_damaged_dataset_is_not_pulled(uri: str, tmp_path: Path) -> None:
    """Damage stops the pull with an error instead of writing wrong pixels."""
    store = open_store(uri)
    store.put("image/c/0/0/0/0", store.read("image/c/0/0/0/0")[:-1] + b"x")

    with pytest.raises(StorageError, match="image/c/0"):
        pull(Dataset(uri), tmp_path / "out")


def test_an_unsealed_dataset_is_not_pulled(tmp_path: Path) -> None:
    """Pulling before the seal says what to do."""
    DatasetWriter(f"{tmp_path}/d.zarr", Making.spec()).create()

    with pytest.raises(InputError, match="not sealed yet"):
        pull(Dataset(f"{tmp_path}/d.zarr"), tmp_path / "out")


def test_file_names_are_safe_and_different_everywhere() -> None:
    """No name leaves its folder, is reserved, or differs from another in upper and lower case alone."""
    identifiers = ["a-1", "A-1", "../../etc", "con", "Con.b", "", "ä/ö", "ä_ö", "x" * 300, ".hidden", "fine_2.b"]

    names = safe_names(identifiers)

    assert names["fine_2.b"] == "fine_2.b"
    assert len({name.casefold() for name in names.values()}) == len(identifiers)
    assert all(len(n) <= 100 and "/" not in n and n and n[0] != "." and n.lower() != "con" for n in names.values())
    assert safe_names(reversed(identifiers)) == names
