"""`anogen init` and `anogen check`: everything that happens before compute."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from anogen_core.config import RunConfig, load_config
from anogen_core.data.audit import audit
from anogen_core.data.problems import Problem
from anogen_core.errors import InputError
from flows.cli.progress import ProgressDisplay

_READABLE: Final = 20
"""Lines that a person still reads."""


class UnusableDataError(InputError):
    """The photos have errors; every one of them is listed."""


def init(run_file: Path, root: str, *, force: bool) -> None:
    """Write a run file for the photos under `root` and print what was found."""
    from anogen_core.run_file import write_run_file  # noqa: PLC0415

    if not run_file.parent.is_dir():
        raise InputError(f"{run_file}: there is no directory {run_file.parent}. Make it, or choose another place.")
    if run_file.exists() and not force:
        raise InputError(f"{run_file}: exists already. Choose another name, or add --force to replace it.")
    found = write_run_file(run_file, Path(root))
    for line in found:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"Wrote {run_file}. Next: anogen check {run_file}\n")


def check(run_file: Path, overrides: Sequence[str], *, as_json: bool, picture: Path | None = None) -> int:
    """Print every problem and the plan, and draw the plan; return 2 when there are errors, 1 when all is blocked."""
    from anogen_core.stages.forecast import forecast  # noqa: PLC0415
    from anogen_core.stages.placement_sheet import placement_sheet  # noqa: PLC0415
    from anogen_core.stages.room import room_problems  # noqa: PLC0415
    from anogen_core.storage import open_store  # noqa: PLC0415

    config = load_config(run_file, overrides)
    open_store(config.output).meet()
    require_places(config)
    problems = find_problems(config)
    errors = [p for p in problems if p.severity == "error"]
    plan = None
    if not errors:
        with ProgressDisplay() as display:
            plan = forecast(config, on_planned=partial(display.update, "plan", ""))
    blocked = room_problems(plan.rooms, config.generation.images_per_defect) if plan else []
    problems += blocked
    useless = any(p.severity == "error" for p in blocked)
    if picture is not None and not errors:
        picture.write_bytes(placement_sheet(config))
    if as_json:
        document: dict[str, Any] = {
            "ok": not errors and not useless,
            "problems": [p.model_dump(mode="json") for p in problems],
            "plan": plan.model_dump(mode="json") if plan else None,
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    else:
        sys.stdout.write("".join(f"{_problem_line(p)}\n" for p in problems))
        sys.stdout.write("".join(f"{line}\n" for line in _by_reason(errors)))
        sys.stdout.write(plan.describe() if plan else f"{len(errors)} error(s): nothing would be run.\n")
    return 2 if errors else int(useless)


def require_places(config: RunConfig) -> None:
    """Ask for the base model, the output's store and the named embeddings once, so that all are known to be there.

    Raises:
        InputError: the base model's files or an embedding are not there, or do not go together.
        StorageError: the store does not answer: a wrong bucket or credential, for example.
    """
    from anogen_core.stages.embedding_store import named_embedding  # noqa: PLC0415
    from anogen_core.storage import open_store  # noqa: PLC0415

    config.base_model.describe()
    config.base_model.canvas()
    # A listing tells a missing bucket from an empty one; a question for one object does not.
    next(iter(open_store(config.output).list("run.json")), None)
    for name in config.embeddings:
        named_embedding(config, *name.split("/"))


def find_problems(config: RunConfig) -> list[Problem]:
    """Return every problem of the photos, errors first; what looks wrong about support photos, where there is none."""
    from anogen_core.stages.support_doubts import support_doubts  # noqa: PLC0415

    samples = config.reader.build().read()
    problems = audit(samples, config.reader, config.frame, config.support)
    return problems if any(p.severity == "error" for p in problems) else [*problems, *support_doubts(config)]


def audit_or_stop(config: RunConfig, note: Callable[[str], None]) -> list[str]:
    """Return the warnings of the photos and of the plan, after showing them.

    Raises:
        UnusableDataError: some photos have errors; lists all of them.
        AnogenError: every request would be blocked.
    """
    from anogen_core.stages.room import require_room  # noqa: PLC0415

    problems = find_problems(config)
    errors = [p for p in problems if p.severity == "error"]
    if errors:
        lines = [*map(_problem_line, errors), *_by_reason(errors)]
        raise UnusableDataError(f"{len(errors)} error(s) in the photos of {config.reader.root}:\n" + "\n".join(lines))
    # Defects that have no room first: nothing is made of them.
    warnings = [_problem_line(p) for p in [*require_room(config), *problems]]
    for line in warnings[:_READABLE]:
        note(line)
    if len(warnings) > _READABLE:
        note(f"... and {len(warnings) - _READABLE} more warnings; `anogen check` lists them all")
    return warnings


def _by_reason(errors: Sequence[Problem]) -> list[str]:
    """Return how often each kind of error occurs, the most frequent first, where a list of them all is too long."""
    from anogen_core.report.tables import kind_of  # noqa: PLC0415

    if len(errors) <= _READABLE:
        return []
    kinds = Counter(kind_of(error.what) for error in errors)
    first = {kind_of(error.what): error.what for error in reversed(errors)}
    lines = [f"{count:>6} x {first[kind]}" for kind, count in kinds.most_common(_READABLE)]
    more = [f"and {len(kinds) - _READABLE} more reasons"] if len(kinds) > _READABLE else []
    return ["Errors by reason, each as the first file has it:", *lines, *more]


def _problem_line(problem: Problem) -> str:
    return f"{problem.severity}: {problem}"
