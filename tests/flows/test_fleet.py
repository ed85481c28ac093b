"""Several categories at a time: all of them end, in whichever order, and one that fails stops no other."""

import contextlib
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from anogen_core import stopping
from anogen_core.config import RunConfig
from anogen_core.errors import AwayStoreError, InterruptedRunError
from anogen_core.records import SupportSet
from anogen_core.runner import DaskRunnerSettings, RunnerSettings, ThreadRunnerSettings
from flows import fleet
from flows.fleet import _each
from flows.learning import deal
from flows.runners import slots, task_runners
from tasks.page import Bar


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_every_category_ends_once(at_once: int) -> None:
    """No more than asked for are in work; results and errors come back with their category."""
    lock, working, most = threading.Lock(), 0, 0

    def make(name: str) -> dict[str, Any]:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        time.sleep(0.02)
        with lock:
            working -= 1
        if name == "b":
            raise ValueError(name)
        return {"name": name}

    ended, failed = [], []
    for name, result in _each(["a", "b", "c", "d"], make, at_once=at_once):
        try:
            ended.append(result()["name"] == name)
        except ValueError:
            failed.append(name)

    assert ended == [True] * 3
    assert failed == ["b"]
    assert most <= at_once


def test_what_has_not_begun_is_dropped_when_the_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run begins no further category, and what is in work in this process ends at its next step."""
    monkeypatch.setattr(stopping, "_ASKED", threading.Event())
    begun = []

    def make(name: str) -> dict[str, Any]:
        begun.append(name)
        time.sleep(0.05)
        return {}

    with contextlib.closing(_each([str(i) for i in range(20)], make, at_once=2)) as each:
        next(each)
    with pytest.raises(InterruptedRunError):
        stopping.stop_if_asked()

    assert len(begun) <= 5


@pytest.mark.parametrize(
    ("runner", "sizes"),
    [
        (ThreadRunnerSettings(), [7]),
        (ThreadRunnerSettings(workers=3), [3, 2, 2]),
        (DaskRunnerSettings(workers=2, threads_per_worker=2), [2, 2, 2, 1]),
        (DaskRunnerSettings(workers=9), [1] * 7),
    ],
)
def test_every_worker_gets_a_group_of_defects(runner: RunnerSettings, sizes: list[int]) -> None:
    """Nearly equal groups, as many as there are places for, and every defect in one of them."""
    supports = [SupportSet(category="bolt", defect=str(i), samples=()) for i in range(7)]

    groups = deal(supports, slots(runner))

    assert [len(group) for group in groups] == sizes
    assert sorted(s.defect for group in groups for s in group) == [s.defect for s in supports]


def test_no_category_is_begun_for_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would only wait for the store again, for as long as the first one did."""
    begun = []

    def make(name: str, _config: RunConfig) -> dict[str, Any]:
        begun.append(name)
        raise AwayStoreError("does not answer")

    monkeypatch.setattr(fleet, "_part", lambda *_: make)
    config = cast("RunConfig", SimpleNamespace(runner=ThreadRunnerSettings()))
    bar = cast("Bar", SimpleNamespace(move=lambda _: None))
    with task_runners(config.runner) as new_runner, pytest.raises(AwayStoreError):
        fleet._make_categories(["bolt", "felt"], config, new_runner, bar)

    assert begun == ["bolt"]
