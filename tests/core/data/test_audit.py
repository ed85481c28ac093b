"""The audit: one test for each kind of bad file."""

import io
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from anogen_core.data import FolderReaderSettings, MvtecReaderSettings
from anogen_core.data.audit import audit
from anogen_core.data.frame import FrameSettings
from anogen_core.data.problems import Problem
from anogen_core.data.support import SupportSettings

_PHOTO = "bottle/test/crack/000.png"
_MASK = "bottle/ground_truth/crack/000_mask.png"


def _audit(root: Path, *, shots: int = 3, **frame: Any) -> list[Problem]:
    reader = MvtecReaderSettings(root=str(root))
    return audit(reader.build().read(), reader, FrameSettings(**frame), SupportSettings(shots=shots))


def _encoded(fmt: str = "PNG", size: tuple[int, int] = (48, 32), **options: Any) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(9).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    PillowImage.fromarray(pixels).save(stream, fmt, **options)
    return stream.getvalue()


def _png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def _pixels(path: Path) -> np.ndarray[Any, Any]:
    with PillowImage.open(path) as image:
        return np.asarray(image)


def _exif(orientation: int) -> PillowImage.Exif:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    return exif


def test_a_healthy_dataset_has_no_problem(mvtec_root: Path) -> None:
    """Nothing is made up."""
    assert _audit(mvtec_root) == []


@pytest.mark.parametrize("where", [_PHOTO, _MASK, "bottle/train/good/000.png"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty (0 bytes)"),
        (b"hello, I am text", "is not a PNG, JPEG, BMP or TIFF image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "is not a PNG, JPEG, BMP or TIFF image"),
        (_encoded()[:400], "is truncated or damaged"),
        (_encoded("JPEG")[:900], "is truncated or damaged"),
        (_encoded("BMP")[:900], "is truncated or damaged"),
        (_png_claiming(20_000, 20_000), "the limit of 100,000,000"),
        (_png_claiming(12_000, 12_000), "claims 144,000,000 pixels"),
    ],
)
def test_a_file_that_cannot_be_decoded_is_an_error(mvtec_root: Path, where: str, content: bytes, what: str) -> None:
    """Empty, foreign, truncated and oversized files are named, as photo or mask, and are the only problem."""
    (mvtec_root / where).write_bytes(content)

    problems = _audit(mvtec_root)

    assert [(p.file, p.severity) for p in problems] == [(str(mvtec_root / where), "error")]
    assert what in problems[0].what
    assert problems[0].fix


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "F", "I"])
def test_pixel_types_without_a_meaning_here_are_errors(mvtec_root: Path, mode: str) -> None:
    """Print colours, floats and 32 bit integers are refused by name."""
    photo = mvtec_root / "bottle/train/good/000.tif"
    PillowImage.new(mode, (48, 32)).save(photo)

    problems = _audit(mvtec_root)

    assert [p.file for p in problems] == [str(photo)]
    assert f"pixel type {mode}" in problems[0].what


def test_the_pixel_limit_is_a_setting(mvtec_root: Path) -> None:
    """A lower limit refuses every photo and mask before decoding."""
    problems = _audit(mvtec_root, max_pixels=32 * 48 - 1)

    assert sum("claims 1,536 pixels" in p.what for p in problems) == 13


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        (np.zeros((32, 48), np.uint8), "is an empty mask"),
        (np.zeros((30, 48), np.uint8) + np.eye(30, 48, dtype=np.uint8), "is a mask of 30x48 for a photo of 32x48"),
        (np.arange(32 * 48, dtype=np.uint8).reshape(32, 48), "is not binary: it holds 255 values"),
    ],
)
def test_a_mask_that_cannot_be_used_is_an_error(mvtec_root: Path, mask: np.ndarray[Any, Any], what: str) -> None:
    """Empty, of another size, not binary."""
    cv2.imwrite(str(mvtec_root / _MASK), mask)

    problems = _audit(mvtec_root)

    assert [(p.file, p.severity) for p in problems] == [(str(mvtec_root / _MASK), "error")]
    assert what in problems[0].what


@pytest.mark.parametrize(("orientation", "explained"), [(None, False), (3, False), (5, True), (6, True), (8, True)])
def test_a_mask_drawn_on_the_turned_view_is_explained(
    mvtec_root: Path,
    orientation: int | None,
    explained: bool,  # noqa: FBT001
) -> None:
    """Its sides are those of the photo swapped: if the photo's EXIF tag says why, so does the one error."""
    photo = (mvtec_root / _PHOTO).with_suffix(".jpg")
    (mvtec_root / _PHOTO).unlink()
    photo.write_bytes(_encoded("JPEG", exif=_exif(orientation or 1)))
    cv2.imwrite(str(mvtec_root / _MASK), np.ascontiguousarray(_pixels(mvtec_root / _MASK).T))

    (problem,) = [p for p in _audit(mvtec_root) if p.severity == "error"]

    assert problem.file == str(mvtec_root / _MASK)
    assert problem.what.startswith("is a mask of 48x32 for a photo of 32x48 (height x width)")
    assert ("EXIF orientation" in problem.what) is explained
    assert ("without the tag" in problem.fix) is explained


def test_a_threshold_tells_what_values_of_masks_mean(mvtec_root: Path) -> None:
    """Soft edges are no error with it; a mask whose every value is below is empty."""
    mask = cv2.GaussianBlur(_pixels(mvtec_root / _MASK), (0, 0), 1.0)
    cv2.imwrite(str(mvtec_root / _MASK), mask)
    settings = {level: MvtecReaderSettings(root=str(mvtec_root), mask_threshold=level) for level in (128, 65535)}

    fine, empty = (audit(s.build().read(), s, FrameSettings(), SupportSettings()) for s in settings.values())

    assert fine == []
    assert "none has the value 65535 or more" in empty[0].what


def test_a_jpeg_mask_is_told_to_become_a_png(mvtec_root: Path) -> None:
    """The blurred edges of JPEG are the usual reason for a mask that is not binary."""
    mask = _pixels(mvtec_root / _MASK)
    (mvtec_root / _MASK).unlink()
    cv2.imwrite(str((mvtec_root / _MASK).with_suffix(".jpg")), mask)

    problems = _audit(mvtec_root)

    assert "not binary" in problems[0].what
    assert "PNG (JPEG blurs" in problems[0].fix


def test_too_few_masks_are_an_error(mvtec_root: Path) -> None:
    """Each photo without a mask is named in a warning, and the defect with fewer masks than shots is an error."""
    for name in ("000", "001"):
        (mvtec_root / f"bottle/ground_truth/crack/{name}_mask.png").unlink()

    problems = _audit(mvtec_root)

    photos = [str(mvtec_root / f"bottle/test/crack/{n}.png") for n in ("000", "001")]
    assert [(p.severity, p.file) for p in problems] == [
        ("error", "bottle/crack"),
        *(("warning", photo) for photo in photos),
    ]
    assert "2 of 4 photos with mask or boxes; 3 are needed" in problems[0].what
    assert "support.shots" in problems[0].fix
    assert "tested by its score alone, and not learned from: it shows crack and has no usable" in problems[1].what


def test_a_photo_without_mask_and_box_is_a_warning(folder_root: Path) -> None:
    """There are enough others to learn from. It is not said of photos whose boxes may be in rows that are wrong."""
    (folder_root / "masks/dent/d0.png").unlink()
    reader = FolderReaderSettings(root=str(folder_root))

    def check() -> list[Problem]:
        return audit(reader.build().read(), reader, FrameSettings(), SupportSettings())

    (problem,) = check()
    assert (problem.severity, problem.file) == ("warning", str(folder_root / "images/dent/d0.png"))
    assert "no usable mask, no box in boxes.csv and no label of LabelMe" in problem.what
    (folder_root / "boxes.csv").write_text("image,defect,x,y,width,height\nd0.png,dent,1,1,four,4\n")
    assert [p.file for p in check()] == [str(folder_root / "boxes.csv:2")]


def test_the_same_photo_in_train_and_test_is_an_error(mvtec_root: Path) -> None:
    """Found by content under another name, and by pixels in another file format."""
    bottle = mvtec_root / "bottle"
    shutil.copy(bottle / "train/good/000.png", bottle / "test/good/other.png")
    PillowImage.open(bottle / "train/good/001.png").save(bottle / "test/good/format.bmp")

    problems = _audit(mvtec_root)

    assert [(Path(p.file).name, p.severity) for p in problems] == [("format.bmp", "error"), ("other.png", "error")]
    assert str(bottle / "train/good/000.png") in problems[1].what


def test_copies_inside_a_split_are_warnings(mvtec_root: Path) -> None:
    """The first of them is named, and a different label too."""
    bottle = mvtec_root / "bottle"
    shutil.copy(bottle / "train/good/000.png", bottle / "train/good/copy.png")
    shutil.copy(bottle / "test/crack/000.png", bottle / "test/good/copy.png")

    problems = _audit(mvtec_root)

    assert [(Path(p.file).name, p.severity) for p in problems] == [("copy.png", "warning")] * 2
    assert "labelled crack" in problems[0].what


def test_different_sizes_without_a_frame_are_one_error(mvtec_root: Path) -> None:
    """The odd photo is named; with `frame.size` all is well."""
    odd = mvtec_root / "bottle/train/good/odd.png"
    odd.write_bytes(_encoded(size=(50, 40)))

    problems = _audit(mvtec_root)

    assert [(p.file, p.severity) for p in problems] == [(str(odd), "error")]
    assert "frame.size" in problems[0].fix
    assert _audit(mvtec_root, size=(32, 32)) == []


def test_turned_photos_that_the_frame_would_squeeze_are_told(mvtec_root: Path) -> None:
    """One among nine; where more than a quarter is of another form, that is how the data are."""
    folder = mvtec_root / "bottle/train/good"

    def told(turned: int) -> list[str]:
        for i in range(turned):
            (folder / f"turned{i}.png").write_bytes(_encoded(size=(32, 48)))
        return [p.file for p in _audit(mvtec_root, size=(32, 32)) if "other proportions" in p.what]

    assert told(0) == []
    assert told(1) == [str(folder / "turned0.png")]
    assert told(4) == []


@pytest.mark.parametrize(
    ("folder", "severity", "what"),
    [("train/good", "error", "no normal photos to learn"), ("test/good", "warning", "no normal photos to test")],
)
def test_a_missing_class_is_told(mvtec_root: Path, folder: str, severity: str, what: str) -> None:
    """Without normal photos nothing can be made; without normal test photos nothing can be measured."""
    shutil.rmtree(mvtec_root / "bottle" / folder)

    problems = _audit(mvtec_root)

    assert [(p.file, p.severity) for p in problems] == [("bottle", severity)]
    assert what in problems[0].what


def test_what_is_not_used_of_a_photo_is_a_warning(mvtec_root: Path) -> None:
    """EXIF orientation, alpha, further pages and dark 16 bit photos do not stop a run."""
    good = mvtec_root / "bottle/train/good"
    (good / "exif.jpg").write_bytes(_encoded("JPEG", exif=_exif(6)))
    PillowImage.new("RGBA", (48, 32), (1, 2, 3, 128)).save(good / "alpha.png")
    pages = [PillowImage.new("L", (48, 32), shade) for shade in (5, 6)]
    pages[0].save(good / "pages.tif", save_all=True, append_images=pages[1:])
    cv2.imwrite(str(good / "dark.png"), np.full((32, 48), 4000, np.uint16))

    told = {Path(p.file).name: p for p in _audit(mvtec_root)}

    assert {p.severity for p in told.values()} == {"warning"}
    assert "(EXIF orientation 6); its pixels are used as stored" in told["exif.jpg"].what
    assert "mask or boxes" in told["exif.jpg"].fix
    assert "alpha" in told["alpha.png"].what
    assert "several images" in told["pages.tif"].what
    assert "frame.white_level: 4095" in told["dark.png"].fix
    assert "dark.png" not in {Path(p.file).name for p in _audit(mvtec_root, white_level=4095)}


def test_an_inverted_mask_is_warned_about_and_not_flipped(mvtec_root: Path) -> None:
    """A mask that marks nearly everything is probably inverted; that is for the user to say."""
    mask = _pixels(mvtec_root / _MASK)
    cv2.imwrite(str(mvtec_root / _MASK), 255 - mask)

    problems = _audit(mvtec_root)

    assert [(p.file, p.severity) for p in problems] == [(str(mvtec_root / _MASK), "warning")]
    assert "`reader.mask_inverted: true`" in problems[0].fix


def test_a_crowd_of_like_warnings_is_told_once(mvtec_root: Path) -> None:
    """Ten photos with an alpha channel are one line with a count; errors are never gathered."""
    good = mvtec_root / "bottle/train/good"
    for i in range(10):
        PillowImage.new("RGBA", (48, 32), (i, 2, 3, 128)).save(good / f"alpha{i}.png")
    for i in range(4):
        (mvtec_root / f"bottle/test/crack/00{i}.png").write_bytes(b"")

    problems = _audit(mvtec_root)

    assert [p.severity for p in problems] == ["error"] * 4 + ["warning"]
    assert problems[-1].file == str(good / "alpha0.png")
    assert "9 more files" in problems[-1].what


def test_groups_in_both_splits_are_warned_about(mvtec_root: Path) -> None:
    """One part in train and test, and photos that the table forgets, are told once for the category."""
    (mvtec_root / "bottle/index.csv").write_text("image,group\ntrain/good/000.png,7\ntest/crack/000.png,7\n")

    problems = _audit(mvtec_root)

    assert [(p.file, p.severity) for p in problems] == [("bottle", "warning")] * 2
    assert "1 leakage groups" in problems[0].what
    assert "7 of 9 photos without" in problems[1].what


@pytest.mark.parametrize("box", ["-1,0,4,4", "0,30,4,4", "45,0,4,4", "100,100,4,4"])
def test_a_box_outside_its_photo_is_an_error(folder_root: Path, box: str) -> None:
    """Partly outside counts too: the coordinates are probably of another size."""
    shutil.rmtree(folder_root / "masks")
    rows = [f"d{i}.png,dent,1,1,4,4" for i in range(1, 4)]
    (folder_root / "boxes.csv").write_text("\n".join(["image,defect,x,y,width,height", *rows, f"d0.png,dent,{box}"]))
    reader = FolderReaderSettings(root=str(folder_root))

    problems = audit(reader.build().read(), reader, FrameSettings(), SupportSettings())

    assert [(p.file, p.severity) for p in problems] == [(str(folder_root / "images/dent/d0.png"), "error")]
    assert "outside its 32x48 pixels" in problems[0].what


@pytest.mark.parametrize(("box", "explained"), [("20,40,4,4", True), ("60,1,4,4", False)])
def test_a_box_drawn_on_the_turned_view_is_explained(folder_root: Path, box: str, explained: bool) -> None:  # noqa: FBT001
    """It is inside the photo as viewers show it and outside the stored pixels."""
    shutil.rmtree(folder_root / "masks")
    photo = folder_root / "images/dent/d0.png"
    photo.write_bytes(_encoded(exif=_exif(6)))
    rows = [f"d{i}.png,dent,1,1,4,4" for i in range(1, 4)]
    (folder_root / "boxes.csv").write_text("\n".join(["image,defect,x,y,width,height", *rows, f"d0.png,dent,{box}"]))
    reader = FolderReaderSettings(root=str(folder_root))

    (problem,) = [
        p for p in audit(reader.build().read(), reader, FrameSettings(), SupportSettings()) if p.severity == "error"
    ]

    assert problem.file == str(photo)
    assert ("EXIF orientation" in problem.what) is explained


def test_every_problem_is_listed_at_once(mvtec_root: Path) -> None:
    """One bad file hides no other, and errors come first."""
    bottle = mvtec_root / "bottle"
    (bottle / "test/crack/000.png").write_bytes(b"")
    (bottle / "test/crack/001.png").write_bytes(_encoded()[:300])
    cv2.imwrite(str(bottle / "ground_truth/crack/002_mask.png"), np.zeros((32, 48), np.uint8))
    (bottle / "ground_truth/crack/003_mask.png").unlink()
    (bottle / "ground_truth/crack/900.png").write_bytes(_png_claiming(50_000, 50_000))
    (bottle / "train/good/000.png").unlink()
    (bottle / "train/good/000.png").symlink_to("/etc/hostname")
    shutil.copy(bottle / "train/good/001.png", bottle / "train/good/002.png")

    problems = _audit(mvtec_root, shots=4)

    errors = {Path(p.file).name for p in problems if p.severity == "error"}
    assert errors == {"000.png", "001.png", "002_mask.png", "900.png", "crack"}
    assert [p.severity for p in problems] == ["error"] * 6 + ["warning"] * 2


def test_photos_brighter_than_white_are_told_and_are_no_duplicates(mvtec_root: Path) -> None:
    """With white set far too low all of them are white; deleting some would not help."""
    for i, split in enumerate(("train", "test")):
        bright = np.random.default_rng(i).integers(20000, 60000, (32, 48), dtype=np.uint16)
        cv2.imwrite(str(mvtec_root / "bottle" / split / "good" / "bright.png"), bright)

    told = _audit(mvtec_root, white_level=4095)

    assert [p.severity for p in told] == ["warning"] * 2
    assert all("100% of them are white" in p.what for p in told)
    assert all("Raise `frame.white_level`" in p.fix for p in told)
    assert _audit(mvtec_root) == []


def test_copies_of_photos_brighter_than_white_are_told(mvtec_root: Path) -> None:
    """Such photos are compared as they are stored."""
    bright = np.random.default_rng(0).integers(20000, 60000, (32, 48), dtype=np.uint16)
    for name in ("bright.png", "bright.tif"):
        cv2.imwrite(str(mvtec_root / "bottle/train/good" / name), bright)

    told = [p for p in _audit(mvtec_root, white_level=4095) if "is the same photo" in p.what]

    assert len(told) == 1
    assert "bright" in told[0].what
