"""What reviewers said of images decides what is pulled."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from anogen_core.errors import InputError
from anogen_core.export import LAYOUTS, MvtecExporterSettings, parse_exporter, pull
from anogen_core.records import Box, Decision, ReviewVerdict
from anogen_core.storage import Dataset
from anogen_core.storage.verdicts import VerdictWriter

BOX = Box(x=3, y=4, width=5, height=6)


@pytest.fixture
def reviewed(uri: str) -> Dataset:
    """Return the dataset with its first image accepted, the second rejected and the third fixed."""
    dataset = Dataset(uri)
    names = [row.request_id for row in dataset.made()]
    writer = VerdictWriter(uri, dataset.manifest.digest)
    for name, decision in zip(names, (Decision.ACCEPT, Decision.REJECT, Decision.FIX), strict=False):
        box = BOX if decision is Decision.FIX else None
        writer.add(ReviewVerdict(request_id=name, decision=decision, box=box, who="eva", when=datetime.now(UTC)))
    return dataset


def _table(folder: Path) -> list[dict[str, str]]:
    with (folder / "samples.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("review", "expected"), [("kept", 5), ("accepted", 2), ("all", 6)])
def test_every_layout_honours_verdicts(
    reviewed: Dataset, tmp_path: Path, layout: str, review: str, expected: int
) -> None:
    """Rejected images are left out unless all are asked for, and undecided ones when only accepted ones are."""
    folder = pull(reviewed, tmp_path / "pulled", settings=parse_exporter({"kind": layout, "review": review}))

    rows = _table(folder)
    assert len(rows) == expected
    said = [(row["verdict"], row["reviewer"]) for row in rows if row["verdict"]]
    assert said == ([] if review == "all" else [("accept", "eva"), ("fix", "eva")])


def test_a_fixed_mask_is_what_is_pulled(reviewed: Dataset, tmp_path: Path) -> None:
    """The mask file of a fixed image shows the reviewer's box."""
    folder = pull(reviewed, tmp_path / "pulled")

    row = next(row for row in _table(folder) if row["verdict"] == "fix")
    mask = np.asarray(Image.open(folder / row["mask"]))
    assert cv2.boundingRect(mask) == (BOX.x, BOX.y, BOX.width, BOX.height)
    assert (mask > 0).sum() == BOX.width * BOX.height


def test_an_export_from_before_a_verdict_is_not_mixed_with_one_after_it(reviewed: Dataset, tmp_path: Path) -> None:
    """Files of an image that was rejected meanwhile would stay; the pull says so instead."""
    pull(reviewed, tmp_path / "pulled")
    other = reviewed.made()[4].request_id
    VerdictWriter(reviewed.uri, reviewed.manifest.digest).add(
        ReviewVerdict(request_id=other, decision=Decision.REJECT, who="eva", when=datetime.now(UTC))
    )

    with pytest.raises(InputError, match=r"from before images were rejected.*Choose another directory"):
        pull(reviewed, tmp_path / "pulled")
    assert len(_table(pull(reviewed, tmp_path / "new"))) == 4


def test_the_first_acceptance_completes_an_export_from_before_it(uri: str, tmp_path: Path) -> None:
    """An accepted image was exported before it was accepted, so the same folder is still right."""
    dataset = Dataset(uri)
    folder = pull(dataset, tmp_path / "pulled")
    verdict = ReviewVerdict(
        request_id=dataset.made()[0].request_id, decision=Decision.ACCEPT, who="eva", when=datetime.now(UTC)
    )
    VerdictWriter(uri, dataset.manifest.digest).add(verdict)

    assert pull(dataset, tmp_path / "pulled") == folder
    assert [row["reviewer"] for row in _table(folder) if row["verdict"]] == ["eva"]


def test_an_acceptance_changes_no_pixels_and_is_noted(reviewed: Dataset, tmp_path: Path) -> None:
    """Accepting an image that is exported anyway completes the same folder; the table then says so."""
    folder = pull(reviewed, tmp_path / "pulled")
    VerdictWriter(reviewed.uri, reviewed.manifest.digest).add(
        ReviewVerdict(
            request_id=reviewed.made()[4].request_id, decision=Decision.ACCEPT, who="max", when=datetime.now(UTC)
        )
    )

    pull(reviewed, tmp_path / "pulled", settings=MvtecExporterSettings())

    assert [row["reviewer"] for row in _table(folder) if row["verdict"] == "accept"] == ["eva", "max"]
