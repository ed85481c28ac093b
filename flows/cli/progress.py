"""Progress on standard error: bars with time left on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_LINE_EVERY = 10.0
"""Seconds between two plain lines of one stage."""


class ProgressDisplay:
    """Shows every stage of a run; a stage adds up its units (shards, for example).

    Example:
        >>> with ProgressDisplay() as display:
        ...     display.update("bottle: generate", "0", 3, 64)

    Args:
        in_bytes: What is counted are bytes.
    """

    def __init__(self, *, in_bytes: bool = False) -> None:
        self._console = Console(stderr=True)
        self._in_bytes = in_bytes
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._units: dict[str, dict[str, tuple[int, int]]] = {}
        self._last_line: dict[str, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<32}"),
                BarColumn(),
                *((DownloadColumn(), TransferSpeedColumn()) if self._in_bytes else (MofNCompleteColumn(),)),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, stage: str, unit: str, done: int, total: int) -> None:
        """Show that `unit` of `stage` has done `done` of `total`."""
        with self._lock:
            units = self._units.setdefault(stage, {})
            units[unit] = (done, total)
            all_done, all_total = sum(d for d, _ in units.values()), sum(t for _, t in units.values())
            if self._bars is not None:
                if stage not in self._tasks:
                    self._tasks[stage] = self._bars.add_task(stage)
                self._bars.update(self._tasks[stage], completed=all_done, total=all_total)
            else:
                self._line(stage, all_done, all_total)

    def note(self, text: str) -> None:
        """Show one line of text."""
        if self._bars is not None:
            self._bars.console.print(text, style="dim", highlight=False)
        else:
            sys.stderr.write(f"{text}\n")

    def _line(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 0 or (done < total and now - self._last_line.get(stage, 0.0) < _LINE_EVERY):
            return
        self._last_line[stage] = now
        shown = f"{done / 1e6:.1f}/{total / 1e6:.1f} MB" if self._in_bytes else f"{done}/{total}"
        sys.stderr.write(f"{stage} {shown}\n")
        sys.stderr.flush()
