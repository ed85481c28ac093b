"""The report of a run: one self-contained HTML page."""

from anogen_core.report.content import (
    CategoryReport,
    Curve,
    DefectReport,
    GeneratedExample,
    PredictionExample,
    ReportContent,
)
from anogen_core.report.figures import contact_sheet, encode_png, to_data_uri
from anogen_core.report.html import render_report

__all__ = [
    "CategoryReport",
    "Curve",
    "DefectReport",
    "GeneratedExample",
    "PredictionExample",
    "ReportContent",
    "contact_sheet",
    "encode_png",
    "render_report",
    "to_data_uri",
]
