"""A process may be killed at any moment; the next run finishes the same dataset."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from anogen_core.storage import Dataset, verify

SCRIPT = Path(__file__).with_name("killed_writer.py")


def run(prefix: str, step: int) -> list[dict[str, Any]]:
    """Return what `killed_writer.py` reports."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), prefix, str(step)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("kind", "step", "least"),
    [
        ("local", 1, 36),
        pytest.param("s3", 9, 4, marks=[pytest.mark.s3, pytest.mark.slow]),
    ],
)
def test_a_dataset_survives_kill_9_at_every_write(
    tmp_path: Path, making: Any, s3_bucket: str, kind: str, step: int, least: int
) -> None:
    """Killed between any two changes of the store, seal included, then run again: sound, and the same digest."""
    assert s3_bucket
    undisturbed = making.dataset(f"{tmp_path}/undisturbed.zarr")
    prefix = f"{tmp_path}/killed" if kind == "local" else f"s3://anogen-tests/{tmp_path.name}"

    *killed, survived = run(prefix, step)

    assert len(killed) >= least
    assert {run["ended"] for run in killed} == {-signal.SIGKILL}
    assert survived["ended"] == 0
    assert {run["finished"] for run in killed} == {0}
    assert {Dataset(run["uri"]).ref().digest for run in killed} == {undisturbed}
    assert [problem for run in killed for problem in verify(run["uri"])] == []
    assert not list(tmp_path.rglob("*.parts")) if kind == "local" else True
