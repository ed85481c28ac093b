"""Runs of one output wait for each other where they work on the same category, and for no run that is dead."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anogen_core import stopping
from anogen_core.errors import InterruptedRunError
from anogen_core.stages import running
from anogen_core.stages.processes import has_ended, this_process
from anogen_core.stages.running import MARKS, RunMark, announced, runs_going_on
from anogen_core.storage import open_store

_HOLD = """
import sys
from anogen_core.stages.running import announced
with announced(sys.argv[1], "nightly", ["bolt", "felt"]):
    print("begun", flush=True)
    sys.stdin.read()
"""

_OUTLIVE = """
import ctypes, threading, time
from anogen_core.stages.processes import this_process
threading.Thread(target=time.sleep, args=(600,)).start()
print(this_process(), flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_LOOK", 0.02)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    local = request.param == "local"
    return str(tmp_path / "out") if local else f"{request.getfixturevalue('s3_bucket')}/running-{tmp_path.name}"


@pytest.fixture
def other(output: str) -> Iterator["subprocess.Popen[str]"]:
    """A run of bolt and felt in a process of its own; it ends when its input does."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, output], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def _marks(output: str) -> list[str]:
    return list(open_store(output).list(MARKS))


def test_a_run_of_a_category_waits_for_the_one_that_works_on_it(output: str, other: "subprocess.Popen[str]") -> None:
    """It tells once which one that is; runs of other categories go on beside it."""
    told: list[str] = []
    with announced(output, "loose", ["nut"], on_wait=told.append):
        assert len(_marks(output)) == 2
    assert told == []
    began, stdin = threading.Event(), other.stdin
    assert stdin is not None

    def end() -> None:
        assert not began.wait(0.5)
        assert len(told) == 1
        stdin.close()

    ending = threading.Thread(target=end)
    ending.start()
    with announced(output, "by hand", ["bolt", "cable"], on_wait=told.append):
        began.set()
        assert other.wait(10) == 0
        assert len(_marks(output)) == 1
    ending.join()

    (line,) = told
    assert line.startswith("Another run works on bolt: nightly on ")
    assert f", process {other.pid}, since 20" in line
    assert _marks(output) == []


def test_nobody_waits_for_a_run_that_was_killed(output: str, other: "subprocess.Popen[str]") -> None:
    """On the same machine it is known at once, also while the process is not yet buried; prune is not held up."""
    assert [mark.run for mark in runs_going_on(output, now=datetime.now(UTC))] == ["nightly"]
    other.kill()
    while not has_ended(next(mark for mark in _read(output)).process):
        time.sleep(0.01)

    assert runs_going_on(output, now=datetime.now(UTC)) == []
    with announced(output, "again", ["bolt"], on_wait=pytest.fail):
        assert len(_marks(output)) == 1


def test_a_run_elsewhere_is_given_up_when_its_mark_is_not_renewed(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process on another machine nothing is known but its mark: as long as that changes, others wait."""
    monkeypatch.setattr(running, "_LOOK", 0.25)
    own = this_process()
    assert own is not None
    elsewhere = "/".join(["another-boot", *own.split("/")[1:]])
    mark = RunMark(run="far", began=datetime.now(UTC), categories=("bolt",), host="far", process=elsewhere)
    store, key = open_store(output), f"{MARKS}/far.json"
    store.put(key, mark.model_dump_json().encode())
    renewals = 4

    def renew() -> None:
        for _ in range(renewals):
            time.sleep(1.1)  # an object store tells whole seconds
            store.put(key, mark.model_dump_json().encode())

    monkeypatch.setattr(running, "_LOOKS", 8)
    renewing = threading.Thread(target=renew)
    started, told = time.monotonic(), list[str]()
    renewing.start()
    with announced(output, "near", ["bolt"], on_wait=told.append):
        assert time.monotonic() - started > renewals * 1.1
        assert len(_marks(output)) == 1
    renewing.join()

    assert len(told) == 1


def test_no_two_runs_of_a_category_work_at_once(output: str) -> None:
    """However many begin in the same moment, each has its turn, and no mark is left."""
    lock, working, most, began = threading.Lock(), 0, 0, list[str]()
    together = threading.Barrier(5)

    def run(name: str) -> None:
        nonlocal working, most
        together.wait()
        with announced(output, name, ["bolt"], on_wait=lambda _: None):
            with lock:
                working += 1
                most = max(most, working)
                began.append(name)
            time.sleep(0.05)
            with lock:
                working -= 1

    threads = [threading.Thread(target=run, args=(str(number),)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == 1
    assert sorted(began) == list("01234")
    assert _marks(output) == []


def test_a_stop_ends_the_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves no mark of the run that never began."""
    monkeypatch.setattr(stopping, "_ASKED", threading.Event())
    with ExitStack() as stack:
        stack.enter_context(announced(str(tmp_path), "first", ["bolt"]))
        with (
            pytest.raises(InterruptedRunError),
            announced(str(tmp_path), "second", ["bolt"], on_wait=lambda _: stopping.ask_to_stop()),
        ):
            pytest.fail("it began")
        assert len(_marks(str(tmp_path))) == 1


def test_nobody_overtakes_a_run_whose_process_is_there(
    output: str, other: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has too much to do may not renew a mark for long."""
    monkeypatch.setattr(running, "_LOOKS", 2)
    ending = threading.Timer(1.0, other.kill)
    ending.start()

    with announced(output, "again", ["bolt"], on_wait=lambda _: None):
        assert other.poll() is not None
    ending.join()


def test_a_process_goes_on_as_long_as_one_of_its_threads_does() -> None:
    """The first of them is a zombie then, as it is for a moment while a process with several is killed."""
    with subprocess.Popen([sys.executable, "-c", _OUTLIVE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        stat = Path(f"/proc/{process.pid}/stat")
        while ") Z " not in stat.read_text():
            time.sleep(0.01)

        at_first = has_ended(name)
        process.kill()
        process.wait()
        assert (at_first, has_ended(name)) == (False, True)


def test_a_mark_that_was_gone_for_a_moment_counts_again(output: str) -> None:
    """A run that waits takes its mark away and writes it again: it is listed, and gone when it is read."""
    store, key = open_store(output), f"{MARKS}/busy.json"
    mark = RunMark(run="busy", began=datetime.now(UTC), categories=("bolt",), host="here", process=this_process())
    own = mark.model_copy(update={"run": "own"})
    others = running._Others(store, own)
    store.put(key, mark.model_dump_json().encode())
    listed = list(store.entries(MARKS))
    store.delete(key)
    assert [others._read(entry.key) for entry in listed] == [None]
    store.put(key, mark.model_dump_json().encode())

    assert others.at_work() == {key: mark}


def test_a_damaged_mark_holds_nobody_up(output: str) -> None:
    """Nobody can tell whose it is."""
    open_store(output).put(f"{MARKS}/torn.json", b"{")

    with announced(output, "again", ["bolt"], on_wait=pytest.fail):
        pass


def _read(output: str) -> list[RunMark]:
    store = open_store(output)
    return [RunMark.model_validate_json(store.read(key)) for key in store.list(MARKS)]
