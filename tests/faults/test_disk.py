"""The disk of the output is full, or nobody may write to it any more."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.fleet import COMMAND, Begin, Fleet, Undisturbed, commits, sealed

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

# In a mount namespace of its own, so that the file system is gone with its last process.
_SCRIPT = """
set -u
run() { "$PYTHON" -c "$COMMAND" run "$1"; }
mount -t tmpfs -o size=24m none "$OUT" && cp -r "$LEARNED" "$OUT/artifacts" || exit 77
run "$1" > "$LOG" 2>&1 & process=$!
until ls "$OUT"/datasets/*.parts/commits/*.json > /dev/null 2>&1; do kill -0 $process || exit 78; sleep 0.05; done
cat /dev/zero > "$OUT/filler" 2> /dev/null
wait $process; echo "full: $?"
rm "$OUT/filler"
run "$1" >> "$LOG" 2>&1; echo "freed: $?"
cp -r "$OUT/datasets" "$KEPT"
"""
_NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]


def _can_mount() -> bool:
    """Return whether this machine lets us have a small file system of our own."""
    if shutil.which("unshare") is None:
        return False
    command = [*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="needs mount namespaces (Linux, root or user namespaces)")
@pytest.mark.parametrize("server", ["elsewhere", "on the full disk"])
def test_a_disk_that_is_full(
    begin: Begin,
    undisturbed: Undisturbed,
    prefect_api: str,
    tmp_path: Path,
    server: str,
    fault_is_now: Callable[[], None],
) -> None:
    """One sentence that says so; when there is space again the same command goes on."""
    out, log = tmp_path / "out", tmp_path / "run.log"
    out.mkdir()
    run_file = begin(out)
    environment = {
        # As the undisturbed run has it: another number of threads may round differently.
        "OMP_NUM_THREADS": "1",
        "PYTHON": sys.executable,
        "COMMAND": COMMAND,
        "OUT": str(out),
        "LEARNED": str(undisturbed.output / "artifacts"),
        "LOG": str(log),
        "KEPT": str(tmp_path / "kept" / "datasets"),
    }
    if server == "elsewhere":
        environment["PREFECT_API_URL"] = prefect_api
    (tmp_path / "kept").mkdir()
    fault_is_now()
    said = subprocess.run(
        [*_NAMESPACE, "sh", "-c", _SCRIPT, "sh", str(run_file)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert said.stdout.split("\n")[:2] == ["full: 1", "freed: 0"], said.stderr
    assert "the disk is full" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert sealed(tmp_path / "kept") == undisturbed.digests


def _can_close(folder: Path) -> bool:
    """Return whether we can forbid everybody, root too, to write to a directory."""
    folder.mkdir()
    try:
        return _close(folder).returncode == 0
    except FileNotFoundError:
        return False
    finally:
        _open(folder)


def _close(folder: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["chattr", "-R", "+i", folder], capture_output=True, check=False)  # noqa: S607


def _open(folder: Path) -> None:
    with suppress(FileNotFoundError):
        subprocess.run(["chattr", "-R", "-i", folder], capture_output=True, check=False)  # noqa: S607


@pytest.mark.parametrize("server", ["elsewhere", "in the closed directory"])
def test_a_directory_that_nobody_may_write_to_any_more(
    begin: Begin, undisturbed: Undisturbed, prefect_api: str, tmp_path: Path, server: str
) -> None:
    """One sentence that says so; when it is open again the same command goes on."""
    if not _can_close(tmp_path / "probe"):
        pytest.skip("needs chattr, root and a file system that knows immutable files")
    out = tmp_path / "out"
    run_file = begin(out)
    with Fleet(tmp_path, {"PREFECT_API_URL": prefect_api} if server == "elsewhere" else {}) as fleet:
        fleet.run(run_file)
        fleet.until(lambda: commits(out), "a stored shard")
        try:
            assert _close(out).returncode == 0

            assert fleet.ended() == 1, fleet.said()
        finally:
            _open(out)
        (said,) = (line for line in fleet.said().splitlines() if "no permission" in line)
        assert str(out) in said
        assert "Error" not in fleet.said()

        fleet.run(run_file)

        assert fleet.ended() == 0, fleet.said()
        assert sealed(out) == undisturbed.digests
