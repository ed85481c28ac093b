"""Geometry of line charts; the template turns it into SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from anogen_core.report.content import Curve

WIDTH, HEIGHT = 480, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 42
_MAX_POINTS = 240
_LOG_RATIO = 30.0
"""Above this ratio of largest to smallest loss the axis is logarithmic."""


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Span:
    """An interval of values at one x."""

    x: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One drawn series."""

    name: str
    points: str
    """`x,y x,y …` as SVG wants it."""
    lowest: tuple[float, float]
    """Where the smallest value is drawn."""
    summary: str
    """The curve in words, for those who do not see it."""
    spans: tuple[Span, ...] = ()
    """Intervals around its points, in pixels."""


@dataclass(frozen=True)
class LineChart:
    """A chart ready to be drawn in a box of WIDTH x HEIGHT."""

    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Scale:
    """A linear map from values to pixels, of logarithms when `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)


def line_chart(
    curves: Mapping[str, Curve], *, x_label: str, y_label: str, spans: Mapping[str, Sequence[Span]] | None = None
) -> LineChart | None:
    """Return a chart with one line per curve, or None when there is nothing to draw; only finite values are drawn.

    Args:
        curves: by name.
        x_label: what x counts.
        y_label: what y is.
        spans: intervals around points of a curve, by its name.
    """
    spans = spans or {}
    finite = {name: [(s, v) for s, v in curve if math.isfinite(v)] for name, curve in curves.items()}
    series = {name: _thin(curve) for name, curve in finite.items() if curve}
    if not series:
        return None
    steps = [s for curve in series.values() for s, _ in curve]
    values = [v for curve in series.values() for _, v in curve]
    values += [end for own in spans.values() for span in own for end in (span.low, span.high)]
    log = min(values) > 0 and max(values) / min(values) > _LOG_RATIO
    x_scale = Scale(min(0, *steps), max(1, *steps), _LEFT, WIDTH - _RIGHT)
    y_values = _log_ticks(min(values), max(values)) if log else nice_ticks(min(values), max(values))
    low, high = (min(values), max(values)) if log else (y_values[0], y_values[-1])
    y_scale = Scale(min(low, y_values[0]), max(high, y_values[-1]), HEIGHT - _BOTTOM, _TOP, log)
    x_values = [v for v in nice_ticks(x_scale.low, x_scale.high) if v <= x_scale.high]
    return LineChart(
        x_label=x_label,
        y_label=y_label + (" (log scale)" if log else ""),
        x_ticks=tuple(Tick(x_scale(v), f"{v:,.0f}") for v in x_values),
        y_ticks=tuple(Tick(y_scale(v), label) for v, label in zip(y_values, _labels(y_values, log=log), strict=True)),
        lines=tuple(
            replace(
                _line(name, curve, x_scale, y_scale),
                spans=tuple(Span(x_scale(s.x), y_scale(s.low), y_scale(s.high)) for s in spans.get(name, ())),
            )
            for name, curve in series.items()
        ),
    )


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers that enclose low..high."""
    span = high - low or abs(high) or 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [10.0**p for p in powers]


def _labels(ticks: list[float], *, log: bool) -> list[str]:
    """Return the ticks as text, all with the decimals that the smallest step needs."""
    if log:
        return [f"{v:g}" for v in ticks]
    step = ticks[1] - ticks[0]
    decimals = max(0, -math.floor(math.log10(step))) + (f"{step:.1e}"[2] != "0")
    return [f"{v:.{decimals}f}" if decimals <= 6 else f"{v:.3g}" for v in ticks]


def _thin(curve: Curve) -> Curve:
    """Return at most about `_MAX_POINTS` points, each the mean of a run of neighbours at its last step."""
    size = -(-len(curve) // _MAX_POINTS)
    runs = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(run[-1][0], sum(v for _, v in run) / len(run)) for run in runs]


def _line(name: str, curve: Curve, x_scale: Scale, y_scale: Scale) -> Line:
    best, (start, first), (end, last) = min(curve, key=lambda point: point[1]), curve[0], curve[-1]
    return Line(
        name=name,
        points=" ".join(f"{x_scale(s):g},{y_scale(v):g}" for s, v in curve),
        lowest=(x_scale(best[0]), y_scale(best[1])),
        summary=f"{name}: from {first:.4g} at step {start:,} to {last:.4g} at step {end:,}, "
        f"lowest {best[1]:.4g} at step {best[0]:,}",
    )
