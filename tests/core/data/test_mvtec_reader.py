"""The reader of the MVTec AD layout."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from anogen_core.data import MvtecReaderSettings, ReaderSettings
from anogen_core.data.audit import audit
from anogen_core.data.frame import FrameSettings
from anogen_core.data.groups import GroupSettings
from anogen_core.data.support import SupportSettings
from anogen_core.errors import InputError
from anogen_core.run_file import write_run_file


def test_reads_every_photo_with_its_mask_sorted_by_id(mvtec_root: Path) -> None:
    """All photos are found; defective ones carry their masks, normal ones none."""
    samples = MvtecReaderSettings(root=str(mvtec_root)).build().read()

    ids = [sample.sample_id for sample in samples]
    assert ids == sorted(ids)
    assert len(ids) == 9
    assert ids[0] == "bottle/test/crack/000"
    assert {s.sample_id for s in samples if s.mask_uri} == {f"bottle/test/crack/00{i}" for i in range(4)}
    assert {s.split for s in samples if s.sample_id.startswith("bottle/train/good")} == {"train"}
    assert all(Path(s.image_uri).is_absolute() and len(s.sha256) == 64 for s in samples)


def test_root_may_be_one_category(mvtec_root: Path) -> None:
    """The directory that holds train and test is read as the category of its name, with the same ids."""
    inside = MvtecReaderSettings(root=str(mvtec_root / "bottle")).build().read()

    assert inside == MvtecReaderSettings(root=str(mvtec_root)).build().read()


@pytest.mark.parametrize("name", ["a b.JPG", "IMG-1.Jpeg", "x.y.bmp", "ü_1.TIF", "n.tiff"])
@pytest.mark.parametrize("suffix", ["", "_mask", "_GT", "-mask"])
def test_any_file_name_and_mask_suffix_is_understood(mvtec_root: Path, name: str, suffix: str) -> None:
    """The mask is found by stem, whatever the endings and the suffix."""
    pixels = np.full((32, 48, 3), 70, np.uint8)
    photo = mvtec_root / "bottle/test/crack" / name
    photo.write_bytes(cv2.imencode(photo.suffix.lower(), pixels)[1].tobytes())
    mask = mvtec_root / "bottle/ground_truth/crack" / f"{photo.stem}{suffix}.png"
    mask.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())

    scan = MvtecReaderSettings(root=str(mvtec_root)).build().scan()

    assert {s.image_uri: s.mask_uri for s in scan.samples}[str(photo)] == str(mask)
    assert scan.problems == []


def test_unrelated_files_are_ignored(mvtec_root: Path) -> None:
    """Notes, hidden files and system files are neither samples nor problems."""
    for place in (mvtec_root, mvtec_root / "bottle", mvtec_root / "bottle/test/crack"):
        for name in ("SOURCES.md", "Thumbs.db", ".hidden.png", "notes.csv", "._000.png"):
            (place / name).write_bytes(b"\xff\xd8nonsense")
    (mvtec_root / "bottle/index.csv").write_text("number,comment\n1,hello\n")

    scan = MvtecReaderSettings(root=str(mvtec_root)).build().scan()

    assert len(scan.samples) == 9
    assert scan.problems == []


def test_photos_with_one_stem_keep_distinct_ids(mvtec_root: Path) -> None:
    """a.png and a.bmp of one directory are two samples."""
    good = mvtec_root / "bottle/train/good"
    cv2.imwrite(str(good / "000.bmp"), np.zeros((32, 48), np.uint8))

    ids = [s.sample_id for s in MvtecReaderSettings(root=str(mvtec_root)).build().read()]

    assert {"bottle/train/good/000.png", "bottle/train/good/000.bmp", "bottle/train/good/001"} <= set(ids)


@pytest.mark.parametrize(
    "name", ["ok", "OK", "Good", "normal", "no_defect", "No Defect", "defect-free", "good_parts", "non-defective"]
)
def test_good_has_other_names(mvtec_root: Path, name: str) -> None:
    """Photos in such a directory are normal, with the ids that those in `good` have."""
    before = MvtecReaderSettings(root=str(mvtec_root)).build().scan()
    for split in ("train", "test"):
        (mvtec_root / "bottle" / split / "good").rename(mvtec_root / "bottle" / split / name)
    (mvtec_root / "bottle/ground_truth" / name).mkdir()

    after = MvtecReaderSettings(root=str(mvtec_root)).build().scan()

    assert after.problems == []
    assert [(s.sample_id, s.defect, s.sha256) for s in after.samples] == [
        (s.sample_id, s.defect, s.sha256) for s in before.samples
    ]


def test_the_layout_of_btad_is_read(mvtec_root: Path, tmp_path: Path) -> None:
    """`ok` and `ko`, and masks of the photo's name: init counts them, and the audit has nothing to say."""
    bottle = mvtec_root / "bottle"
    for old, new in (("train/good", "train/ok"), ("test/good", "test/ok"), ("test/crack", "test/ko")):
        (bottle / old).rename(bottle / new)
    (bottle / "ground_truth/crack").rename(bottle / "ground_truth/ko")
    for mask in (bottle / "ground_truth/ko").iterdir():
        mask.rename(mask.with_name(mask.name.replace("_mask", "")))
    bottle.rename(mvtec_root / "01")

    notes = write_run_file(tmp_path / "run.yaml", mvtec_root)
    reader = MvtecReaderSettings(root=str(mvtec_root), categories=("01",))

    assert "01: 5 normal photos; ko 4" in notes
    assert "kind: mvtec" in (tmp_path / "run.yaml").read_text()
    assert audit(reader.build().read(), reader, FrameSettings(), SupportSettings()) == []


def test_good_photos_of_two_directories_keep_distinct_ids(mvtec_root: Path) -> None:
    """Those of one name carry the directory; all others have the ids that they had."""
    good, ok = mvtec_root / "bottle/train/good", mvtec_root / "bottle/train/OK"
    before = {s.sample_id for s in MvtecReaderSettings(root=str(mvtec_root)).build().read()}
    ok.mkdir()
    for file in ("000.png", "000.bmp", "900.png"):
        cv2.imwrite(str(ok / file), np.zeros((32, 48), np.uint8))

    samples = MvtecReaderSettings(root=str(mvtec_root)).build().read()

    ids = {s.sample_id: Path(s.image_uri) for s in samples if s.sample_id not in before}
    assert ids == {
        "bottle/train/good/good/000": good / "000.png",
        "bottle/train/good/OK/000.png": ok / "000.png",
        "bottle/train/good/OK/000.bmp": ok / "000.bmp",
        "bottle/train/good/900": ok / "900.png",
    }
    assert before - {s.sample_id for s in samples} == {"bottle/train/good/000"}
    assert {s.defect for s in samples if s.split == "train"} == {"good"}


def test_a_mask_without_photo_and_a_second_mask_are_errors(mvtec_root: Path) -> None:
    """Each such mask is named."""
    truth = mvtec_root / "bottle/ground_truth/crack"
    shutil.copy(truth / "000_mask.png", truth / "900_mask.png")
    shutil.copy(truth / "000_mask.png", truth / "000.png")

    problems = MvtecReaderSettings(root=str(mvtec_root)).build().scan().problems

    assert [(Path(p.file).name, p.severity) for p in problems] == [("900_mask.png", "error"), ("000_mask.png", "error")]
    assert "without a photo" in problems[0].what
    assert "second mask" in problems[1].what


@pytest.mark.parametrize("link", ["bottle/test/crack/out.png", "bottle/ground_truth/crack", "bottle/train", "cap"])
def test_links_that_leave_the_root_are_errors_and_never_read(mvtec_root: Path, tmp_path: Path, link: str) -> None:
    """A photo, a folder or a category that points outside is named, and nothing of it becomes a sample."""
    outside = tmp_path / "outside"
    shutil.copytree(mvtec_root / "bottle", outside)
    target = {"out.png": outside / "test/good/000.png", "cap": outside}.get(Path(link).name, outside / Path(link).name)
    place = mvtec_root / link
    if place.exists():
        shutil.rmtree(place)
    place.symlink_to(target)

    scan = MvtecReaderSettings(root=str(mvtec_root)).build().scan()

    leaving = [p for p in scan.problems if "leaves the root" in p.what]
    assert str(place) in {p.file for p in leaving}
    assert all(p.severity == "error" for p in leaving)
    uris = [uri for s in scan.samples for uri in (s.image_uri, s.mask_uri) if uri]
    assert all(Path(uri).resolve().is_relative_to(mvtec_root.resolve()) for uri in uris)


def test_unreadable_things_do_not_stop_the_reader(mvtec_root: Path) -> None:
    """A link to nothing, a loop of links, a pipe and a name that is not text are errors; the rest is read."""
    crack = mvtec_root / "bottle/test/crack"
    (crack / "gone.png").symlink_to(crack / "nothing.png")
    (crack / "loop.png").symlink_to(crack / "loop.png")
    os.mkfifo(crack / "pipe.png")
    (Path(os.fsdecode(os.fsencode(crack) + b"/\xff\xfe.png"))).write_bytes(b"x")
    (crack / "line\nbreak.png").write_bytes(b"x")

    scan = MvtecReaderSettings(root=str(mvtec_root)).build().scan()

    assert len(scan.samples) == 9
    assert len(scan.problems) == 5
    assert {p.severity for p in scan.problems} == {"error"}
    assert all(str(p).encode() for p in scan.problems)


def test_a_file_that_may_not_be_read_is_an_error(mvtec_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing permission is told with the file, and the other files are read."""
    locked = mvtec_root / "bottle/train/good/001.png"
    original = Path.open

    def refusing(self: Path, *args: object, **kwargs: object) -> object:
        if self.name == locked.name and self.parent.name == "good" and self.parent.parent.name == "train":
            raise PermissionError(13, "Permission denied")
        return original(self, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refusing)
    scan = MvtecReaderSettings(root=str(mvtec_root)).build().scan()

    assert len(scan.samples) == 8
    assert [p.file for p in scan.problems] == [str(locked)]
    assert "Permission denied" in scan.problems[0].what


def test_misplaced_photos_are_warned_about(mvtec_root: Path) -> None:
    """Photos one level too high or too deep, and formats that are not read, are named."""
    crack = mvtec_root / "bottle/test/crack"
    (crack / "deep").mkdir()
    shutil.copy(crack / "000.png", mvtec_root / "bottle/test/loose.png")
    (crack / "a.webp").write_bytes(b"RIFF")
    (mvtec_root / "bottle/train/crack").mkdir()

    problems = MvtecReaderSettings(root=str(mvtec_root)).build().scan().problems

    assert {Path(p.file).name for p in problems} == {"deep", "loose.png", "a.webp", "crack"}
    assert {p.severity for p in problems} == {"warning"}


def test_nothing_to_read_is_an_input_error_that_says_what_was_found(mvtec_root: Path, tmp_path: Path) -> None:
    """A missing root, a file, a directory without categories and an unknown category are refused in words."""
    with pytest.raises(InputError, match="found nothing"):
        MvtecReaderSettings(root=str(tmp_path / "absent")).build().read()
    with pytest.raises(InputError, match="found a file"):
        MvtecReaderSettings(root=str(mvtec_root / "bottle/test/good/000.png")).build().read()
    with pytest.raises(InputError, match="found good"):
        MvtecReaderSettings(root=str(mvtec_root / "bottle/train")).build().read()
    with pytest.raises(InputError, match="bottle"):
        MvtecReaderSettings(root=str(mvtec_root), categories=("bottel",)).build().read()


def test_a_missing_category_among_others_is_an_error(mvtec_root: Path) -> None:
    """What is there is read, what is not is named."""
    scan = MvtecReaderSettings(root=str(mvtec_root), categories=("bottle", "cap")).build().scan()

    assert len(scan.samples) == 9
    assert "Found: bottle" in scan.problems[0].fix


def test_leakage_groups_come_from_the_index(mvtec_root: Path) -> None:
    """An index.csv with one column ending in `group` is used unasked; another table by settings."""
    (mvtec_root / "bottle/index.csv").write_text("image,mask,tile_group\ntest/crack/000.png,,7\ntest/crack/001.png,,\n")
    (mvtec_root / "bottle/parts.csv").write_text("\ufefffile;part\n002.png;P1\n", encoding="utf-8")

    unasked = {s.sample_id: s.group for s in MvtecReaderSettings(root=str(mvtec_root)).build().read()}
    settings = GroupSettings(file="parts.csv", image_column="file", group_column="part")
    named = {s.sample_id: s.group for s in MvtecReaderSettings(root=str(mvtec_root), groups=settings).build().read()}

    assert unasked["bottle/test/crack/000"] == "7"
    assert unasked["bottle/test/crack/001"] is None
    assert named["bottle/test/crack/002"] == "P1"
    assert named["bottle/test/crack/000"] is None


@pytest.mark.parametrize(
    "name",
    [
        "test/crack/003.png",
        "./test/crack/003.png",
        "test\\crack\\003.png",
        "bottle/test/crack/003.png",
        "{root}/bottle/test/crack/003.png",
        "test/crack/003",
        "003.png",
        "003",
        "TEST/crack/003.PNG",
        "Bottle/Test/Crack/003",
    ],
)
@pytest.mark.parametrize("chosen", [GroupSettings(), None])
def test_a_group_table_may_name_photos_in_many_ways(mvtec_root: Path, name: str, chosen: GroupSettings | None) -> None:
    """Paths from the category, the root or `/` and names of one photo, with or without ending, in any case."""
    table = f"image,group\n{name.format(root=mvtec_root)},7\n"
    (mvtec_root / "bottle/index.csv").write_text(table)

    scan = MvtecReaderSettings(root=str(mvtec_root), groups=chosen).build().scan()

    assert {s.sample_id: s.group for s in scan.samples if s.group} == {"bottle/test/crack/003": "7"}
    assert scan.problems == []


def test_rows_of_a_group_table_that_name_no_photo_are_told_once(mvtec_root: Path) -> None:
    """A warning counts them and shows the first; a table that was chosen and names no photo at all is an error."""
    table = mvtec_root / "bottle/index.csv"
    table.write_text("image,group\ntest/crack/000.png,7\nold/000.png,7\n009.png,8\ntest/crack/001.png,\n")
    chosen = MvtecReaderSettings(root=str(mvtec_root), groups=GroupSettings())
    some = MvtecReaderSettings(root=str(mvtec_root)).build().scan().problems
    assert some == chosen.build().scan().problems

    table.write_text("image,group\nold/000.png,7\n")
    none = MvtecReaderSettings(root=str(mvtec_root)).build().scan().problems
    wrong = chosen.build().scan().problems

    assert [p.severity for p in some + none + wrong] == ["warning", "warning", "error"]
    assert "has 2 of 3 rows" in some[0].what
    assert "'old/000.png' in line 3" in some[0].what
    assert "train/good/000.png" in some[0].fix
    assert "1 of 1 rows" in none[0].what
    assert "'old/000.png' in line 2" in wrong[0].what


def test_a_row_that_names_several_photos_groups_them_all(mvtec_root: Path) -> None:
    """Protection comes first, with a warning; a row that names one of them alone comes before."""
    (mvtec_root / "bottle/index.csv").write_text("image,group\n000,7\ntest/good/000.png,8\n")

    scan = MvtecReaderSettings(root=str(mvtec_root)).build().scan()

    groups = {s.sample_id: s.group for s in scan.samples if s.group}
    assert groups == {"bottle/train/good/000": "7", "bottle/test/crack/000": "7", "bottle/test/good/000": "8"}
    assert [p.severity for p in scan.problems] == ["warning"]
    assert "'000' in line 2 first (3 photos)" in scan.problems[0].what


def test_rows_that_contradict_each_other_are_an_error(mvtec_root: Path) -> None:
    """One error for the table names both rows of the first such photo and counts the others."""
    rows = ["image,group", "test/crack/000.png,A", "test/crack/000.PNG,B", "003.png,A", "test/crack/003.png,B"]
    (mvtec_root / "bottle/index.csv").write_text("\n".join([*rows, "test/crack/001.png,A", "test/crack/001.png,A"]))

    problems = MvtecReaderSettings(root=str(mvtec_root)).build().scan().problems

    assert [p.severity for p in problems] == ["error"]
    assert problems[0].file.endswith("index.csv:3")
    assert "test/crack/000.png the leakage group 'B', and 'A' in line 2" in problems[0].what
    assert "1 more photo" in problems[0].what


@pytest.mark.parametrize("heading", ["image,tile_group,lot_group", "picture,tile_group"])
def test_an_index_whose_group_columns_are_not_clear_is_warned_about(mvtec_root: Path, heading: str) -> None:
    """The columns are named, and the setting that chooses."""
    (mvtec_root / "bottle/index.csv").write_text(f"{heading}\ntest/crack/000.png,A,X\n")
    chosen = GroupSettings(image_column=heading.partition(",")[0], group_column="tile_group")

    unasked = MvtecReaderSettings(root=str(mvtec_root)).build().scan()
    asked = MvtecReaderSettings(root=str(mvtec_root), groups=chosen).build().scan()

    assert [p.severity for p in unasked.problems] == ["warning"]
    assert "tile_group" in unasked.problems[0].what
    assert "`reader.groups: {file: index.csv" in unasked.problems[0].fix
    assert {s.group for s in unasked.samples} == {None}
    assert {s.group for s in asked.samples} == {None, "A"}
    assert asked.problems == []


@pytest.mark.parametrize("file", ["absent.csv", "../../secret.csv"])
def test_a_wrong_group_table_is_an_error(mvtec_root: Path, file: str) -> None:
    """A table that is missing or lies outside is named."""
    (mvtec_root.parent / "secret.csv").write_text("image,group\nx,1\n")
    scan = MvtecReaderSettings(root=str(mvtec_root), groups=GroupSettings(file=file)).build().scan()

    assert len(scan.samples) == 9
    assert [p.severity for p in scan.problems] == ["error"]


def test_settings_are_a_discriminated_union() -> None:
    """A run file selects the reader by `kind`; unknown kinds and fields are refused."""
    adapter: TypeAdapter[ReaderSettings] = TypeAdapter(ReaderSettings)

    assert isinstance(adapter.validate_python({"kind": "mvtec", "root": "x", "categories": ["a"]}), MvtecReaderSettings)
    with pytest.raises(ValidationError, match="folder"):
        adapter.validate_python({"kind": "cifar", "root": "x"})
    with pytest.raises(ValidationError, match="Extra inputs"):
        adapter.validate_python({"kind": "mvtec", "root": "x", "catgories": ["a"]})
