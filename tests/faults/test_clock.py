"""Hosts whose clocks disagree by days."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.fleet import Begin, Fleet, Undisturbed, commits, sealed

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime (apt-get install faketime)"),
]

_SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
"""libfaketime refuses Python's own way to sleep (EINVAL) while it leaves the monotonic clock alone."""


Clock = Callable[[str], dict[str, str]]


@pytest.fixture
def clock(fleet: Fleet, tmp_path: Path) -> Clock:
    """Return the environment of a process whose clock is off by '+3h', say; that it is, and sleeps, is looked at."""
    folder = tmp_path / "python"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SLEEP, encoding="utf-8")

    def environment(offset: str) -> dict[str, str]:
        library = {"LD_PRELOAD": str(_LIBRARIES[0]), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return {**library, "PYTHONPATH": str(folder), "FAKETIME": offset}

    fleet.start("clock", "-c", "import time; time.sleep(0.1); print(time.time())", **environment("+3h"))
    assert fleet.ended("clock") == 0, fleet.said("clock")
    assert float(fleet.said("clock")) - time.time() > 3600
    return environment


def test_hosts_whose_clocks_disagree(
    fleet: Fleet,
    begin: Begin,
    undisturbed: Undisturbed,
    tmp_path: Path,
    clock: Clock,
    fault_is_now: Callable[[], None],
) -> None:
    """What a host three hours ahead began and was killed, one two days behind ends; no time decides what is made."""
    run_file = begin(tmp_path / "out")
    fleet.run(run_file, **clock("+3h"))
    fleet.until(lambda: commits(tmp_path / "out"), "a stored shard")
    fleet.kill("run")
    fault_is_now()

    fleet.run(run_file, **clock("-2d"))

    assert fleet.ended() == 0, fleet.said()
    assert sealed(tmp_path / "out") == undisturbed.digests


def test_workers_of_one_cluster_whose_clocks_disagree(
    fleet: Fleet, begin: Begin, undisturbed: Undisturbed, tmp_path: Path, clock: Clock
) -> None:
    """One is three hours ahead of the scheduler, one two days behind it, and both make shards."""
    fleet.dask(workers=0)
    fleet.worker("ahead", **clock("+3h"))
    fleet.worker("behind", **clock("-2d"))
    fleet.until(lambda: len(fleet.busy()) == 2, "the workers")
    run_file = begin(tmp_path / "out", runner={"kind": "dask", "address": fleet.address})

    fleet.run(run_file)

    worked: set[str] = set()

    def both_have_worked() -> bool:
        worked.update(fleet.generating())
        return len(worked) == 2

    fleet.until(both_have_worked, "a shard on each worker")
    assert fleet.ended() == 0, fleet.said()
    assert sealed(tmp_path / "out") == undisturbed.digests
