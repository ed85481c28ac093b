"""The real processes of a test: a Dask scheduler and workers, a Prefect server, `anogen run`; ended together."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from distributed import Client

from anogen_core.storage import Dataset, open_store, verify
from deployments.native import free_ports

COMMAND = "from flows.cli import main; main()"
Begin = Callable[..., Path]
"""Writes a run file: `begin(output, **settings)`."""
_PATIENCE = 500.0


class Undisturbed(NamedTuple):
    """A run in threads that nothing happened to."""

    output: Path
    digests: dict[str, str]


class Fleet:
    """Processes by name; each writes to a log of its own in `folder`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.address = ""
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", "DASK_LOGGING__DISTRIBUTED": "info", **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.signal(name, signal.SIGKILL)
            self._running.pop(name).wait()

    def start(self, name: str, *command: str, **environment: str) -> None:
        """Start a process; one of the same name must have ended."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *command],
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def dask(self, workers: int = 2, **environment: str) -> str:
        """Start a scheduler and workers and return the scheduler's address; again on the same port after its death."""
        self.address = self.address or f"tcp://127.0.0.1:{free_ports(1)[0]}"
        host, _, port = self.address.removeprefix("tcp://").partition(":")
        words = ("dask", "scheduler", f"--host={host}", f"--port={port}", "--dashboard-address=127.0.0.1:0")
        self.start("scheduler", "-m", *words, **environment)
        for number in range(1, workers + 1):
            self.worker(f"worker-{number}")
        self.until(lambda: len(self.busy()) == workers, "the workers")
        return self.address

    def worker(self, name: str, *options: str, **environment: str) -> None:
        """Start a Dask worker without a nanny, so that killing it leaves nothing behind."""
        words = ("worker", self.address, "--host=127.0.0.1", "--nthreads=1", "--memory-limit=0", "--no-nanny")
        places = ("--dashboard-address=127.0.0.1:0", f"--local-directory={self.folder}", f"--name={name}")
        self.start(name, "-m", "dask", *words, *places, *options, **environment)

    def busy(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the workers and what each works on."""
        with Client(self.address, timeout=_PATIENCE, set_as_default=False) as client:
            work = client.processing()
            workers = client.scheduler_info(n_workers=-1)["workers"]
            return {about["id"]: tuple(map(str, work.get(address, ()))) for address, about in workers.items()}

    def generating(self) -> list[str]:
        """Return the workers that make a shard now."""
        return sorted(name for name, keys in self.busy().items() if any("shard" in key for key in keys))

    def prefect(self, port: int, home: Path) -> str:
        """Start a Prefect server and return its API's address when it answers."""
        url = f"http://127.0.0.1:{port}/api"
        quiet = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        self.start("prefect", "-m", "prefect", "server", "start", "--host=127.0.0.1", f"--port={port}", **quiet)
        self.until(lambda: _answers(f"{url}/health"), "the Prefect server")
        return url

    def run(self, run_file: Path, *arguments: str, name: str = "run", **environment: str) -> None:
        """Start `anogen run`."""
        self.start(name, "-c", COMMAND, "run", str(run_file), *arguments, **environment)

    def ended(self, name: str = "run", seconds: float = _PATIENCE) -> int:
        """Wait for a process to end and return its exit code."""
        code = self._running[name].wait(seconds)
        del self._running[name]
        return code

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process and to all of its group."""
        with suppress(ProcessLookupError):
            os.killpg(self._running[name].pid, number)

    def kill(self, name: str) -> None:
        """Kill a process as a power cut would."""
        self.signal(name, signal.SIGKILL)
        self._running.pop(name).wait()

    def has_ended(self, name: str) -> bool:
        """Return whether a process is no more."""
        return self._running[name].poll() is not None

    def said(self, name: str = "run") -> str:
        """Return everything that a process wrote."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def until(self, reached: Callable[[], object], what: str, seconds: float = _PATIENCE) -> None:
        """Return when something is true; ends the test when it does not come, or when the run ends before it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if reached():
                return
            run = self._running.get("run")
            assert run is None or run.poll() is None, f"the run ended before {what}: {self.said()}"
            time.sleep(0.05)
        raise AssertionError(f"{what}: not there in time; logs are in {self.folder}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own http address
            return True
    except (urllib.error.URLError, OSError):
        return False


def sealed(output: Path | str) -> dict[str, str]:
    """Return name and digest of every sealed dataset; each is verified, and every request of its plan ended once."""
    digests = {}
    store = open_store(output)
    for key in store.list("datasets"):
        folder, _, name = key.rpartition("/")
        if name != "manifest.json":
            continue
        uri = f"{store.uri}/{folder}"
        assert list(verify(uri)) == []
        dataset = Dataset(uri)
        requests = [row.request_id for row in dataset.ledger()]
        assert len(requests) == len(set(requests)) == dataset.summary()["planned"]
        digests[folder.rpartition("/")[2]] = str(dataset.summary()["digest"])
    return digests


def commits(output: Path) -> list[Path]:
    """Return the commit records of unsealed datasets in a directory."""
    return sorted(output.glob("datasets/*.parts/commits/*.json"))
