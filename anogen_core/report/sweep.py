"""How a detector's scores grow with the number of generated images, and where the gain is no longer clear."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anogen_core.arm import PERLIN, parse_arm, whole
from anogen_core.evaluation import Comparison
from anogen_core.report.charts import LineChart, Span, line_chart
from anogen_core.report.tables import source_name
from anogen_core.report.verdict import ALL_METRICS, estimate_text

_COLUMNS = ("image_auroc", "image_ap", "pixel_ap", "pixel_aupro")


@dataclass(frozen=True)
class SweepTable:
    """The amounts of one source, from none to all of its images."""

    source: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """(amount, one text for each column)."""
    sentence: str
    """Where the gain flattens."""


@dataclass(frozen=True)
class Sweep:
    """The sweeps of one category."""

    tables: tuple[SweepTable, ...]
    chart: LineChart | None
    metric: str
    """Name of what the chart shows and the gains are about."""


def sweep_of(comparison: Comparison, amounts: Mapping[str, int], *, metric: str = "pixel_ap") -> Sweep | None:
    """Return what more images of a source did, or None when no arm has some of another one's images.

    Args:
        comparison: of all arms.
        amounts: what an arm without an amount has of its source.
        metric: whose gains are looked at.
    """
    series = _series(comparison, amounts)
    if not series:
        return None
    metrics = {a.arm: a.metrics for a in comparison.arms}
    curves, spans = {}, {}
    for source, steps in series.items():
        known = [(amount, metrics[arm].get(metric)) for amount, arm in steps]
        drawn = [(amount, estimate) for amount, estimate in known if estimate is not None]
        curves[source_name(source)] = [(amount, e.value) for amount, e in drawn]
        spans[source_name(source)] = [Span(amount, e.low, e.high) for amount, e in drawn]
    return Sweep(
        tables=tuple(_table(comparison, source, steps, metric) for source, steps in series.items()),
        chart=line_chart(curves, x_label="images", y_label=ALL_METRICS[metric], spans=spans),
        metric=ALL_METRICS[metric],
    )


def _series(comparison: Comparison, amounts: Mapping[str, int]) -> dict[str, list[tuple[int, str]]]:
    """Return (amount, arm) of every source that has arms with amounts, ascending; Perlin noise alone is amount 0."""
    arms = [a.arm for a in comparison.arms]
    found: dict[str, list[tuple[int, str]]] = {}
    for arm in arms:
        parts = parse_arm(arm)
        if len(parts) == 1 and parts[0].amount is not None:
            found.setdefault(whole(arm), []).append((parts[0].amount, arm))
    ends = {**amounts, PERLIN: 0}
    series = {
        source: sorted([*steps, *((ends[arm], arm) for arm in (PERLIN, source) if arm in arms)])
        for source, steps in found.items()
    }
    return {source: steps for source, steps in series.items() if len(steps) > 1}


def _table(comparison: Comparison, source: str, steps: Sequence[tuple[int, str]], metric: str) -> SweepTable:
    metrics = {a.arm: a.metrics for a in comparison.arms}
    rows = []
    for i, (amount, arm) in enumerate(steps):
        gain = comparison.gain(arm, steps[i - 1][1], metric) if i else None
        cells = [estimate_text(metrics[arm].get(name), ".3f") for name in _COLUMNS]
        rows.append((f"{amount:,}", (*cells, estimate_text(gain, "+.3f") if i else "")))
    return SweepTable(
        source=source_name(source),
        columns=(*(ALL_METRICS[name] for name in _COLUMNS), f"{ALL_METRICS[metric]}, gain over the row above"),
        rows=tuple(rows),
        sentence=_sentence(comparison, steps, metric),
    )


def _sentence(comparison: Comparison, steps: Sequence[tuple[int, str]], metric: str) -> str:
    """Return from which amount on no larger one is clearly better."""
    name = ALL_METRICS[metric]
    for i, (amount, arm) in enumerate(steps[:-1]):
        gains = [(more, comparison.gain(other, arm, metric)) for more, other in steps[i + 1 :]]
        if all(gain is None or gain.low <= 0 for _, gain in gains):
            most, gain = gains[-1]
            added = f"{name} of {most:,} images minus that of {amount:,}: {estimate_text(gain, '+.3f')}"
            return f"More than {amount:,} images are not shown to help. {added}."
    last, before = steps[-1], steps[-2]
    added = estimate_text(comparison.gain(last[1], before[1], metric), "+.3f")
    return f"{name} still rises at {last[0]:,} images ({added} over {before[0]:,}): more may help."
