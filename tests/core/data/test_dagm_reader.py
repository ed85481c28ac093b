"""DAGM 2007 as its authors distribute it."""

import shutil
from pathlib import Path

import pytest

from anogen_core.data import DagmReaderSettings
from anogen_core.data.reader import Scan
from anogen_core.errors import InputError
from anogen_core.run_file import write_run_file
from tests.core.data.reading import audited


def _scan(root: Path) -> Scan:
    return DagmReaderSettings(root=str(root)).build().scan()


def test_photos_with_a_mask_are_defective_and_tested(dagm_root: Path) -> None:
    """Those in `Train`, too; normal photos keep their split. The audit of the dataset has nothing to say."""
    samples = _scan(dagm_root).samples

    assert [s.sample_id for s in samples] == [
        "Class1/test/defect/0003",
        "Class1/test/defect/0004",
        "Class1/test/defect/0579",
        "Class1/test/defect/0580",
        "Class1/test/good/0001",
        "Class1/test/good/0002",
        *(f"Class1/train/good/0{number}" for number in (576, 577, 578)),
    ]
    masks = {Path(s.image_uri).name: Path(s.mask_uri).name for s in samples if s.mask_uri}
    assert masks == {f"{name}.PNG": f"{name}_label.PNG" for name in ("0003", "0004", "0579", "0580")}
    assert audited(DagmReaderSettings(root=str(dagm_root))) == []


@pytest.mark.parametrize("inside", ["", "Class1"])
def test_init_finds_the_layout(dagm_root: Path, tmp_path: Path, inside: str) -> None:
    """In the directory of all classes, or in one of them, with the right numbers."""
    notes = write_run_file(tmp_path / "run.yaml", dagm_root / inside)

    assert "kind: dagm" in (tmp_path / "run.yaml").read_text()
    assert "Class1: 5 normal photos; defect 4" in notes


def test_init_finds_classes_in_folders_of_their_own_name(dagm_root: Path, tmp_path: Path) -> None:
    """`Class1/Class1`, as unpacking leaves it."""
    (dagm_root / "Class1").rename(dagm_root / "inner")
    (dagm_root / "Class1").mkdir()
    (dagm_root / "inner").rename(dagm_root / "Class1/Class1")

    assert "Class1: 5 normal photos; defect 4" in write_run_file(tmp_path / "run.yaml", dagm_root)


def test_classes_can_be_chosen_and_their_defect_named(dagm_root: Path) -> None:
    """By `reader.categories` and `reader.defect`; an unknown class is refused."""
    shutil.copytree(dagm_root / "Class1", dagm_root / "Class10")
    samples = DagmReaderSettings(root=str(dagm_root), categories=("Class10",), defect="spot").build().read()

    assert {(s.category, s.defect) for s in samples} == {("Class10", "good"), ("Class10", "spot")}
    with pytest.raises(InputError, match="Class1"):
        DagmReaderSettings(root=str(dagm_root), categories=("Class2",)).build().read()
    with pytest.raises(InputError, match="no category"):
        DagmReaderSettings(root=str(dagm_root / "Class1/Train/Label")).build().read()


def test_equal_names_in_both_splits_keep_distinct_ids(dagm_root: Path) -> None:
    """Of defective photos, which are all tested: both have their place in the id."""
    train, test = dagm_root / "Class1/Train", dagm_root / "Class1/Test"
    (train / "0579.PNG").rename(train / "0003.PNG")
    (train / "Label/0579_label.PNG").rename(train / "Label/0003_label.PNG")

    ids = {s.sample_id: s.image_uri for s in _scan(dagm_root).samples}

    assert ids["Class1/test/defect/Train/0003"] == str(train / "0003.PNG")
    assert ids["Class1/test/defect/Test/0003"] == str(test / "0003.PNG")


def test_what_is_wrong_is_told_with_its_file(dagm_root: Path, tmp_path: Path) -> None:
    """A mask without a photo, a folder of photos, a copy in both splits, a link that leaves the root, no photo."""
    train, test = dagm_root / "Class1/Train", dagm_root / "Class1/Test"
    (train / "0580.PNG").unlink()
    shutil.copytree(test, test / "more")
    shutil.copy(train / "0576.PNG", test / "0009.PNG")
    outside = tmp_path / "outside.PNG"
    shutil.copy(test / "0001.PNG", outside)
    (test / "0010.PNG").symlink_to(outside)
    (dagm_root / "Class2/Train/Label").mkdir(parents=True)

    told = {(p.severity, Path(p.file).name): p.what for p in audited(DagmReaderSettings(root=str(dagm_root)))}

    assert told["error", "0580_label.PNG"] == "is a mask without a photo."
    assert "one level higher" in told["warning", "more"]
    assert "same as the train photo" in told["error", "0009.PNG"]
    assert "leaves the root" in told["error", "0010.PNG"]
    assert told["error", "Class2"] == "holds no photo that can be used."
    assert len(told) == 5


def test_a_split_without_masks_is_warned_about(dagm_root: Path) -> None:
    """Its photos would all count as normal."""
    shutil.rmtree(dagm_root / "Class1/Test/Label")

    problems = _scan(dagm_root).problems

    assert [(p.severity, p.file) for p in problems] == [("warning", str(dagm_root / "Class1/Test"))]
    assert "taken for normal" in problems[0].what


def test_a_mask_that_the_table_names_and_that_is_missing_is_an_error(dagm_root: Path) -> None:
    """Its photo would be taken for normal; the case of names does not matter, nor lines of normal photos."""
    labels = dagm_root / "Class1/Train/Label"
    lines = ["1", *(f"{n - 575}\t0\t0{n}.PNG\t0\t0" for n in (576, 577, 578))]
    lines += [f"{n - 575}\t1\t0{n}.PNG\t0\t0{n}_label.png" for n in (579, 580)]
    (labels / "Labels.txt").write_text("\r\n".join(lines) + "\r\n")
    assert audited(DagmReaderSettings(root=str(dagm_root))) == []
    (labels / "0580_label.PNG").unlink()

    (problem,) = audited(DagmReaderSettings(root=str(dagm_root)))

    assert (problem.severity, problem.file) == ("error", str(labels / "0580_label.png"))
    assert problem.what == "is not there, and Labels.txt names it."
    assert "would be taken for normal" in problem.fix


@pytest.mark.parametrize("broken", [bytes(range(256)), b""])
def test_a_table_that_is_no_text_says_nothing(dagm_root: Path, broken: bytes) -> None:
    """It only names what is in the folder."""
    (dagm_root / "Class1/Train/Label/Labels.txt").write_bytes(broken)

    assert audited(DagmReaderSettings(root=str(dagm_root))) == []
