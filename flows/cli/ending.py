"""How the command line begins and ends: errors become one message and an exit code."""

import atexit
import contextlib
import os
import sys
import tempfile
import threading
import traceback

from flows.cli.app import app

_SPINS = 1000
"""How often a thread of GNU OpenMP looks for work before it sleeps (docs/scale.md); its own default is 300,000."""


def main() -> None:
    """Run the command line; errors become one message and an exit code, never a traceback."""
    # Read when PyTorch is imported. Threads that spin keep the cores from other processes, which spin in turn.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))
    # Read when OpenCV is imported, which would print of each damaged file what one message says.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    code = _run()
    # What Python does at its end, except that libraries are not taken apart: threads of Arrow that are still starting
    # then abort the process after its work is done, now and then, on a busy machine.
    threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run() -> int:
    from anogen_core.errors import AnogenError, InputError, InterruptedRunError  # noqa: PLC0415

    codes = {InputError: 2, InterruptedRunError: 130}
    try:
        app()
    except SystemExit as end:
        code = end.code
        return code if isinstance(code, int) else int(code is not None)
    except AnogenError as error:
        return _end(str(error), next((code for kind, code in codes.items() if isinstance(error, kind)), 1))
    except BrokenPipeError:
        return _end("The reader of the output went away.", 1)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        with tempfile.NamedTemporaryFile("w", prefix="anogen-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        return _end(
            f"Unexpected {type(error).__name__}: {error}\nThis is a fault of AnoGen; please report it with {log.name}.",
            1,
        )
    return 0


def _end(message: str, code: int) -> int:
    sys.stderr.write(f"anogen: {message}\n")
    return code
