"""Runs on a Prefect server: registered, started, executed by a worker and looked at, all through the command line."""

import dataclasses
import http.server
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
import torch
import yaml
from distributed import LocalCluster
from prefect.client.base import PrefectHttpxSyncClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Scheduled
from typer.testing import CliRunner

from anogen_core.config import RunConfig, parse_config
from anogen_core.diffusion.inversion import Concept, learn_embeddings
from anogen_core.errors import AnogenError, InputError, PartlyFailedRunError
from anogen_core.stages import embedding
from anogen_core.stages.result import read_result
from flows.cli.app import app
from flows.fleet import run_fleet
from flows.remote import schedule
from flows.remote import server as connect
from flows.run_status import RunStatus, status_of
from tasks import page

PREFECT = [sys.executable, "-c", "from prefect.cli import app; app()"]


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory, small_run: dict[str, object]) -> Path:
    base = tmp_path_factory.mktemp("remote")
    path = base / "run.yaml"
    settings = {**small_run, "evaluation": {"enabled": False}, "output": str(base / "out")}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def _anogen(*arguments: str | Path) -> str:
    """Return what a command prints; this process has imported everything already."""
    said = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


def _deployment(server: str, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = _ask("GET", f"{server}/deployments/name/anogen/{name}").json()
    return answer


@pytest.mark.prefect
def test_deployment_has_settings_schedule_pool_and_a_form(server: str, run_file: Path) -> None:
    """What the flow page needs to start a run by hand or by the clock; a schedule stays until another is given."""
    said = _anogen("deploy", run_file, "--cron", "0 3 * * *", "--name", "nightly", "--set", "seed=7")
    assert said == "deployment: anogen/nightly\n"

    made = _deployment(server, "nightly")
    assert made["parameters"]["config"]["seed"] == 7
    assert [s["schedule"]["cron"] for s in made["schedules"]] == ["0 3 * * *"]
    assert made["work_pool_name"] == "anogen"
    assert made["entrypoint"] == "flows.fleet.run_fleet"
    assert made["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    seed = made["parameter_openapi_schema"]["definitions"]["RunConfig"]["properties"]["seed"]
    assert seed["description"] == "Every random choice of the run follows from it."
    assert made["tags"] == ["anogen", "run:small"]
    assert made["description"].startswith("From a few photos of each defect")
    # The flow page offers a list of readers only where the schema says anyOf.
    reader = made["parameter_openapi_schema"]["definitions"]["RunConfig"]["properties"]["reader"]
    assert {"anyOf", "description"} <= set(reader)

    _anogen("deploy", run_file, "--interval", "6h", "--name", "nightly")
    assert [s["schedule"]["interval"] for s in _deployment(server, "nightly")["schedules"]] == [6 * 3600]
    kept = CliRunner().invoke(app, ["deploy", str(run_file), "--name", "nightly", "--set", "seed=8"])
    assert "schedule: every 6:00:00 (h:mm:ss)\n" in kept.stderr
    again = _deployment(server, "nightly")
    assert [s["schedule"]["interval"] for s in again["schedules"]] == [6 * 3600]
    assert again["parameters"]["config"]["seed"] == 8


@pytest.mark.prefect
def test_a_schedule_comes_from_the_environment_and_goes_when_asked(
    server: str, run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ANOGEN_CRON, as Compose sets it, is a schedule unless it is empty; --no-schedule alone removes one."""
    monkeypatch.setenv("ANOGEN_CRON", "30 4 * * *")
    _anogen("deploy", run_file, "--name", "composed")
    monkeypatch.setenv("ANOGEN_CRON", "")
    _anogen("deploy", run_file, "--name", "composed")
    assert [s["schedule"]["cron"] for s in _deployment(server, "composed")["schedules"]] == ["30 4 * * *"]

    removed = CliRunner().invoke(app, ["deploy", str(run_file), "--name", "composed", "--no-schedule"])
    assert "schedule: none" in removed.stderr
    assert _deployment(server, "composed")["schedules"] == []


@pytest.mark.prefect
def test_what_was_paused_stays_paused(server: str, run_file: Path) -> None:
    """Registering again, as Compose does at every start, wakes nothing that somebody paused; `status` names it."""

    def said(*given: str) -> str:
        return CliRunner().invoke(app, ["deploy", str(run_file), "--name", "quiet", *given]).stderr

    assert "paused" not in said("--cron", "0 3 * * *")
    assert "quiet" not in _anogen("status")
    made = _deployment(server, "quiet")
    (planned,) = made["schedules"]

    _ask("PATCH", f"{server}/deployments/{made['id']}/schedules/{planned['id']}", json={"active": False})
    for given in ((), ("--cron", "0 3 * * *"), ("--cron", "0 4 * * *")):
        assert "(UTC), paused on the flow page\n" in said(*given)
    assert "schedule of quiet: cron '0 4 * * *' (UTC), paused on the flow page\n" in _anogen("status")
    assert "paused" not in said("--no-schedule")
    assert "paused" not in said("--interval", "1d")

    _ask("PATCH", f"{server}/deployments/{made['id']}", json={"paused": True})
    assert "paused on the flow page" in said("--interval", "6h")
    assert _deployment(server, "quiet")["paused"]
    _ask("DELETE", f"{server}/deployments/{made['id']}")


@pytest.mark.prefect
def test_a_run_whose_work_pool_was_deleted_is_refused(server: str, run_file: Path) -> None:
    """No worker would take it; one that waits says so, and one that ended is shown when its registration is gone."""
    _anogen("deploy", run_file, "--name", "drained", "--pool", "drained")
    name = _anogen("run", run_file, "--submit", "--name", "drained").splitlines()[0].removeprefix("run: ")
    _ask("DELETE", f"{server}/work_pools/drained")

    said = CliRunner().invoke(app, ["run", str(run_file), "--submit", "--name", "drained"])
    assert isinstance(said.exception, InputError)
    assert "work pool was deleted" in str(said.exception)

    def shown() -> dict[str, Any]:
        return next(run for run in json.loads(_anogen("status", "--json")) if run["name"] == name)

    assert "work pool was deleted" in shown()["message"]
    _anogen("deploy", run_file, "--name", "drained")
    assert _deployment(server, "drained")["work_pool_name"] == "anogen"
    (run,) = _find(server, "flow_runs", {"flow_runs": {"name": {"any_": [name]}}})
    ended = {"state": {"type": "CANCELLED", "name": "Cancelled"}, "force": True}
    _ask("POST", f"{server}/flow_runs/{run['id']}/set_state", json=ended)
    _ask("DELETE", f"{server}/deployments/{_deployment(server, 'drained')['id']}")
    assert shown()["deployment"] is None


@pytest.mark.prefect
def test_a_run_stays_in_its_pool_until_it_is_moved(server: str, run_file: Path) -> None:
    """Registering again keeps the pool; a run for another pool is refused, not started where nobody asked for it."""
    _anogen("deploy", run_file, "--name", "pooled", "--pool", "gpu")
    again = CliRunner().invoke(app, ["deploy", str(run_file), "--name", "pooled"])
    assert "prefect worker start --pool gpu " in again.stderr
    assert _deployment(server, "pooled")["work_pool_name"] == "gpu"

    said = CliRunner().invoke(app, ["run", str(run_file), "--submit", "--name", "pooled", "--pool", "cpu"])
    assert isinstance(said.exception, InputError)
    assert str(said.exception).startswith("--pool cpu: pooled is registered in the work pool gpu. ")
    of_pool = {"deployments": {"name": {"any_": ["pooled"]}}}
    assert _find(server, "flow_runs", of_pool) == []

    _anogen("run", run_file, "--submit", "--name", "pooled")
    _anogen("run", run_file, "--submit", "--name", "pooled", "--pool", "gpu")
    runs = _find(server, "flow_runs", of_pool)
    assert [run["work_pool_name"] for run in runs] == ["gpu", "gpu"]
    for run in runs:
        _ask("DELETE", f"{server}/flow_runs/{run['id']}")


@pytest.mark.slow
@pytest.mark.prefect
def test_submitted_run_is_executed_by_a_worker(server: str, run_file: Path) -> None:
    """From the command to the sealed datasets, under the name that the command printed."""
    name = _anogen("run", run_file, "--submit").splitlines()[0].removeprefix("run: ")
    assert name.startswith("small 20")
    waiting = [run for run in json.loads(_anogen("status", "--json")) if run["deployment"] == "small"]
    assert [(run["name"], run["started"]) for run in waiting] == [(name, None)]

    worker = [*PREFECT, "worker", "start", "--pool", "anogen", "--type", "process", "--run-once"]
    subprocess.run(worker, capture_output=True, timeout=120, check=True, env={**os.environ, "PREFECT_API_URL": server})

    (run,) = (run for run in json.loads(_anogen("status", "--json")) if run["name"] == name)
    assert run["state"] == "Completed", run["message"]
    assert {stage["name"] for stage in run["stages"]} >= {"bolt: learn defects", "felt: generate"}
    assert {stage["percent"] for stage in run["stages"]} == {100}
    assert len(list((run_file.parent / "out" / "datasets").glob("*.zarr"))) == 2
    assert f"{name}  Completed" in _anogen("status")


@pytest.mark.slow
@pytest.mark.prefect
def test_flow_page_tells_what_was_made(server: str, run_file: Path) -> None:
    """After the run above: tags of every part, sentences of flow and core, bars at their end, tables and pictures."""
    del run_file
    runs = _find(server, "flow_runs", {"flow_runs": {"tags": {"all_": ["run:small", "category:bolt"]}}})
    assert [run["name"] for run in runs] == ["small bolt"]
    of_run = {"flow_runs": {"id": {"any_": [runs[0]["id"]]}}}
    tasks = {t["name"]: set(t["tags"]) for t in _find(server, "task_runs", of_run)}
    assert tasks["learn bolt cut"] >= {"anogen", "run:small", "category:bolt", "stage:learn", "device"}
    assert tasks["generate bolt shard 0"] >= {"category:bolt", "stage:generate"}

    log = [line["message"] for line in _find(server, "logs", {"logs": {"flow_run_id": {"any_": [runs[0]["id"]]}}})]
    assert "2 defects of bolt: cut (from 3 photos), spot (from 3 photos)." in log
    assert any(line.startswith("Runs on ") for line in log)
    assert any(line.startswith("shard 0 stored: ") for line in log)
    (counts,) = (line for line in log if line.startswith("Generated: "))
    assert sum(int(n) for n in re.findall(r"\d+", counts)) == 10

    shown = {a["key"]: a for a in _find(server, "artifacts", of_run)}
    assert set(shown) == {"bolt-learn-defects", "bolt-generate", "bolt-pictures", "bolt-ledger"}
    assert {a["data"] for a in shown.values() if a["type"] == "progress"} == {100}
    assert "### cut" in shown["bolt-pictures"]["data"]
    assert len(shown["bolt-pictures"]["data"]) < 400_000
    rows = json.loads(shown["bolt-ledger"]["data"])
    assert [row["Defect"] for row in rows] == ["cut", "spot", "all"]
    for row in rows:
        assert row["Planned"] + row["Replacements"] == sum(row[o] for o in ("Made", "Filtered", "Blocked", "Failed"))
    (results,) = _find(server, "artifacts", {"artifacts": {"key": {"any_": ["small-results"]}}})
    assert "report.html" in results["data"]
    assert results["data"].count(".zarr` |") == 2


@pytest.mark.slow
@pytest.mark.prefect
def test_defects_of_all_categories_are_learned_in_one_group(server: str, run_file: Path) -> None:
    """After the run above: one task for the one worker, with a bar for each defect; the categories found them."""
    del run_file
    (learning,) = _find(server, "flow_runs", {"flow_runs": {"name": {"any_": ["small defects"]}}})
    of_run = {"flow_runs": {"id": {"any_": [learning["id"]]}}}

    (task,) = _find(server, "task_runs", of_run)
    assert (task["name"], task["state_name"]) == ("learn bolt cut and 3 more", "Completed")
    assert set(task["tags"]) >= {"anogen", "run:small", "stage:learn", "device"}
    log = [line["message"] for line in _find(server, "logs", {"logs": {"flow_run_id": {"any_": [learning["id"]]}}})]
    assert "Learning 4 defects in groups of 4: bolt/cut, bolt/spot, felt/cut, felt/spot." in log
    shown = {a["key"]: a["data"] for a in _find(server, "artifacts", of_run)}
    assert shown == dict.fromkeys(
        ("small-learn-defects", "bolt-learn-cut", "bolt-learn-spot", "felt-learn-cut", "felt-learn-spot"), 100
    )


@pytest.mark.slow
@pytest.mark.prefect
def test_a_defect_that_cannot_be_learned_fails_its_category_alone(
    server: str, small_run: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is finished has a result and a report that says why the other is not there; a later good run replaces it."""

    def spoil(concepts: Iterable[Concept], *rest: Any, **more: Any) -> Any:
        return learn_embeddings((_without_numbers(c) if c.name == "bolt/cut" else c for c in concepts), *rest, **more)

    monkeypatch.setattr(embedding, "learn_embeddings", spoil)
    values = {
        **small_run,
        "support": {"defects": ["cut"]},
        "generation": {"images_per_defect": 1, "sampler": {"num_inference_steps": 2}},
        "evaluation": {"enabled": False},
        "output": str(tmp_path),
    }

    config, quick = parse_config(values, source="test"), {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with pytest.raises(PartlyFailedRunError) as failed, temporary_settings(quick):
        run_fleet(config)

    first, second = str(failed.value).splitlines()
    assert first == "1 of 2 categories failed (bolt):"
    assert second.startswith(
        "  bolt: bolt: learn defects: 1 of 1 tasks failed (bolt/cut: inversion loss is nan at step 0."
    )
    assert second.endswith("). Finished work is kept.")
    assert [path.name.split("-")[0] for path in (tmp_path / "datasets").glob("*.zarr")] == ["felt"]
    assert len(list((tmp_path / "artifacts").glob("embedding-*"))) == 1
    result = read_result(str(tmp_path))
    assert [made.category for made in result.categories] == ["felt"]
    assert result.categories[0].dataset is not None
    assert [f"  {one.category}: {one.reason}" for one in result.failed] == [second]
    assert [dataset["uri"] for dataset in failed.value.made["datasets"]] == [result.categories[0].dataset.uri]
    assert "inversion loss is nan" in Path(failed.value.made["report"]).read_text()
    started = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
    asked = {"flows": {"name": {"any_": ["anogen"]}}, "flow_runs": started, "sort": "START_TIME_DESC"}
    run = _find(server, "flow_runs", asked)[0]
    assert (run["state_name"], run["name"].split()[0]) == ("Failed", "small")
    assert _anogen("status", "--limit", "1").splitlines()[1:3] == [f"    {first}", f"    {second}"]
    (why,) = _find(server, "artifacts", {"artifacts": {"key": {"any_": ["bolt-failed"]}}})
    (part,) = _find(server, "flow_runs", {"flow_runs": {"id": {"any_": [why["flow_run_id"]]}}})
    assert part["name"] == "small bolt"
    assert "inversion loss is nan" in why["data"]
    assert "start the run again" in why["data"]

    alone = parse_config({**values, "reader": {**config.reader.model_dump(), "categories": ["bolt"]}}, source="test")
    with pytest.raises(AnogenError, match="1 of 1 categories failed"), temporary_settings(quick):
        run_fleet(alone)
    (whole,) = _find(server, "artifacts", {"artifacts": {"key": {"any_": ["small-failed"]}}})
    assert "bolt: bolt: learn defects" in whole["data"]

    monkeypatch.undo()
    with temporary_settings(quick):
        run_fleet(config)

    again = read_result(str(tmp_path))
    assert ([made.category for made in again.categories], again.failed) == (["bolt", "felt"], ())
    assert "inversion loss is nan" not in Path(failed.value.made["report"]).read_text()


@pytest.mark.slow
@pytest.mark.prefect
def test_a_retry_that_finds_its_work_finished_shows_it_so(
    server: str, small_run: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar of the attempt that failed stays where it was; that of the next one, without steps, ends at 100 %."""
    learn, attempts = embedding.learn, 0

    def lose_the_answer(supports: Any, config: RunConfig, *, on_step: Callable[[str, int, int], None]) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            return learn(supports, config, on_step=on_step)
        on_step("bolt/cut", 1, 2)
        learn(supports, config)
        raise ConnectionError("the answer was lost")

    monkeypatch.setattr(embedding, "learn", lose_the_answer)
    monkeypatch.setattr(page, "_EVERY", 0.0)
    values = {
        **small_run,
        "name": "again",
        "reader": {**cast("dict[str, object]", small_run["reader"]), "categories": ["bolt"]},
        "support": {"defects": ["cut"]},
        "generation": {"images_per_defect": 1, "sampler": {"num_inference_steps": 2}},
        "evaluation": {"enabled": False},
        "output": str(tmp_path),
    }
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        run_fleet(parse_config(values, source="test"))

    assert attempts > 1
    asked = {"artifacts": {"key": {"any_": ["bolt-learn-cut"]}}, "sort": "CREATED_DESC"}
    new, old = _find(server, "artifacts", asked)[:2]
    assert (old["data"], new["data"]) == (50, 100)
    # A bar that could not be moved any more, as the server was away.
    _ask("PATCH", f"{server}/artifacts/{new['id']}", json={"data": 70})
    (run,) = (run for run in json.loads(_anogen("status", "--json")) if run["name"].startswith("again "))
    assert {stage["percent"] for stage in run["stages"] if stage["name"] == "bolt: learn cut"} == {100}


@pytest.mark.slow
@pytest.mark.prefect
def test_of_the_runs_of_a_schedule_that_wait_the_last_one_works(server: str, run_file: Path) -> None:
    """The others end at once and say why.

    Of those that are due together the work pool starts any, not always the first; while it starts, later ones come due.
    """
    name = "often"
    _anogen("deploy", run_file, "--name", name, "--pool", name, "--interval", "0.05m", "--set", "seed=5")

    def due() -> list[dict[str, Any]]:
        now = datetime.now(UTC).isoformat()
        body = {
            "deployments": {"name": {"any_": [name]}},
            "flow_runs": {"expected_start_time": {"before_": now}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return _find(server, "flow_runs", body)

    assert _soon(lambda: len(due()) > 1)
    worker = [*PREFECT, "worker", "start", "--pool", name, "--type", "process", "--run-once"]
    subprocess.run(worker, capture_output=True, timeout=280, check=True, env={**os.environ, "PREFECT_API_URL": server})
    _anogen("deploy", run_file, "--name", name, "--no-schedule")

    ended = [run["state"] for run in due() if run["state_type"] != "SCHEDULED"]
    assert {(state["type"], state["name"]) for state in ended} == {("CANCELLED", "Skipped")}
    message = r"the run that was due at 20.* UTC waits, and does all of this"
    assert all(re.fullmatch(message, state["message"]) for state in ended)


def test_a_run_that_has_not_begun_says_what_it_waits_for() -> None:
    """Under the name that it will have, not Prefect's own."""
    due = datetime(2026, 11, 25, 3, tzinfo=UTC)
    deployment = uuid4()
    planned = FlowRun(
        flow_id=uuid4(),
        deployment_id=deployment,
        name="hairy-kagu",
        auto_scheduled=True,
        expected_start_time=due,
        work_pool_name="gpu",
        parameters={"config": {"name": "bottles"}},
    )

    def said(name: str, pool: str | None = "gpu", *, paused: tuple[str, ...] = ()) -> RunStatus:
        state: State[Any] = Scheduled(scheduled_time=due, name=name)
        run = planned.model_copy(
            update={"state": state, "state_name": name, "state_type": state.type, "work_pool_name": pool}
        )
        return status_of(run, {deployment: "nightly"}, paused=paused)

    assert said("Scheduled").name == "bottles 2026-11-25 03:00:00"
    assert said("AwaitingConcurrencySlot").message == "waits until the run of nightly that is in work has ended"
    assert "prefect worker start --pool gpu" in said("Late").message
    assert said("Scheduled").message == ""
    for name in ("Scheduled", "Late"):
        assert "prefect work-pool resume gpu" in said(name, paused=("gpu",)).message
        assert "`anogen deploy RUN.yaml --name nightly`" in said(name, None).message


def _without_numbers(concept: Concept) -> Concept:
    latents = torch.full_like(concept.views.latents, torch.nan)
    return dataclasses.replace(concept, views=dataclasses.replace(concept.views, latents=latents))


def _ask(method: str, url: str, **values: Any) -> httpx.Response:
    """Return what a server answers; a busy one is asked again, as all clients of Prefect do."""
    with PrefectHttpxSyncClient() as client:
        return client.request(method, url, **values)


def _find(server: str, what: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = _ask("POST", f"{server}/{what}/filter", json=body).json()
    return answer


@pytest.mark.slow
@pytest.mark.prefect
def test_a_cancelled_run_has_cancelled_parts(server: str, small_run: dict[str, object], tmp_path: Path) -> None:
    """Cancelled on the flow page in the middle of learning: nothing of it is shown as crashed, failed or running."""
    endless = {"steps": 100_000, "validate_every": 5, "patience": 100_000}
    run_file = _write(tmp_path, {**small_run, "name": "cancelled", "inversion": endless})

    run = _cancelled(server, run_file, (tmp_path / "out" / "artifacts" / "scratch").exists)

    of_run = {"flow_runs": {"tags": {"all_": ["run:cancelled"]}}}
    ended = {found["name"]: found["state_name"] for found in _find(server, "flow_runs", of_run)}
    assert ended == {run["name"]: "Cancelled", "cancelled defects": "Cancelled"}
    assert "Crashed" not in _history(server, run)  # which a webhook would be told of


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.prefect
def test_a_run_cancelled_on_a_cluster_leaves_no_work_behind(
    server: str, small_run: dict[str, object], tmp_path: Path
) -> None:
    """Two categories train endlessly on a cluster elsewhere: the run ends by itself, and so does what workers do."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        values = {
            **small_run,
            "name": "trained",
            "support": {"defects": ["cut"]},
            "generation": {"images_per_defect": 1, "sampler": {"num_inference_steps": 2}},
            "evaluation": {"arms": ["generated"]},
            "detector": {**cast("dict[str, object]", small_run["detector"]), "steps": 1_000_000},
            "runner": {"kind": "dask", "address": cluster.scheduler_address},
        }
        run_file = _write(tmp_path, values)
        training = {"task_runs": {"name": {"like_": "train "}}, "flow_runs": {"tags": {"all_": ["run:trained"]}}}

        def states() -> list[str]:
            return [found["state_name"] for found in _find(server, "task_runs", training)]

        run = _cancelled(server, run_file, lambda: states() == ["Running"] * 2)

        of_run = {"flow_runs": {"tags": {"all_": ["run:trained"]}}}
        ended = {found["name"]: found["state_name"] for found in _find(server, "flow_runs", of_run)}
        assert ended.pop("trained defects") == "Completed"
        assert ended == dict.fromkeys((run["name"], "trained bolt", "trained felt"), "Cancelled")
        assert "Crashed" not in _history(server, run)
        assert _soon(lambda: states() == ["Cancelled"] * 2)


def _write(folder: Path, values: dict[str, object]) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**values, "output": str(folder / "out")}), encoding="utf-8")
    return path


def _cancelled(server: str, run_file: Path, reached: Callable[[], bool]) -> dict[str, Any]:
    """Start a run on a worker of its own, cancel it on the flow page at some time, and return it when it has ended."""
    name = yaml.safe_load(run_file.read_text())["name"]
    _anogen("run", run_file, "--submit", "--pool", name)
    (run,) = _find(server, "flow_runs", {"deployments": {"name": {"any_": [name]}}})
    worker = [*PREFECT, "worker", "start", "--pool", name, "--type", "process", "--run-once"]
    environment = {**os.environ, "PREFECT_API_URL": server}
    with subprocess.Popen(worker, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert _soon(reached)
        state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        _ask("POST", f"{server}/flow_runs/{run['id']}/set_state", json=state)
        said, _ = process.communicate(timeout=120)
    assert b"SIGKILL" not in said
    return run


def _soon(reached: Callable[[], bool]) -> bool:
    """Return whether something becomes true in five minutes."""
    deadline = time.monotonic() + 300
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.1)
    return reached()


def _history(server: str, run: dict[str, Any]) -> list[str]:
    states = _ask("GET", f"{server}/flow_run_states/", params={"flow_run_id": run["id"]}).json()
    return [state["name"] for state in states]


@pytest.mark.prefect
def test_the_page_of_a_local_server_asks_that_server(server: str) -> None:
    """A run's own server has a port of its own, and its flow page must know it."""
    settings = _ask("GET", f"{server.removesuffix('/api')}/ui-settings").json()

    assert settings["api_url"] == server


@pytest.mark.prefect
def test_status_leaves_out_what_a_schedule_has_planned(server: str, run_file: Path) -> None:
    """The future runs of a schedule do not push the present ones off the list."""
    _anogen("deploy", run_file, "--name", "later")
    name = _anogen("run", run_file, "--submit", "--name", "later").splitlines()[0].removeprefix("run: ")
    planned = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    deployment = _deployment(server, "later")["id"]
    _ask("POST", f"{server}/deployments/{deployment}/create_flow_run", json={"state": planned})

    shown = [run for run in json.loads(_anogen("status", "--json")) if run["deployment"] == "later"]

    assert [run["name"] for run in shown] == [name]


@pytest.mark.prefect
def test_a_crashed_run_is_told_to_a_webhook(server: str, run_file: Path) -> None:
    """The server itself posts JSON that says which run; registering again leaves two automations, not four."""
    told: queue.Queue[bytes] = queue.Queue()

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        for _ in range(2):
            _anogen("deploy", run_file, "--name", "watched", "--webhook", f"http://127.0.0.1:{listener.server_port}/a")
        automations = [a["name"] for a in _find(server, "automations", {})]
        deployment = _deployment(server, "watched")["id"]
        run = _ask("POST", f"{server}/deployments/{deployment}/create_flow_run", json={"name": 'one "of" mine'}).json()
        state = {"state": {"type": "CRASHED", "name": "Crashed"}, "force": True}
        _ask("POST", f"{server}/flow_runs/{run['id']}/set_state", json=state)

        message = json.loads(told.get(timeout=120))
    finally:
        listener.shutdown()

    assert sorted(automations) == [
        "anogen: a run that fell silent has crashed",
        "anogen: tell when a run fails, crashes or is late",
    ]
    assert message["state"] == "Crashed"
    assert message["run"] == 'one "of" mine'
    assert run["id"] == message["id"]
    assert "None" not in message["text"]
    assert message["text"].startswith(message["run"])


def test_no_server_is_one_clear_message() -> None:
    """Without an address: what is missing and an example. With a wrong one: the address that does not answer."""
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(InputError, match=r"^PREFECT_API_URL is not set.*http://127.0.0.1:4200/api"),
        connect(),
    ):
        pass
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}),
        pytest.raises(AnogenError, match=r"http://127.0.0.1:1/api does not answer"),
        connect(),
    ):
        pass


@pytest.mark.parametrize(
    ("cron", "interval"),
    [("0 3 * * *", "6h"), ("at night", None), (None, "soon"), (None, "h"), (None, ""), (None, "-2h"), (None, "1e999d")],
)
def test_unreadable_schedule_is_refused(cron: str | None, interval: str | None) -> None:
    """Before anything is registered."""
    with pytest.raises(InputError):
        schedule(cron, interval)


def test_a_schedule_and_none_at_once_are_refused() -> None:
    """--no-schedule contradicts --cron and --interval."""
    with pytest.raises(InputError, match="give one of them"):
        schedule("0 3 * * *", None, never=True)
