"""Shards that no worker ends: made elsewhere too, and told apart on the flow page. Those that no store takes."""

import time
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from prefect import flow, get_client, task, unmapped
from prefect.events.worker import EventsWorker

from anogen_core.errors import AnogenError, AwayStoreError, RefusedStoreError
from anogen_core.records import Record
from anogen_core.runner import DaskRunnerSettings, ThreadRunnerSettings
from flows.collect import BackupTasks, collect
from flows.runners import task_runners


class Receipt(Record):
    """What a shard of these tests leaves."""

    place: int
    seconds: float


@task(task_run_name="shard {place}", persist_result=False)
def make(place: int, folder: Path) -> dict[str, Any]:
    """Whoever makes shard 1 first never ends before it is let go."""
    if place == 1 and not (folder / "begun").exists():
        (folder / "begun").touch()
        while not (folder / "let go").exists():
            time.sleep(0.05)
    return {"place": place, "seconds": 0.01}


@flow(persist_result=False)
def shards(folder: Path) -> list[int]:
    """Two shards on two workers."""
    backup = BackupTasks(1.0, lambda place: make.submit(place, folder))
    futures = make.map([0, 1], folder=unmapped(folder))
    return [receipt.place for receipt in collect(futures, Receipt, stage="shards", backup=backup)]


@pytest.mark.prefect
@pytest.mark.usefixtures("server")
def test_a_shard_that_was_made_elsewhere_is_shown_as_cancelled(tmp_path: Path) -> None:
    """Its worker still has it in work when the run has ended; no task is shown as running then."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        try:
            with task_runners(DaskRunnerSettings(address=cluster.scheduler_address)) as new_runner:
                assert shards.with_options(task_runner=new_runner())(tmp_path) == [0, 1]
            EventsWorker.drain_all(timeout=10)  # what happened is on the page
            with get_client(sync_client=True) as client:
                runs = client.read_task_runs()
        finally:
            (tmp_path / "let go").touch()

    ended = sorted((run.name, run.state.name) for run in runs if run.state)
    assert ended == [("shard 0", "Completed"), ("shard 1", "Cancelled"), ("shard 1", "Completed")]
    assert [run.state.message for run in runs if run.state and run.state.is_cancelled()] == [
        "Its twin on another worker ended first."
    ]


@task(task_run_name="shard {place}", persist_result=False)
def lose(place: int, begun: Path, error: AnogenError) -> None:
    """Work for nothing: it takes a while, and then the store does not take it."""
    (begun / str(place)).touch()
    time.sleep(0.2)
    raise error


@flow(persist_result=False)
def lost(begun: Path, error: AnogenError) -> None:
    """Twenty shards."""
    collect(lose.map(list(range(20)), begun=unmapped(begun), error=unmapped(error)), Receipt, stage="shards")


@pytest.mark.prefect
@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("error", "kind"),
    [(RefusedStoreError("access denied"), AnogenError), (AwayStoreError("does not answer"), AwayStoreError)],
)
def test_no_work_is_begun_for_a_store_that_takes_nothing(tmp_path: Path, error: AnogenError, kind: type) -> None:
    """Of twenty shards the one that fails is told, and the others cost no time; a run ends at a store that is away."""
    with (
        task_runners(ThreadRunnerSettings()) as new_runner,
        pytest.raises(AnogenError, match=rf"shards: 1 of 20 tasks failed .{error}.; 19 others .*Run again") as failed,
    ):
        lost.with_options(task_runner=new_runner())(tmp_path, error)

    assert type(failed.value) is kind
    assert len(list(tmp_path.iterdir())) < 20
