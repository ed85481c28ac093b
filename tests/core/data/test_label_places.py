"""Where label files lie in datasets of the field, and where photos do: what `anogen init` writes reads them."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.data.problems import Problem
from anogen_core.errors import InputError
from anogen_core.run_file import write_run_file
from tests.core.data.reading import scan_as_init

_SIZE = (32, 48)
_YOLO = "0 0.3 0.4 0.2 0.2\n"
_LABELME = json.dumps({"shapes": [{"label": "crack", "points": [[6, 12], [18, 20]], "shape_type": "rectangle"}]})
_VOC = "<annotation><object><name>{}</name><bndbox>{}</bndbox></object></annotation>".format(
    "crack", "<xmin>7</xmin><ymin>13</ymin><xmax>18</xmax><ymax>20</ymax>"
)
_TEXTS = {".txt": _YOLO, ".json": _LABELME, ".xml": _VOC}
_GOOD, _CRACK = 6, 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory."""
    root = tmp_path / "welds"
    root.mkdir()
    return root


def _photos(place: str, root: Path, *, count: int) -> Iterator[Path]:
    """Write photos to <place>, in which {} is their number."""
    for number in range(count):
        path = root / place.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng([number, *place.encode()]).integers(0, 256, (*_SIZE, 3), dtype=np.uint8)
        cv2.imwrite(str(path), noise)
        yield path


def _labels(place: str, root: Path) -> None:
    for number in range(_CRACK):
        path = root / place.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_TEXTS[path.suffix])


def _read(root: Path) -> tuple[Counter[tuple[str, bool]], list[Problem]]:
    """Return how many photos of each defect there are with a label and without, read by what `anogen init` writes."""
    scan = scan_as_init(root)
    return Counter((s.defect, s.is_labelled) for s in scan.samples), scan.problems


@pytest.mark.parametrize(
    ("good", "crack", "labels"),
    [
        # LabelMe in a folder of its own
        ("good/g{}.jpg", "crack/{}.jpg", "json/{}.json"),
        ("good/g{}.jpg", "crack/{}.jpg", "crack/json/{}.json"),
        ("images/g{}.jpg", "images/{}.jpg", "json/{}.json"),
        ("images/good/{}.jpg", "images/crack/{}.jpg", "json/crack/{}.json"),
        ("train/images/g{}.jpg", "valid/images/{}.jpg", "valid/json/{}.json"),
        # labels in or above folders of defects
        ("good/g{}.jpg", "crack/{}.jpg", "crack/labels/{}.txt"),
        ("good/g{}.jpg", "crack/{}.jpg", "crack/annotations/{}.xml"),
        ("images/good/g{}.jpg", "images/crack/{}.jpg", "images/labels/{}.txt"),
        # flat labels of YOLO, and photos in folders; and the other way round
        ("images/good/g{}.jpg", "images/crack/{}.jpg", "labels/{}.txt"),
        ("images/train/g{}.jpg", "images/valid/{}.jpg", "labels/{}.txt"),
        ("train/g{}.jpg", "valid/{}.jpg", "labels/{}.txt"),
        ("train/images/g{}.jpg", "valid/images/{}.jpg", "labels/{}.txt"),
        ("images/g{}.jpg", "images/{}.jpg", "labels/train/{}.txt"),
        # datasets as they are downloaded: GC10-DET (with photos put together), NEU-DET of Kaggle, YOLO of CVAT
        ("images/g{}.jpg", "images/{}.jpg", "lable/{}.xml"),
        ("train/images/good/g{}.jpg", "validation/images/crack/{}.jpg", "validation/annotations/{}.xml"),
        ("obj_train_data/g{}.jpg", "obj_train_data/{}.jpg", "obj_train_data/{}.txt"),
    ],
)
@pytest.mark.parametrize("classes", ["dataset.yaml", "obj.names"])
def test_labels_lie_in_folders_beside_the_photos_or_above(
    root: Path, good: str, crack: str, labels: str, classes: str
) -> None:
    """Whatever names the classes of YOLO; each file is read once."""
    assert len([*_photos(good, root, count=_GOOD), *_photos(crack, root, count=_CRACK)]) == _GOOD + _CRACK
    _labels(labels, root)
    (root / classes).write_text("names: [crack]\n" if classes.endswith(".yaml") else "crack\n")

    assert _read(root) == ({("good", False): _GOOD, ("crack", True): _CRACK}, [])


@pytest.mark.parametrize("images", ["", "images/"])
def test_splits_of_coco_have_a_year(root: Path, images: str) -> None:
    """As `train2017`, `val2017` and `annotations/instances_train2017.json` do."""
    for split in ("train2017", "val2017"):
        names = [p.name for p in _photos(f"{images}{split}/{split}_{{}}.jpg", root, count=5)]
        entries = [{"id": number, "file_name": name} for number, name in enumerate(names)]
        drawn = [{"id": 1, "image_id": number, "category_id": 1, "bbox": [6, 12, 12, 8]} for number in (0, 1)]
        document = {"images": entries, "annotations": drawn, "categories": [{"id": 1, "name": "crack"}]}
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(document))

    assert _read(root) == ({("good", False): 6, ("crack", True): 4}, [])


def test_files_that_name_classes_otherwise_are_an_error(root: Path) -> None:
    """Beside `data.yaml` no other one counts; a YAML file without names never does."""
    list(_photos("images/{}.jpg", root, count=_CRACK))
    _labels("labels/{}.txt", root)
    (root / "a.yaml").write_text("names: {0: crack}\n")
    (root / "b.yml").write_text("names: [hole]\n")
    (root / "run.yaml").write_text("name: welds\n")

    _, problems = _read(root)
    (root / "data.yaml").write_text("names: [crack]\n")
    found, none = _read(root)

    assert [(p.file, p.what) for p in problems] == [
        (str(root / "a.yaml"), "names other classes than b.yml beside it: keep one of them.")
    ]
    assert (found, none) == ({("crack", True): _CRACK}, [])


def test_folders_of_other_names_are_not_searched_where_there_are_labels_or_masks(root: Path) -> None:
    """Masks may have been drawn from older files there; other JSON files of such a folder are nobody's labels."""
    list(_photos("images/crack/{}.jpg", root, count=_CRACK))
    list(_photos("images/good/g{}.jpg", root, count=_GOOD))
    (root / "json").mkdir()
    (root / "json/notes.json").write_text("{}")

    none = _read(root)
    _labels("json/{}.json", root)
    for number in range(_CRACK):
        text = (root / f"json/{number}.json").read_text()
        (root / f"json/{number}.json").write_text(text.replace("crack", "Crack 1"))
    _labels("labels/crack/{}.txt", root)

    assert none == ({("good", False): _GOOD, ("crack", False): _CRACK}, [])
    assert _read(root) == ({("good", False): _GOOD, ("crack", True): _CRACK}, [])


def test_a_flat_label_that_may_be_about_two_photos_is_an_error(root: Path) -> None:
    """As everywhere where a folder does not tell."""
    for folder in ("good", "crack"):
        list(_photos(f"images/{folder}/{{}}.jpg", root, count=1))
    (root / "labels").mkdir()
    (root / "labels/0.txt").write_text(_YOLO)

    (problem,) = _read(root)[1]

    assert (problem.severity, Path(problem.file).name) == ("error", "0.txt")
    assert "its folder does not tell" in problem.what


def test_kinds_of_defects_without_normal_photos_say_that_these_are_needed(root: Path, tmp_path: Path) -> None:
    """As in GC10-DET as it is downloaded."""
    for kind in ("1", "2"):
        list(_photos(f"{kind}/img_{kind}_{{}}.jpg", root, count=2))
    _labels("lable/img_1_{}.xml", root)

    with pytest.raises(InputError, match=r"photos of normal parts, which are needed, too.*call that .* good\.$"):
        write_run_file(tmp_path / "run.yaml", root)


@pytest.mark.parametrize("inside", ["", "audiojack"])
def test_the_folders_of_real_iad_are_told_how_to_be_laid_out(root: Path, tmp_path: Path, inside: str) -> None:
    """With the category's folder, and what its photos are."""
    list(_photos("audiojack/OK/S0001/{}.jpg", root, count=2))
    list(_photos("audiojack/NG/BX/S0002/{}.jpg", root, count=2))
    (root / "realiad_jsons").mkdir()
    (root / "realiad_jsons/audiojack.json").write_text("{}")

    with pytest.raises(InputError, match=r"audiojack holds OK and NG of the dataset Real-IAD.* <folder>/good"):
        write_run_file(tmp_path / "run.yaml", root / inside)


def test_flat_labels_are_about_photos_in_no_folder_first(root: Path) -> None:
    """A normal photo in a folder may have the name of one."""
    list(_photos("images/{}.jpg", root, count=_CRACK))
    list(_photos("images/good/{}.jpg", root, count=_GOOD))
    _labels("ann/{}.json", root)

    assert _read(root) == ({("good", False): _GOOD, ("crack", True): _CRACK}, [])
