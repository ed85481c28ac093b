"""`anogen pull`: every layout, filters and messages, through the real command."""

import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anogen_core.errors import InputError
from anogen_core.export import LAYOUTS
from flows.cli import reading

Anogen = Callable[..., "subprocess.CompletedProcess[str]"]
Making: Any = runpy.run_path(str(Path(__file__).parents[1] / "core/storage/conftest.py"))["Making"]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a sealed dataset of 6 images whose normal photos are gone."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    Making.dataset(f"{tmp_path}/bottle.zarr")
    return f"{tmp_path}/bottle.zarr"


def test_choices_reach_the_layout(anogen: Anogen, dataset: str, tmp_path: Path) -> None:
    """Layout, defect, validation share and a setting of the layout; standard output is the directory alone."""
    out = tmp_path / "out"

    said = anogen("pull", dataset, out, "--as", "yolo", "--defect", "hole", "--val", "0.5", "--set", "labels=boxes")

    assert said.returncode == 0, said.stderr
    assert said.stdout == f"{out}\n"
    assert "2 of 6 images" in said.stderr
    labels = [p.read_text().split() for p in (out / "bottle/labels").rglob("*.txt")]
    assert [(line[0], len(line)) for line in labels] == [("1", 5), ("1", 5)]


@pytest.mark.parametrize(
    ("layout", "choices", "expected"),
    [
        ("voc", {}, "Expected one of: mvtec, coco, yolo, webdataset"),
        ("mvtec", {"validation": 0.2}, "validation_fraction: this layout has no such setting"),
        ("yolo", {"overrides": ["labels=circles"]}, "labels: Input should be 'segments' or 'boxes'"),
        ("coco", {"overrides": ["labels"]}, "expected field=value"),
        ("coco", {"overrides": ["originals=nowhere"]}, "originals: nowhere is not a directory"),
        ("webdataset", {"overrides": ["originals=."]}, "photos are missing below . or have changed"),
        ("coco", {"defects": ["dent"]}, "It has: crack, hole"),
    ],
)
def test_wrong_choices_write_nothing(
    dataset: str, tmp_path: Path, layout: str, choices: dict[str, Any], expected: str
) -> None:
    """One message that names the choice."""
    arguments: dict[str, Any] = {"defects": [], "validation": None, "overrides": [], **choices}

    with pytest.raises(InputError, match=expected):
        reading.pull(dataset, tmp_path / "out", layout, **arguments)
    assert not (tmp_path / "out").exists()


def test_cards_are_printed(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`inspect --card` and `--croissant` print what is stored with the dataset."""
    for machine, name in ((False, "README.md"), (True, "croissant.json")):
        reading.describe(dataset, machine=machine)
        assert capsys.readouterr().out == (Path(dataset) / name).read_text()


def test_help_names_every_layout(anogen: Anogen, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--as` understands is in its help."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    said = anogen("pull", "--help")

    assert all(layout in said.stdout for layout in LAYOUTS)
