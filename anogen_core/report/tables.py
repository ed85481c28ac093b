"""Rows of the report's tables: metrics side by side, counts of the ledger and the reasons behind them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from anogen_core.arm import main_arms, parse_arm
from anogen_core.evaluation import ArmEstimates, Comparison, Evaluation
from anogen_core.records import Decision, LedgerRow, Outcome, ReviewVerdict
from anogen_core.report.verdict import (
    ALL_METRICS,
    BASELINE_ARM,
    GENERATED_ARM,
    METRICS,
    Tone,
    estimate_text,
    mean_of,
    tone_of,
)

_SOURCE_NAMES: dict[str, str] = {
    "support_only": "support photos",
    "cutpaste": "pasted support defects",
    "generated": "generated defects",
    "generated_box": "generated defects labelled by boxes",
    "generated_mask": "generated defects labelled by pixels",
}
_LEDGER_LIMIT = 200
_ID_LIMIT = 24


@dataclass(frozen=True)
class MetricRow:
    """One line of numbers, in the order of METRICS."""

    label: str
    values: tuple[float | None, ...]
    kind: str = "arm"
    """arm, difference or chance."""
    tones: tuple[Tone, ...] = ()
    """What intervals say of each difference."""


@dataclass(frozen=True)
class DefectMetrics:
    """The metrics of one defect: for each metric without, with, difference, and what its interval says."""

    defect: str
    cells: tuple[tuple[float | None, float | None, float | None, Tone], ...]


@dataclass(frozen=True)
class Reason:
    """Why requests did not become images; requests whose reasons differ in numbers alone share one."""

    outcome: Outcome
    text: str
    """The reason of the first of them, in full."""
    count: int
    shown_ids: tuple[str, ...]
    hidden_ids: int
    varies: bool
    """Whether other requests of the group have other numbers in their reasons."""


@dataclass(frozen=True)
class LedgerTable:
    """What happened to every planned request of a category, and to every replacement."""

    counts: tuple[tuple[str, dict[str, int]], ...]
    """(defect, what `count_endings` and `count_review` return); the last one is the total."""
    reasons: tuple[Reason, ...]
    rows: tuple[LedgerRow, ...]
    """Capped; requests without an image come first."""
    hidden_rows: int
    mismatches: tuple[str, ...]
    """Where the ledger and the summary of the dataset disagree."""


def arm_name(arm: str) -> str:
    """Return how the report calls an arm."""
    if arm == BASELINE_ARM:
        return "Without generated defects"
    parts = [f"{p.amount or ''} {source_name(p.source)}".strip() for p in parse_arm(arm)]
    return f"With {' and '.join(parts)}{' alone' if arm == 'support_only' else ''}"


def source_name(source: str) -> str:
    """Return how the report calls anomalies of one source."""
    return _SOURCE_NAMES[source]


def ordered_arms(arms: Sequence[str]) -> list[str]:
    """Return the arms once each: without generated data, with it, then all others; arms of a sweep are left out."""
    first = [arm for arm in (BASELINE_ARM, GENERATED_ARM) if arm in arms]
    return first + [arm for arm in main_arms(arms) if arm not in first]


def metric_rows(evaluations: Sequence[Evaluation], comparison: Comparison | None = None) -> list[MetricRow]:
    """Return one row per arm, their difference with what the intervals of a comparison say of it, and guessing."""
    arms = {arm: [e for e in evaluations if e.arm == arm] for arm in ordered_arms([e.arm for e in evaluations])}
    rows = [MetricRow(arm_name(arm), tuple(mean_of(own, m) for m in METRICS)) for arm, own in arms.items()]
    if BASELINE_ARM in arms and GENERATED_ARM in arms:
        change = tuple(_difference(a, b) for a, b in zip(rows[0].values, rows[1].values, strict=True))
        gains = [comparison.gain(GENERATED_ARM, BASELINE_ARM, m) if comparison else None for m in METRICS]
        rows.insert(2, MetricRow("Difference", change, "difference", tuple(map(tone_of, gains))))
    if evaluations:
        chance = (
            fmean(e.num_defective / e.num_images for e in evaluations)
            if all(e.num_images for e in evaluations)
            else None
        )
        rows.append(MetricRow("Guessing", (0.5, chance, 0.5, None), "chance"))
    return rows


def defect_metrics(evaluations: Sequence[Evaluation], comparison: Comparison | None = None) -> list[DefectMetrics]:
    """Return the metrics of each defect against all good photos, both arms side by side."""

    def tone(defect: str, metric: str) -> Tone:
        return tone_of(comparison.gain(GENERATED_ARM, BASELINE_ARM, metric, defect) if comparison else None)

    defects = sorted({defect for e in evaluations for defect in e.per_defect})
    return [
        DefectMetrics(d, tuple((*_pair(evaluations, d, metric), tone(d, metric)) for metric in METRICS))
        for d in defects
    ]


@dataclass(frozen=True)
class ComparisonTable:
    """Means and intervals of all arms as text: one row per metric."""

    caption: str
    arms: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    pairs: tuple[str, ...]
    """Differences of the last arm from each other one."""
    differences: tuple[tuple[str, tuple[str, ...]], ...]


def comparison_table(comparison: Comparison) -> ComparisonTable:
    """Return the arms, and the last arm minus each other one, with 95 % intervals; arms of a sweep are left out."""
    shown = main_arms(a.arm for a in comparison.arms)
    columns = [a for a in comparison.arms if a.arm in shown]
    pairs = [d for d in comparison.differences if d.arm == shown[-1] and d.against in shown]
    seeds = ", ".join(map(str, comparison.seeds)) + (", each on a dataset of its own" if comparison.redrawn else "")
    return ComparisonTable(
        caption=(
            f"{comparison.category}: {comparison.detector}, {comparison.num_images} held-out photos in "
            f"{comparison.num_groups} groups, {comparison.num_defective} defective; "
            f"seed{'' if len(comparison.seeds) == 1 else 's'} {seeds}; mean [95 % interval]"
        ),
        arms=tuple(shown),
        rows=_estimate_rows(columns, ".3f"),
        pairs=tuple(f"{d.arm} - {d.against}" for d in pairs),
        differences=_estimate_rows(pairs, "+.3f"),
    )


def _estimate_rows(columns: Sequence[ArmEstimates], number: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return a row for each metric, then one for the pixel AP of each defect where there are several."""
    found = [(label, [column.metrics.get(name) for column in columns]) for name, label in ALL_METRICS.items()]
    defects = list(columns[0].per_defect) if columns else []
    if len(defects) > 1:
        found += [(f"Pixel AP of {d}", [column.per_defect[d]["pixel_ap"] for column in columns]) for d in defects]
    return tuple((label, tuple(estimate_text(value, number) for value in values)) for label, values in found)


def direction(tone: Tone) -> str:
    """Return up, down or even, as the style sheet names a difference."""
    return {"better": "up", "worse": "down"}.get(tone, "even")


def ledger_table(
    ledger: Sequence[LedgerRow], summary: Mapping[str, Any], verdicts: Mapping[int, ReviewVerdict] | None = None
) -> LedgerTable:
    """Return the ledger counted, explained, capped, and checked against the summary of the dataset."""
    groups = [(d, [r for r in ledger if r.defect == d]) for d in sorted({r.defect for r in ledger})]
    total = count_endings(ledger)
    unmade = [row for row in ledger if row.outcome is not Outcome.MADE]
    listed = (unmade + [row for row in ledger if row.outcome is Outcome.MADE])[:_LEDGER_LIMIT]
    return LedgerTable(
        counts=tuple(
            (d, count_endings(own) | count_review(own, verdicts or {})) for d, own in [*groups, ("All", ledger)]
        ),
        reasons=tuple(count_reasons(unmade)),
        rows=tuple(listed),
        hidden_rows=len(ledger) - len(listed),
        mismatches=tuple(
            f"{name}: {found} in the ledger, {summary[name]} in the dataset's summary"
            for name, found in (total | {"planned": len(ledger)}).items()  # a summary counts replacements too
            if name in summary and summary[name] != found
        ),
    )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _pair(
    evaluations: Sequence[Evaluation], defect: str, metric: str
) -> tuple[float | None, float | None, float | None]:
    means = []
    for arm in (BASELINE_ARM, GENERATED_ARM):
        values = [e.per_defect.get(defect, {}).get(metric) for e in evaluations if e.arm == arm]
        known = [v for v in values if v is not None]
        means.append(fmean(known) if known and len(known) == len(values) else None)
    return means[0], means[1], _difference(means[0], means[1])


def count_endings(rows: Sequence[LedgerRow]) -> dict[str, int]:
    """Return the images that were `planned`, the `replacements` of filtered ones, and how many of both ended how."""
    found = Counter(row.outcome for row in rows)
    replacements = sum(row.replaces is not None for row in rows)
    endings = {outcome.value: found[outcome] for outcome in Outcome}
    return {"planned": len(rows) - replacements, "replacements": replacements, **endings}


def count_review(rows: Sequence[LedgerRow], verdicts: Mapping[int, ReviewVerdict]) -> dict[str, int]:
    """Return how many images reviewers accepted, rejected and fixed, and how many are left to learn from.

    Nothing where there are no verdicts, by row of the dataset, on any image.
    """
    if not verdicts:
        return {}
    made = [row.row for row in rows if row.row is not None]
    said = Counter(verdicts[row].decision for row in made if row in verdicts)
    return {
        "accepted": said[Decision.ACCEPT],
        "rejected": said[Decision.REJECT],
        "fixed": said[Decision.FIX],
        "to learn from": len(made) - said[Decision.REJECT],
    }


def count_reasons(rows: Sequence[LedgerRow]) -> list[Reason]:
    """Return why requests were not made, alike reasons together, the most frequent first."""
    groups: dict[tuple[Outcome, str], list[LedgerRow]] = {}
    for row in rows:
        groups.setdefault((row.outcome, kind_of(row.reason or "no reason was recorded")), []).append(row)
    return [
        Reason(
            outcome=outcome,
            text=group[0].reason or "no reason was recorded",
            count=len(group),
            shown_ids=tuple(row.request_id for row in group[:_ID_LIMIT]),
            hidden_ids=max(0, len(group) - _ID_LIMIT),
            varies=len({row.reason for row in group}) > 1,
        )
        for (outcome, _), group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def kind_of(reason: str) -> str:
    """Return a reason without its quoted names and numbers: reasons of one kind differ in these alone."""
    return re.sub(r"\d+(\.\d+)?", "#", re.sub(r"'[^']*'", "''", reason))
