"""The Prefect server of a run's own."""

import shutil
from pathlib import Path

import pytest

from anogen_core.config import parse_config
from flows.cli.running import _home
from flows.local_api import LocalApi, quiet_environment


@pytest.mark.slow
@pytest.mark.prefect
def test_two_servers_start_at_once_on_one_fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one output in the same second: both get their server, and one that ends early stops no other."""
    home = tmp_path / "prefect"
    for name, value in quiet_environment(home).items():
        monkeypatch.setenv(name, value)
    early, first, second = (LocalApi(home) for _ in range(3))
    try:
        early.stop()
        first.wait()
        second.wait()
    finally:
        first.stop()
        second.stop()


@pytest.mark.prefect
def test_a_server_whose_place_is_gone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not which request to it failed."""
    home = tmp_path / "prefect"
    for name, value in quiet_environment(home).items():
        monkeypatch.setenv(name, value)
    api = LocalApi(home)
    api.stop()
    assert "server failed (status 500)" in str(api.explain(RuntimeError("status 500")))

    shutil.rmtree(home)

    assert str(api.explain(RuntimeError("status 500"))) == f"{home}: is not there. It was moved or deleted."


def test_every_output_has_a_prefect_history_of_its_own(small_run: dict[str, object], tmp_path: Path) -> None:
    """In the output itself, or beside the run file for an output in an object store, whatever else lies there."""

    def home(output: str) -> Path:
        return _home(parse_config({**small_run, "output": output}, source="test"), tmp_path / "run.yaml")

    assert home(str(tmp_path / "out")) == tmp_path / "out" / ".anogen" / "prefect"
    one, other = home("s3://lines/a"), home("s3://lines/b")
    assert one.parent == other.parent == tmp_path / ".anogen"
    assert one != other
    assert one == home("s3://lines/a")
