"""The place of the output fails: an object store that goes away and comes back, objects cut short, a full disk."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from anogen_core.storage.artifacts import ArtifactStore
from tests.faults.fleet import Begin, Fleet, Undisturbed, commits, sealed
from tests.faults.proxy import Fault, FaultyEndpoint

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [2, 30, pytest.param(120, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", ["refuse", "503", "hang"])
def test_an_object_store_that_goes_away_and_comes_back(
    fleet: Fleet,
    begin: Begin,
    undisturbed: Undisturbed,
    s3_bucket: str,
    fault_is_now: Callable[[], None],
    tmp_path: Path,
    fault: Fault,
    seconds: float,
) -> None:
    """The run waits and goes on by itself; nothing is lost and nothing is made twice."""
    output = f"{s3_bucket}/{tmp_path.name}"
    run_file = begin(output)
    with FaultyEndpoint(os.environ["AWS_ENDPOINT_URL"], fault, seconds) as endpoint:
        fleet.run(run_file, AWS_ENDPOINT_URL=endpoint.url)
        fleet.until(lambda: endpoint.began, "the first write of a shard")
        fault_is_now()

        assert fleet.ended(seconds=600) == 0, fleet.said()
        assert endpoint.over
        assert endpoint.affected > 0

    assert sealed(output) == undisturbed.digests


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
@pytest.mark.parametrize("fault", ["refuse", "503"])
def test_a_stop_is_heeded_while_the_object_store_is_away(
    fleet: Fleet, begin: Begin, s3_bucket: str, tmp_path: Path, fault: Fault, number: signal.Signals, code: int
) -> None:
    """SIGTERM and Ctrl-C end a run that waits for its store, long before its patience is at its end."""
    run_file = begin(f"{s3_bucket}/{tmp_path.name}")
    with FaultyEndpoint(os.environ["AWS_ENDPOINT_URL"], fault, 900) as endpoint:
        fleet.run(run_file, AWS_ENDPOINT_URL=endpoint.url)
        fleet.until(lambda: endpoint.began, "the first write of a shard")
        time.sleep(3)
        fleet.signal("run", number)

        assert fleet.ended(seconds=60) == code, fleet.said()
        assert "Traceback" not in fleet.said()


def test_objects_cut_short_between_two_attempts(
    fleet: Fleet, begin: Begin, undisturbed: Undisturbed, fault_is_now: Callable[[], None], tmp_path: Path
) -> None:
    """A cut part of a stored shard and a cut embedding are found by the next run and made again."""
    run_file = begin(tmp_path / "out")
    fleet.run(run_file)
    fleet.until(lambda: commits(tmp_path / "out"), "a stored shard")
    fleet.kill("run")
    shard = next((tmp_path / "out").glob("datasets/*.parts/data/*/*/image"))
    embedding = next((tmp_path / "out").glob("artifacts/embedding-*/*/embedding.safetensors"))
    for path in (shard, embedding):
        os.truncate(path, path.stat().st_size // 2)
    fault_is_now()

    fleet.run(run_file)

    assert fleet.ended() == 0, fleet.said()
    assert sealed(tmp_path / "out") == undisturbed.digests
    assert ArtifactStore(f"{tmp_path}/out/artifacts").get(embedding.parents[1].name) is not None
