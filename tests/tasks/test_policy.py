"""What is tried again and what is not."""

import inspect
import re
import socket
from threading import Event
from typing import Any

import pytest
from prefect import Task
from prefect.client.schemas.objects import State
from prefect.logging import disable_run_logger
from prefect.states import Failed

from anogen_core import stopping
from anogen_core.config import parse_config
from anogen_core.errors import (
    AnogenError,
    FullStoreError,
    InputError,
    RefusedStoreError,
    StorageError,
    TrainingError,
)
from anogen_core.stages.code import versions_at_work
from tasks.detection import train_detector
from tasks.generation import generate_shard
from tasks.inversion import learn_defects
from tasks.policy import by_content, is_transient


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (StorageError("no answer"), True),
        (OSError("broken pipe"), True),
        (FullStoreError("disk full"), False),
        (RefusedStoreError("access denied"), False),
        (InputError("typo"), False),
        (TrainingError("NaN"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: AnogenError | OSError, again: bool) -> None:  # noqa: FBT001
    """The network may come back; wrong input, a diverged training, a full disk and refused keys do not get better."""
    assert is_transient(None, None, Failed(data=error)) is again  # type: ignore[arg-type]


def test_nothing_is_tried_again_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed because a store was away is left to the next run."""
    failed: State[StorageError] = Failed(data=StorageError("no answer"))
    monkeypatch.setattr(stopping, "_ASKED", Event())
    assert is_transient(None, None, failed)  # type: ignore[arg-type]

    stopping.ask_to_stop()

    assert not is_transient(None, None, failed)  # type: ignore[arg-type]


def test_cache_key_names_content_and_store() -> None:
    """The same work in another store is another entry: a cache hit there would point to nothing."""

    class Config:
        def __init__(self, output: str) -> None:
            self.output = output

    key = by_content(lambda part, config: f"kind-{part}-{len(config.output) > 0}")
    here = {"part": 1, "config": Config("s3://a/b"), "code": {"planning": 1}}

    assert key(None, here) == key(None, {**here})  # type: ignore[arg-type]
    for change in ({"config": Config("s3://a/c")}, {"part": 2}, {"code": {"planning": 2}}):
        assert key(None, here) != key(None, {**here, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("work", [learn_defects, generate_shard, train_detector])
def test_a_worker_does_no_work_that_other_code_planned(work: Task[..., Any], small_run: dict[str, object]) -> None:
    """Learning, generating and training are refused, with the machine and both versions; the same code may do them."""
    config = parse_config({**small_run, "output": "out"}, source="test")
    here = versions_at_work()
    unused = dict.fromkeys(set(inspect.signature(work.fn).parameters) - {"config", "code"})

    def begin(code: dict[str, int]) -> None:
        with disable_run_logger():
            work.fn(**unused, config=config, code=code)

    with pytest.raises(
        InputError, match=rf"^worker on {re.escape(socket.gethostname())}, process \d+: .*detector \d+ instead of 0\b"
    ):
        begin({**here, "detector": 0})
    with pytest.raises((TypeError, AttributeError)):
        begin(here)
