"""Pulling images in the channels and bit depth of the photos that they were made from."""

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from anogen_core.data.frame import read_photo
from anogen_core.errors import InputError
from anogen_core.export import LAYOUTS, parse_exporter, pull
from anogen_core.storage import Dataset, DatasetWriter
from tests.datasets import encode_pixels

_SIZE = (16, 24)


class _Kind(NamedTuple):
    """What photo files hold."""

    dtype: Any
    channels: tuple[int, ...]
    white: int = 65535
    ending: str = "png"


_KINDS = {
    "grey 8": _Kind(np.uint8, ()),
    "grey 16": _Kind(np.uint16, ()),
    "grey 12": _Kind(np.uint16, (), white=4095, ending="tif"),
    "colour 8": _Kind(np.uint8, (3,)),
    "colour 16": _Kind(np.uint16, (3,)),
    "alpha 8": _Kind(np.uint8, (4,)),
    "alpha 16": _Kind(np.uint16, (4,)),
}


@pytest.fixture
def made(tmp_path: Path, making: Any) -> Callable[..., Dataset]:
    """Seal two images, one on each of two photos of a kind in photos/good, with a defect inside their box masks."""

    def make(kind: _Kind, *, size: tuple[int, int] = _SIZE, told_white: int | None = None) -> Dataset:
        rng = np.random.default_rng(0)
        spec = making.spec(num_requests=2, settings={"run": {"frame": {"white_level": told_white or kind.white}}})
        rows = []
        images = np.zeros((2, *_SIZE, 3), np.uint8)
        boxes = np.zeros((2, *_SIZE), np.uint8)
        boxes[:, 2:10, 3:12] = 255
        (tmp_path / "photos/good").mkdir(parents=True)
        for number in range(2):
            photo = tmp_path / f"photos/good/{number:03d}.{kind.ending}"
            high = 256 if kind.dtype == np.uint8 else kind.white + 1
            stored = rng.integers(0, high, (*size, *kind.channels)).astype(kind.dtype)
            assert cv2.imwrite(str(photo), stored)
            images[number] = cv2.resize(read_photo(photo, white_level=kind.white), _SIZE[::-1])
            painted = rng.integers(0, 256, (6, 8, 3 if kind.channels else 1), np.uint8)
            images[number, 3:9, 4:12] = painted
            changes = {"normal_uri": str(photo), "normal_sha256": hashlib.sha256(photo.read_bytes()).hexdigest()}
            rows.append(making.row(spec, number, uri="").model_copy(update=changes))
        writer = DatasetWriter(f"{tmp_path}/store/bottle.zarr", spec)
        writer.create()
        writer.write_shard(0, rows, encode_pixels(images, box_masks=boxes, masks=boxes), seconds=1.0)
        return Dataset(writer.seal().uri)

    return make


def _pull(dataset: Dataset, dest: Path, originals: Path, layout: str = "mvtec") -> Path:
    return pull(dataset, dest, settings=parse_exporter({"kind": layout, "originals": originals}))


def _decoded(data: bytes) -> np.ndarray[Any, Any]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels


def _pictures(folder: Path) -> dict[str, bytes]:
    """Return every picture of an export by its name, those in tar files too."""
    found = {path.name: path.read_bytes() for path in folder.rglob("*.png")}
    for shard in folder.glob("*.tar"):
        with tarfile.open(fileobj=io.BytesIO(shard.read_bytes())) as archive:
            found |= {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", _KINDS)
def test_outside_the_box_an_image_is_the_photo_file(
    made: Callable[..., Dataset], tmp_path: Path, name: str, layout: str
) -> None:
    """In every layout, value for value; read as photos are, images are the dataset's, within a grey level inside."""
    kind = _KINDS[name]
    dataset = made(kind)

    pictures = _pictures(_pull(dataset, tmp_path / "out", tmp_path / "photos", layout))

    for sample in dataset:
        source = _decoded(Path(sample.row.normal_uri).read_bytes())
        picture = pictures[f"{sample.row.request_id}.png"]
        pixels = _decoded(picture)
        (tmp_path / "again.png").write_bytes(picture)
        again = read_photo(tmp_path / "again.png", white_level=kind.white)
        outside = sample.box_mask == 0
        assert (pixels.dtype, pixels.shape) == (source.dtype, source.shape)
        np.testing.assert_array_equal(pixels[outside], source[outside])
        np.testing.assert_array_equal(again[outside], sample.image[outside])
        assert np.abs(again.astype(int) - sample.image).max() <= 1
        if kind.channels == (4,):
            np.testing.assert_array_equal(pixels[..., 3], source[..., 3])


@pytest.mark.parametrize(("layout", "folder"), [("mvtec", "train/good"), ("yolo", "images/train/good")])
def test_the_photos_come_along_as_they_are(
    made: Callable[..., Dataset], tmp_path: Path, layout: str, folder: str
) -> None:
    """Normal photos beside the images have their channels and depth too."""
    dataset = made(_KINDS["alpha 16"])

    pulled = _pull(dataset, tmp_path / "out", tmp_path / "photos", layout)

    for row in dataset.made():
        photo = (pulled / folder / f"{row.normal_id.rsplit('/', 1)[-1]}.png").read_bytes()
        np.testing.assert_array_equal(_decoded(photo), _decoded(Path(row.normal_uri).read_bytes()))


def test_photos_may_have_moved(made: Callable[..., Dataset], tmp_path: Path) -> None:
    """Any directory that holds the end of their paths will do, and gives the same export; the card says what it is."""
    dataset = made(_KINDS["grey 16"])
    folder = _pull(dataset, tmp_path / "out", tmp_path / "photos")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    shutil.move(tmp_path / "photos", tmp_path / "archive")
    shutil.copytree(tmp_path / "archive/good", tmp_path / "archive/other/good")

    for root in ("archive", "archive/good", "archive/other"):
        assert _pull(dataset, tmp_path / "out", tmp_path / root) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert "bit depth of the photos" in (folder / "README.md").read_text()


def test_without_originals_a_begun_export_is_another(made: Callable[..., Dataset], tmp_path: Path) -> None:
    """Images of both kinds are never mixed in one folder."""
    dataset = made(_KINDS["grey 16"])
    _pull(dataset, tmp_path / "out", tmp_path / "photos")

    with pytest.raises(InputError, match=r"other settings .originals is True, not False"):
        pull(dataset, tmp_path / "out")


def test_a_missing_or_changed_photo_is_one_error(made: Callable[..., Dataset], tmp_path: Path) -> None:
    """It counts and names them, says what was found, and nothing is written."""
    dataset = made(_KINDS["grey 16"])
    photo = tmp_path / "photos/good/001.png"

    shutil.copy(tmp_path / "photos/good/000.png", photo)
    with pytest.raises(InputError, match=r"originals: 1 of 2 photos .*good/001.png has sha256 .*, expected .*"):
        _pull(dataset, tmp_path / "out", tmp_path / "photos")
    photo.unlink()
    with pytest.raises(InputError, match=r"1 of 2 photos .*there is no 001.png for bottle/train/good/001"):
        _pull(dataset, tmp_path / "out", tmp_path / "photos")
    with pytest.raises(InputError, match="nowhere is not a directory"):
        _pull(dataset, tmp_path / "out", tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_images_in_another_size_cannot_take_the_photos_pixels(made: Callable[..., Dataset], tmp_path: Path) -> None:
    """The error names both sizes and the setting that resized, and nothing is written."""
    dataset = made(_KINDS["grey 16"], size=(32, 48))

    with pytest.raises(InputError, match=r"000.png is 32x48 pixels .* are 16x24: .*`frame.size`"):
        _pull(dataset, tmp_path / "out", tmp_path / "photos")
    assert not (tmp_path / "out").exists()


def test_a_photo_that_is_decoded_otherwise_is_an_error(made: Callable[..., Dataset], tmp_path: Path) -> None:
    """An image whose background is not the photo's is not written."""
    dataset = made(_KINDS["grey 12"], told_white=65535)

    with pytest.raises(InputError, match=r"000.tif differs from crack-000000 where no defect was painted"):
        _pull(dataset, tmp_path / "out", tmp_path / "photos")
    assert not list((tmp_path / "out").glob("bottle/test/*/*.png"))


def test_a_12_bit_camera_gets_12_bits_back(twelve_bit: Dataset, tmp_path: Path) -> None:
    """Images that a run made on its photos are grey, as large as `frame.white_level` at most, and show a defect."""
    folder = _pull(twelve_bit, tmp_path / "out", tmp_path / "photos")

    for sample in twelve_bit:
        image = folder / f"test/{sample.row.defect}/{sample.row.request_id}.png"
        source, pixels = (_decoded(Path(path).read_bytes()) for path in (sample.row.normal_uri, image))
        outside = sample.box_mask == 0
        assert (pixels.dtype, pixels.shape) == (np.uint16, (64, 64))
        np.testing.assert_array_equal(pixels[outside], source[outside])
        assert (pixels[~outside] != source[~outside]).any()
        assert pixels.max() <= 4095
