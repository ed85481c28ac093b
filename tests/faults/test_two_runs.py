"""Two runs of one output at once: the second one waits, and does no work twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.fleet import COMMAND, Begin, Fleet, Undisturbed, commits, sealed

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

WAITS = "Another run works on bolt: small on "


@pytest.fixture(params=["threads", "cluster"])
def two(request: pytest.FixtureRequest, fleet: Fleet, begin: Begin, tmp_path: Path) -> Path:
    """A run that stands still with a stored shard, and the same command again, which waits; returns the run file."""
    elsewhere = request.param == "cluster"
    runner = {"kind": "dask", "address": fleet.dask(workers=2)} if elsewhere else {"kind": "threads"}
    run_file = begin(tmp_path / "out", runner=runner)
    fleet.run(run_file)
    fleet.until(lambda: commits(tmp_path / "out"), "a stored shard")
    fleet.signal("run", signal.SIGSTOP)  # or it might have ended before the second one has begun
    fleet.run(run_file, name="second")
    fleet.until(lambda: WAITS in fleet.said("second"), "the second run")
    return run_file


def test_a_second_run_waits_and_makes_nothing(
    fleet: Fleet, two: Path, undisturbed: Undisturbed, prefect_api: str
) -> None:
    """`anogen status` shows it as waiting, and for which run."""
    states = _states(prefect_api)
    fleet.signal("run", signal.SIGCONT)

    assert fleet.ended() == 0, fleet.said()
    assert fleet.ended("second") == 0, fleet.said("second")

    assert [state for state, _ in states] == ["Waiting", "Running"]
    assert states[0][1].startswith(WAITS)
    assert [state for state, _ in _states(prefect_api)] == ["Completed", "Completed"]
    assert "made: 1 dataset;" in fleet.said()
    assert "made: nothing;" in fleet.said("second")
    assert sealed(two.with_name("out")) == undisturbed.digests


def test_a_second_run_goes_on_where_the_first_was_killed(
    fleet: Fleet, two: Path, undisturbed: Undisturbed, fault_is_now: Callable[[], None]
) -> None:
    """By itself, in seconds: no mark of a dead run stays in the way."""
    fleet.kill("run")
    fault_is_now()

    assert fleet.ended("second", seconds=120) == 0, fleet.said("second")
    assert fleet.said("second").count(WAITS) == 1
    assert "made: 1 dataset;" in fleet.said("second")
    assert sealed(two.with_name("out")) == undisturbed.digests


def _states(server: str) -> list[tuple[str, str]]:
    """Return state and message of the newest two runs, newest first."""
    said = subprocess.run(
        [sys.executable, "-c", COMMAND, "status", "--json", "--limit", "2"],
        env={**os.environ, "PREFECT_API_URL": server},
        capture_output=True,
        text=True,
        check=True,
    )
    return [(run["state"], run["message"]) for run in json.loads(said.stdout)]
