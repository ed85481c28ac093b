"""Label files in folders of a defect's own, beside that of its photos."""

import json
from pathlib import Path

import pytest

from anogen_core.records import Box
from tests.core.data.reading import flatten, scan_folder

_VOC = "<annotation><object><name>dent</name><bndbox>{}</bndbox></object></annotation>".format(
    "<xmin>7</xmin><ymin>13</ymin><xmax>18</xmax><ymax>20</ymax>"
)
_LABELME = json.dumps(
    {"version": "5.5.0", "shapes": [{"label": "dent", "points": [[6, 12], [18, 20]], "shape_type": "rectangle"}]}
)
_COCO = json.dumps(
    {
        "images": [{"id": 7, "file_name": "d0.png"}],
        "categories": [{"id": 1, "name": "dent"}],
        "annotations": [{"id": 3, "image_id": 7, "category_id": 1, "bbox": [6, 12, 12, 8]}],
    }
)
_LABELS = {
    "labels/d0.txt": "0 0.25 0.5 0.25 0.25\n",
    "Labels/d0.json": _LABELME,
    "labels/d0.xml": _VOC,
    "annotations/d0.xml": _VOC,
    "annotations/d0.json": _LABELME,
    "annotations/coco.json": _COCO,
    "coco.json": _COCO,
    "ann/d0.png.json": _LABELME,
}


@pytest.fixture(params=["", "images"])
def defects(root: Path, request: pytest.FixtureRequest) -> Path:
    """Move the photos of the plain folder `caps` into `images` of each defect; return where the defects are."""
    defects = root / str(request.param)
    for photo in sorted(root.glob("images/*/*.png")):
        place = defects / photo.parent.name / "images"
        place.mkdir(parents=True, exist_ok=True)
        photo.rename(place / photo.name)
    if defects == root:
        for folder in (*root.glob("images/*"), root / "images"):
            folder.rmdir()
    return defects


@pytest.mark.parametrize("place", _LABELS)
def test_a_defect_has_folders_of_its_own_for_labels(root: Path, defects: Path, place: str) -> None:
    """Of every tool; each file is read once."""
    label = defects / "dent" / place
    label.parent.mkdir(exist_ok=True)
    label.write_text(_LABELS[place])

    scan = scan_folder(root)

    assert scan.problems == []
    assert {s.defect for s in scan.samples} == {"good", "dent"}
    labelled = {Path(s.image_uri).name: s.boxes for s in scan.samples if s.is_labelled}
    assert labelled == {"d0.png": (Box(x=6, y=12, width=12, height=8),)}


def test_labels_without_a_photo_in_folders_of_a_defect_are_told(root: Path, defects: Path) -> None:
    """Once, as elsewhere."""
    (defects / "dent/labels").mkdir()
    (defects / "dent/labels/x.txt").write_text(_LABELS["labels/d0.txt"])

    assert [(Path(p.file).name, p.severity) for p in scan_folder(root).problems] == [("x.txt", "error")]


def test_a_file_of_many_photos_beside_those_of_a_split_is_read(root: Path) -> None:
    """Where photos of a split have a folder of their own, it lies beside that."""
    for photo in sorted(root.glob("images/*/*.png")):
        place = root / ("valid" if photo.stem in ("d1", "g1") else "train") / "images"
        place.mkdir(parents=True, exist_ok=True)
        photo.rename(place / photo.name)
    for folder in (*root.glob("images/*"), root / "images"):
        folder.rmdir()
    (root / "train/_annotations.coco.json").write_text(_COCO)

    scan = scan_folder(root)

    assert scan.problems == []
    assert [Path(s.image_uri).name for s in scan.samples if s.defect == "dent"] == ["d0.png"]


@pytest.mark.parametrize("place", ["annotations/d0.json", "annotations/dent/d0.json", "annotations/d0.png.json"])
@pytest.mark.parametrize("flat", [False, True])
def test_labelme_files_may_lie_in_annotations(root: Path, place: str, *, flat: bool) -> None:
    """As those of VOC may, flat or in folders like those of the photos."""
    if flat:
        flatten(root)
        place = place.replace("/dent", "")
    (root / place).parent.mkdir(parents=True)
    (root / place).write_text(_LABELME)

    scan = scan_folder(root)

    assert scan.problems == []
    assert [Path(s.image_uri).name for s in scan.samples if s.is_labelled] == ["d0.png"]


def test_a_labelme_file_in_annotations_without_one_photo_is_an_error(root: Path) -> None:
    """Named like none, or like those of two folders."""
    (root / "annotations").mkdir()
    (root / "images/good/g0.png").rename(root / "images/good/d0.png")
    for name in ("d0", "x"):
        (root / f"annotations/{name}.json").write_text(_LABELME)

    told = {Path(p.file).name: p.what for p in scan_folder(root).problems if p.severity == "error"}

    assert set(told) == {"d0.json", "x.json"}
    assert "its folder does not tell" in told["d0.json"]


@pytest.mark.parametrize("place", ["labels/train/d0.txt", "annotations/train/d0.xml", "annotations/d0.xml"])
def test_labels_of_a_split_whose_photos_lie_in_it_itself(root: Path, place: str) -> None:
    """In folders like those of the splits, or flat."""
    for photo in sorted(root.glob("images/*/*.png")):
        split = root / ("valid" if photo.stem in ("d1", "g1") else "train")
        split.mkdir(exist_ok=True)
        photo.rename(split / photo.name)
    for folder in (*root.glob("images/*"), root / "images"):
        folder.rmdir()
    (root / "classes.txt").write_text("dent\n")
    (root / place).parent.mkdir(parents=True)
    (root / place).write_text(_LABELS["labels/d0.txt"] if place.endswith("txt") else _VOC)

    scan = scan_folder(root)

    assert scan.problems == []
    assert [Path(s.image_uri).name for s in scan.samples if s.defect == "dent"] == ["d0.png"]


@pytest.mark.parametrize("place", ["annotations.csv", "images/_annotations.csv"])
@pytest.mark.parametrize("columns", ["filename,class,xmin,ymin,xmax,ymax", "ImageId_ClassId,EncodedPixels"])
def test_a_table_of_other_columns_is_told(root: Path, place: str, columns: str) -> None:
    """Where nothing else labels the photos, all would be taken for normal; tables of other things are not told."""
    flatten(root)
    (root / place).write_text(f"{columns}\n")
    (root / "metadata.csv").write_text("image,camera,label\n")
    (root / "boxes.csv").write_text("image,defect,x,y,width,height\n")

    (problem,) = scan_folder(root).problems

    assert (problem.severity, problem.file) == ("warning", str(root / place))
    assert "columns of another kind of labels" in problem.what
