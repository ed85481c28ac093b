"""Labels as CVAT exports them: its own XML file, and masks of colours."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from anogen_core.data.frame import load_mask
from anogen_core.outline import encode_outline
from anogen_core.records import GOOD, Box
from anogen_core.run_file import write_run_file
from tests.core.data.reading import SIZE, filled, flatten, samples_of, scan_folder

_TRIANGLE = [[10.2, 5.7], [30.9, 5.1], [20.0, 20.5]]
_META = (
    "<version>1.1</version><meta><task><id>7</id><name>caps</name><size>14</size><mode>annotation</mode><labels>"
    "<label><name>dent</name><color>#fa3253</color><type>any</type><attributes></attributes></label></labels></task>"
    "<dumped>2026-11-02 10:11:12.000000+00:00</dumped></meta>"
)


def _image(name: str, *shapes: str, size: tuple[int, int] = SIZE, more: str = "") -> str:
    return f'<image id="0" name="{name}" {more} width="{size[1]}" height="{size[0]}">{"".join(shapes)}</image>'


def _shape(kind: str, label: str = "dent", **attributes: object) -> str:
    shown = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f'<{kind} label="{label}" source="manual" occluded="0" {shown} z_order="0"></{kind}>'


def _box(*corners: float, label: str = "dent", **more: object) -> str:
    return _shape("box", label, **dict(zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True)), **more)


def _export(root: Path, *images: str, file: str = "annotations.xml") -> None:
    (root / file).parent.mkdir(exist_ok=True)
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{_META}{"".join(images)}</annotations>\n'
    (root / file).write_text(text)


def test_every_shape_of_an_export(root: Path, tmp_path: Path) -> None:
    """Boxes, polygons, ellipses and masks; photos without shapes are normal, and `init` knows the layout."""
    flatten(root)
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in _TRIANGLE)
    runs = encode_outline(np.array([[0, 1, 1, 0], [1, 1, 0, 0]], bool).T)
    _export(
        root,
        _image("d0.png", _box(10, 4.2, 30, 9.6), _box(0, 0, 5, 5, label="scratch")),
        _image("d1.png", _shape("polygon", points=points)),
        _image("d2.png", _shape("ellipse", cx=24, cy=16, rx=12, ry=4)),
        _image("d3.png", _shape("mask", rle=", ".join(map(str, runs)), left=40, top=30, width=4, height=2)),
        _image("g0.png", _shape("tag", "good")),
        _image("absent.png"),
    )

    samples = samples_of(root)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    distance = np.hypot((columns - 24) / 12, (rows - 16) / 4)
    ellipse = load_mask(samples["d2.png"], SIZE)
    notes = write_run_file(tmp_path / "run.yaml", root)

    assert [part.boxes for part in samples["d0.png"].parts] == [
        (Box(x=10, y=4, width=20, height=6),),
        (Box(x=0, y=0, width=5, height=5),),
    ]
    np.testing.assert_array_equal(load_mask(samples["d1.png"], SIZE), filled(_TRIANGLE))
    assert ellipse[distance < 0.9].all()
    assert not ellipse[distance > 1.3].any()
    assert np.argwhere(load_mask(samples["d3.png"], SIZE)).tolist() == [[30, 41], [30, 42], [31, 40], [31, 41]]
    assert samples["g0.png"].defect == GOOD
    assert notes[0] == "caps: 10 normal photos; dent 4, scratch 1; 1 photos show several defects"


def test_turned_shapes_are_outlines(root: Path) -> None:
    """Clockwise about their middle; by quarters a box stays one. What hangs over the border is cut off."""
    _export(
        root,
        _image("dent/d0.png", _box(20, 10, 28, 14, rotation=90)),
        _image("dent/d1.png", _box(20, 10, 28, 14, rotation=30)),
        _image("dent/d2.png", _box(40, 10, 48, 14, rotation="45.0")),
        _image("dent/d3.png", _shape("ellipse", cx=24, cy=16, rx=12, ry=2, rotation=90)),
    )

    samples = samples_of(root)
    masks = {name: load_mask(samples[name], SIZE) for name in ("d1.png", "d2.png", "d3.png")}

    assert samples["d0.png"].boxes == (Box(x=22, y=8, width=4, height=8),)
    turned = [[21.54, 8.27], [28.46, 12.27], [26.46, 15.73], [19.54, 11.73]]
    np.testing.assert_array_equal(masks["d1.png"], filled(turned))
    assert masks["d2.png"][:, 47].any()
    assert np.ptp(np.argwhere(masks["d3.png"]), axis=0).tolist() == [24, 4]


@pytest.mark.parametrize("file", ["annotations.xml", "annotations/first.xml", "images/annotations.xml"])
def test_photos_in_folders_of_subsets(root: Path, file: str) -> None:
    """A project is exported with a folder for each subset, which are put together and name no defect."""
    for split, names in (("train", ("dent/d0", "good/g0")), ("default", ("dent/d1", "good/g1"))):
        (root / "images" / split).mkdir()
        for name in names:
            shutil.move(root / f"images/{name}.png", root / "images" / split)
    for folder in ("images/good", "images/dent"):
        shutil.rmtree(root / folder)
    subsets = (("d0.png", "train"), ("d1.png", "default"))
    images = [_image(name, _box(10, 4, 30, 10), more=f'subset="{subset}" task_id="3"') for name, subset in subsets]
    _export(root, *images, file=file)

    assert {name: s.defect for name, s in samples_of(root).items()} == {
        "d0.png": "dent",
        "g0.png": GOOD,
        "d1.png": "dent",
        "g1.png": GOOD,
    }


def test_tags_of_photos_without_shapes_are_told(root: Path) -> None:
    """Nothing says whether a tag is a defect; where shapes are drawn, they tell."""
    tag = _shape("tag", "blurred")
    _export(root, _image("dent/d0.png", _box(1, 1, 9, 9), tag), _image("dent/d1.png", tag), _image("dent/d2.png", tag))

    (problem,) = scan_folder(root).problems

    assert problem.severity == "warning"
    assert "has tags (blurred) of 2 photos on which nothing is drawn (first: dent/d1.png)" in problem.what


_BAD = {
    "cut off": ("<annotations><image", "is not XML"),
    "entities": ('<!DOCTYPE a [<!ENTITY a "b">]><annotations/>', "declares a document type"),
    "video": (f"<annotations>{_META}<track id='0' label='dent'/></annotations>", 'as "CVAT for images 1.1"'),
    "no name": ("<annotations><image id='4'/></annotations>", "no `name` for the image 4"),
    "no photo": (_image("absent.png", _box(1, 1, 9, 9)), "absent.png (no photo)"),
    "size": (_image("d0.png", _box(1, 1, 9, 9), size=(64, 48)), "was drawn on 64x48 pixels"),
    "line": (
        _image("d0.png", _box(1, 1, 9, 9), _shape("polyline", points="1,1;9,9")),
        "shape 2 (polyline) of d0.png is not read: boxes, polygons, ellipses and masks are",
    ),
    "skeleton": (_image("d0.png", _shape("skeleton")), "shape 1 (skeleton) of d0.png is not read"),
    "outside": (_image("d0.png", _box(1, 1, 60, 9)), "outside the 32x48 pixels"),
    "turned outside": (_image("d0.png", _box(60, 1, 70, 9, rotation=5)), "a turned rectangle from"),
    "flat": (_image("d0.png", _box(1, 9, 8, 9, rotation=5)), "a rectangle without area"),
    "far": (_image("d0.png", _shape("ellipse", cx=9, cy=9, rx=1e9, ry=1)), "an ellipse from"),
    "no radius": (_image("d0.png", _shape("ellipse", cx=9, cy=9, rx=0, ry=1)), "an ellipse without area"),
    "words": (_image("d0.png", _box(1, 1, 9, 9).replace('"9"', '"wide"')), "no numbers for xtl, ytl"),
    "not finite": (_image("d0.png", _box(1, 1, 9, 9, rotation="inf")), "no numbers for xtl, ytl"),
    "points": (_image("d0.png", _shape("polygon", points="1,1;2,2;3")), "not pairs of numbers"),
    "no label": (_image("d0.png", _box(1, 1, 9, 9, label=" ")), "names the defect ' '"),
    "runs": (
        _image("d0.png", _shape("mask", rle="3, 4", left=1, top=1, width=2, height=2)),
        "shape 1 (mask) of d0.png has an `rle`",
    ),
    "minus": (_image("d0.png", _shape("mask", rle="-1,5", left=1, top=1, width=2, height=2)), "has an `rle`"),
    "below": (
        _image("d0.png", _shape("mask", rle="0,4", left=1, top=31, width=2, height=2)),
        "a mask of 2x2 pixels (height x width) at (1, 31), which is not inside",
    ),
    "huge": (
        _image("d0.png", _shape("mask", rle=str(10**12), left=1, top=1, width=10**6, height=10**6)),
        "which is not inside the 32x48 pixels",
    ),
    "empty mask": (_image("d0.png", _shape("mask", rle="4", left=1, top=1, width=2, height=2)), "has an empty mask"),
}


@pytest.mark.parametrize("case", _BAD)
def test_a_bad_export_is_one_error(root: Path, case: str) -> None:
    """It names the file, the shape and the fault."""
    text, expected = _BAD[case]
    _export(root, text)
    if not text.startswith("<image"):
        (root / "annotations.xml").write_text(text)

    (problem,) = scan_folder(root).problems

    assert (problem.severity, problem.file) == ("error", str(root / "annotations.xml"))
    assert expected in problem.what
