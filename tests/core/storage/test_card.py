"""The cards of a dataset: for people, and for machines as mlcroissant reads them."""

import json
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

from anogen_core.records import BaseModelInfo
from anogen_core.storage import Dataset, verify
from anogen_core.storage.card import is_non_commercial, licence_warnings


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC BY-NC-SA 4.0", True),
        ("cc-by-nc-4.0", True),
        ("Stability AI Non-Commercial Research Community License", True),
        ("for noncommercial use", True),
        ("research use only", True),
        ("CC BY-SA 4.0", False),
        ("Apache-2.0", False),
        ("CreativeML Open RAIL-M", False),
        ("MIT, see the licence of Franc Inc", False),
    ],
)
def test_non_commercial_words_are_found(licence: str, *, expected: bool) -> None:
    """The usual names of non-commercial licences, and no other."""
    assert is_non_commercial(licence) is expected


def test_a_restriction_is_said_first_and_loudly(making: Any, tmp_path: Path) -> None:
    """Photos or model: the card begins with it, and so does the description for machines."""
    model = BaseModelInfo(name="tiny", fingerprint="f00d", licence="CC BY-NC 4.0")
    making.dataset(f"{tmp_path}/d.zarr", base_model=model, data_licence="CC BY 4.0")

    dataset = Dataset(f"{tmp_path}/d.zarr")

    assert dataset.card().splitlines()[2].startswith("> **NON-COMMERCIAL USE ONLY. The base model: CC BY-NC 4.0.")
    assert json.loads(dataset.croissant())["description"].startswith("NON-COMMERCIAL USE ONLY.")
    assert licence_warnings(making.spec(data_licence="CC BY 4.0")) == ()
    assert licence_warnings(making.spec())[0].startswith("LICENCE NOT STATED: the real photos.")


def test_the_card_tells_what_was_made_from_what(making: Any, tmp_path: Path) -> None:
    """Counts, digest, model, licences, sources, versions and settings; no place of this machine."""
    settings = {"run": {"reader": {"kind": "mvtec", "root": "/home/me/photos"}, "seed": 7}}
    made_with = {"settings": settings, "code_versions": {"generation": 3}, "sources": "line 4", "data_licence": "ours"}
    digest = making.dataset(f"{tmp_path}/d.zarr", **made_with)

    card = Dataset(f"{tmp_path}/d.zarr").card()

    for part in (
        "| 0 | crack | 4 |",
        "6 made, 2 filtered, 1 blocked, 1 failed",
        digest,
        "tiny (f00d)",
        "The real photos: ours",
        "source: line 4",
        "generation 3",
        '"seed": 7',
        "not for evaluation",
    ):
        assert part in card
    assert "/home/me" not in card
    assert (tmp_path / "d.zarr/README.md").read_text() == card
    assert verify(f"{tmp_path}/d.zarr") == []


def test_mlcroissant_accepts_and_reads_a_dataset(making: Any, tmp_path: Path) -> None:
    """The stored description validates, and its records are the ledger."""
    making.dataset(f"{tmp_path}/d.zarr", data_licence="CC BY 4.0")
    path = tmp_path / "d.zarr/croissant.json"

    described = mlcroissant.Dataset(path)
    records = list(described.records("samples"))

    assert not described.metadata.issues.errors
    assert path.read_text() == Dataset(f"{tmp_path}/d.zarr").croissant()
    rows = Dataset(f"{tmp_path}/d.zarr").ledger()
    assert [r["samples/request_id"].decode() for r in records] == [row.request_id for row in rows]
    assert [r["samples/seed"] for r in records] == [row.seed for row in rows]
