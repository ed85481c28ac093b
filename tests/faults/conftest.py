"""One undisturbed run to compare with, one Prefect server for all, and a set of processes for each test."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from anogen_core.storage import open_store
from deployments.native import free_ports
from tests.faults.fleet import Begin, Fleet, Undisturbed, sealed


@pytest.fixture(scope="session")
def settings(small_run: dict[str, object], photos: Path) -> dict[str, Any]:
    """Four shards of one category; each takes a second or two, so that a fault can meet one in the middle."""
    return {
        **small_run,
        "reader": {"kind": "mvtec", "root": str(photos), "categories": ["bolt"]},
        "generation": {"images_per_defect": 4, "batch_size": 1, "sampler": {"num_inference_steps": 40}},
        "storage": {"shard_size": 2},
        "evaluation": {"enabled": False},
    }


@pytest.fixture(scope="session")
def undisturbed(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A run in threads, with a Prefect server of its own."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_file = folder / "run.yaml"
    run_file.write_text(yaml.safe_dump({**settings, "output": str(folder / "out")}), encoding="utf-8")
    with Fleet(folder, {}) as fleet:
        fleet.run(run_file)
        assert fleet.ended() == 0, fleet.said()
    digests = sealed(folder / "out")
    assert len(digests) == 1
    return Undisturbed(folder / "out", digests)


@pytest.fixture
def begin(settings: dict[str, Any], undisturbed: Undisturbed, tmp_path: Path) -> Begin:
    """Write a run file whose output holds what the undisturbed run has learned, so that a run begins to generate."""

    def write(output: Path | str, **changes: Any) -> Path:
        learned, place = open_store(undisturbed.output / "artifacts"), open_store(f"{output}/artifacts")
        for key in learned.list():
            place.put(key, learned.read(key))
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump({**settings, "output": str(output), **changes}), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server that lives as long as the tests."""
    folder = tmp_path_factory.mktemp("prefect")
    with Fleet(folder, {}) as fleet:
        yield fleet.prefect(free_ports(1)[0], folder)


@pytest.fixture
def fleet(prefect_api: str, tmp_path: Path) -> Iterator[Fleet]:
    """Processes that report to the Prefect server of all tests and end with the test."""
    with Fleet(tmp_path, {"PREFECT_API_URL": prefect_api}) as processes:
        yield processes


@pytest.fixture
def fault_is_now(record_property: Callable[[str, object], None]) -> Iterator[Callable[[], None]]:
    """Note when the fault came; the time until the test has verified the dataset is kept for `benchmarks/faults.py`."""
    moments: list[float] = []
    yield lambda: moments.append(time.monotonic())
    if moments:
        record_property("seconds from fault to verified dataset", round(time.monotonic() - moments[0], 1))
