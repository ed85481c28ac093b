"""Photos in a folder for each part with their masks beside them, as KolektorSDD is downloaded."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.data import FolderReaderSettings
from anogen_core.data.frame import FrameSettings
from anogen_core.data.support import SupportSettings, choose_support, held_out
from anogen_core.errors import InputError
from anogen_core.run_file import write_run_file
from tests.core.data.reading import SIZE, audited, scan_folder

_PARTS = ("kos01", "kos02", "kos 03", "köş04", "kos05")


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four photos of each of five parts; the first of each has a defect."""
    root = tmp_path / "KolektorSDD"
    rng = np.random.default_rng(3)
    for part in _PARTS:
        for number in range(4):
            mask = np.zeros(SIZE, np.uint8)
            mask[8:16, 10:20] = 255 * (number == 0)
            _write(root / part / f"Part{number}.JPG", rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
            _write(root / part / f"Part{number}_label.bmp", mask)
    return root


def test_folders_of_parts_are_leakage_groups(root: Path, tmp_path: Path) -> None:
    """Masks say what a photo shows; other photos of the support's parts are not evaluated, and `init` reads all."""
    notes = write_run_file(tmp_path / "run.yaml", root)
    scan = scan_folder(root)

    assert notes[0] == "KolektorSDD: 15 normal photos; defect 5"
    assert scan.problems == []
    assert {s.group for s in scan.samples} == set(_PARTS)
    defective = {s.sample_id: s.group for s in scan.samples if s.defect == "defect"}
    assert defective == {f"KolektorSDD/test/defect/{part}/Part0": part for part in _PARTS}
    support = choose_support(scan.samples, SupportSettings(), seed=1)
    tested, _ = held_out(scan.samples, support, FrameSettings())
    used = {sample.group for own in support for sample in own.samples}
    assert len(used) == 3
    assert used.isdisjoint(sample.group for sample in tested)
    (told,) = audited(FolderReaderSettings(root=str(root)))
    assert "leakage groups whose normal photos are learned from" in told.what
    assert "Nearly all parts have a defect" in told.fix


def test_parts_that_are_learned_from_and_tested_can_be_left_out_where_others_are_enough(root: Path) -> None:
    """Their normal photos, which the warning says."""
    for number in range(18):
        mask = root / f"whole{number}" / "Part0_label.bmp"
        _write(mask, np.zeros(SIZE, np.uint8))
        _write(mask.with_name("Part0.JPG"), np.full((*SIZE, 3), 10 + number, np.uint8))
    reader = FolderReaderSettings(root=str(root))
    train = {str(s.group) for s in reader.build().read() if s.split == "train"}
    shared = train & set(_PARTS)

    told = audited(reader)
    for part in _PARTS:
        for number in range(1, 4):
            (root / part / f"Part{number}.JPG").unlink()
            (root / part / f"Part{number}_label.bmp").unlink()

    assert not [p for p in audited(reader) if "leakage" in p.what]
    assert [(p.severity, p.file) for p in told] == [("warning", "KolektorSDD")]
    assert f"{len(shared)} leakage groups whose normal photos are learned from" in told[0].what
    assert "Leave out the normal photos" in told[0].fix


def test_folders_that_are_good_or_defective_may_name_defects(root: Path) -> None:
    """Which is a warning."""
    for part in _PARTS:
        if part in _PARTS[:2]:
            (root / part / "Part0.JPG").unlink()
            (root / part / "Part0_label.bmp").unlink()
        else:
            for number in range(1, 4):
                (root / part / f"Part{number}_label.bmp").write_bytes((root / part / "Part0_label.bmp").read_bytes())

    (problem,) = scan_folder(root).problems

    assert problem.file == str(root)
    assert "(kos 03, kos01, kos02) that were taken for one part each" in problem.what
    assert "call the folder of normal photos good" in problem.fix


def test_a_folder_without_masks_is_of_no_part(root: Path) -> None:
    """Nor are others then: the error says what was found."""
    for mask in (root / "kos01").glob("*_label.bmp"):
        mask.unlink()

    with pytest.raises(InputError, match=r"holds kos 03, kos01, kos02, kos05, köş04"):
        scan_folder(root)


def _remove(mask: Path) -> None:
    mask.unlink()


def _remove_photo(mask: Path) -> None:
    mask.with_name("Part0.JPG").unlink()


def _link(mask: Path) -> None:
    mask.unlink()
    mask.symlink_to("/etc/hostname")


def _shrink(mask: Path) -> None:
    _write(mask, 255 * np.eye(9, dtype=np.uint8))


def _cut(mask: Path) -> None:
    mask.write_bytes(mask.read_bytes()[:99])


@pytest.mark.parametrize(
    ("breaking", "number", "named", "severity", "said"),
    [
        (_remove, 2, "Part2.JPG", "warning", "is taken for a normal photo, since it has no mask. Add its mask"),
        (_shrink, 0, "Part0_label.bmp", "error", "is a mask of 9x9 for a photo of 32x48"),
        (_remove_photo, 0, "Part0_label.bmp", "error", "is a mask without a photo"),
        (_cut, 0, "Part0_label.bmp", "error", "is truncated or damaged"),
    ],
)
def test_what_is_wrong_with_a_mask_is_told_once(
    root: Path, breaking: Callable[[Path], None], number: int, named: str, severity: str, said: str
) -> None:
    """With its file, and what to do."""
    breaking(root / f"köş04/Part{number}_label.bmp")

    told = [p for p in audited(FolderReaderSettings(root=str(root))) if "leakage" not in p.what]

    assert [(p.severity, p.file) for p in told] == [(severity, str(root / "köş04" / named))]
    assert said in str(told[0])


def test_links_that_leave_the_root_are_told(root: Path) -> None:
    """And folders in a folder of a part."""
    _link(root / "kos01/Part0_label.bmp")
    (root / "kos02/more").mkdir()

    told = {(p.severity, Path(p.file).name): p.what for p in scan_folder(root).problems}

    assert "leaves the root" in told["error", "Part0_label.bmp"]
    assert "photos are expected in" in told["warning", "more"]
    assert "has no mask" in told["warning", "Part0.JPG"]


def test_photos_without_a_mask_are_normal_where_no_mask_is_empty(root: Path) -> None:
    """Then only defects were drawn, and nothing is said."""
    for number in range(1, 4):
        for part in _PARTS:
            (root / part / f"Part{number}_label.bmp").unlink()

    assert scan_folder(root).problems == []


def test_versions_of_a_photo_are_a_leakage_group_unless_a_table_says_more(folder_root: Path) -> None:
    """As Roboflow exports them: the support photo's other versions are not evaluated."""
    dent = folder_root / "images/dent"
    for number, photo in enumerate(sorted(dent.iterdir())):
        name = f"d{number // 2}_png.rf.{number:032x}.png"
        shutil.move(folder_root / "masks/dent" / photo.name, folder_root / "masks/dent" / name)
        shutil.move(photo, dent / name)

    samples = scan_folder(folder_root).samples

    groups = [sample.group for sample in samples if sample.defect == "dent"]
    assert groups == [f"d{number // 2}_png" for number in range(len(groups))]
    assert {sample.group for sample in samples if sample.defect != "dent"} == {None}
    support = choose_support(samples, SupportSettings(shots=1), seed=1)
    tested, _ = held_out(samples, support, FrameSettings())
    assert {s.group for s in tested if s.defect == "dent"}.isdisjoint({s.group for own in support for s in own.samples})
    (folder_root / "index.csv").write_text("image,part_group\nd0_png.rf." + "0" * 32 + ",mine\n")
    assert {sample.group for sample in scan_folder(folder_root).samples} == {None, "mine"}
