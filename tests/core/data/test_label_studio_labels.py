"""Labels as Label Studio exports them, as JSON and JSON-MIN."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anogen_core.data.frame import load_mask
from anogen_core.data.labels.brush import decode_brush
from anogen_core.records import GOOD, Box
from anogen_core.run_file import write_run_file
from tests.core.data.reading import SIZE, filled, flatten, samples_of, scan_folder

_TRIANGLE = [[10.2, 5.7], [30.9, 5.1], [20.0, 20.5]]
_OF = {"original_width": 48, "original_height": 32}


def _percent(points: list[list[float]]) -> list[list[float]]:
    return [[100 * x / 48, 100 * y / 32] for x, y in points]


def _region(kind: str, label: str | None = "dent", **value: Any) -> dict[str, Any]:
    """Return a region; numbers are pixels, and written as percent of the sides of the photo."""
    sides = {"x": 48, "y": 32, "width": 48, "height": 32, "radiusX": 48, "radiusY": 32}
    shown = {key: 100 * own / sides[key] if key in sides else own for key, own in value.items()}
    labels = {} if label is None else {f"{kind}labels": [label]}
    about = {"id": "C7oHaRDVVC", "from_name": "label", "to_name": "image", "origin": "manual", "image_rotation": 0}
    return {**_OF, **about, "type": f"{kind}labels", "value": {**shown, **labels}}


def _box(x: float, y: float, width: float, height: float, label: str | None = "dent", **more: Any) -> dict[str, Any]:
    return _region("rectangle", label, x=x, y=y, width=width, height=height, **{"rotation": 0, **more})


def _task(image: str, *results: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    annotation = {"id": 5, "completed_by": 1, "result": list(results), "was_cancelled": False, "ground_truth": False}
    return {
        "id": 1,
        "annotations": [{**annotation, **more}],
        "file_upload": image.rpartition("/")[2],
        "drafts": [],
        "predictions": [],
        "data": {"image": image},
        "meta": {},
        "project": 2,
    }


def _minimal(image: str, *results: Mapping[str, Any]) -> dict[str, Any]:
    values = [{**r["value"], **_OF} for r in results]
    return {"image": image, "id": 1, "label": values, "annotator": 1, "annotation_id": 5, "lead_time": 9.5}


def _packed(image: np.ndarray) -> list[int]:
    """Return an RGBA image (H, W, 4) packed: runs of one value, and of unlike values where there are two in a row."""
    values = [int(value) for value in image.ravel()]
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and values[end] == values[start]:
            end += 1
        if end - start > 1:
            bits += f"111{end - start - 1:016b}{values[start]:08b}"
        else:
            while end < len(values) and end - start < 8 and values[end] != values[end - 1]:
                end += 1
            bits += f"000{end - start - 1:03b}" + "".join(f"{value:08b}" for value in values[start:end])
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def _brush(mask: np.ndarray, colour: tuple[int, int, int, int] = (250, 50, 83, 255)) -> dict[str, Any]:
    packed = _packed(mask[..., None].astype(np.uint8) * np.array(colour, np.uint8))
    return _region("brush", format="rle", rle=packed)


def _export(root: Path, *tasks: Mapping[str, Any]) -> None:
    (root / "project-2-at-2026-11-02-10-11-0a1b2c3d.json").write_text(json.dumps(tasks))


@pytest.mark.parametrize("write", [_task, _minimal])
def test_every_region_of_an_export(root: Path, tmp_path: Path, write: Any) -> None:
    """Rectangles, polygons, ellipses and brushes, of both formats; `init` knows the layout."""
    flatten(root)
    painted = filled(_TRIANGLE)
    painted[8:10, 18:22] = False
    scratch = _box(0, 0, 5, 5, label="scratch")
    _export(
        root,
        write("/data/upload/2/0a1b2c3d-d0.png", _box(10, 4.2, 20, 5.4), scratch),
        write("/data/upload/2/0a1b2c3d-d1.png", _region("polygon", points=_percent(_TRIANGLE), closed=True)),
        write("/data/upload/2/0a1b2c3d-d2.png", _region("ellipse", x=24, y=16, radiusX=2, radiusY=12, rotation=90)),
        write("/data/upload/2/0a1b2c3d-d3.png", _brush(painted)),
        write("/data/upload/2/0a1b2c3d-g0.png"),
    )

    samples = samples_of(root)
    ellipse = np.argwhere(load_mask(samples["d2.png"], SIZE))
    notes = write_run_file(tmp_path / "run.yaml", root)

    assert [part.boxes for part in samples["d0.png"].parts] == [
        (Box(x=10, y=4, width=20, height=6),),
        (Box(x=0, y=0, width=5, height=5),),
    ]
    np.testing.assert_array_equal(load_mask(samples["d1.png"], SIZE), filled(_TRIANGLE))
    assert [ellipse.min(axis=0).tolist(), np.ptp(ellipse, axis=0).tolist()] == [[14, 12], [4, 24]]
    np.testing.assert_array_equal(load_mask(samples["d3.png"], SIZE), painted)
    assert samples["g0.png"].defect == GOOD
    assert notes[0] == "caps: 10 normal photos; dent 4, scratch 1; 1 photos show several defects"


def test_rectangles_are_turned_about_their_first_corner(root: Path) -> None:
    """Clockwise in pixels, not in percent; by quarters they stay boxes."""
    _export(root, _task("dent/d0.png", _box(20, 8, 8, 4, rotation=30)), _task("d1.png", _box(20, 8, 8, 4, rotation=90)))

    samples = samples_of(root)

    turned = [[20.0, 8.0], [26.93, 12.0], [24.93, 15.46], [18.0, 11.46]]
    np.testing.assert_array_equal(load_mask(samples["d0.png"], SIZE), filled(turned))
    assert samples["d1.png"].boxes == (Box(x=16, y=8, width=4, height=8),)


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/2/0a1b2c3d-d0.png",
        "/data/upload/2/d0.png",
        "/data/local-files/?d=caps%2Fimages/dent/d0.png",
        "/data/local-files/?d=images%5Cd0.png",
        "s3://bucket/caps/d0.png",
        "https://server/caps/d0.png?X-Amz-Expires=60",
        "https://[server/d0.png",
        "d0.png",
    ],
)
def test_the_addresses_of_photos(root: Path, address: str) -> None:
    """Of uploads, local files, buckets and servers: the file name tells, with or without what an upload adds."""
    _export(root, _task(address, _box(1, 1, 9, 9)))

    assert samples_of(root)["d0.png"].boxes == (Box(x=1, y=1, width=9, height=9),)


def test_an_upload_may_be_stored_under_its_own_name(root: Path) -> None:
    """As an export with images has it, and the field may have any name."""
    (root / "images/dent/d0.png").rename(root / "images/dent/0a1b2c3d-d0.png")
    task = {**_task("", _box(1, 1, 9, 9)), "data": {"part": "cap", "photo": "/data/upload/2/0a1b2c3d-d0.png"}}
    _export(root, task)

    assert samples_of(root)["0a1b2c3d-d0.png"].boxes == (Box(x=1, y=1, width=9, height=9),)


def test_an_upload_is_found_under_the_name_that_the_server_gave_it(root: Path) -> None:
    """Spaces become `_`, and most other signs go; a photo of just that name is meant first."""
    dented = root / "images/dent"
    (dented / "d0.png").rename(dented / "line 3, cap (2).png")
    (dented / "d1.png").rename(dented / "cap 4.png")
    (dented / "d2.png").rename(dented / "cap_4.png")
    _export(
        root,
        _task("/data/upload/2/0a1b2c3d-line_3_cap_2.png", _box(1, 1, 9, 9)),
        _task("/data/upload/2/0a1b2c3e-cap_4.png", _box(2, 2, 9, 9)),
    )

    samples = samples_of(root)

    assert samples["line 3, cap (2).png"].boxes == (Box(x=1, y=1, width=9, height=9),)
    assert samples["cap_4.png"].boxes == (Box(x=2, y=2, width=9, height=9),)
    assert not samples["cap 4.png"].boxes


def test_results_that_are_no_regions(root: Path) -> None:
    """A class of a region has its place, and relations and texts have none; labels may come from a control alone."""
    drawn = {**_box(1, 1, 9, 9, label=None), "type": "rectangle"}
    named = {**drawn, "type": "labels", "value": {**drawn["value"], "labels": ["dent"]}}
    choice = {**drawn, "type": "choices", "value": {**drawn["value"], "choices": ["uncertain"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    text = {"id": "t", "type": "textarea", "value": {"text": ["a dent"]}}
    _export(root, _task("d0.png", drawn, named, choice, relation, text))

    assert samples_of(root)["d0.png"].boxes == (Box(x=1, y=1, width=9, height=9),)


@pytest.mark.parametrize("names", [["pore"], ["pore", "crack"]])
def test_choices_of_a_region_name_it_where_no_label_does(root: Path, names: list[str]) -> None:
    """As of a control that draws without labels; a text of the region changes nothing."""
    flatten(root)
    drawn = {**_box(1, 1, 9, 9, label=None), "type": "rectangle"}
    choice = {**drawn, "type": "choices", "value": {**drawn["value"], "choices": names}}
    text = {**drawn, "type": "textarea", "value": {**drawn["value"], "text": ["deep"]}}
    _export(root, _task("d0.png", text, drawn, choice))

    found = samples_of(root)["d0.png"]

    assert found.defects == tuple(sorted(names))
    assert set(found.boxes) == {Box(x=1, y=1, width=9, height=9)}


def test_a_region_without_a_label_is_an_error_in_json_min_too(root: Path) -> None:
    """It does not say whose a choice is; several choices have the place of their region, as labels of it have."""
    flatten(root)
    bare = _box(1, 1, 9, 9, label=None)
    labels = _changed(bare, labels=["dent"])
    choices = _changed(bare, choices=["dent", "deep"])
    columns = {"sizes": [{"height": 3}], "note": "deep"}
    _export(root, {**_minimal("d0.png", bare, labels), **columns}, _minimal("d1.png", bare, choices))
    found = samples_of(root)
    _export(root, {**_minimal("d0.png", bare), "kind": "deep"})

    (problem,) = scan_folder(root).problems

    assert found["d0.png"].defects == ("dent",)
    assert found["d1.png"].defects == ("deep", "dent")
    assert problem.severity == "error"
    assert "region 1 of d0.png has no label; JSON-MIN does not tell whose the choices are" in problem.what


@pytest.mark.parametrize("result", [{}, {"value": 3}, {"value": {"choices": "dent"}}, {"id": [1], "value": {"x": 2}}])
def test_results_of_another_form_are_passed_over(root: Path, result: dict[str, Any]) -> None:
    """Whatever wrote them."""
    _export(root, _task("d0.png", result, _box(1, 1, 9, 9)), _minimal("d1.png", {"value": {}}))

    assert samples_of(root)["d0.png"].boxes == (Box(x=1, y=1, width=9, height=9),)


def test_of_several_annotations_the_ground_truth_counts(root: Path) -> None:
    """Skipped ones do not; without a ground truth several are an error, also in JSON-MIN."""
    task = _task("d0.png", _box(1, 1, 9, 9), ground_truth=True)
    skipped = {**task["annotations"][0], "was_cancelled": True}
    other = _task("d0.png", _box(2, 2, 3, 3))["annotations"][0]
    _export(root, {**task, "annotations": [skipped, other, task["annotations"][0]]})
    chosen = samples_of(root)["d0.png"].boxes
    told = []
    for tasks in ([{**task, "annotations": [other, other]}], [_minimal("d0.png", _box(1, 1, 9, 9))] * 2):
        _export(root, *tasks)
        told += scan_folder(root).problems

    assert chosen == (Box(x=1, y=1, width=9, height=9),)
    assert ["has 2 annotations of d0.png, of which 0 are marked as ground truth" in p.what for p in told] == [True] * 2


def test_photos_that_nobody_judged_are_told(root: Path) -> None:
    """Skipped or not annotated, or with a class of the whole photo; names of good ones are none."""
    choices = {"id": "c", "type": "choices", "value": {"choices": ["crack"]}}
    fine = {"id": "c", "type": "choices", "value": {"choices": ["OK"]}}
    skipped = _task("dent/d0.png", was_cancelled=True)
    new = {**_task("dent/d1.png"), "annotations": []}
    _export(root, skipped, new, _task("dent/d2.png", choices), _task("good/g0.png", fine))

    problems = scan_folder(root).problems

    assert {p.severity for p in problems} == {"warning"}
    assert "has choices (crack) of 1 photos on which nothing is drawn (first: d2.png)" in problems[0].what
    assert "says of 2 photos that they were skipped or not annotated (first: d0.png)" in problems[1].what


def _changed(region: dict[str, Any], **value: Any) -> dict[str, Any]:
    return {**region, "value": {**region["value"], **value}}


_FULL = _packed(np.full((*SIZE, 4), 255, np.uint8))
_BAD: dict[str, tuple[dict[str, Any], str]] = {
    "points": (_region("keypoint", x=1, y=1, width=1), "has the type 'keypointlabels'; rectangles, polygons"),
    "bitmask": (_region("bitmask", None, imageDataURL="data:"), "region C7oHaRDVVC of d0.png has the type 'bitmask"),
    "no label": (_box(1, 1, 9, 9, label=None), "has no label"),
    "name": (_box(1, 1, 9, 9, label="a/b"), "names the defect 'a/b'"),
    "outside": (_box(40, 1, 20, 9), "outside the 32x48 pixels"),
    "size": ({**_box(1, 1, 9, 9), "original_height": 64}, "was drawn on 64x48 pixels"),
    "turned photo": ({**_box(1, 1, 9, 9), "image_rotation": 90}, "drawn on the photo turned by 90 degrees"),
    "words": (_changed(_box(1, 1, 9, 9), width="9"), "no numbers for x, y, width, height"),
    "angle": (_changed(_box(1, 1, 9, 9), rotation="a"), "has the rotation 'a'"),
    "pairs": (_region("polygon", points=[[1, 2], [3]]), "not pairs of numbers"),
    "too few": (_region("polygon", points=[[1, 2], [3, 4]]), "3 are needed"),
    "empty": (_brush(np.zeros(SIZE, bool)), "has an empty mask"),
    "no bytes": (_region("brush", rle="abc"), "has an `rle` that is cut off"),
    "large": (_region("brush", rle=[300, 2, 3, 4, 5]), "has an `rle` that is cut off"),
    "cut": (_region("brush", rle=_FULL[:9]), "has an `rle` that is cut off"),
    "longer": (_region("brush", rle=[*_FULL[:7], 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), "has an `rle` that is cut off"),
    "bomb": (_region("brush", rle=[255] * 20), "has an `rle` of 4294967295 values of 32 bits; 32x48 pixels"),
}


@pytest.mark.parametrize("case", _BAD)
def test_a_bad_region_is_one_error(root: Path, case: str) -> None:
    """It names the file, the region and the fault."""
    region, expected = _BAD[case]
    _export(root, _task("dent/d0.png", region))

    (problem,) = scan_folder(root).problems

    assert problem.severity == "error"
    assert expected in problem.what


def test_photos_that_are_not_to_be_found_are_an_error(root: Path) -> None:
    """By their names, or because there is none."""
    _export(root, _task("/data/upload/2/0a1b2c3d-absent.png", _box(1, 1, 9, 9)))
    (absent,) = scan_folder(root).problems
    _export(root, _task("data:image/png;base64,iVBOR", _box(1, 1, 9, 9)))
    (unnamed,) = scan_folder(root).problems

    assert "1 photos that are not to be found: absent.png (no photo)" in absent.what
    assert "names no photo for task 1" in unnamed.what


def test_brushes_are_unpacked_wherever_their_bytes_begin() -> None:
    """Alpha tells; an edge counts where it is more opaque than not. As Label Studio's own code packs it."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (9, 7, 4), np.uint8)
    image[2:5] = (250, 50, 83, 255)
    image[6, :5] = 0

    np.testing.assert_array_equal(decode_brush(_packed(image), (9, 7)), image[..., 3] >= 128)
    vendor = [0, 0, 0, 24, 57, 27, 252, 96, 17, 255, 206, 1, 63, 248]
    np.testing.assert_array_equal(decode_brush(vendor, (2, 3)), np.array([[0, 1, 0], [0, 1, 1]], bool))


def test_other_lists_of_json_are_no_labels(root: Path) -> None:
    """In the root they may be anything."""
    for count, document in enumerate(([], [1], [{"a": 1}], [{"data": {"image": "d0.png"}}])):
        (root / f"{count}.json").write_text(json.dumps(document))

    assert scan_folder(root).problems == []
