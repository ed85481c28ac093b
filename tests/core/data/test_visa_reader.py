"""VisA as its authors distribute it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anogen_core.data import VisaReaderSettings
from anogen_core.data.frame import load_mask
from anogen_core.data.reader import Scan
from anogen_core.errors import InputError
from anogen_core.records import COMBINED, GOOD
from anogen_core.run_file import write_run_file


def _scan(root: Path) -> Scan:
    return VisaReaderSettings(root=str(root)).build().scan()


def test_defects_are_those_of_the_table(visa_root: Path) -> None:
    """A photo with several is combined; masks that number the defects are whole; the split is the published one."""
    scan = _scan(visa_root)
    defects = {Path(s.image_uri).name: s.defect for s in scan.samples if s.defect != GOOD}
    masks = [load_mask(s, (32, 48)) for s in scan.samples if s.has_mask]

    assert scan.problems == []
    assert defects == {
        "000.JPG": "chunk of wax missing",
        "001.JPG": COMBINED,
        "002.JPG": "other",
        "003.JPG": "chunk of wax missing",
    }
    assert {Path(s.image_uri).name for s in scan.samples if s.defect == GOOD and s.split == "test"} == {
        "0000.JPG",
        "0001.JPG",
    }
    assert sorted(np.count_nonzero(mask) for mask in masks) == [80, 120, 120, 120]


@pytest.mark.parametrize("inside", ["", "candle"])
def test_init_finds_the_layout(visa_root: Path, tmp_path: Path, inside: str) -> None:
    """In the directory of all categories, or in one of them."""
    notes = write_run_file(tmp_path / "run.yaml", visa_root / inside)

    assert "kind: visa" in (tmp_path / "run.yaml").read_text()
    assert any("candle: 6 normal photos" in note for note in notes)


def test_one_category_has_the_same_samples(visa_root: Path) -> None:
    """The table of splits lies above it."""
    assert _scan(visa_root / "candle").samples == _scan(visa_root).samples


def test_without_a_table_of_splits_every_fifth_is_held_out(visa_root: Path) -> None:
    """As in a plain folder."""
    (visa_root / "split_csv/1cls.csv").unlink()

    scan = _scan(visa_root)

    assert scan.problems == []
    assert sum(s.split == "test" for s in scan.samples if s.defect == GOOD) == 1
    assert all(s.split == "test" for s in scan.samples if s.defect != GOOD)


def _drop(file: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / file
        lines = [line for line in path.read_text().splitlines() if text not in line]
        path.write_text("\n".join(lines) + "\n")

    return change


def _replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


_LABELS = "candle/image_anno.csv"
_BAD: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no row": (_drop(_LABELS, "Anomaly/002"), "error", "has no row in image_anno.csv"),
    "no table": (lambda root: (root / _LABELS).unlink(), "error", "has no column 'image', 'label'"),
    "no photo": (_replace(_LABELS, "Anomaly/002.JPG", "Anomaly/009.JPG"), "error", "009.JPG, which is not there"),
    "no label": (_replace(_LABELS, "other", " , "), "error", "has the label"),
    "normal": (_replace(_LABELS, "other", "normal"), "error", "has the label 'normal'"),
    "path": (_replace(_LABELS, "other", "a/b"), "error", "has the label 'a/b'"),
    "twice": (_replace(_LABELS, "Anomaly/002.JPG", "Anomaly/000.JPG"), "error", "once more, otherwise"),
    "split": (_replace("split_csv/1cls.csv", "candle,test,normal", "candle,val,normal"), "error", "calls splits val"),
    "new photos": (_drop("split_csv/1cls.csv", "Normal/0003"), "warning", "no row for 1 normal photos"),
    "stray mask": (lambda root: (root / "candle/Data/Images/Anomaly/002.JPG").unlink(), "error", "without a photo"),
}


@pytest.mark.parametrize("case", _BAD)
def test_what_is_wrong_is_told(visa_root: Path, case: str) -> None:
    """With the table or photo, and the line."""
    change, severity, expected = _BAD[case]
    change(visa_root)

    problems = _scan(visa_root).problems

    assert [(p.severity, expected in p.what) for p in problems if expected in p.what] == [(severity, True)]


def test_no_category_is_one_error(visa_root: Path) -> None:
    """It says what was expected and what is there."""
    with pytest.raises(InputError, match=r"Expected <category>/Data/Images/Normal.*found Images, Masks"):
        _scan(visa_root / "candle" / "Data")
    with pytest.raises(InputError, match=r"reader.categories: \['cap'\] are not in"):
        VisaReaderSettings(root=str(visa_root), categories=("cap",)).build().scan()
