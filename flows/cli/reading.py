"""`anogen inspect`, `datasets`, `verify`, `regenerate`, `pull` and `report`: what reads finished datasets."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from flows.cli.arguments import output_of
from flows.cli.progress import ProgressDisplay

_SAID = {"accept": "accepted", "reject": "rejected", "fix": "fixed"}


def inspect(uri: str, *, as_json: bool) -> None:
    """Print what a dataset holds."""
    from anogen_core.report.tables import count_reasons  # noqa: PLC0415
    from anogen_core.storage import Dataset  # noqa: PLC0415

    dataset = Dataset(uri)
    summary = dataset.summary()
    reasons = count_reasons([row for row in dataset.ledger() if row.reason is not None])
    summary["reasons"] = [{"outcome": r.outcome.value, "count": r.count, "reason": r.text} for r in reasons]
    verdicts = Counter(v.decision.value for v in dataset.verdicts().values()) if summary["sealed"] else Counter()
    if verdicts:
        summary["verdicts"] = dict(sorted(verdicts.items()))
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=1) + "\n")
        return
    height, width = summary["image_size"]
    counts = ", ".join(f"{summary[k]} {k}" for k in ("made", "filtered", "blocked", "failed"))
    defects = ", ".join(f"{name} {count}" for name, count in summary["defects"].items())
    model = summary["base_model"]
    lines = [
        f"{summary['uri']}  ({'sealed' if summary['sealed'] else 'not sealed yet: run again to finish it'})",
        f"  planned     {summary['planned']}: {counts}{_replaced(summary['replacements'])}",
        f"  images      {width}x{height} px; {defects}",
        f"  digest      {summary['digest']}",
        f"  settings    {summary['config_fingerprint']}",
        f"  base model  {model['name']} ({model['fingerprint']}), licence {model['licence']}",
    ]
    lines += [f"  {r.outcome.value:<10}  {r.count}: {r.text}{' (and alike)' if r.varies else ''}" for r in reasons]
    if verdicts:
        undecided = summary["made"] - verdicts.total()
        said = ", ".join(f"{verdicts[key]} {word}" for key, word in _SAID.items())
        lines.insert(2, f"  reviewed    {said}, {undecided} undecided")
    sys.stdout.write("\n".join(lines) + "\n")


def _replaced(count: int) -> str:
    return f" ({count} of them in place of filtered ones)" if count else ""


def datasets(source: str, *, as_json: bool) -> None:
    """Print every dataset of a run's output, and what those take that the last run does not refer to."""
    from anogen_core.stages.datasets import list_datasets  # noqa: PLC0415

    output = output_of(source)
    found = list_datasets(output)
    if as_json:
        sys.stdout.write(json.dumps([one.model_dump(mode="json") for one in found], indent=1) + "\n")
        return
    sys.stdout.write("".join(f"{one.describe()}\n" for one in found))
    sys.stderr.write("".join(f"warning: {one.problem}\n" for one in found if one.problem is not None))
    others = [one for one in found if not one.used_by_last_run]
    if not found:
        sys.stderr.write(f"{output}: holds no datasets; `anogen run` makes them.\n")
    elif others:
        size = sum(one.bytes for one in others) / 1e6
        sys.stderr.write(f"{len(others)} of {len(found)} ({size:.1f} MB) are not those of the last run.\n")


def describe(uri: str, *, machine: bool) -> None:
    """Print the card of a sealed dataset, for people or for machines, also where none was stored with it."""
    from anogen_core.storage import Dataset  # noqa: PLC0415

    dataset = Dataset(uri)
    sys.stdout.write(dataset.croissant() if machine else dataset.card())


def verify(uri: str) -> int:
    """Print every mismatch; return 1 when there is one."""
    from anogen_core.storage import verify as verify_dataset  # noqa: PLC0415

    problems = verify_dataset(uri)
    for problem in problems:
        sys.stdout.write(f"error: {problem}\n")
    sys.stdout.write(f"{uri}: {len(problems)} mismatch(es)\n" if problems else f"{uri}: every digest matches\n")
    return 1 if problems else 0


def regenerate(uri: str, request_id: str, out: Path | None) -> int:
    """Print how the image made again compares with the stored one; return 1 when it differs."""
    from anogen_core.stages.regeneration import regenerate as regenerate_sample  # noqa: PLC0415

    result = regenerate_sample(uri, request_id)
    if out is not None:
        result.write_png(out)
    sys.stdout.write(f"{request_id}: {result.describe()}\n")
    return 0 if result.identical else 1


def pull(
    uri: str,
    dest: Path,
    layout: str,
    *,
    defects: list[str],
    review: str = "kept",
    quality: float = 0.0,
    validation: float | None,
    overrides: list[str],
) -> None:
    """Write a dataset in another tool's layout."""
    from anogen_core.export import parse_exporter  # noqa: PLC0415
    from anogen_core.export import pull as pull_dataset  # noqa: PLC0415
    from anogen_core.settings import apply_override  # noqa: PLC0415
    from anogen_core.storage import Dataset  # noqa: PLC0415
    from tasks.progress import counting  # noqa: PLC0415

    values: dict[str, Any] = {
        "kind": layout,
        "defects": tuple(defects),
        "review": review,
        "min_quality": quality,
    }
    if validation is not None:
        values["validation_fraction"] = validation
    for override in overrides:
        apply_override(values, override)
    settings, dataset = parse_exporter(values), Dataset(uri)
    rows = settings.choose(dataset, settings.verdicts(dataset))
    stored = dataset.stored_bytes(rows)
    with ProgressDisplay(in_bytes=True) as display:
        tick = counting(display, "pull", len(rows), size=stored)
        pull_dataset(dataset, dest, settings=settings, on_image=tick)
    sys.stderr.write(f"{len(rows)} of {len(dataset)} images, {stored / 1e6:.1f} MB read\n")
    sys.stdout.write(f"{dest}\n")


def report(source: str) -> None:
    """Write the report of a finished run and print where it is."""
    from anogen_core.config import stored_config  # noqa: PLC0415
    from anogen_core.stages.reporting import write_report  # noqa: PLC0415
    from anogen_core.stages.result import read_result  # noqa: PLC0415

    output = output_of(source)
    result = read_result(output)
    config = stored_config(result.settings, output=output, source=f"{output}/run.json")
    sys.stdout.write(f"report: {write_report(config, result)}\n")
