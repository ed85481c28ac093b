"""The files of VGG's Image Annotator."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from anogen_core.data.frame import load_mask
from anogen_core.records import Box
from anogen_core.run_file import write_run_file
from tests.core.data.reading import SIZE, filled, flatten, samples_of, scan_folder

_TRIANGLE = {"name": "polygon", "all_points_x": [10, 20, 20], "all_points_y": [8, 8, 16]}
_RECT = {"name": "rect", "x": 6, "y": 12, "width": 12, "height": 8}


def _document(**regions: Any) -> dict[str, Any]:
    """Return what VIA saves of photos `<key>.png`; shapes and attributes of their regions are given as pairs."""
    return {
        f"{stem}.png-1": {"filename": f"{stem}.png", "size": 1, "regions": own, "file_attributes": {}}
        for stem, own in regions.items()
    }


def _region(shape: Mapping[str, Any], attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes or {}}


@pytest.mark.parametrize("place", ["via.json", "images/dent/via.json", "annotations/via.json", "via/via.json"])
@pytest.mark.parametrize("form", ["annotations", "project", "version 1"])
def test_a_file_is_about_all_photos(root: Path, tmp_path: Path, place: str, form: str) -> None:
    """Wherever it lies; without attributes the folder of the photo says the defect."""
    regions = [_region(_RECT)]
    document = _document(d0=regions, d1=[_region(_TRIANGLE, {"type": "dent"})], g0=[])
    if form == "version 1":
        document["d0.png-1"]["regions"] = {"0": regions[0]}
    if form == "project":
        document = {"_via_settings": {}, "_via_img_metadata": document, "_via_attributes": {}}
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(json.dumps(document))

    samples = samples_of(root)

    assert write_run_file(tmp_path / "run.yaml", root)[0] == "caps: 10 normal photos; dent 4 (2 without a label)"
    assert samples["d0.png"].boxes == (Box(x=6, y=12, width=12, height=8),)
    assert (load_mask(samples["d1.png"], SIZE) == filled([[10, 8], [20, 8], [20, 16]])).all()


def test_attributes_name_the_defect_of_photos_without_a_folder(root: Path) -> None:
    """One of several counts that is called so; of a checkbox what is chosen."""
    flatten(root)
    document = _document(
        d0=[_region(_RECT, {"severity": "2", "Type": "dent"})],
        d1=[_region({"name": "circle", "cx": 20, "cy": 16, "r": 4}, {"kind": {"scratch": True, "dent": False}})],
        d2=[_region({"name": "ellipse", "cx": 20, "cy": 16, "rx": 8, "ry": 4, "theta": 1.5}, {"kind": "hole"})],
    )
    (root / "via.json").write_text(json.dumps(document))

    samples = samples_of(root)

    shown = {name: s.defect for name, s in samples.items() if s.defect != "good"}
    assert shown == {"d0.png": "dent", "d1.png": "scratch", "d2.png": "hole"}
    assert load_mask(samples["d1.png"], SIZE).sum() == pytest.approx(50, abs=15)


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (_region(_RECT), "region 1 has no attribute that names the defect"),
        (_region(_RECT, {"a": "dent", "b": "2"}), "several attributes: call that of the defect `defect`"),
        (_region({"name": "polyline", "all_points_x": [1], "all_points_y": [1]}, {"a": "dent"}), "'polyline'; rect,"),
        (_region({"name": "rect", "x": 1, "y": None}, {"a": "dent"}), "region 1 has no numbers for x, y"),
        (_region({"name": "polygon", "all_points_x": 3}, {"a": "dent"}), "whose points are not pairs"),
        (_region({**_RECT, "x": 900}, {"a": "dent"}), "outside the 32x48 pixels"),
        ("no region", "region 1 has no attribute"),
        (_region(_RECT, {"kind": {"dent": True, "hole": True}}), "a region that is dent and hole: choose one"),
    ],
)
def test_a_bad_region_is_one_error(root: Path, region: object, said: str) -> None:
    """It names the file and the region."""
    flatten(root)
    (root / "via.json").write_text(json.dumps(_document(d0=[region])))

    (problem,) = scan_folder(root).problems

    assert (problem.severity, Path(problem.file).name) == ("error", "via.json")
    assert said in problem.what


def test_files_that_cannot_be_used_are_errors(root: Path) -> None:
    """With photos that are not there, broken lists, or of the next version."""
    (root / "a.json").write_text(json.dumps(_document(absent=[_region(_RECT)])))
    (root / "b.json").write_text(json.dumps(_document(d0=3)))
    names = ("project", "config", "attribute", "file", "metadata", "view")
    (root / "c.json").write_text(json.dumps({name: {} for name in names}))

    told = {Path(p.file).name: p.what for p in scan_folder(root).problems}

    assert "is a project of VIA 3, which is not read" in told["c.json"]
    assert "absent.png (no photo)" in told["a.json"]
    assert "is not as VIA writes it" in told["b.json"]


def test_a_table_of_via_is_told(root: Path) -> None:
    """It is not read; the JSON file is."""
    (root / "via.csv").write_text("filename,file_size,region_shape_attributes,region_attributes\n")

    (problem,) = scan_folder(root).problems

    assert (problem.severity, Path(problem.file).name) == ("warning", "via.csv")
