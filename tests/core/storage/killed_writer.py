"""Makes a dataset again and again, killed by SIGKILL at another write each time, then finished undisturbed.

Usage: killed_writer.py URI_PREFIX STEP. Prints one JSON object per kill: the write, and how both processes ended.
"""

import functools
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anogen_core.storage.local import LocalStore
from anogen_core.storage.s3 import S3Store

Making: Any = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["Making"]


# A killed process loses nothing that it wrote; only a power loss would, and it is not what is tried here.
os.fsync = lambda fd: None  # noqa: ARG005


def kill_at(write: int) -> None:
    """Let this process die just before its `write`-th change of a store, which is just after the one before it."""
    count = 0

    def deadly(action: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any) -> Any:
            nonlocal count
            if count == write:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return action(*arguments)

        return act

    for store in (LocalStore, S3Store):
        for name in ("put", "create", "delete"):
            setattr(store, name, deadly(getattr(store, name)))


def in_child(work: Callable[[], object]) -> int:
    """Return how a child process that does the work ended: minus the signal, or the exit code."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the parent only sees the exit code
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def make(uri: str, write: int) -> None:
    """Make a dataset as far as it gets."""
    kill_at(write)
    Making.dataset(uri)


def main(prefix: str, step: int) -> None:
    """Kill at every `step`-th point until a run survives."""
    write, ended = 0, -signal.SIGKILL
    while ended < 0:
        uri = f"{prefix}/killed-{write}.zarr"
        ended = in_child(functools.partial(make, uri, write))
        finished = in_child(functools.partial(Making.dataset, uri))
        result = {"write": write, "ended": ended, "finished": finished, "uri": uri}
        sys.stdout.write(json.dumps(result) + "\n")
        write += step
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
