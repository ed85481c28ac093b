"""The Prefect server dies and comes back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.native import free_ports
from tests.faults.fleet import Begin, Fleet, Undisturbed, commits, sealed

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]


def test_a_prefect_server_killed_and_started_again(
    begin: Begin, undisturbed: Undisturbed, fault_is_now: Callable[[], None], tmp_path: Path
) -> None:
    """The run goes on through it: same port, same database, same dataset."""
    run_file = begin(tmp_path / "out")
    port = free_ports(1)[0]
    with Fleet(tmp_path, {}) as fleet:
        url = fleet.prefect(port, tmp_path / "prefect")
        fleet.run(run_file, PREFECT_API_URL=url)
        fleet.until(lambda: commits(tmp_path / "out"), "a stored shard")

        fleet.kill("prefect")
        fault_is_now()
        fleet.prefect(port, tmp_path / "prefect")

        assert fleet.ended() == 0, fleet.said()
        assert sealed(tmp_path / "out") == undisturbed.digests


def test_a_prefect_server_that_does_not_come_back(
    begin: Begin, undisturbed: Undisturbed, fault_is_now: Callable[[], None], tmp_path: Path
) -> None:
    """The run ends with one sentence; with a server the same command goes on."""
    run_file = begin(tmp_path / "out")
    with Fleet(tmp_path, {}) as fleet:
        url = fleet.prefect(free_ports(1)[0], tmp_path / "prefect")
        fleet.run(run_file, PREFECT_API_URL=url)
        fleet.until(lambda: commits(tmp_path / "out"), "a stored shard")
        fleet.kill("prefect")
        fault_is_now()

        code = fleet.ended()
        assert code == 1
        assert "Traceback" not in fleet.said()
        assert url in fleet.said()

        fleet.run(run_file)

        assert fleet.ended() == 0, fleet.said()
        assert sealed(tmp_path / "out") == undisturbed.digests
