"""One run as one self-contained HTML page: no script, no request, pictures inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import jinja2
import numpy as np
from jaxtyping import UInt8

from anogen_core.arrays import Mask
from anogen_core.report import figures
from anogen_core.report.charts import LineChart, line_chart
from anogen_core.report.content import CategoryReport, DefectReport, GeneratedExample, PredictionExample, ReportContent
from anogen_core.report.sweep import Sweep, sweep_of
from anogen_core.report.tables import (
    ComparisonTable,
    DefectMetrics,
    LedgerTable,
    MetricRow,
    arm_name,
    comparison_table,
    count_review,
    defect_metrics,
    direction,
    ledger_table,
    metric_rows,
    ordered_arms,
)
from anogen_core.report.verdict import (
    BASELINE_ARM,
    GENERATED_ARM,
    METRICS,
    Verdict,
    headline_metrics,
    judge,
    label_notes,
)

_TARGET_BYTES = 5_000_000
_QUALITIES = (90, 80, 68)
_SIDE, _SMALL_SIDE = 256, 160
_ROWS_PER_REPORT, _MAX_ROWS, _MIN_ROWS = 36, 8, 2
_STRIP = 4
_SHORT = {BASELINE_ARM: "without", GENERATED_ARM: "with"}


@dataclass(frozen=True)
class Picture:
    """A picture ready for the page."""

    uri: str
    alt: str
    width: int
    height: int
    caption: str = ""


@dataclass(frozen=True)
class DefectView:
    """The pictures of one defect."""

    report: DefectReport
    support: tuple[tuple[Picture, Picture], ...]
    """(photo with outline, enlarged detail)."""
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]
    """(request id, five pictures): normal, mask, generated, detail before, detail after."""
    made: int
    num_altered: int
    """Images whose pixels outside the mask are not those of the normal photo."""
    review: Mapping[str, int]
    """What `count_review` returns."""


@dataclass(frozen=True)
class PredictionView:
    """One held-out photo with the heat map of every arm."""

    defect: str
    name: str
    photo: Picture
    heat: tuple[Picture, ...]


@dataclass(frozen=True)
class CategoryView:
    """Everything the template shows about one category."""

    report: CategoryReport
    anchor: str
    verdict: Verdict
    strip: tuple[Picture, ...]
    defects: tuple[DefectView, ...]
    metrics: tuple[MetricRow, ...]
    per_defect: tuple[DefectMetrics, ...]
    comparison: ComparisonTable | None
    sweep: Sweep | None
    label_notes: tuple[str, ...]
    """What box labels do to the pixel metrics."""
    predictions: tuple[PredictionView, ...]
    peaks: tuple[tuple[str, float], ...]
    """(arm, value of the strongest colour) of the heat maps."""
    concept_chart: LineChart | None
    detector_chart: LineChart | None
    ledger: LedgerTable


def render_report(content: ReportContent) -> str:
    """Return the page; pictures are compressed harder when it would grow past about 5 MB."""
    page = ""
    for quality in _QUALITIES:
        page = _render(content, _Painter(quality))
        if len(page) <= _TARGET_BYTES:
            break
    return page


@dataclass(frozen=True)
class _Painter:
    """Turns arrays into pictures of one quality."""

    quality: int

    def photo(self, array: np.ndarray, alt: str, caption: str = "") -> Picture:
        return Picture(figures.to_data_uri(array, self.quality), alt, array.shape[1], array.shape[0], caption)

    def mask(self, mask: Mask, alt: str) -> Picture:
        return self._grey(figures.mask_picture(mask, _SIDE), alt)

    def label(self, box: Mask, mask: Mask, alt: str) -> Picture:
        return self._grey(figures.label_picture(box, mask, _SIDE), alt)

    def _grey(self, array: UInt8[np.ndarray, "h w"], alt: str) -> Picture:
        return Picture(figures.to_data_uri(array, None), alt, array.shape[1], array.shape[0])


def _render(content: ReportContent, painter: _Painter) -> str:
    num_defects = sum(len(c.defects) for c in content.categories)
    num_rows = max(_MIN_ROWS, min(_MAX_ROWS, _ROWS_PER_REPORT // max(1, num_defects)))
    categories = [_category(c, i, num_rows, painter) for i, c in enumerate(content.categories, start=1)]
    made = sum(c.report.dataset_summary.get("made", 0) + sum(n for _, n in c.report.redrawn) for c in categories)
    template = _templates().get_template("report.html.j2")
    return template.render(run=content, categories=categories, images_made=made, metric_names=METRICS)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("anogen_core.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": _score,
        "change": _change,
        "duration": _duration,
        "direction": direction,
        "arm": arm_name,
    }
    return environment


def _category(report: CategoryReport, number: int, num_rows: int, painter: _Painter) -> CategoryView:
    arms = ordered_arms([arm for example in report.predictions for arm in example.heatmaps])
    peaks = {arm: _peak(report.predictions, arm) for arm in arms}
    return CategoryView(
        report=report,
        anchor=f"category-{number}",
        verdict=judge(report.evaluations, report.comparison),
        strip=_strip(report, painter),
        defects=tuple(_defect(d, report, num_rows, painter) for d in report.defects),
        metrics=tuple(metric_rows(report.evaluations, report.comparison)),
        per_defect=tuple(defect_metrics(report.evaluations, report.comparison)),
        comparison=None if report.comparison is None else comparison_table(report.comparison),
        sweep=_sweep(report),
        label_notes=label_notes(report.evaluations),
        predictions=tuple(_prediction(p, peaks, painter) for p in report.predictions),
        peaks=tuple(peaks.items()),
        concept_chart=line_chart(
            {d.defect: d.loss_curve for d in report.defects}, x_label="step", y_label="validation loss"
        ),
        detector_chart=line_chart(
            {arm_name(a): report.detector_curves[a] for a in ordered_arms(list(report.detector_curves))},
            x_label="step",
            y_label="training loss",
        ),
        ledger=ledger_table(report.ledger, report.dataset_summary, report.verdicts),
    )


def _sweep(report: CategoryReport) -> Sweep | None:
    if report.comparison is None:
        return None
    return sweep_of(report.comparison, report.source_amounts, metric=headline_metrics(report.evaluations)[0])


def _strip(report: CategoryReport, painter: _Painter) -> tuple[Picture, ...]:
    """Return a few small enlarged details of generated images, taking turns over the defects."""
    longest = max((len(d.examples) for d in report.defects), default=0)
    turns = [(d, d.examples[i]) for i in range(longest) for d in report.defects if i < len(d.examples)]
    return tuple(
        painter.photo(
            figures.detail(e.generated, e.box_mask, side=_SMALL_SIDE, context=2.2),
            f"Generated {d.defect}, enlarged",
            d.defect,
        )
        for d, e in turns[:_STRIP]
    )


def _defect(report: DefectReport, category: CategoryReport, num_rows: int, painter: _Painter) -> DefectView:
    support = []
    for image, mask, name in report.support:
        outlined = figures.outline(image, mask, side=_SIDE)
        close = figures.detail(image, mask, side=_SMALL_SIDE)
        support.append(
            (
                painter.photo(outlined, f"Support photo {name} with {report.defect} outlined", name),
                painter.photo(close, f"The {report.defect} of {name}, enlarged"),
            )
        )
    rows = tuple((e.request_id, _row(e, report.defect, painter)) for e in report.examples[:num_rows])
    made = category.dataset_summary.get("defects", {}).get(report.defect, len(report.examples))
    altered = sum(bool((e.generated != e.normal)[~e.box_mask].any()) for e in report.examples)
    review = count_review([row for row in category.ledger if row.defect == report.defect], category.verdicts)
    return DefectView(report=report, support=tuple(support), rows=rows, made=made, num_altered=altered, review=review)


def _row(example: GeneratedExample, defect: str, painter: _Painter) -> tuple[Picture, ...]:
    name, box = example.request_id, example.box_mask
    normal = figures.outline(example.normal, box, side=_SIDE, colour=figures.BOX_COLOUR)
    return (
        painter.photo(normal, f"{name}: the normal photo with the planned place outlined"),
        painter.label(box, example.mask, f"{name}: the box mask in grey, the pixel mask in white"),
        painter.photo(figures.fit(example.generated, _SIDE), f"{name}: the photo with the generated {defect}"),
        painter.photo(figures.detail(example.normal, box, side=_SIDE), f"{name}: region of the box before, enlarged"),
        painter.photo(
            figures.detail(example.generated, box, side=_SIDE),
            f"{name}: region of the box with the generated {defect}, enlarged",
        ),
    )


def _prediction(example: PredictionExample, peaks: dict[str, float], painter: _Painter) -> PredictionView:
    heat = []
    for arm in (arm for arm in peaks if arm in example.heatmaps):
        array = figures.heat_overlay(example.image, example.heatmaps[arm], peak=peaks[arm], side=_SIDE)
        score = f"{example.scores[arm]:.3f}" if arm in example.scores else "none"
        alt = f"Anomaly map of the detector {arm_name(arm).lower()}, image score {score}"
        heat.append(painter.photo(array, alt, f"{_SHORT.get(arm, arm)}, score {score}"))
    outlined = figures.outline(example.image, example.mask, side=_SIDE)
    photo = painter.photo(outlined, f"Test photo {example.name} with its true {example.defect} outlined")
    return PredictionView(example.defect, example.name, photo, tuple(heat))


def _peak(predictions: Sequence[PredictionExample], arm: str) -> float:
    """Return the largest value of an arm's maps, so that its colours can be compared between photos."""
    values = [float(np.nanmax(p.heatmaps[arm])) for p in predictions if arm in p.heatmaps]
    return max((v for v in values if np.isfinite(v)), default=1.0)


def _score(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _change(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
