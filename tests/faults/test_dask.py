"""Workers, schedulers and flows that die, are stopped or hang: the dataset is the one of an undisturbed run."""

import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import anogen_core
from anogen_core.generation import GENERATION_VERSION
from tests.faults.fleet import Begin, Fleet, Undisturbed, commits, sealed

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]


@pytest.fixture
def generating(fleet: Fleet, begin: Begin, tmp_path: Path) -> Path:
    """Two workers and a run of which one shard is stored and others are in work; the run file is returned."""
    run_file = begin(tmp_path / "out", runner={"kind": "dask", "address": fleet.dask(workers=2)})
    fleet.run(run_file)
    fleet.until(lambda: commits(tmp_path / "out") and fleet.generating(), "a shard in work")
    return run_file


def test_a_worker_killed_in_the_middle_of_a_shard(
    fleet: Fleet, generating: Path, undisturbed: Undisturbed, fault_is_now: Callable[[], None]
) -> None:
    """Its shard is made by the other worker, in the same run."""
    fleet.kill(fleet.generating()[0])
    fault_is_now()

    assert fleet.ended() == 0, fleet.said()
    assert sealed(generating.with_name("out")) == undisturbed.digests


def test_a_flow_killed_while_workers_generate(
    fleet: Fleet, generating: Path, undisturbed: Undisturbed, fault_is_now: Callable[[], None]
) -> None:
    """The same command goes on, also while a worker still has a shard of the dead run in its hands."""
    fleet.kill("run")
    fault_is_now()

    fleet.run(generating)

    assert fleet.ended() == 0, fleet.said()
    assert sealed(generating.with_name("out")) == undisturbed.digests


def test_a_flow_that_is_asked_to_stop_while_workers_generate(
    fleet: Fleet, generating: Path, undisturbed: Undisturbed, fault_is_now: Callable[[], None]
) -> None:
    """SIGTERM ends it without waiting for all shards; the same command goes on."""
    fleet.signal("run", signal.SIGTERM)
    fault_is_now()

    assert fleet.ended() != 0
    assert "Traceback" not in fleet.said()
    assert sealed(generating.with_name("out")) == {}

    fleet.run(generating)

    assert fleet.ended() == 0, fleet.said()
    assert sealed(generating.with_name("out")) == undisturbed.digests


def test_a_scheduler_killed_while_workers_generate(
    fleet: Fleet, generating: Path, undisturbed: Undisturbed, fault_is_now: Callable[[], None]
) -> None:
    """The run ends with one sentence; with a new scheduler at the old address the same command goes on."""
    fleet.kill("scheduler")
    fault_is_now()

    assert fleet.ended() == 1
    assert "tasks failed (the Dask scheduler went away). Run again" in fleet.said()
    assert "Traceback" not in fleet.said()
    for worker in ("worker-1", "worker-2"):
        fleet.kill(worker)
    fleet.dask(workers=2)
    fleet.run(generating)

    assert fleet.ended() == 0, fleet.said()
    assert sealed(generating.with_name("out")) == undisturbed.digests


def test_a_worker_that_hangs_in_the_middle_of_a_shard(
    fleet: Fleet, begin: Begin, undisturbed: Undisturbed, tmp_path: Path, fault_is_now: Callable[[], None]
) -> None:
    """After the scheduler's worker-ttl the other worker makes its shard; what it makes later counts for nothing."""
    address = fleet.dask(workers=2, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="20s")
    run_file = begin(tmp_path / "out", runner={"kind": "dask", "address": address})
    fleet.run(run_file)
    fleet.until(lambda: commits(tmp_path / "out") and fleet.generating(), "a shard in work")
    hung = fleet.generating()[0]

    fleet.signal(hung, signal.SIGSTOP)
    fault_is_now()

    assert fleet.ended() == 0, fleet.said()
    assert sealed(tmp_path / "out") == undisturbed.digests
    fleet.signal(hung, signal.SIGCONT)
    fleet.until(lambda: fleet.has_ended(hung), "the end of the worker, which nobody expects any more")
    assert sealed(tmp_path / "out") == undisturbed.digests


def test_a_worker_that_is_slow_forever(
    fleet: Fleet, begin: Begin, undisturbed: Undisturbed, tmp_path: Path, fault_is_now: Callable[[], None]
) -> None:
    """Its heart beats, so nobody gives it up; another worker makes its shard, and the shard counts once."""
    runner = {"kind": "dask", "address": fleet.dask(workers=2), "patience": 5}
    run_file = begin(tmp_path / "out", runner=runner)
    fleet.run(run_file)
    fleet.until(lambda: commits(tmp_path / "out") and fleet.generating(), "a shard in work")
    slow, ended = fleet.generating()[0], threading.Event()

    def hinder() -> None:
        while not ended.is_set():
            fleet.signal(slow, signal.SIGSTOP)
            ended.wait(2)
            fleet.signal(slow, signal.SIGCONT)
            time.sleep(0.02)

    hindering = threading.Thread(target=hinder)
    hindering.start()
    fault_is_now()
    try:
        assert fleet.ended() == 0, fleet.said()
    finally:
        ended.set()
        hindering.join()

    assert "is made elsewhere too" in fleet.said()
    assert sealed(tmp_path / "out") == undisturbed.digests


def test_device_work_goes_to_workers_that_have_the_resource(
    fleet: Fleet, begin: Begin, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """A worker without it makes no shard, however long shards wait; the run says so when none has it yet."""
    run_file = begin(tmp_path / "out", runner={"kind": "dask", "address": fleet.dask(workers=1), "resource": "GPU"})
    fleet.run(run_file)
    fleet.until(lambda: "has no worker with `--resources GPU=1` yet" in fleet.said(), "the warning")
    fleet.worker("gpu", "--resources=GPU=1")
    seen: set[str] = set()

    def two_shards_are_made() -> bool:
        seen.update(fleet.generating())
        return len(commits(tmp_path / "out")) > 1

    fleet.until(two_shards_are_made, "two shards")

    assert fleet.ended() == 0, fleet.said()
    assert seen == {"gpu"}
    assert sealed(tmp_path / "out") == undisturbed.digests


def test_a_worker_with_other_code_that_joins_later(
    fleet: Fleet, begin: Begin, undisturbed: Undisturbed, tmp_path: Path, fault_is_now: Callable[[], None]
) -> None:
    """What it is given is refused at once, with both versions; without it the same command goes on."""
    other, source = tmp_path / "other", Path(anogen_core.__file__).parents[1]
    for package in ("anogen_core", "flows", "tasks"):
        shutil.copytree(source / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    module = other / "anogen_core" / "generation.py"
    line = f"GENERATION_VERSION = {GENERATION_VERSION}\n"
    assert line in module.read_text()
    module.write_text(module.read_text().replace(line, "GENERATION_VERSION = 1\n"))
    run_file = begin(tmp_path / "out", runner={"kind": "dask", "address": fleet.dask(workers=1)})
    fleet.run(run_file)
    fleet.until(fleet.generating, "a shard in work")
    fleet.signal("worker-1", signal.SIGSTOP)  # so that shards are left for the other
    fault_is_now()

    fleet.worker("other", PYTHONPATH=str(other), PYTHONSAFEPATH="1")
    fleet.until(lambda: "InputError" in fleet.said("other"), "the refusal")
    fleet.signal("worker-1", signal.SIGCONT)

    assert fleet.ended() == 1, fleet.said()
    refused = rf"worker on \S+, process \d+: .*\(generation 1 instead of {GENERATION_VERSION}\)\. Stop that worker"
    assert re.search(refused, fleet.said()), fleet.said()
    assert sealed(tmp_path / "out") == {}

    fleet.kill("other")
    fleet.run(run_file)

    assert fleet.ended() == 0, fleet.said()
    assert sealed(tmp_path / "out") == undisturbed.digests
