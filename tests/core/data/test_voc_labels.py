"""Labels as Pascal VOC's tools write them, and LabelMe's circles and masks, read by the plain folder's reader."""

import base64
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.data.frame import load_mask
from anogen_core.records import COMBINED, GOOD, Box
from anogen_core.run_file import write_run_file
from tests.core.data.reading import SIZE, filled, samples_of, scan_folder


def _box(*corners: float, name: str = "dent", more: str = "") -> str:
    sides = "".join(f"<{side}>{v}</{side}>" for side, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    return f"<object><name>{name}</name><difficult>0</difficult><bndbox>{sides}</bndbox>{more}</object>"


def _voc(*objects: str, size: tuple[int, int] = SIZE) -> str:
    shown = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>any.jpg</filename>{shown}{''.join(objects)}</annotation>"


def test_voc_boxes_beside_their_photo(root: Path) -> None:
    """Pixels count from 1 and the last belongs to the box; a file without objects is no label."""
    (root / "images/dent/d0.xml").write_text(_voc(_box(11, 5, 30, 10), _box(1, 1, 48, 1)))
    (root / "images/dent/d1.xml").write_text(_voc(_box(0, 0, 47.6, 32), size=(0, 0)))
    (root / "images/good/g0.xml").write_text(_voc())
    for number in (2, 3):
        (root / f"images/dent/d{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")

    samples = samples_of(root)

    assert samples["d0.png"].boxes == (Box(x=10, y=4, width=20, height=6), Box(x=0, y=0, width=48, height=1))
    assert samples["d1.png"].boxes == (Box(x=0, y=0, width=48, height=32),)
    assert samples["g0.png"].defect == GOOD


@pytest.mark.parametrize("names", [("JPEGImages", "Annotations"), ("IMAGES", "ANNOTATIONS"), ("images", "annotations")])
def test_the_folders_of_voc(root: Path, tmp_path: Path, names: tuple[str, str]) -> None:
    """All photos in one folder and all labels in another; a photo with labels of two defects is combined."""
    photos, labels = (tmp_path / "voc" / name for name in names)
    photos.mkdir(parents=True)
    labels.mkdir()
    for photo in sorted((root / "images").glob("*/*.png")):
        shutil.copy(photo, photos / photo.name)
    (labels / "d0.xml").write_text(_voc(_box(11, 5, 30, 10)))
    (labels / "d1.xml").write_text(_voc(_box(11, 5, 30, 10), _box(2, 2, 9, 9, name="scratch")))

    samples = samples_of(photos.parent)
    write_run_file(tmp_path / "run.yaml", photos.parent)

    assert {name: samples[name].defect for name in ("d0.png", "d1.png", "g0.png")} == {
        "d0.png": "dent",
        "d1.png": COMBINED,
        "g0.png": GOOD,
    }
    assert [part.defect for part in samples["d1.png"].parts] == ["dent", "scratch"]
    assert "kind: folder" in (tmp_path / "run.yaml").read_text()


def test_labels_of_photos_in_folders_of_defects(root: Path) -> None:
    """In one flat folder, where the name of the defect says which of two photos of one name is meant, or in folders."""
    (root / "Annotations/dent").mkdir(parents=True)
    (root / "images/scratch").mkdir()
    shutil.copy(root / "images/dent/d0.png", root / "images/scratch/d0.png")
    (root / "Annotations/d0.xml").write_text(_voc(_box(2, 2, 9, 9, name="scratch")))
    (root / "Annotations/dent/d0.xml").write_text(_voc(_box(11, 5, 30, 10)))
    for number in range(1, 4):
        (root / f"Annotations/d{number}.xml").write_text(_voc(_box(11, 5, 30, 10)))

    found = {(s.defect, Path(s.image_uri).name): s.boxes for s in scan_folder(root).samples if s.defect != GOOD}

    assert scan_folder(root).problems == []
    assert found["scratch", "d0.png"] == (Box(x=1, y=1, width=8, height=8),)
    assert found["dent", "d0.png"] == (Box(x=10, y=4, width=20, height=6),)


@pytest.mark.parametrize("split", ["train", "train/images"])
def test_voc_in_the_splits_of_an_export(root: Path, tmp_path: Path, split: str) -> None:
    """As Roboflow exports them, and with `annotations` beside the photos; polygons are masks."""
    triangle = [(10, 5), (30, 5), (20, 20)]
    corners = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(triangle, 1))
    photos = tmp_path / "export" / split
    labels = photos if split == "train" else photos.parent / "annotations"
    for folder in (photos, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("dent/d0.png", "good/g0.png", "good/g1.png"):
        shutil.copy(root / "images" / name, photos)
    (labels / "d0.xml").write_text(_voc(_box(1, 1, 2, 2, more=f"<polygon>{corners}</polygon>")))

    sample = samples_of(tmp_path / "export")["d0.png"]

    np.testing.assert_array_equal(load_mask(sample, SIZE), filled(triangle))


_ENTITIES = '<!DOCTYPE a [<!ENTITY a "dent">]><annotation><object><name>&a;</name></object></annotation>'
_BAD = {
    "cut off": ("d0", "<annotation><object>", "is not XML"),
    "entities": ("d0", _ENTITIES, "declares a document type"),
    "size": ("d0", _voc(_box(1, 1, 9, 9), size=(64, 48)), "was drawn on 64x48 pixels"),
    "outside": ("d0", _voc(_box(1, 1, 60, 9)), "object 1 has a rectangle from"),
    "no area": ("d0", _voc(_box(1, 1, 9, 9), _box(5, 5, 4, 9)), "object 2 has a rectangle without area"),
    "words": ("d0", _voc(_box(1, 1, 9, 9).replace("9", "wide")), "object 1 has no `bndbox` with numbers"),
    "not finite": ("d0", _voc(_box(1, 1, math.inf, 9)), "pairs of numbers"),
    "turned box": ("d0", _voc("<object><name>dent</name><robndbox/></object>"), "object 1 has no `bndbox`"),
    "no name": ("d0", _voc("<object><bndbox/></object>"), "names the defect None"),
    "digits": (
        "d0",
        _voc(_box(1, 1, 60, 9)).replace("<height>32", "<height>" + "3" * 5000),
        "object 1 has a rectangle from",
    ),
    "no photo": ("absent", _voc(_box(1, 1, 9, 9)), "is a label file without a photo"),
}


@pytest.mark.parametrize("folder", ["images/dent", "annotations"])
@pytest.mark.parametrize("case", _BAD)
def test_a_bad_voc_file_is_one_error(root: Path, case: str, folder: str) -> None:
    """It names the file, the object and the fault."""
    name, text, expected = _BAD[case]
    (root / folder).mkdir(exist_ok=True)
    (root / folder / f"{name}.xml").write_text(text)

    (problem,) = scan_folder(root).problems

    assert (problem.severity, problem.file) == ("error", str(root / folder / f"{name}.xml"))
    assert expected in problem.what


def test_a_voc_file_that_may_mean_two_photos_is_an_error(root: Path) -> None:
    """Two folders have a photo of its name, and it names the defect of neither."""
    (root / "annotations").mkdir()
    (root / "images/scratch").mkdir()
    shutil.copy(root / "images/dent/d0.png", root / "images/scratch/d0.png")
    (root / "annotations/d0.xml").write_text(_voc(_box(1, 1, 9, 9, name="hole")))

    (problem,) = scan_folder(root).problems

    assert "its folder does not tell" in problem.what


def test_other_xml_files_are_no_labels(root: Path) -> None:
    """In the root they may be anything; among the photos they are a warning."""
    (root / "camera.xml").write_text("<camera/>")
    (root / "broken.xml").write_text("<camera>")
    (root / "images/dent/d0.xml").write_text("<camera/>")

    (problem,) = scan_folder(root).problems

    assert (problem.severity, Path(problem.file).name) == ("warning", "d0.xml")
    assert "Pascal VOC" in problem.what


def _labelme(shape: Mapping[str, object]) -> str:
    return json.dumps({"shapes": [{"label": "dent", **shape}], "imageHeight": 32, "imageWidth": 48})


def _png(mask: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()).decode()


def test_circles_and_masks_of_labelme_are_outlines(root: Path) -> None:
    """A circle has a centre and a point on it, and may leave the photo; a mask lies between two corners, both in it."""
    patch = np.zeros((5, 8), bool)
    patch[1:, 2:7] = True
    circle = {"shape_type": "circle", "points": [[4.5, 10.5], [4.5, 18.5]]}
    mask = {"shape_type": "mask", "points": [[12.0, 7.0], [19.0, 11.0]], "mask": _png(patch)}
    for number, shape in enumerate((circle, mask)):
        (root / f"images/dent/d{number}.json").write_text(_labelme(shape))
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    distance = np.hypot(columns - 4.5, rows - 10.5)
    pasted = np.zeros(SIZE, bool)
    pasted[7:12, 12:20] = patch

    scan = scan_folder(root)
    drawn = {Path(s.image_uri).name: load_mask(s, SIZE) for s in scan.samples if s.has_mask}

    assert scan.problems == []
    assert drawn["d0.png"][distance < 7.5].all()
    assert not drawn["d0.png"][distance > 9.5].any()
    np.testing.assert_array_equal(drawn["d1.png"], pasted)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"shape_type": "circle", "points": [[4, 4]]}, "has a circle of 1 points"),
        ({"shape_type": "circle", "points": [[90, 4], [95, 4]]}, "outside the 32x48 pixels"),
        ({"shape_type": "mask", "points": [[1, 1], [4, 4]]}, "no PNG of the size"),
        ({"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": "&"}, "no PNG of the size"),
        ({"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": "bm8="}, "no PNG of the size"),
        ({"shape_type": "mask", "points": [[1, 1], [5, 4]], "mask": _png(np.ones((4, 4)))}, "no PNG of the size"),
        ({"shape_type": "mask", "points": [[46, 1], [49, 4]], "mask": _png(np.ones((4, 4)))}, "is not inside"),
        ({"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": _png(np.zeros((4, 4)))}, "empty mask"),
    ],
)
def test_bad_circles_and_masks_are_one_error(root: Path, shape: Mapping[str, object], expected: str) -> None:
    """Of the file."""
    (root / "images/dent/d0.json").write_text(_labelme(shape))

    (problem,) = scan_folder(root).problems

    assert expected in problem.what
