"""`anogen evaluate`: train every arm with several seeds and print them side by side."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anogen_core.errors import InputError
from flows.cli import running

if TYPE_CHECKING:
    from anogen_core.evaluation import Comparison, Evaluation


_ARMS = "perlin, support_only, cutpaste, cutpaste+generated, {other}, generated"
"""All, unless the run file's overrides name them; the printed differences are about the last one, `other` is
`generated` with the label that the detector's `supervision` does not give it."""


def evaluate(
    run_file: Path, overrides: Sequence[str], *, seeds: int, redraw: bool, amounts: str | None, as_json: bool
) -> None:
    """Do what a run has left undone with all arms and `seeds` seeds, then print the comparison of every category.

    With `redraw` each seed has a dataset of its own.

    Nothing is learned or generated for arms that do not learn from it.

    Raises:
        PartlyFailedRunError: some categories failed; the comparisons of the others are printed.
    """
    from anogen_core.config import load_config  # noqa: PLC0415
    from anogen_core.stages.arms import source_amounts  # noqa: PLC0415
    from anogen_core.stages.catalogue import read_category  # noqa: PLC0415
    from anogen_core.stages.reporting import left_out_arms  # noqa: PLC0415
    from anogen_core.stages.result import read_result  # noqa: PLC0415

    by_box = load_config(run_file, overrides).detector.supervision == "box"
    arms = f"evaluation.arms=[{_ARMS.format(other='generated_mask' if by_box else 'generated_box')}]"
    drawn = ["evaluation.redraw=true"] if redraw else []
    enabled = ["evaluation.enabled=true", "evaluation.needed_only=true"]
    settings = [*enabled, arms, f"evaluation.seeds={seeds}", *drawn, *overrides]
    if amounts is not None:
        asked = load_config(run_file, settings).evaluation.arms
        swept = [f"generated:{amount}" for amount in _parse_amounts(amounts)]
        settings.append(f"evaluation.arms=[{', '.join(dict.fromkeys([*swept, *asked]))}]")
    config = load_config(run_file, settings)
    if config.evaluation.redraw and len(config.draws) == 1:
        sys.stderr.write("warning: evaluation.redraw changes nothing with one seed: it makes a dataset for each.\n")
    made, failure = running.execute(run_file, settings, compares=True)
    result = read_result(config.output)
    for line in left_out_arms(config, result):
        sys.stderr.write(f"warning: {line}\n")
    if as_json:
        document = {
            "report": made["report"],
            "comparisons": [c.comparison.model_dump(mode="json") for c in result.categories if c.comparison],
            "evaluations": [e.model_dump(mode="json") for c in result.categories for e in c.evaluations],
            "failed": [one.model_dump(mode="json") for one in result.failed],
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    else:
        for category in result.categories:
            if category.comparison is not None:
                held = source_amounts(config, read_category(config, category.category), category.dataset)
                sys.stdout.write(table(category.comparison, category.evaluations, held) + "\n")
        sys.stdout.write(f"report: {made['report']}\n")
    if failure is not None:
        raise failure


def table(comparison: "Comparison", evaluations: "Sequence[Evaluation]", amounts: Mapping[str, int]) -> str:
    """Return the arms, their differences from the last one, and sweeps up to the amount that each source has."""
    from anogen_core.report.sweep import sweep_of  # noqa: PLC0415
    from anogen_core.report.tables import comparison_table  # noqa: PLC0415
    from anogen_core.report.verdict import headline_metrics, label_notes  # noqa: PLC0415

    shown = comparison_table(comparison)
    lines = [shown.caption, *label_notes(evaluations)]
    for columns, rows in ((shown.arms, shown.rows), (shown.pairs, shown.differences)):
        if columns:
            lines += [*_aligned([["", *columns], *([name, *values] for name, values in rows)]), ""]
    sweep = sweep_of(comparison, amounts, metric=headline_metrics(evaluations)[0])
    for swept in sweep.tables if sweep else ():
        head = [f"images of {swept.source}", *swept.columns]
        lines += [*_aligned([head, *([amount, *values] for amount, values in swept.rows)]), swept.sentence, ""]
    return "\n".join(lines)


def _aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _parse_amounts(text: str) -> list[int]:
    """Return `25,50` as numbers, ascending.

    Raises:
        InputError: one is not a whole number above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(f"--amounts: expected numbers of images above 0 like 25,50,100; found {text!r}.")
    return sorted({int(part) for part in parts})
