"""Real datasets, where they lie beside the project."""

import json
from collections import Counter
from pathlib import Path

import pytest

from anogen_core.data import MvtecReaderSettings
from anogen_core.data.audit import audit
from anogen_core.data.frame import FrameSettings, frame_size_of
from anogen_core.data.support import SupportSettings, choose_support, held_out
from anogen_core.errors import InputError

_DATA = Path(__file__).parents[4] / "shared" / "data"


def _settings(name: str) -> tuple[MvtecReaderSettings, SupportSettings]:
    if not (_DATA / name).is_dir():
        pytest.skip(f"{name} is not beside the project")
    splits = json.loads((_DATA / name / "fewshot_splits.json").read_text())["seed0"]
    images = {defect: tuple(split["support_images"]) for defect, split in splits.items()}
    return MvtecReaderSettings(root=str(_DATA / name)), SupportSettings(images=images)


def test_magnetic_tile_is_read_split_and_clean() -> None:
    """The published few-shot split leaves 97 blowholes, 67 breaks and 31 cracks to test on."""
    reader, support = _settings("magnetic_tile")
    samples = reader.build().read()

    kept, excluded = held_out(samples, choose_support(samples, support, seed=0), FrameSettings())

    assert audit(samples, reader, FrameSettings(size=(256, 256)), support) == []
    assert Counter(s.defect for s in kept) == {"good": 247, "blowhole": 97, "break": 67, "crack": 31}
    assert len(excluded) == 62


def test_magnetic_tile_needs_a_frame() -> None:
    """Its photos have many sizes, and the message says so."""
    reader, _ = _settings("magnetic_tile")

    with pytest.raises(InputError, match=r"980 sizes.*Set `frame.size`"):
        frame_size_of(reader.build().read(), FrameSettings())


def test_pitting_shares_parts_between_its_splits() -> None:
    """All its photos have one size; seven positions are in train and in test, which is a warning."""
    reader, support = _settings("bsdata_pitting")

    problems = audit(reader.build().read(), reader, FrameSettings(), support)

    assert [p.severity for p in problems] == ["warning"]
    assert "7 leakage groups" in problems[0].what
