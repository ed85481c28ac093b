"""What is wrong with a dataset: found without stopping, told with the file, the fault and the remedy."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from anogen_core.errors import InputError
from anogen_core.records import Record

_SHOWN_OF_A_KIND = 3


class Problem(Record):
    """One finding about the data."""

    severity: Literal["error", "warning"]
    """An error stops a run before compute, a warning does not."""
    file: str
    """The file, directory or settings field that it is about (`file:line` for a table)."""
    what: str
    """What is wrong, as a sentence whose subject is the file."""
    fix: str
    """What to do."""

    def __str__(self) -> str:
        return f"{self.file}: {self.what} {self.fix}"


class UnusableFileError(InputError):
    """A file cannot be used; holds the problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return str(self.problem)


def error(file: Path | str, what: str, *, fix: str) -> Problem:
    """Return a problem that stops a run."""
    return Problem(severity="error", file=printable(file), what=what, fix=fix)


def warning(file: Path | str, what: str, *, fix: str) -> Problem:
    """Return a problem that does not stop a run."""
    return Problem(severity="warning", file=printable(file), what=what, fix=fix)


def unreadable(file: Path, failure: Exception) -> Problem:
    """Return an error about a file or directory that the operating system does not give."""
    reason = getattr(failure, "strerror", None) or failure
    return error(file, f"cannot be read ({reason}).", fix="Check that it exists and that you may read it.")


def printable(name: Path | str) -> str:
    """Return a name as text that can be printed and stored, whatever bytes the file system holds."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def told_once(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems without repetitions; a crowd of like warnings in one directory becomes one."""
    alike: dict[tuple[str, ...], list[Problem]] = defaultdict(list)
    for problem in dict.fromkeys(problems):
        alone = problem.file if problem.severity == "error" else ""
        alike[alone, str(Path(problem.file).parent), problem.what, problem.fix].append(problem)
    told: list[Problem] = []
    for crowd in alike.values():
        if len(crowd) <= _SHOWN_OF_A_KIND:
            told += crowd
        else:
            first = min(crowd, key=lambda problem: problem.file)
            what = f"{first.what.rstrip('.')}, as do {len(crowd) - 1} more files of this directory."
            told.append(first.model_copy(update={"what": what}))
    return told
