"""Labels as LabelMe, YOLO and COCO tools write them, read by the plain folder's reader."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from anogen_core.data import FolderReaderSettings, MvtecReaderSettings
from anogen_core.data.frame import load_mask
from anogen_core.data.labels.coco import _decompress
from anogen_core.outline import encode_outline
from anogen_core.records import Box, Sample
from anogen_core.run_file import write_run_file
from anogen_core.stages.detection import _labelled
from tests.core.data.reading import SIZE, audited, filled, scan_folder

_HEADING = "image,defect,x,y,width,height\n"
_TRIANGLE = [[10.2, 5.7], [30.9, 5.1], [20.0, 20.5]]


def _sample(root: Path, name: str) -> Sample:
    return next(s for s in scan_folder(root).samples if Path(s.image_uri).name == name)


def _labelme(*shapes: dict[str, Any], **more: Any) -> str:
    return json.dumps({"version": "5.5.0", "shapes": list(shapes), "imageHeight": 32, "imageWidth": 48, **more})


def _rectangle(*points: list[float], label: str = "dent") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": "rectangle"}


def _polygon(points: list[list[float]], label: str = "dent") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": "polygon"}


def _coco(*annotations: dict[str, Any], name: str = "d0.png") -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": name, "height": 32, "width": 48}, {"id": 8, "file_name": "g0.png"}],
        "categories": [{"id": 1, "name": "dent"}, {"id": 2, "name": "scratch"}],
        "annotations": [{"id": 3 + i, "image_id": 7, "category_id": 1, **a} for i, a in enumerate(annotations)],
    }


def test_labelme_rectangles_are_boxes_and_polygons_masks(root: Path) -> None:
    """Corners in any order go to whole pixels; a polygon covers the pixels that its points and sides fall on."""
    dent = root / "images/dent"
    (dent / "d0.json").write_text(_labelme(_rectangle([30.2, 9.6], [10, 4]), _rectangle([0, 0], [48.4, 1])))
    (dent / "d1.json").write_text(_labelme(_polygon(_TRIANGLE), _polygon([[0, 0], [48, 0], [48, 3]])))

    scan = scan_folder(root)
    boxed, drawn = (_sample(root, name) for name in ("d0.png", "d1.png"))

    assert scan.problems == []
    assert boxed.boxes == (Box(x=10, y=4, width=20, height=6), Box(x=0, y=0, width=48, height=1))
    assert not boxed.has_mask
    assert drawn.has_mask
    assert drawn.boxes == ()
    np.testing.assert_array_equal(load_mask(drawn, SIZE), filled(_TRIANGLE, [[0, 0], [47, 0], [47, 3]]))


@pytest.fixture(params=["train/images", "images/train"])
def splits(request: pytest.FixtureRequest, root: Path) -> Callable[[str, str], Path]:
    """Move the photos of `caps` to `train` and `valid` with two classes; return the folder of a split's files."""

    def folder(split: str, kind: str) -> Path:
        parts = str(request.param).replace("train", split).replace("images", kind)
        return root / parts

    for split in ("train", "valid"):
        for kind in ("images", "labels"):
            folder(split, kind).mkdir(parents=True)
    for photo in sorted((root / "images").glob("*/[dg]?.png")):
        photo.rename(folder("valid" if photo.stem in ("d3", "g9") else "train", "images") / photo.name)
    for old in ("images/good", "images/dent"):
        (root / old).rmdir()
    if not list((root / "images").iterdir()):
        (root / "images").rmdir()
    for split, name, number in (("train", "d0", 1), ("train", "d1", 0), ("train", "d2", 1), ("valid", "d3", 1)):
        (folder(split, "labels") / f"{name}.txt").write_text(f"{number} 0.25 0.5 0.25 0.25\n")
    (folder("train", "labels") / "g0.txt").touch()
    (root / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnc: 2\nnames: [hole, dent]\n")
    (root / "README.dataset.txt").write_text("exported")
    return folder


def test_splits_of_coco_are_put_together(root: Path, tmp_path: Path) -> None:
    """Photos lie beside the file of their split; a category without annotations is no defect."""
    for name, photos, marked in (("train", ("d0", "d1", "g0", "g1"), 2), ("valid", ("d2", "g2"), 1)):
        split = root / name
        split.mkdir()
        for photo in photos:
            next((root / "images").glob(f"*/{photo}.png")).rename(split / f"{photo}.png")
        document = {
            "categories": [{"id": 0, "name": "caps"}, {"id": 1, "name": "dent", "supercategory": "caps"}],
            "images": [{"id": i, "file_name": f"{p}.png", "height": 32, "width": 48} for i, p in enumerate(photos)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 1, "bbox": [6, 12, 12, 8], "segmentation": []}
                for i in range(marked)
            ],
        }
        (split / "_annotations.coco.json").write_text(json.dumps(document))
    shutil.rmtree(root / "images")

    scan = scan_folder(root)

    assert scan.problems == []
    assert Counter(s.defect for s in scan.samples) == {"good": 3, "dent": 3}
    assert _sample(root, "d2.png").boxes == (Box(x=6, y=12, width=12, height=8),)
    assert write_run_file(tmp_path / "run.yaml", root)[0] == "caps: 3 normal photos; dent 3"


@pytest.mark.usefixtures("splits")
def test_splits_of_yolo_tools_are_put_together(root: Path, tmp_path: Path) -> None:
    """The classes are the defects, the splits are none; `init` knows the layout."""
    scan = scan_folder(root)

    assert scan.problems == []
    assert Counter(s.defect for s in scan.samples) == {"good": 10, "dent": 3, "hole": 1}
    assert _sample(root, "d3.png").boxes == (Box(x=6, y=12, width=12, height=8),)
    assert {s.split for s in scan.samples if s.defect == "dent"} == {"test"}
    assert [p for p in audited(FolderReaderSettings(root=str(root)), shots=1) if p.severity == "error"] == []
    assert write_run_file(tmp_path / "run.yaml", root)[0] == "caps: 10 normal photos; dent 3, hole 1"


@pytest.mark.usefixtures("splits")
def test_photos_of_several_defects_are_combined(root: Path, tmp_path: Path) -> None:
    """They are tested with all that is labelled; of each defect they show what is labelled of it."""
    for photo in (*root.rglob("d0.png"), *root.rglob("d3.png")):
        label = next(root.rglob(f"{photo.stem}.txt"))
        label.write_text("0 0.25 0.5 0.25 0.25\n1 0.75 0.5 0.25 0.25\n")

    scan = scan_folder(root)

    assert scan.problems == []
    assert Counter(s.defect for s in scan.samples) == {"good": 10, "dent": 1, "hole": 1, "combined": 2}
    whole = _sample(root, "d0.png")
    left, right = Box(x=6, y=12, width=12, height=8), Box(x=30, y=12, width=12, height=8)
    assert (whole.sample_id, whole.boxes) == ("caps/test/combined/d0", (left, right))
    shown = {defect: whole.showing(defect) for defect in whole.defects}
    assert {defect: s.boxes for defect, s in shown.items() if s} == {"hole": (left,), "dent": (right,)}
    assert whole.showing("crack") is None
    told = write_run_file(tmp_path / "run.yaml", root)[0]
    assert told == "caps: 10 normal photos; dent 3, hole 3; 2 photos show several defects"


def test_every_tool_tells_several_defects_apart(root: Path) -> None:
    """Outlines, boxes and both, in LabelMe's files, COCO's and the table; the folder names one of them."""
    dent, hole = _polygon(_TRIANGLE), _rectangle([40, 20], [44, 30], label="hole")
    (root / "images/dent/d0.json").write_text(_labelme(dent, hole))
    (root / "boxes.csv").write_text(f"{_HEADING}dent/d1.png,dent,1,2,3,4\ndent/d1.png,hole,9,9,3,4\n")
    boxes: list[dict[str, Any]] = [{"bbox": [1, 2, 3, 4]}, {"bbox": [9, 9, 3, 4], "category_id": 2}]
    (root / "annotations").mkdir()
    (root / "annotations/some.json").write_text(json.dumps(_coco(*boxes, name="d2.png")))

    scan = scan_folder(root)

    assert [p.severity for p in scan.problems] == ["warning"]  # boxes beside outlines
    whole = _sample(root, "d0.png")
    samples = {defect: whole.showing(defect) or whole for defect in whole.defects}
    assert samples["hole"].boxes == (Box(x=40, y=20, width=4, height=10),)
    assert samples["hole"].labelled_by_boxes
    np.testing.assert_array_equal(load_mask(samples["dent"], SIZE), filled(_TRIANGLE))
    np.testing.assert_array_equal(load_mask(whole, SIZE), filled(_TRIANGLE) | load_mask(samples["hole"], SIZE))
    assert _sample(root, "d1.png").defects == ("dent", "hole")
    assert _sample(root, "d2.png").defects == ("dent", "scratch")


def test_a_folder_of_another_defect_than_the_label_is_an_error(root: Path) -> None:
    """A photo of several defects may lie in the folder of one of them, not in one of another or of good ones."""
    for photo in ("dent/d0.png", "good/g0.png"):
        rows = f"{photo},hole,1,2,3,4\n{photo},crack,9,9,3,4\n"
        (root / "boxes.csv").write_text(_HEADING + rows)
        assert [Path(p.file).name for p in scan_folder(root).problems if p.severity == "error"] == [Path(photo).name]


@pytest.mark.parametrize(
    ("folder", "label", "expected"),
    [
        ("bad", "scratch", "scratch"),
        ("NG", "scratch", "scratch"),
        ("dent", "defect", "dent"),
        ("defective", "anomaly", "anomaly"),
        ("bad", None, "bad"),
    ],
)
def test_the_name_of_a_kind_goes_before_one_that_says_defective(
    root: Path, folder: str, label: str | None, expected: str
) -> None:
    """In a folder of all defective photos label files say the kinds; a photo with several is of several."""
    bad = (root / "images/dent").rename(root / "images" / folder)
    for number in range(4 if label else 0):
        (bad / f"d{number}.json").write_text(_labelme(_rectangle([0, 0], [9, 9], label=label or "")))
    (bad / "d3.json").write_text(_labelme(*(_rectangle([0, 0], [9, 9], label=name) for name in ("hole", "burr"))))

    scan = scan_folder(root)

    assert [p.severity for p in scan.problems] == (["error"] if folder == "dent" else [])
    shown = {Path(s.image_uri).stem: s.defect for s in scan.samples if s.defect != "good"}
    assert [shown[f"d{number}"] for number in range(3)] == [expected] * 3
    if folder != "dent":
        assert _sample(root, "d3.png").defects == ("burr", "hole")


def test_a_label_that_says_defective_of_a_photo_in_good_is_an_error(root: Path) -> None:
    """As any other there: somebody is wrong."""
    (root / "images/good/g0.json").write_text(_labelme(_rectangle([0, 0], [9, 9], label="defect")))

    assert [p.severity for p in scan_folder(root).problems] == ["error"]


def test_splits_that_do_not_fit_are_errors(root: Path, splits: Callable[[str, str], Path]) -> None:
    """Labels of a split without a photo or a class."""
    (splits("valid", "labels") / "d0.txt").write_text("0 0.25 0.5 0.25 0.25\n")
    (splits("valid", "labels") / "d3.txt").write_text("2 0.25 0.5 0.25 0.25\n")

    problems = {Path(p.file): p for p in scan_folder(root).problems}

    assert {p.severity for p in problems.values()} == {"error"}
    assert len(problems) == 2
    assert "without a photo" in problems[splits("valid", "labels") / "d0.txt"].what
    assert "class 2, which is not among the 2" in problems[splits("valid", "labels") / "d3.txt"].what


def test_photos_of_two_splits_may_have_one_name(root: Path, splits: Callable[[str, str], Path]) -> None:
    """The label in a split's own folder is that of its photo; one in the other's folder is not."""
    shutil.copy(splits("train", "images") / "g1.png", splits("valid", "images") / "d1.png")
    shutil.copy(splits("train", "images") / "g2.png", splits("valid", "images") / "d2.png")
    (splits("valid", "labels") / "d1.txt").write_text("1 0.25 0.5 0.25 0.25\n")

    scan = scan_folder(root)

    assert scan.problems == []
    of_split = {
        Path(s.image_uri).relative_to(root).as_posix().replace("images", "").strip("/"): s for s in scan.samples
    }
    shown = {name.replace("//", "/"): sample.defect for name, sample in of_split.items()}
    assert [shown[f"{split}/d{i}.png"] for split in ("train", "valid") for i in (1, 2)] == [
        "hole",
        "dent",
        "dent",
        "good",
    ]


def test_boxes_beside_outlines_count_whole(root: Path) -> None:
    """The mask holds both, which is a warning."""
    (root / "images/dent/d0.json").write_text(_labelme(_polygon(_TRIANGLE), _rectangle([40, 20], [44, 30])))

    (problem,) = scan_folder(root).problems

    expected = filled(_TRIANGLE)
    expected[20:30, 40:44] = True
    np.testing.assert_array_equal(load_mask(_sample(root, "d0.png"), SIZE), expected)
    assert (problem.severity, Path(problem.file).name) == ("warning", "d0.json")


@pytest.mark.parametrize("folder", ["images/dent", "labels/dent"])
def test_yolo_labels_lie_beside_photos_or_in_a_tree_of_labels(root: Path, folder: str) -> None:
    """Lines of five numbers are boxes, longer ones outlines; in the folder of a defect numbers need no names."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "d0.txt").write_text("0 0.25 0.5 0.25 0.25\n\n0 0.989584 0.5 0.020834 1\n")
    outline = " ".join(f"{x / 48:.6f} {y / 32:.6f}" for x, y in _TRIANGLE)
    (root / folder / "d1.txt").write_text(f"0 {outline}\n")

    assert scan_folder(root).problems == []
    assert _sample(root, "d0.png").boxes == (Box(x=6, y=12, width=12, height=8), Box(x=47, y=0, width=1, height=32))
    np.testing.assert_array_equal(load_mask(_sample(root, "d1.png"), SIZE), filled(_TRIANGLE))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "names: [scratch, dent]\n"),
        ("data.yaml", "names:\n  0: scratch\n  1: dent\n"),
        ("classes.txt", "scratch\ndent\n"),
        ("images/classes.txt", "scratch\ndent\n"),
        ("labels/classes.txt", "scratch\ndent\n"),
    ],
)
def test_class_names_say_the_defect_of_photos_without_a_folder(root: Path, file: str, text: str) -> None:
    """Photos whose label file is empty or not there are normal."""
    images = root / "images"
    for photo in [*images.glob("*/*.png")]:
        photo.rename(images / photo.name)
    (root / "labels").mkdir()
    (root / file).write_text(text)
    for number in range(4):
        (root / f"labels/d{number}.txt").write_text(f"{number % 2} 0.5 0.5 0.5 0.5\n")
    (root / "labels/g0.txt").write_text("")

    scan = scan_folder(root)

    assert scan.problems == []
    defects = {Path(s.image_uri).stem: s.defect for s in scan.samples if s.defect != "good"}
    assert defects == {"d0": "scratch", "d1": "dent", "d2": "scratch", "d3": "dent"}


def test_classes_of_good_parts_are_no_defects(root: Path) -> None:
    """A photo with such shapes alone is normal; beside others they count for nothing, in files and in the table."""
    images = root / "images"
    for photo in [*images.glob("*/*.png")]:
        photo.rename(images / photo.name)
    (root / "data.yaml").write_text("names: [Bad Weld, Good Weld]\n")
    (images / "d0.txt").write_text("1 0.5 0.5 1 1\n0 0.5 0.5 0.5 0.5\n")
    (images / "g0.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (root / "boxes.csv").write_text(_HEADING + "d1.png,OK,0,0,40,30\nd1.png,dent,4,4,5,5\ng1.png,OK,0,0,40,30\n")

    scan = scan_folder(root)

    assert scan.problems == []
    labelled = {Path(s.image_uri).stem: (s.defect, s.boxes) for s in scan.samples if s.defect != "good"}
    assert labelled == {
        "d0": ("Bad Weld", (Box(x=12, y=8, width=24, height=16),)),
        "d1": ("dent", (Box(x=4, y=4, width=5, height=5),)),
    }


@pytest.mark.parametrize(
    "file",
    ["instances.json", "annotations/instances_train.json", "images/_annotations.coco.json", "images/dent/a.json"],
)
@pytest.mark.parametrize("name", ["d0.png", "images/dent/d0.png", "train/d0.png"])
def test_a_coco_file_is_about_all_photos(root: Path, file: str, name: str) -> None:
    """It may lie in several places and name photos by path or name; a segmentation comes before its bounding box."""
    (root / "annotations").mkdir()
    flat = [value for point in _TRIANGLE for value in point]
    (root / file).write_text(json.dumps(_coco({"bbox": [1, 2, 3, 4], "segmentation": [flat]}, name=name)))

    assert scan_folder(root).problems == []
    np.testing.assert_array_equal(load_mask(_sample(root, "d0.png"), SIZE), filled(_TRIANGLE))
    (root / file).write_text(json.dumps(_coco({"bbox": [1, 2, 3.2, 4]}, {"bbox": [9, 9, 2, 2], "segmentation": []})))
    assert _sample(root, "d0.png").boxes == (Box(x=1, y=2, width=3, height=4), Box(x=9, y=9, width=2, height=2))


@pytest.mark.parametrize("compressed", [False, True])
def test_run_lengths_of_coco_are_masks(root: Path, compressed: bool) -> None:  # noqa: FBT001
    """As lists of numbers and in COCO's compressed form; holes stay holes."""
    mask = filled(_TRIANGLE)
    mask[8:10, 18:22] = False
    counts = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode() if compressed else None
    segmentation = {"size": [32, 48], "counts": counts or list(encode_outline(mask))}
    (root / "coco.json").write_text(json.dumps(_coco({"segmentation": segmentation})))

    assert scan_folder(root).problems == []
    np.testing.assert_array_equal(load_mask(_sample(root, "d0.png"), SIZE), mask)


@given(arrays(bool, st.tuples(st.integers(1, 70), st.integers(1, 40))))
def test_compressed_run_lengths_are_those_of_pycocotools(mask: np.ndarray) -> None:
    """Of any mask."""
    counts = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()

    assert tuple(_decompress(counts)) == encode_outline(mask)


_BAD = {
    "cut off": ("images/dent/d0.json", '{"shapes": [', "not JSON"),
    "bytes": ("images/dent/d0.json", "\udcff\udcfe", "not text in UTF-8"),
    "shape type": ("images/dent/d0.json", _labelme({**_rectangle([1, 1], [2, 2]), "shape_type": "point"}), "'point'"),
    "outside": ("images/dent/d0.json", _labelme(_rectangle([1, 1], [60, 2])), "outside the 32x48 pixels"),
    "no area": ("images/dent/d0.json", _labelme(_rectangle([1, 1], [1, 5])), "without area"),
    "too few": ("images/dent/d0.json", _labelme(_polygon([[1, 1], [2, 2]])), "3 are needed"),
    "words": ("images/dent/d0.json", _labelme(_polygon([[1, 1], [2, 2], [3, "x"]])), "pairs of numbers"),  # type: ignore[list-item]
    "not finite": ("images/dent/d0.json", _labelme(_polygon([[1, 1], [2, 2], [3, float("nan")]])), "pairs of numbers"),
    "no label": ("images/dent/d0.json", _labelme({"points": [[1, 1], [9, 9]], "shape_type": "rectangle"}), "None"),
    "size": ("images/dent/d0.json", _labelme(_rectangle([1, 1], [9, 9]), imageHeight=64), "drawn on 64x48"),
    "text": ("images/dent/d0.txt", "a dent at the left\n", "line 1 is no YOLO label"),
    "six": ("images/dent/d0.txt", "0 0.5 0.5 0.1 0.1 0.9\n", "line 1 is no YOLO label"),
    "pixels": ("images/dent/d0.txt", "0 0.5 0.5 0.1 0.1\n0 20 12 5 5\n", "line 2 has a rectangle from"),
    "coco image": ("c.json", json.dumps(_coco({"bbox": [1, 1, 2, 2]}, name="absent.png")), "absent.png (no photo)"),
    "coco id": ("c.json", json.dumps(_coco({"bbox": [1, 1, 2, 2], "image_id": 9})), "the image 9"),
    "coco class": ("c.json", json.dumps(_coco({"bbox": [1, 1, 2, 2], "category_id": 9})), "the category 9"),
    "coco entry": ("c.json", json.dumps({**_coco({}), "categories": [{"id": 1}]}), "no 'name'"),
    "coco shape": ("c.json", json.dumps(_coco({"bbox": [1, 1, 2]})), "annotation 3 has neither"),
    "coco runs": ("c.json", json.dumps(_coco({"segmentation": {"size": [32, 48], "counts": [5, 6]}})), "do not fill"),
    "coco text": ("c.json", json.dumps(_coco({"segmentation": {"size": [32, 48], "counts": "o"}})), "do not fill"),
    "coco large": ("c.json", json.dumps(_coco({"segmentation": {"size": [9**9, 9], "counts": [9**10]}})), "drawn on"),
}


@pytest.mark.parametrize("case", _BAD)
def test_a_bad_label_file_is_one_error(root: Path, case: str) -> None:
    """It names the file and the fault, and the photo is not said to have no label."""
    file, text, expected = _BAD[case]
    for number in range(1, 4):
        (root / f"images/dent/d{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (root / file).write_bytes(text.encode("utf-8", "surrogateescape"))

    (problem,) = audited(FolderReaderSettings(root=str(root)), shots=1)

    assert (problem.severity, problem.file) == ("error", str(root / file))
    assert expected in problem.what


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(None, "there is no classes.txt or data.yaml"), ("scratch\n", "class 1, which is not among the 1 of")],
)
def test_a_class_without_a_name_is_an_error(root: Path, classes: str | None, expected: str) -> None:
    """Where no folder says the defect, or the number is beyond the list."""
    (root / "images/x.png").write_bytes((root / "images/dent/d0.png").read_bytes())
    (root / "images/x.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    if classes is not None:
        (root / "classes.txt").write_text(classes)

    (problem,) = scan_folder(root).problems

    assert problem.file == str(root / "images/x.txt")
    assert expected in problem.what


@pytest.mark.parametrize(("file", "text"), [("classes.txt", "\n"), ("data.yaml", "train: [\n"), ("data.yaml", "nc: 2")])
def test_class_names_that_cannot_be_read_are_one_error(root: Path, file: str, text: str) -> None:
    """It is told once, of the file itself."""
    (root / file).write_text(text)
    for number in range(4):
        (root / f"images/dent/d{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")

    assert [p.file for p in scan_folder(root).problems] == [str(root / file)]


def test_label_files_without_a_photo_are_told(root: Path) -> None:
    """An error where it is clearly a label, a warning where it may be anything; foreign files in the root are none."""
    (root / "labels/dent").mkdir(parents=True)
    (root / "labels/dent/absent.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (root / "images/dent/absent.json").write_text(_labelme(_rectangle([1, 1], [2, 2])))
    for name in ("images/dent/notes.txt", "images/dent/d0.json", "camera.json", "notes.txt"):
        (root / name).write_text("{}")

    told = {Path(p.file).name: p.severity for p in scan_folder(root).problems}

    assert told == {"absent.txt": "error", "absent.json": "error", "notes.txt": "warning", "d0.json": "warning"}


def test_labels_that_disagree_with_the_folder_are_errors(root: Path) -> None:
    """In the folder of another defect, and in that of normal photos."""
    (root / "images/dent/d0.json").write_text(_labelme(_rectangle([1, 1], [9, 9], label="scratch")))
    (root / "images/good/g0.json").write_text(_labelme(_rectangle([1, 1], [9, 9])))
    (root / "images/good/g1.json").write_text(_labelme())
    (root / "images/good/g2.txt").write_text("")

    problems = {Path(p.file).name: p.what for p in scan_folder(root).problems}

    assert sorted(problems) == ["d0.png", "g0.png"]
    assert "dent and scratch by its folder and labels (d0.json)" in problems["d0.png"]


def test_labels_in_two_files_are_an_error_and_a_mask_comes_first(root: Path) -> None:
    """Nothing says which file counts; a mask image does, as before a table of boxes."""
    label = _labelme(_rectangle([1, 1], [9, 9]))
    for name in ("d0", "d1"):
        (root / f"images/dent/{name}.json").write_text(label)
        (root / f"images/dent/{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (root / "masks/dent").mkdir(parents=True)
    cv2.imwrite(str(root / "masks/dent/d1.png"), np.full(SIZE, 255, np.uint8))

    (problem,) = scan_folder(root).problems

    assert Path(problem.file).name == "d0.png"
    assert "d0.json and d0.txt" in problem.what
    assert _sample(root, "d1.png").mask_uri is not None
    assert _sample(root, "d1.png").boxes == ()


def test_a_changed_outline_changes_what_is_evaluated(root: Path) -> None:
    """The label is part of what the key of an evaluation is made from."""
    file = root / "images/dent/d0.json"
    identities = []
    for points in (_TRIANGLE, [*_TRIANGLE[:2], [20.0, 25.5]]):
        file.write_text(_labelme(_polygon(points)))
        identities.append(_labelled(_sample(root, "d0.png")))

    assert identities[0] != identities[1]


def test_labels_of_a_damaged_photo_are_no_second_problem(root: Path) -> None:
    """What is wrong is the photo."""
    for number in range(4):
        (root / f"images/dent/d{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    photo = root / "images/dent/d0.png"
    photo.write_bytes(photo.read_bytes()[:20])

    assert [p.file for p in audited(FolderReaderSettings(root=str(root)), shots=1)] == [str(photo)]


def test_the_layout_of_mvtec_ad_says_that_label_files_are_not_read(mvtec_root: Path) -> None:
    """One warning for a folder."""
    for name in ("000", "001"):
        (mvtec_root / f"bottle/test/crack/{name}.json").write_text(_labelme())

    (problem,) = MvtecReaderSettings(root=str(mvtec_root)).build().scan().problems

    assert (problem.severity, problem.file) == ("warning", str(mvtec_root / "bottle/test/crack"))
    assert "not read in this layout" in problem.what
