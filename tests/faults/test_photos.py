"""A photo is damaged after the plan was made: its requests fail alone, each with its reason."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anogen_core.config import load_config
from anogen_core.records import LedgerRow, Outcome
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.generation import plan_category, product_of
from anogen_core.storage import Dataset, verify
from tests.faults.fleet import Begin, Fleet, Undisturbed, commits

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]


@pytest.fixture
def own_photos(photos: Path, tmp_path: Path) -> Path:
    """A copy of the photos that may be damaged."""
    import shutil

    return Path(shutil.copytree(photos, tmp_path / "photos"))


def _damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["cut", "deleted"])
def test_a_photo_damaged_after_the_plan(
    fleet: Fleet,
    begin: Begin,
    undisturbed: Undisturbed,
    own_photos: Path,
    tmp_path: Path,
    fault_is_now: Callable[[], None],
    how: str,
) -> None:
    """Every other request ends as ever, pixel for pixel, also on a worker that has not seen the photo whole."""
    address = fleet.dask(workers=1)
    reader = {"kind": "mvtec", "root": str(own_photos), "categories": ["bolt"]}
    run_file = begin(tmp_path / "out", reader=reader, runner={"kind": "dask", "address": address})
    config = load_config(run_file)
    category = read_category(config, "bolt")
    last = plan_category(config, category, product_of(config, category))[-1]
    damaged = Path(last.normal.image_uri)
    fleet.run(run_file)
    fleet.until(lambda: commits(tmp_path / "out"), "a stored shard")

    _damage(damaged, how)
    fault_is_now()
    fleet.kill("worker-1")
    fleet.worker("worker-2")

    assert fleet.ended() == 0, fleet.said()
    (uri,) = (tmp_path / "out" / "datasets").glob("*.zarr")
    assert list(verify(str(uri))) == []
    found, expected = Dataset(str(uri)), Dataset(str(next((undisturbed.output / "datasets").glob("*.zarr"))))
    summary = found.summary()
    assert summary["planned"] == sum(summary[outcome.value] for outcome in Outcome) == len(expected.ledger())
    for row, whole in zip(found.ledger(), expected.ledger(), strict=True):
        if row.outcome is Outcome.FAILED:
            assert Path(row.normal_uri) == damaged
            assert str(row.reason).startswith(f"{row.normal_id}: ")
        else:
            _assert_same(found, row, expected, whole)
    assert found.request(last.request_id).outcome is Outcome.FAILED


def _assert_same(found: Dataset, row: LedgerRow, expected: Dataset, whole: LedgerRow) -> None:
    assert (row.request_id, row.outcome, row.reason) == (whole.request_id, whole.outcome, whole.reason)
    if row.row is not None and whole.row is not None:
        assert np.array_equal(found.image(row.row), expected.image(whole.row))
