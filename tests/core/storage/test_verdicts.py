"""Verdicts beside a sealed dataset, on a local path and on S3."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anogen_core.errors import CorruptDatasetError, InputError, StorageError
from anogen_core.records import Box, Decision, ReviewVerdict
from anogen_core.storage import Dataset, open_store, verdicts, verify
from anogen_core.storage.local import LocalStore
from anogen_core.storage.verdicts import VerdictWriter, review_fingerprint

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def say(request: int, decision: Decision, *, minute: int = 0, box: Box | None = None) -> ReviewVerdict:
    when = NOON + timedelta(minutes=minute)
    return ReviewVerdict(request_id=f"crack-{request:06d}", decision=decision, box=box, who="ada", when=when)


@pytest.fixture
def dataset(location: str, making: Any) -> Dataset:
    making.dataset(f"{location}/bottle.zarr")
    return Dataset(f"{location}/bottle.zarr")


def test_the_latest_verdict_counts_whichever_session_wrote_it(dataset: Dataset) -> None:
    """Rows are those of the images: requests 0, 1, 2, 6, 8, 9. The dataset and its digest stay as they are."""
    digest = dataset.manifest.digest
    assert dataset.verdicts() == {}
    first, second = (VerdictWriter(dataset.uri, digest) for _ in range(2))

    first.add(say(6, Decision.REJECT, minute=5))
    second.add(say(6, Decision.ACCEPT, minute=1))
    second.add(say(0, Decision.FIX, minute=2))
    second.add(say(8, Decision.REJECT, minute=4))
    first.add(say(8, Decision.ACCEPT, minute=3))
    first.add(say(9, Decision.REJECT, minute=6))
    first.add(say(9, Decision.NONE, minute=7))

    said = Dataset(dataset.uri).verdicts()
    assert {row: verdict.decision for row, verdict in said.items()} == {
        0: Decision.FIX,
        3: Decision.REJECT,
        4: Decision.REJECT,
    }
    assert said[3].when == NOON + timedelta(minutes=5)
    assert verify(dataset.uri) == []
    assert Dataset(dataset.uri).manifest.digest == digest


def test_a_long_session_fills_object_after_object(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven verdicts, three to an object: none is lost between objects."""
    monkeypatch.setattr(verdicts, "SEGMENT", 3)
    writer = VerdictWriter(dataset.uri, dataset.manifest.digest)

    for minute in range(7):
        writer.add(
            say((0, 1, 2, 6, 8, 9, 0)[minute], Decision.REJECT if minute < 6 else Decision.ACCEPT, minute=minute)
        )

    said = dataset.verdicts()
    assert len(list(open_store(dataset.uri.replace(".zarr", ".verdicts")).list())) == 3
    assert [said[row].decision.value for row in range(6)] == ["accept", *["reject"] * 5]


def test_verdicts_on_another_dataset_of_the_same_name_do_not_count(dataset: Dataset) -> None:
    """They are kept under the digest."""
    VerdictWriter(dataset.uri, "f" * 64).add(say(0, Decision.REJECT))

    assert dataset.verdicts() == {}


def test_a_failed_write_is_not_stored_with_the_next_one(
    tmp_path: Path, making: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person was told that the verdict failed, so it must not appear later; those before it stay."""
    making.dataset(str(tmp_path / "bottle.zarr"))
    dataset = Dataset(str(tmp_path / "bottle.zarr"))
    writer = VerdictWriter(dataset.uri, dataset.manifest.digest)
    writer.add(say(0, Decision.REJECT))
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put", lambda *_: (_ for _ in ()).throw(StorageError("disk full")))
        with pytest.raises(StorageError):
            writer.add(say(1, Decision.REJECT))

    writer.add(say(2, Decision.REJECT))

    assert set(dataset.verdicts()) == {0, 2}


def test_a_damaged_verdict_is_an_error_that_names_its_place(tmp_path: Path, making: Any) -> None:
    """Better no training than training on what was rejected."""
    making.dataset(str(tmp_path / "bottle.zarr"))
    dataset = Dataset(str(tmp_path / "bottle.zarr"))
    VerdictWriter(dataset.uri, dataset.manifest.digest).add(say(0, Decision.REJECT))
    path = next((tmp_path / "bottle.verdicts").rglob("*.jsonl"))
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(CorruptDatasetError, match=r"bottle.verdicts/.*line 1"):
        dataset.verdicts()


def test_a_name_without_zarr_has_no_place_for_verdicts(tmp_path: Path) -> None:
    """The place beside is found by the name."""
    with pytest.raises(InputError, match=r"ends in \.zarr"):
        VerdictWriter(str(tmp_path / "bottle"), "f" * 64)


def test_a_judged_sample_has_the_label_that_was_given(tmp_path: Path, making: Any) -> None:
    """Accepted: as it is. Rejected: none. Fixed: the drawn box, or the box mask."""
    making.dataset(str(tmp_path / "bottle.zarr"))
    sample = list(Dataset(str(tmp_path / "bottle.zarr")))[1]._replace(mask=np.zeros((16, 24), np.uint8))
    drawn = sample.judged(say(1, Decision.FIX, box=Box(x=20, y=1, width=4, height=2)))
    kept = sample.judged(say(1, Decision.FIX))

    assert sample.judged(None) is sample
    assert sample.judged(say(1, Decision.ACCEPT)) is sample
    assert sample.judged(say(1, Decision.REJECT)) is None
    assert drawn is not None
    assert np.argwhere(drawn.mask == 255).tolist() == [[y, x] for y in (1, 2) for x in (20, 21, 22, 23)]
    assert set(np.unique(drawn.mask)) == {0, 255}
    np.testing.assert_array_equal(drawn.box_mask, sample.box_mask)
    assert kept is not None
    np.testing.assert_array_equal(kept.mask, sample.box_mask)


def test_the_fingerprint_changes_with_what_training_sees() -> None:
    """Rejections and fixed masks, not acceptances, names or times."""
    box = Box(x=1, y=1, width=2, height=2)
    assert review_fingerprint({}) is None
    assert review_fingerprint({0: say(0, Decision.ACCEPT)}) is None
    rejected = review_fingerprint({0: say(0, Decision.REJECT)})
    assert rejected == review_fingerprint({1: say(1, Decision.ACCEPT), 0: say(0, Decision.REJECT, minute=9)})
    fixed = [review_fingerprint({0: say(0, Decision.FIX, box=b)}) for b in (None, box)]
    assert len({rejected, *fixed, review_fingerprint({1: say(0, Decision.REJECT)})}) == 4
