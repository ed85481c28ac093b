"""`anogen evaluate`: train every arm with several seeds and print them side by side."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli import running

if TYPE_CHECKING:
    from anogen_core.evaluation import Comparison


_ALL_ARMS = "evaluation.arms=[perlin, support_only, cutpaste, generated]"


def evaluate(run_file: Path, overrides: Sequence[str], *, seeds: int, as_json: bool) -> None:
    """Do what a run has left undone with all arms and `seeds` seeds, then print the comparison of every category."""
    from anogen_core.config import load_config  # noqa: PLC0415
    from anogen_core.stages.result import read_result  # noqa: PLC0415

    settings = ["evaluation.enabled=true", _ALL_ARMS, f"evaluation.seeds={seeds}", *overrides]
    made = running.execute(run_file, settings)
    result = read_result(load_config(run_file, settings).output)
    if as_json:
        document = {
            "report": made["report"],
            "comparisons": [c.comparison.model_dump(mode="json") for c in result.categories if c.comparison],
            "evaluations": [e.model_dump(mode="json") for c in result.categories for e in c.evaluations],
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    for category in result.categories:
        if category.comparison is not None:
            sys.stdout.write(table(category.comparison) + "\n")
    sys.stdout.write(f"report: {made['report']}\n")


def table(comparison: "Comparison") -> str:
    """Return the arms and their differences from the last one, one metric a line."""
    from anogen_core.report.tables import comparison_table  # noqa: PLC0415

    shown = comparison_table(comparison)
    lines = [shown.caption]
    for columns, rows in ((shown.arms, shown.rows), (shown.pairs, shown.differences)):
        if not columns:
            continue
        cells = [["", *columns], *([name, *values] for name, values in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        ]
        lines.append("")
    return "\n".join(lines)
