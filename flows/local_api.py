"""A Prefect API server that lives as long as one run, so that nobody has to start one by hand."""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from anogen_core.errors import AnogenError, FullStoreError, StorageError

_START_TIMEOUT = 180.0
_ROOM = 1 << 20
"""Bytes without which a database cannot work."""


def quiet_environment(home: Path) -> dict[str, str]:
    """Return the environment of a run: its own Prefect home, no telemetry, no chatter.

    Must be in `os.environ` before Prefect is imported. A user's own PREFECT_* settings win.
    """
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(home),
        # Everything goes to the flow page; the terminal gets one message in the end.
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "DASK_LOGGING__DISTRIBUTED": "error",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return {name: value for name, value in defaults.items() if name not in os.environ}


class LocalApi:
    """A Prefect server on a free port of this machine; it stops by itself when its parent is gone.

    Example:
        >>> api = LocalApi(home)      # returns at once
        >>> api.wait()                # when the first flow is about to start
        >>> api.stop()
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._log, lock = home / "server.log", home / "lock"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "flows.local_api", str(self._port), str(os.getpid()), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # The flow page asks the address that the server believes to have.
                env={**os.environ, "PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": str(self._port)},
            )

    @property
    def url(self) -> str:
        """Return the API's address."""
        return f"http://127.0.0.1:{self._port}/api"

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            StorageError: its database cannot be written: there is no space, or no permission.
            AnogenError: it ended or did not answer in time; names its log file.
        """
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2):  # noqa: S310 - our own http address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        raise self._unwritable() or AnogenError(
            f"The local Prefect server did not start; its log is {self._log}. Try again. If that fails too"
            f" and no other run is going on with this output, delete {self._log.parent} first."
        )

    def explain(self, error: Exception) -> AnogenError:
        """Return in one sentence why the server failed: mostly because its disk, the output's, is full or closed."""
        return self._unwritable() or AnogenError(
            f"The run's own Prefect server failed ({error}); its log is {self._log}. Finished work is kept; run again."
        )

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _unwritable(self) -> StorageError | None:
        """Return why the server cannot write its database; None where it can."""
        from anogen_core.storage.local import explained  # noqa: PLC0415 - the server needs nothing of it

        home = self._log.parent
        try:
            with explained(home), tempfile.TemporaryFile(dir=home):
                if shutil.disk_usage(home).free < _ROOM:
                    return FullStoreError(
                        f"{home}: the disk is full. Free some space and run again; finished work is kept."
                    )
        except StorageError as error:
            return error
        return None


def _end_with(parent: int) -> None:
    """End this process when its parent has died, even by SIGKILL."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def _serve(port: int, parent: int, lock: Path) -> None:
    import uvicorn  # noqa: PLC0415
    from prefect.server.api.server import create_app  # noqa: PLC0415

    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    app = create_app()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            with turn:
                await super().startup(sockets)

    # Servers of one home bring its database up to date as they start: one after the other.
    with lock.open("ab") as turn:
        with contextlib.suppress(OSError):  # file systems without locks
            fcntl.flock(turn, fcntl.LOCK_EX)
        Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=3)).run()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
