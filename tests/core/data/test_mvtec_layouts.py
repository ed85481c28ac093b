"""Datasets that lie nearly like MVTec AD, as their authors distribute them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.data import MvtecReaderSettings
from anogen_core.data.frame import FrameSettings, load_mask
from anogen_core.data.reader import Scan
from anogen_core.data.support import SupportSettings, choose_support, held_out
from anogen_core.errors import InputError
from anogen_core.run_file import write_run_file
from tests.core.data.reading import audited


def _scan(root: Path) -> Scan:
    return MvtecReaderSettings(root=str(root)).build().scan()


def test_ad2_is_read_with_its_public_labels(ad2_root: Path) -> None:
    """Validation photos are learned from, public ones tested, each with its own mask; nothing private is read."""
    samples = _scan(ad2_root).samples
    can = ad2_root / "can"
    counts = {(s.split, s.defect): sum((o.split, o.defect) == (s.split, s.defect) for o in samples) for s in samples}

    assert counts == {("train", "good"): 5, ("test", "good"): 2, ("test", "bad"): 4}
    assert {Path(s.image_uri).parents[1] for s in samples if s.split == "train"} == {can / "train", can / "validation"}
    truth = can / "test_public/ground_truth/bad"
    masks = {s.sample_id: s.mask_uri for s in samples if s.mask_uri}
    assert masks["can/test/bad/000_overexposed"] == str(truth / "000_overexposed_mask.png")
    assert len(masks) == 4


def test_ids_of_ad2_are_distinct_and_plain_where_they_can_be(ad2_root: Path) -> None:
    """Names that train and validation share have their place in the id."""
    ids = {s.sample_id for s in _scan(ad2_root).samples if s.split == "train"}

    assert ids == {
        *(f"can/train/good/{place}/good/00{i}_regular" for place in ("train", "validation") for i in range(2)),
        "can/train/good/002_regular",
    }


def test_photos_of_one_part_in_several_lights_are_a_group(ad2_root: Path) -> None:
    """Whatever the support photos are, none of their parts is tested; a table comes before the names."""
    samples = _scan(ad2_root).samples
    groups = {s.sample_id: s.group for s in samples if s.split == "test"}
    (support,) = choose_support(samples, SupportSettings(images={"bad": ("000_regular.png",)}), seed=0)
    tested, left_out = held_out(samples, [support], FrameSettings())
    (ad2_root / "can/index.csv").write_text("image,group\ntest_public/bad/000_regular.png,A\n")
    tabled = {s.sample_id: s.group for s in _scan(ad2_root).samples}

    assert groups["can/test/bad/000_regular"] == groups["can/test/bad/000_overexposed"]
    assert len(set(groups.values())) == len(groups) - 1
    assert {s.sample_id for s in left_out} == {"can/test/bad/000_regular", "can/test/bad/000_overexposed"}
    assert len(tested) == 4
    assert tabled == {s.sample_id: s.group for s in samples} | {"can/test/bad/000_regular": "A"}


def test_private_photos_of_ad2_are_one_warning_for_each_category(ad2_root: Path) -> None:
    """It names the directories and says why; the audit of the healthy dataset has nothing else to say."""
    shutil.copytree(ad2_root / "can", ad2_root / "vial")
    problems = audited(MvtecReaderSettings(root=str(ad2_root)))

    assert [(p.severity, Path(p.file).name) for p in problems] == [("warning", "can"), ("warning", "vial")]
    assert "test_private and test_private_mixed" in problems[0].what
    assert "no labels" in problems[0].what


@pytest.mark.parametrize("inside", ["", "can"])
def test_init_finds_ad2(ad2_root: Path, tmp_path: Path, inside: str) -> None:
    """In the directory of all categories, or in one of them, with the right numbers."""
    notes = write_run_file(tmp_path / "run.yaml", ad2_root / inside)

    assert "kind: mvtec" in (tmp_path / "run.yaml").read_text()
    assert "can: 7 normal photos; bad 4" in notes


def test_init_points_to_a_layout_that_is_one_folder_deeper(ad2_root: Path, tmp_path: Path) -> None:
    """An archive that was unpacked into a folder of its own; several of them have to be put together."""
    with pytest.raises(InputError, match=rf"{ad2_root} holds a known layout: name that one\.$"):
        write_run_file(tmp_path / "run.yaml", ad2_root.parent)
    shutil.copytree(ad2_root, ad2_root.with_name("more"))
    with pytest.raises(InputError, match=r"name that one\. 1 more do: move what they hold into one directory\."):
        write_run_file(tmp_path / "run.yaml", ad2_root.parent)


@pytest.mark.parametrize(
    "names",
    [
        {"ground_truth": "GroundTruth"},
        {"ground_truth": "masks"},
        {"train/good": "train/Good", "train": "Train", "test/good": "test/OK", "test": "TEST", "ground_truth": "GT"},
    ],
)
def test_folders_may_be_called_otherwise(mvtec_root: Path, tmp_path: Path, names: dict[str, str]) -> None:
    """In another case, and those of masks by other usual names."""
    for old, new in names.items():
        (mvtec_root / "bottle" / old).rename(mvtec_root / "bottle" / new)

    notes = write_run_file(tmp_path / "run.yaml", mvtec_root)

    assert notes[0] == "bottle: 5 normal photos; crack 4"
    assert audited(MvtecReaderSettings(root=str(mvtec_root))) == []
    assert sorted(s.split for s in _scan(mvtec_root).samples) == 6 * ["test"] + 3 * ["train"]


def test_a_photo_without_a_mask_is_told_where_that_belongs(mvtec_root: Path) -> None:
    """A folder of masks that is called otherwise is not guessed."""
    (mvtec_root / "bottle/ground_truth").rename(mvtec_root / "bottle/outlines")

    told = {p.fix for p in audited(MvtecReaderSettings(root=str(mvtec_root))) if p.severity == "warning"}

    assert len(told) == 1
    assert "with the same name to ground_truth/<defect>" in told.pop()


@pytest.mark.parametrize("inside", ["", "can"])
def test_a_category_in_a_folder_of_its_own_name_is_found(ad2_root: Path, tmp_path: Path, inside: str) -> None:
    """As `can/can`, which archives unpacked into folders of their own leave; beside others none is passed over."""
    shutil.copytree(ad2_root / "can", ad2_root / "vial")
    (ad2_root / "can").rename(ad2_root / "inner")
    (ad2_root / "inner/can").mkdir(parents=True)
    for part in [path for path in (ad2_root / "inner").iterdir() if path.name != "can"]:
        part.rename(ad2_root / "inner/can" / part.name)
    (ad2_root / "inner").rename(ad2_root / "can")

    notes = write_run_file(tmp_path / "run.yaml", ad2_root / inside)

    counts = ["can: 7 normal photos; bad 4", "vial: 7 normal photos; bad 4"]
    assert notes[:-1] == (counts[:1] if inside else counts)
    chosen = MvtecReaderSettings(root=str(ad2_root), categories=("can",)).build().read()
    assert {s.sample_id for s in chosen} == {s.sample_id for s in _scan(ad2_root).samples if s.category == "can"}


def test_a_category_of_ad2_can_be_chosen(ad2_root: Path) -> None:
    """By `reader.categories`."""
    shutil.copytree(ad2_root / "can", ad2_root / "vial")

    scan = MvtecReaderSettings(root=str(ad2_root), categories=("vial",)).build().scan()

    assert {s.category for s in scan.samples} == {"vial"}
    assert [Path(p.file).name for p in scan.problems] == ["vial"]


def test_what_is_wrong_with_the_public_part_of_ad2_is_told(ad2_root: Path) -> None:
    """Masks without photos or of unknown defects, defects to learn from, and a test photo that is trained on."""
    public = ad2_root / "can/test_public"
    (public / "bad/002_regular.png").unlink()
    shutil.copytree(public / "ground_truth/bad", public / "ground_truth/dent")
    shutil.copytree(public / "bad", ad2_root / "can/validation/bad")
    shutil.copy(ad2_root / "can/validation/good/000_regular.png", public / "good/009_regular.png")

    told = {(p.severity, Path(p.file).name): p.what for p in audited(MvtecReaderSettings(root=str(ad2_root)))}

    assert told["error", "002_regular_mask.png"] == "is a mask without a photo."
    assert told["error", "dent"] == "holds masks of a defect that has no photos."
    assert "only normal photos are used for training" in told["warning", "bad"]
    assert "is a test photo and the same as the train photo" in told["error", "009_regular.png"]
    assert len(told) == 5


@pytest.mark.parametrize("link", ["validation", "test_public", "test_public/ground_truth", "test_public/bad/a.png"])
def test_links_of_ad2_that_leave_the_root_are_errors(ad2_root: Path, tmp_path: Path, link: str) -> None:
    """They are named, and nothing behind them is read."""
    place = ad2_root / "can" / link
    outside = tmp_path / "outside"
    shutil.copytree(ad2_root / "can/test_public", outside)
    if place.exists():
        shutil.rmtree(place)
    place.symlink_to(outside / "bad/000_regular.png" if place.suffix else outside)

    scan = _scan(ad2_root)

    assert [p.file for p in scan.problems if p.severity == "error"] == [str(place)]
    uris = [uri for s in scan.samples for uri in (s.image_uri, s.mask_uri) if uri]
    assert all(Path(uri).resolve().is_relative_to(ad2_root.resolve()) for uri in uris)


def test_masks_of_loco_are_joined(loco_root: Path) -> None:
    """All masks in the directory of a photo are its mask, whatever their values; validation photos are learned from."""
    samples = _scan(loco_root).samples
    sizes = {s.sample_id: int(load_mask(s, (32, 48)).sum()) for s in samples if s.defect != "good"}
    known = [f"bag/test/{kind}_anomalies/00{i}" for kind in ("logical", "structural") for i in range(3)]

    assert sizes == dict(zip(known, [120, 80, 80] * 2, strict=True))
    assert sum(s.split == "train" for s in samples) == 4
    assert audited(MvtecReaderSettings(root=str(loco_root))) == []


@pytest.mark.parametrize("inside", ["", "bag"])
def test_init_finds_loco(loco_root: Path, tmp_path: Path, inside: str) -> None:
    """In the directory of all categories, or in one of them, with the right numbers."""
    notes = write_run_file(tmp_path / "run.yaml", loco_root / inside)

    assert "kind: mvtec" in (tmp_path / "run.yaml").read_text()
    assert "bag: 6 normal photos; logical_anomalies 3, structural_anomalies 3" in notes


def _write(size: tuple[int, int], value: int) -> Callable[[Path], object]:
    return lambda path: cv2.imwrite(str(path), np.full(size, value, np.uint8))


def _link_outside(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("/etc")


_BROKEN: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "no directory": ("001", shutil.rmtree, "test/{}/001.png", "has no usable mask"),
    "no mask in it": ("001/000.png", Path.unlink, "test/{}/001.png", "has no usable mask"),
    "no photo": ("../../test/{}/001.png", Path.unlink, "ground_truth/{}/001", "is a mask without a photo"),
    "a mask beside": ("001_mask.png", _write((32, 48), 255), "ground_truth/{}/001_mask.png", "is a second mask"),
    "another size": ("000/001.png", _write((16, 24), 9), "ground_truth/{}/000/001.png", "16x24 for a photo of 32x48"),
    "empty": ("000/001.png", _write((32, 48), 0), "ground_truth/{}/000/001.png", "is an empty mask"),
    "no image": ("000/001.png", lambda p: p.write_bytes(b"x"), "ground_truth/{}/000/001.png", "is not a PNG"),
    "cut": ("000/000.png", lambda p: p.write_bytes(p.read_bytes()[:60]), "ground_truth/{}/000/000.png", "is truncated"),
    "bad photo": ("../../test/{}/001.png", lambda p: p.write_bytes(b"x"), "test/{}/001.png", "is not a PNG"),
    "linked directory": ("001", _link_outside, "ground_truth/{}/001", "leaves the root"),
    "link": ("000/a.png", lambda p: p.symlink_to("/etc/hostname"), "ground_truth/{}/000/a.png", "leaves the root"),
}


@pytest.mark.parametrize("fault", _BROKEN)
def test_each_fault_of_loco_is_told_once(loco_root: Path, fault: str) -> None:
    """The file is named, and nothing else is said of its photo; the support has too few photos then."""
    file, breaking, named, what = _BROKEN[fault]
    kind = "logical_anomalies"
    breaking(loco_root / "bag/ground_truth" / kind / file.format(kind))

    problems = [p for p in audited(MvtecReaderSettings(root=str(loco_root))) if p.file != f"bag/{kind}"]

    severity = "warning" if what == "has no usable mask" else "error"
    assert [(p.severity, p.file) for p in problems] == [(severity, str(loco_root / "bag" / named.format(kind)))]
    assert what in problems[0].what
    assert problems[0].fix


def test_masks_beside_photos_are_no_photos(mvtec_root: Path) -> None:
    """Those of a defect are read as masks, those of normal photos are told."""
    for mask in sorted(mvtec_root.glob("bottle/ground_truth/crack/*")):
        (mvtec_root / "bottle/test/good" / mask.name).write_bytes(mask.read_bytes())
        mask.rename(mvtec_root / "bottle/test/crack" / mask.name)
    for number in (2, 3):
        (mvtec_root / f"bottle/test/good/00{number}_mask.png").unlink()
    (mvtec_root / "bottle/ground_truth/crack").rmdir()
    (mvtec_root / "bottle/ground_truth").rmdir()

    scan = MvtecReaderSettings(root=str(mvtec_root)).build().scan()

    assert sorted((s.split, s.defect, s.is_labelled) for s in scan.samples) == sorted(
        [("train", "good", False)] * 3 + [("test", "good", False)] * 2 + [("test", "crack", True)] * 4
    )
    assert [(p.severity, Path(p.file).parts[-2:]) for p in scan.problems] == [("warning", ("test", "good"))]
