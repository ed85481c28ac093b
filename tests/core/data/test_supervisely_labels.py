"""Labels as Supervisely exports them, and tables of run lengths."""

import base64
import io
import json
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anogen_core.data.frame import load_mask
from anogen_core.records import COMBINED, GOOD, Box
from anogen_core.run_file import write_run_file
from tests.core.data.reading import SIZE, filled, flatten, samples_of, scan_folder

_TRIANGLE = [[10.0, 5.0], [30.0, 5.0], [20.0, 20.0]]


def _object(kind: str, *exterior: Sequence[float], label: str = "dent", interior: Sequence[Any] = ()) -> dict[str, Any]:
    about = {"id": 86, "classId": 16, "labelerLogin": "a", "tags": [], "classTitle": label, "geometryType": kind}
    return {**about, "points": {"exterior": list(exterior), "interior": list(interior)}}


def _bitmap(mask: np.ndarray, x: int, y: int, *, mode: str = "P") -> dict[str, Any]:
    """Return a bitmap as Supervisely's own code writes it, with a palette, or as its pages do, with alpha."""
    image, stream = Image.fromarray(mask.astype(np.uint8), "P"), io.BytesIO()
    image.putpalette([0, 0, 0, 255, 255, 255] if mode == "P" else [255, 0, 0] * 2)
    image.info["transparency"] = 0
    image.convert(mode).save(stream, "PNG", **({"transparency": 0} if mode == "P" else {}))
    return _packed(stream.getvalue(), x, y)


def _packed(png: bytes, x: object = 1, y: object = 1) -> dict[str, Any]:
    data = base64.b64encode(zlib.compress(png)).decode()
    return {**_object("bitmap"), "bitmap": {"data": data, "origin": [x, y]}}


def _annotate(root: Path, name: str, *objects: dict[str, Any], size: tuple[int, int] = SIZE) -> None:
    root.mkdir(parents=True, exist_ok=True)
    document = {"description": "", "tags": [], "size": {"height": size[0], "width": size[1]}, "objects": objects}
    (root / f"{name}.json").write_text(json.dumps(document))


@pytest.mark.parametrize("datasets", [("",), ("ds0/", "pressed caps/")])
def test_every_object_of_a_project(root: Path, tmp_path: Path, datasets: Sequence[str]) -> None:
    """Rectangles, polygons with holes and bitmaps; data sets are put together, and `init` knows the layout."""
    photos = sorted((root / "images").glob("*/*.png"))
    for number, photo in enumerate(photos):
        folder = root / datasets[number % len(datasets)] / "img"
        folder.mkdir(parents=True, exist_ok=True)
        photo.rename(folder / photo.name)
        _annotate(folder.parent / "ann", photo.name)
    shutil.rmtree(root / "images")
    (root / "meta.json").write_text('{"classes": [{"title": "dent", "shape": "any"}], "tags": []}')
    place = {name: next(root.rglob(f"{name}.json")).parent for name in ("d0.png", "d1.png", "d2.png", "d3.png")}
    hole = [[18, 8], [22, 8], [22, 11], [18, 11]]
    patch = np.array([[0, 1, 1], [1, 1, 0]], bool)
    _annotate(place["d0.png"], "d0.png", _object("rectangle", [29, 9], [10, 4]))
    _annotate(place["d1.png"], "d1.png", _object("polygon", *_TRIANGLE, interior=[hole]))
    scratch = _object("polygon", [0, 0], [4, 0], [4, 4], label="scratch")
    _annotate(place["d2.png"], "d2.png", _bitmap(patch, 40, 30), scratch)
    _annotate(place["d3.png"], "d3.png", _bitmap(patch, 45, 0, mode="RGBA"))

    samples = samples_of(root)
    outline = load_mask(samples["d1.png"], SIZE)
    notes = write_run_file(tmp_path / "run.yaml", root)

    assert samples["d0.png"].boxes == (Box(x=10, y=4, width=20, height=6),)
    np.testing.assert_array_equal(outline[:, :18], filled(_TRIANGLE)[:, :18])
    assert not outline[9:11, 19:22].any()
    dent = samples["d2.png"].showing("dent")
    assert dent is not None
    assert samples["d2.png"].defect == COMBINED
    assert np.argwhere(load_mask(dent, SIZE)).tolist() == [[30, 41], [30, 42], [31, 40], [31, 41]]
    assert np.argwhere(load_mask(samples["d3.png"], SIZE)).tolist() == [[0, 46], [0, 47], [1, 45], [1, 46]]
    assert notes[0] == "caps: 10 normal photos; dent 4, scratch 1; 1 photos show several defects"


_FULL = np.ones((2, 2), bool)
_BAD: dict[str, tuple[dict[str, Any], str]] = {
    "line": (_object("line", [1, 1], [9, 9]), "object 1 is of the type 'line'; rectangles, polygons and bitmaps"),
    "no object": ({}, "object 1 names the defect None"),
    "outside": (_object("rectangle", [1, 1], [60, 9]), "outside the 32x48 pixels"),
    "no points": (_object("rectangle"), "not pairs of numbers"),
    "hole": (_object("polygon", *_TRIANGLE, interior=[[[1, 1], [2, 2]]]), "has a hole of 2 points; 3 are needed"),
    "no bitmap": (_object("bitmap"), "has a bitmap without an `origin`"),
    "no numbers": (_packed(b"", "left", "top"), "has a bitmap without an `origin`"),
    "no png": (_packed(b"GIF89a"), "has a bitmap without an `origin`"),
    "cut": (_packed(b"\x89PNG\r\n\x1a\n\0\0"), "has a bitmap without an `origin`"),
    "damaged": (_packed(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\2\0\0\0\2"), "is no PNG of the size"),
    "claims": (_packed(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0"), "a mask of 65536x65536 pixels"),
    "beside": (_bitmap(_FULL, 47, 0), "a mask of 2x2 pixels (height x width) at (47, 0), which is not inside"),
    "empty": (_bitmap(~_FULL, 1, 1), "has an empty mask"),
}


@pytest.mark.parametrize("case", _BAD)
def test_a_bad_object_is_one_error(root: Path, case: str) -> None:
    """It names the file, the object and the fault."""
    item, expected = _BAD[case]
    _annotate(root / "ann/dent", "d0.png", item)

    (problem,) = scan_folder(root).problems

    assert (problem.severity, problem.file) == ("error", str(root / "ann/dent/d0.png.json"))
    assert expected in problem.what


def test_a_file_of_another_photo_or_size_is_an_error(root: Path) -> None:
    """Each of its own."""
    _annotate(root / "ann/dent", "absent.png")
    _annotate(root / "ann/dent", "d0.png", _object("polygon", *_TRIANGLE), size=(64, 48))

    problems = scan_folder(root).problems

    assert {Path(p.file).name: p.what.split(";")[0] for p in problems} == {
        "absent.png.json": "is a label file without a photo.",
        "d0.png.json": "was drawn on 64x48 pixels (height x width), and d0.png has 32x48.",
    }


_HEADING = "ImageId,ClassId,EncodedPixels\n"


def test_a_table_of_runs(root: Path, tmp_path: Path) -> None:
    """As the Severstal steel data set has it: runs go down the columns, from pixel 1."""
    flatten(root)
    (root / "images").rename(root / "train_images")
    rows = ["d0.png,1,3 2 33 1", "d1.png,3,1 64", "d1.png,4,1536 1", "d2.png,3,65 4", "d3.png,1,1 1", "g0.png,2,"]
    (root / "train.csv").write_text(_HEADING + "\n".join(rows) + "\n")
    (root / "other.csv").write_text("a,b\n1,2\n")

    samples = samples_of(root)
    notes = write_run_file(tmp_path / "run.yaml", root)

    assert np.argwhere(load_mask(samples["d0.png"], SIZE)).tolist() == [[0, 1], [2, 0], [3, 0]]
    both = load_mask(samples["d1.png"], SIZE)
    assert samples["d1.png"].defects == ("3", "4")
    assert both[:, :2].all()
    assert both[31, 47]
    assert both.sum() == 65
    assert samples["g0.png"].defect == GOOD
    assert notes[0] == "caps: 10 normal photos; 1 2, 3 2, 4 1; 1 photos show several defects"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("d0.png,dent,1 2 3", "line 2 has `EncodedPixels` that are not pairs"),
        ("d0.png,dent,1 x", "line 2 has `EncodedPixels` that are not pairs"),
        ("d0.png,dent,1 " + "9" * 5000, "line 2 has `EncodedPixels` that are not pairs"),
        ("d0.png,dent,1 " + "9" * 30, "line 2 has"),
        ("d0.png,dent,0 4", "line 2 has runs outside the 32x48 pixels"),
        ("d0.png,dent,1536 2", "line 2 has runs outside the 32x48 pixels"),
        ("d0.png,dent,9 -4", "line 2 has runs outside the 32x48 pixels"),
        ("d0.png,dent,9 0", "line 2 has an empty mask"),
        ("d0.png,a/b,1 4", "line 2 names the defect 'a/b'"),
        ("d0.png,dent", "line 2 has no value for 'EncodedPixels'"),
        ("absent.png,dent,1 4", "absent.png (no photo)"),
    ],
)
def test_a_bad_row_is_one_error(root: Path, row: str, expected: str) -> None:
    """It names the file, the line and the fault."""
    (root / "train.csv").write_text(f"{_HEADING}{row}\n")

    (problem,) = scan_folder(root).problems

    assert (problem.severity, problem.file) == ("error", str(root / "train.csv"))
    assert expected in problem.what
