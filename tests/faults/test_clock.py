"""Hosts whose clocks disagree by days."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.fleet import Begin, Fleet, Undisturbed, commits, sealed

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime (apt-get install faketime)")
def test_hosts_whose_clocks_disagree(
    fleet: Fleet, begin: Begin, undisturbed: Undisturbed, tmp_path: Path, fault_is_now: Callable[[], None]
) -> None:
    """What a host three hours ahead began and was killed, one two days behind ends; no time decides what is made."""
    fake = {"LD_PRELOAD": str(_LIBRARIES[0]), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    fleet.start("clock", "-c", "import time; print(time.time())", FAKETIME="+3h", **fake)
    assert fleet.ended("clock") == 0
    assert float(fleet.said("clock")) - time.time() > 3600
    run_file = begin(tmp_path / "out")
    fleet.run(run_file, FAKETIME="+3h", **fake)
    fleet.until(lambda: commits(tmp_path / "out"), "a stored shard")
    fleet.kill("run")
    fault_is_now()

    fleet.run(run_file, FAKETIME="-2d", **fake)

    assert fleet.ended() == 0, fleet.said()
    assert sealed(tmp_path / "out") == undisturbed.digests
