"""Hosts whose clocks disagree by days."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import Client

from tests.faults.fleet import Begin, Fleet, Undisturbed, sealed

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime (apt-get install faketime)")
def test_workers_whose_clocks_disagree(
    fleet: Fleet, begin: Begin, undisturbed: Undisturbed, tmp_path: Path, fault_is_now: Callable[[], None]
) -> None:
    """One worker lives three hours ahead and one two days behind; no time decides what is made."""
    fake = {"LD_PRELOAD": str(_LIBRARIES[0]), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    address = fleet.dask(workers=0)
    fleet.worker("ahead", FAKETIME="+3h", **fake)
    fleet.worker("behind", FAKETIME="-2d", **fake)
    fleet.until(lambda: len(fleet.busy()) == 2, "both workers")
    with Client(address, timeout=120, set_as_default=False) as client:
        clocks = sorted(now - time.time() for now in client.run(time.time).values())
    assert clocks[0] < -24 * 3600
    assert clocks[1] > 3600

    fleet.run(begin(tmp_path / "out", runner={"kind": "dask", "address": address}))
    fault_is_now()

    assert fleet.ended() == 0, fleet.said()
    assert sealed(tmp_path / "out") == undisturbed.digests
