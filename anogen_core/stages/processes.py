"""Which process does something, and whether it is still there: known without asking it, on its own machine."""

from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_STATE, _THREADS, _STARTED = 0, 17, 19
"""Places in /proc/<pid>/stat after the process's name."""
_DEAD: Final = {"Z", "X"}


def this_process() -> str | None:
    """Return what names this process among those of all machines; None where the system does not tell.

    It has four parts: the machine since it was started, its namespace of processes (a container has its own), the
    number of the process there, and when it began, because numbers are used again.
    """
    try:
        number = (_PROC / "self").readlink().name
        return "/".join([*_place(), number, _stat(number)[_STARTED]])
    except OSError:
        return None


def has_ended(process: str | None) -> bool | None:
    """Return whether a process is no more; None for those of other machines and containers, which nobody can tell."""
    if process is None:
        return None
    *place, number, started = process.split("/")
    try:
        if place != _place():
            return None
        stat = _stat(number)
    except FileNotFoundError:
        return True
    except OSError:
        return None
    # The first thread may be gone while others are not, such as one that writes when the process is killed.
    return stat[_STARTED] != started or (stat[_STATE] in _DEAD and int(stat[_THREADS]) <= 1)


def _place() -> list[str]:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return [boot, (_PROC / "self/ns/pid").readlink().name]


def _stat(number: str) -> list[str]:
    # The name stands in parentheses and may hold anything.
    return (_PROC / number / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
