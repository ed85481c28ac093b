"""The reader of a plain folder."""

import json
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from anogen_core.data import FolderReaderSettings
from anogen_core.data.frame import load_mask
from anogen_core.data.inventory import Photo
from anogen_core.data.splitting import split_photos
from anogen_core.errors import InputError
from anogen_core.records import Box
from anogen_core.run_file import write_run_file
from tests.core.data.reading import scan_folder

_HEADING = "image,defect,x,y,width,height\n"


def test_reads_photos_masks_and_splits_them(folder_root: Path) -> None:
    """Defective photos are test photos with masks; every fifth normal photo is a test photo."""
    scan = FolderReaderSettings(root=str(folder_root)).build().scan()

    assert scan.problems == []
    assert [s.sample_id for s in scan.samples if s.defect == "dent"] == [f"caps/test/dent/d{i}" for i in range(4)]
    assert all(s.mask_uri for s in scan.samples if s.defect == "dent")
    assert sum(s.split == "test" for s in scan.samples if s.defect == "good") == 2
    assert sum(s.split == "train" for s in scan.samples) == 8


def test_good_has_other_names(folder_root: Path) -> None:
    """`images/ok` and `images/Normal` beside `images/good` are good, too, each with ids of their own."""
    images = folder_root / "images"
    ids = {s.sample_id for s in FolderReaderSettings(root=str(folder_root)).build().read()}
    for name in ("ok", "Normal"):
        (images / name).mkdir()
        (folder_root / "masks" / name).mkdir()
        cv2.imwrite(str(images / name / "g0.png"), np.full((32, 48), len(name), np.uint8))
    (images / "good/g1.png").rename(images / "ok/g1.png")

    scan = FolderReaderSettings(root=str(folder_root)).build().scan()

    assert scan.problems == []
    assert sum(s.defect == "good" for s in scan.samples) == 12
    assert {s.defect for s in scan.samples} == {"good", "dent"}
    assert len({s.sample_id for s in scan.samples}) == 16
    assert sum(s.sample_id in ids for s in scan.samples) >= 10


def test_the_split_depends_on_content_alone(folder_root: Path) -> None:
    """Renaming files moves none of them into another split, and copies of a photo stay together."""
    settings = FolderReaderSettings(root=str(folder_root), category="c")
    before = {s.sha256: s.split for s in settings.build().read()}
    good = folder_root / "images/good"
    for i, path in enumerate(sorted(good.iterdir())):
        path.rename(good / f"z{9 - i}.png")
    shutil.copy(good / "z3.png", good / "copy.png")

    after = [(s.sha256, s.split) for s in settings.build().read()]

    assert dict(after) == before
    assert len(set(after)) == len(before)


def test_photos_of_one_group_stay_in_one_split() -> None:
    """A leakage group counts as one photo."""
    photos = [Photo(Path(f"{i}.png"), category="c", defect="good", group=f"g{i // 4}") for i in range(40)]
    digests = {p.path: f"{i * 7919 % 101:03d}" for i, p in enumerate(photos)}

    splits = split_photos(photos, digests)

    assert sum(split == "test" for split in splits.values()) == 8
    assert all(len({splits[p.path] for p in photos if p.group == f"g{g}"}) == 1 for g in range(10))


def test_boxes_come_from_the_table(folder_root: Path) -> None:
    """Several rows per photo are several boxes, and the loaded mask is their union."""
    shutil.rmtree(folder_root / "masks")
    rows = "dent/d0.png,dent,1,2,3,4\nd0.png,dent,10,10,5,5\nimages/dent/d1.png,dent,0,0,48.0,32\n"
    (folder_root / "boxes.csv").write_text(_HEADING + rows)

    scan = FolderReaderSettings(root=str(folder_root)).build().scan()
    samples = {s.sample_id: s for s in scan.samples}

    assert scan.problems == []
    first = samples["caps/test/dent/d0"]
    assert first.boxes == (Box(x=1, y=2, width=3, height=4), Box(x=10, y=10, width=5, height=5))
    expected = np.zeros((32, 48), bool)
    expected[2:6, 1:4] = expected[10:15, 10:15] = True
    np.testing.assert_array_equal(load_mask(first, (32, 48)), expected)
    assert load_mask(samples["caps/test/dent/d1"], (16, 16)).all()


def test_the_defect_of_a_row_tells_photos_of_one_name_apart(folder_root: Path) -> None:
    """A file name in the folders of two defects is the one of the row's defect; if it is in neither, an error."""
    shutil.rmtree(folder_root / "masks")
    shutil.copytree(folder_root / "images/dent", folder_root / "images/brûlé é")
    rows = "d0.png,dent,1,2,3,4\nd0.png,brûlé é,5,6,7,8\nd1.png,scratch,1,2,3,4\n"
    (folder_root / "boxes.csv").write_text(_HEADING + rows, encoding="utf-8")

    scan = FolderReaderSettings(root=str(folder_root)).build().scan()

    boxes = {s.defect: s.boxes for s in scan.samples if s.boxes}
    assert boxes == {"dent": (Box(x=1, y=2, width=3, height=4),), "brûlé é": (Box(x=5, y=6, width=7, height=8),)}
    (problem,) = scan.problems
    assert problem.file.endswith("boxes.csv:4")
    assert "more than one photo" in problem.what


def test_labels_name_the_defect_of_photos_without_a_folder(folder_root: Path) -> None:
    """Photos directly in images are what a mask or a box says, and normal without either."""
    images = folder_root / "images"
    for name in ("dent/d0.png", "dent/d1.png", "good/g0.png"):
        shutil.move(images / name, images / Path(name).name)
    (folder_root / "masks/dent/d1.png").unlink()
    (folder_root / "boxes.csv").write_text(_HEADING + "d1.png,scratch,1,1,4,4\n")

    scan = FolderReaderSettings(root=str(folder_root)).build().scan()

    assert scan.problems == []
    defects = {Path(s.image_uri).name: s.defect for s in scan.samples}
    assert (defects["d0.png"], defects["d1.png"], defects["g0.png"]) == ("dent", "scratch", "good")


def test_every_bad_line_of_the_table_is_told_with_its_number(folder_root: Path) -> None:
    """Good lines are used; each bad one is an error at file:line."""
    bad = [
        "dent/d1.png,dent,1,2,3",
        "dent/d1.png,dent,1,2,three,4",
        "dent/d1.png,dent,1,2,0,4",
        "dent/d1.png,dent,1.5,2,3,4",
        "dent/d1.png,dent,nan,2,3,4",
        "dent/d1.png,dent,1,2,1e400,4",
        "dent/d1.png,,1,2,3,4",
        "absent.png,dent,1,2,3,4",
        "../../secret.png,dent,1,2,3,4",
        "/etc/secret.png,dent,1,2,3,4",
    ]
    (folder_root / "boxes.csv").write_text(_HEADING + "dent/d0.png,dent,1,2,3,4\n\n" + "\n".join(bad) + "\n")

    scan = FolderReaderSettings(root=str(folder_root)).build().scan()

    assert [p.file for p in scan.problems] == [f"{folder_root}/boxes.csv:{4 + i}" for i in range(len(bad))]
    assert {p.severity for p in scan.problems} == {"error"}
    assert sum("leaves" in p.what for p in scan.problems) == 2


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00bad", b"\x00" * 100])
def test_a_table_that_is_no_table_is_one_error(folder_root: Path, content: bytes) -> None:
    """Binary or foreign files are refused by their heading."""
    (folder_root / "boxes.csv").write_bytes(content)

    problems = FolderReaderSettings(root=str(folder_root)).build().scan().problems

    assert [p.file for p in problems] == [f"{folder_root}/boxes.csv"]


def test_a_table_that_breaks_off_is_an_error_at_its_line(folder_root: Path) -> None:
    """An open quote or bytes that are not UTF-8 in the middle are told, and the lines before are used."""
    for tail in (b'dent/d1.png,"dent,1,2,3,4\n', b"dent/\xff.png,dent,1,2,3,4\n"):
        (folder_root / "boxes.csv").write_bytes(_HEADING.encode() + b"dent/d0.png,dent,1,2,3,4\n" + tail)

        problems = FolderReaderSettings(root=str(folder_root)).build().scan().problems

        assert len(problems) == 1
        assert problems[0].file.startswith(f"{folder_root}/boxes.csv:")


def test_init_counts_photos_without_a_label(folder_root: Path, tmp_path: Path) -> None:
    """What was found says how many photos of a defect nothing can be learned from."""
    told = write_run_file(tmp_path / "run.yaml", folder_root)
    assert told[0] == "caps: 10 normal photos; dent 4"
    assert not any(line.startswith("white") for line in told)
    (folder_root / "masks/dent/d0.png").unlink()

    assert write_run_file(tmp_path / "run.yaml", folder_root)[0].endswith("dent 4 (1 without a label)")


@pytest.mark.parametrize(("largest", "white"), [(1000, 1023), (4000, 4095), (16383, 16383), (16384, 65535)])
def test_init_takes_the_white_of_the_camera(folder_root: Path, tmp_path: Path, largest: int, white: int) -> None:
    """No 16 bit photo exceeds it, be it one alone that reaches it; damaged photos are left to the audit."""
    photos = sorted((folder_root / "images").rglob("*.png"))
    for photo in photos[:-1]:
        cv2.imwrite(str(photo), np.full((32, 48), 900, np.uint16))
    cv2.imwrite(str(photos[7]), np.full((32, 48, 3), largest, np.uint16))
    photos[-1].write_bytes(b"")

    told = write_run_file(tmp_path / "run.yaml", folder_root)

    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["frame"]["white_level"] == white
    assert any(line.startswith(f"white: {white} ") for line in told) == (white < 65535)


def test_init_says_that_loose_photos_show_no_defect(folder_root: Path, tmp_path: Path) -> None:
    """Photos in the directory itself, without a label, are normal ones."""
    summary = write_run_file(tmp_path / "run.yaml", folder_root / "images/dent")

    assert summary[0] == "dent: 4 normal photos; no defective photos"


def test_labels_that_disagree_are_errors(folder_root: Path) -> None:
    """A photo in the folder of one defect with the box of another is named."""
    (folder_root / "boxes.csv").write_text(_HEADING + "dent/d0.png,scratch,1,2,3,4\ngood/g1.png,scratch,1,2,3,4\n")

    problems = FolderReaderSettings(root=str(folder_root)).build().scan().problems

    assert sorted(Path(p.file).name for p in problems) == ["d0.png", "g1.png"]
    assert all("is labelled" in p.what for p in problems)


def test_a_folder_without_photos_is_an_input_error(tmp_path: Path) -> None:
    """The message says what was expected and what is there."""
    (tmp_path / "pictures").mkdir()

    with pytest.raises(InputError, match=r"images/good.*holds pictures"):
        FolderReaderSettings(root=str(tmp_path)).build().read()


@pytest.mark.parametrize(
    ("side", "size", "said"),
    [(12, 640, 448), (6, 320, 320), (24, 640, None), (3, 2048, 1024)],
)
def test_init_takes_a_size_at_which_a_detector_sees_small_defects(
    tmp_path: Path, side: int, size: int, said: int | None
) -> None:
    """Square defects of 8 px at least, of those kinds that are smaller at 256; no more than photos show, nor 1024."""
    root = tmp_path / "boards"
    (root / "images").mkdir(parents=True)
    shapes = []
    for number in range(6):
        cv2.imwrite(str(root / f"images/{number}.png"), np.full((size, size), 100 + number, np.uint8))
        for defect, wide in (("pin-hole", side), ("short", size // 4)):
            corners = [[10, 10], [9 + wide, 10], [9 + wide, 9 + wide], [10, 9 + wide]]
            shapes.append({"label": defect, "points": corners, "shape_type": "polygon"})
        (root / f"images/{number}.json").write_text(json.dumps({"shapes": shapes if number > 2 else []}))

    notes = write_run_file(tmp_path / "run.yaml", root)

    written = yaml.safe_load((tmp_path / "run.yaml").read_text())["detector"]["image_size"]
    assert written == (said or 256)
    assert [note for note in notes if note.startswith("detector.image_size")] == (
        [f"detector.image_size: {said} (boards/pin-hole is about {side * 256 / size:.0f} px large at 256)"] * bool(said)
    )


def test_a_folder_of_links_alone_says_what_is_wrong_with_each(folder_root: Path, tmp_path: Path) -> None:
    """Photos that cannot be taken are told of one by one: "no photo" would not say why."""
    outside = tmp_path / "links"
    (outside / "images/good").mkdir(parents=True)
    for path in (folder_root / "images/good").iterdir():
        (outside / "images/good" / path.name).symlink_to(path)

    scan = FolderReaderSettings(root=str(outside)).build().scan()

    assert len(scan.problems) == 10
    assert all("is a link that leaves the root" in problem.what for problem in scan.problems)
    with pytest.raises(InputError, match="no photo in"):
        FolderReaderSettings(root=str(tmp_path)).build().scan()


def test_photos_may_lie_in_the_root_itself(folder_root: Path) -> None:
    """Folders of classes without `images`: masks, label files and other directories are not classes."""
    for folder in ("good", "dent"):
        shutil.move(folder_root / "images" / folder, folder_root / folder)
    (folder_root / "images").rmdir()
    (folder_root / "masks/dent/d3.png").unlink()
    (folder_root / "labels/dent").mkdir(parents=True)
    (folder_root / "labels/dent/d3.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    (folder_root / "run-output/datasets").mkdir(parents=True)

    scan = FolderReaderSettings(root=str(folder_root)).build().scan()
    summary = write_run_file(folder_root.parent / "run.yaml", folder_root)

    assert scan.problems == []
    assert Counter(s.defect for s in scan.samples) == {"good": 10, "dent": 4}
    assert [s.sample_id for s in scan.samples if s.boxes] == ["caps/test/dent/d3"]
    assert all(s.is_labelled for s in scan.samples if s.defect == "dent")
    assert "kind: folder" in (folder_root.parent / "run.yaml").read_text()
    assert "caps: 10 normal photos" in summary[0]


def test_labelme_files_may_lie_beside_photos_in_the_root(folder_root: Path) -> None:
    """As LabelMe leaves them: one directory, and nothing in it is read twice."""
    labelled = {"label": "dent", "shape_type": "rectangle", "points": [[10, 8], [20, 16]]}
    for path in [*folder_root.glob("images/*/*.png")]:
        shutil.move(path, folder_root / path.name)
    shutil.rmtree(folder_root / "images")
    shutil.rmtree(folder_root / "masks")
    for i in range(4):
        (folder_root / f"d{i}.json").write_text(
            json.dumps({"shapes": [labelled], "imagePath": f"d{i}.png", "imageHeight": 32, "imageWidth": 48})
        )

    scan = FolderReaderSettings(root=str(folder_root)).build().scan()

    assert scan.problems == []
    assert Counter(s.defect for s in scan.samples) == {"good": 10, "dent": 4}
    assert all(s.boxes == (Box(x=10, y=8, width=10, height=8),) for s in scan.samples if s.defect == "dent")


def test_photos_that_differ_in_their_ending_alone_may_be_masks(folder_root: Path) -> None:
    """As some datasets have them; one warning for a folder."""
    for number in range(3):
        mask = folder_root / f"masks/dent/d{number}.png"
        mask.rename(folder_root / f"images/dent/d{number}.bmp")

    (problem,) = scan_folder(folder_root).problems

    assert (problem.severity, problem.file) == ("warning", str(folder_root / "images/dent"))
    assert problem.what == "holds 3 pairs of photos with one name, such as d0.bmp and d0.png."
    assert "end its name with _mask" in problem.fix


def test_groups_that_share_a_photo_stay_in_one_split() -> None:
    """As where a part was photographed twice, or its photos were copied: KolektorSDD has such."""
    photos = [Photo(Path(f"{i}.png"), category="c", defect="good", group=f"g{i // 2}") for i in range(40)]
    digests = {p.path: f"{i * 7919 % 101:03d}" for i, p in enumerate(photos)}
    for chain in ((1, 6), (7, 20), (21, 38)):
        digests[photos[chain[1]].path] = digests[photos[chain[0]].path]

    splits = split_photos(photos, digests)

    joined = [splits[photos[i].path] for i in (0, 1, 6, 7, 20, 21, 38, 39)]
    assert len(set(joined)) == 1
    units = 20 - 3
    assert sum(split == "test" for split in splits.values()) in (2 * (units // 5), 2 * (units // 5) + 6)


@pytest.mark.parametrize("images", ["", "images"])
def test_init_finds_a_folder_inside_one_of_its_name(folder_root: Path, tmp_path: Path, images: str) -> None:
    """As unpacking leaves it."""
    for folder in (folder_root / "images").iterdir():
        (folder_root / "caps" / images).mkdir(parents=True, exist_ok=True)
        folder.rename(folder_root / "caps" / images / folder.name)
    (folder_root / "images").rmdir()
    (folder_root / "masks").rename(folder_root / "caps/masks")

    notes = write_run_file(tmp_path / "run.yaml", folder_root)

    assert notes[0] == "caps: 10 normal photos; dent 4"
    assert f"root: {folder_root / 'caps'}\n" in (tmp_path / "run.yaml").read_text()


@pytest.mark.parametrize("deeper", ["crack", "MT_Crack/Imgs"])
def test_where_photos_lie_that_are_not_found_is_told(folder_root: Path, tmp_path: Path, deeper: str) -> None:
    """The first folder that has some, down to two levels."""
    (tmp_path / "other" / deeper).mkdir(parents=True)
    (folder_root / "images/dent/d0.png").rename(tmp_path / "other" / deeper / "d0.png")

    with pytest.raises(InputError, match=rf"holds \w+, and {tmp_path}/other/{deeper} photos\."):
        scan_folder(tmp_path / "other")
