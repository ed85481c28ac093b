"""Several categories at a time: all of them end, in whichever order, and one that fails stops no other."""

import threading
import time
from typing import Any

import pytest

from flows.fleet import _each


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


def test_what_has_not_begun_is_dropped_when_the_run_ends() -> None:
    """An interrupted run begins no further category."""
    begun = []

    def make(name: str) -> dict[str, Any]:
        begun.append(name)
        time.sleep(0.05)
        return {}

    for _ in _each([str(i) for i in range(20)], make, at_once=2):
        break

    assert len(begun) <= 5
