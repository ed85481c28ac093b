"""What is listed of an output: the datasets that its runs have left there."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anogen_core.config import parse_config
from anogen_core.evaluation import CheckpointRef
from anogen_core.records import Decision, ReviewVerdict
from anogen_core.stages.result import CategoryResult, FailedCategory, write_result
from anogen_core.storage import Dataset, DatasetWriter, open_store
from anogen_core.storage.verdicts import VerdictWriter
from flows.cli.app import app
from tests.core.storage.conftest import Making


def _say(*arguments: str) -> tuple[str, str]:
    said = CliRunner().invoke(app, ["datasets", *arguments])
    assert said.exit_code == 0, said.output
    return said.stdout, said.stderr


def _listed(output: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads(_say(output, "--json")[0])}


def _finish(output: str, *names: str) -> None:
    """End a run that made these datasets, the first of which is of a category that fails in the next run."""
    config = parse_config({"output": output, "reader": {"kind": "mvtec", "root": "photos"}}, source="test")
    detector = CheckpointRef(
        detector="fpn", category="cap", arm="perlin", uri=f"{output}/artifacts/d", digest="1", steps=1, trained_on=None
    )
    made = [
        CategoryResult(category=ref.category, dataset=ref, embeddings=(), checkpoints=(detector,))
        for ref in (Dataset(f"{output}/datasets/{name}.zarr").ref() for name in names)
    ]
    write_result(config, made)
    write_result(config, made[1:], failed=[FailedCategory(category=made[0].category, reason="the photos are gone")])


@pytest.mark.timeout(60)
def test_datasets_of_all_runs_are_listed(location: str, making: type[Making]) -> None:
    """Sealed, begun and damaged ones, with counts, sizes, dates, and which the last run or what it kept refers to."""
    uris = {name: f"{location}/datasets/{name}.zarr" for name in ("bottle-0001", "bottle-0002", "cap-0003", "cap-0004")}
    for name, uri in uris.items():
        if name != "cap-0004":
            making.dataset(uri, name=name, category=name.split("-")[0], config_fingerprint=name)
    begun = making.spec(name="cap-0004", category="cap")
    writer = DatasetWriter(uris["cap-0004"], begun)
    writer.create()
    making.write(writer, begun, 0)
    _finish(location, "cap-0003", "bottle-0002")
    open_store(uris["bottle-0001"]).put("manifest.json", b"{}")

    found = _listed(location)
    lines, told = _say(location)

    assert list(found) == ["bottle-0001", "bottle-0002", "cap-0003", "cap-0004"]
    assert {name: one["used_by_last_run"] for name, one in found.items()} == {
        "bottle-0001": False, "bottle-0002": True, "cap-0003": True, "cap-0004": False,
    }  # fmt: skip
    assert [one["sealed"] for one in found.values()] == [False, True, True, False]
    assert found["cap-0003"]["defects"] == {"crack": 4, "hole": 2}
    assert sum(found["cap-0004"]["defects"].values()) == 3
    assert "manifest.json" in found["bottle-0001"]["problem"]
    for name, one in found.items():
        folder = f"datasets/{name}.{'parts' if name == 'cap-0004' else 'zarr'}"
        entries = list(open_store(location).entries(folder))
        assert one["bytes"] == sum(entry.size for entry in entries) > 1000
        assert one["bytes"] == sum(open_store(location).size(entry.key) or 0 for entry in entries)
        assert abs(datetime.fromisoformat(one["modified"]) - datetime.now(UTC)) < timedelta(minutes=2)
    assert lines.splitlines()[2].startswith(f"{uris['cap-0003']}  6 images (crack 4, hole 2)  0.0 MB  20")
    assert lines.splitlines()[2].endswith(" UTC  used by the last run")
    assert lines.splitlines()[3].endswith(" UTC  not sealed")
    assert f"warning: {uris['bottle-0001']}/manifest.json" in told
    assert "2 of 4 (0.0 MB) are not those of the last run." in told


def test_verdicts_count_for_their_dataset_alone(tmp_path: Path, making: type[Making]) -> None:
    """They add to its size and not to its date; where it was deleted they are no dataset."""
    uri = f"{tmp_path}/datasets/bottle-0001.zarr"
    making.dataset(uri)
    before = _listed(str(tmp_path))["bottle-0001"]
    VerdictWriter(uri, Dataset(uri).manifest.digest).add(
        ReviewVerdict(request_id="crack-000000", decision=Decision.REJECT, who="ada", when=datetime.now(UTC))
    )

    after = _listed(str(tmp_path))["bottle-0001"]

    assert after["bytes"] > before["bytes"]
    assert after["modified"] == before["modified"]
    open_store(uri).delete("")
    assert _listed(str(tmp_path)) == {}
    assert "holds no datasets" in _say(str(tmp_path))[1]


def test_a_place_without_anything_is_one_error(tmp_path: Path) -> None:
    """It is told what was expected."""
    said = CliRunner().invoke(app, ["datasets", str(tmp_path / "out")])

    assert "holds nothing; expected a run's output" in str(said.exception)
