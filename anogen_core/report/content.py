"""What a report shows: everything is loaded already, so that writing the page is a pure function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jaxtyping import Float
from numpy import ndarray

from anogen_core.arrays import Image, Mask
from anogen_core.evaluation import Comparison, Evaluation, SetLikeness
from anogen_core.records import LedgerRow, ReviewVerdict

Curve = Sequence[tuple[int, float]]
"""(step, loss) pairs in the order of training."""


@dataclass(frozen=True)
class GeneratedExample:
    """One generated image beside the normal photo it was made from."""

    normal: Image
    box_mask: Mask
    mask: Mask
    """The pixel label: where the box really changed."""
    generated: Image
    request_id: str


@dataclass(frozen=True)
class PredictionExample:
    """What the detectors say about one held-out photo."""

    image: Image
    mask: Mask
    """The true label."""
    heatmaps: Mapping[str, Float[ndarray, "H W"]]
    """Anomaly map of each arm."""
    scores: Mapping[str, float]
    """Image score of each arm."""
    defect: str
    name: str = ""
    """Id of the photo."""


@dataclass(frozen=True)
class DefectReport:
    """One learned defect and what was made with it."""

    defect: str
    support: Sequence[tuple[Image, Mask, str]]
    """(photo, mask, name) of every support photo, in the frame."""
    examples: Sequence[GeneratedExample]
    """As reviewers left them: with the masks that they fixed, without the images that they rejected."""
    loss_curve: Curve
    """Validation loss of the concept embedding."""
    embedding_digest: str
    steps: int
    """Steps of training."""
    num_vectors: int
    outlined: bool = False
    """Whether the mask of some support photo was found inside its labelled box."""


@dataclass(frozen=True)
class CategoryReport:
    """One category: data, defects, dataset and detectors."""

    category: str
    frame: tuple[int, int]
    """(height, width)."""
    num_normals: int
    num_test: int
    """Test photos before the support sets are left out."""
    dataset_summary: Mapping[str, Any]
    """What `anogen inspect --json` prints."""
    defects: Sequence[DefectReport]
    evaluations: Sequence[Evaluation] = ()
    detector_curves: Mapping[str, Curve] = field(default_factory=dict)
    """Training loss of each arm's detector."""
    predictions: Sequence[PredictionExample] = ()
    ledger: Sequence[LedgerRow] = ()
    comparison: Comparison | None = None
    source_amounts: Mapping[str, int] = field(default_factory=dict)
    """Anomalies that an arm without an amount has of each source, where that is not a fixed number."""
    verdicts: Mapping[int, ReviewVerdict] = field(default_factory=dict)
    """What reviewers said last of each image that they judged, by row."""
    likeness: Sequence[SetLikeness] = ()
    """How alike generated and held-out real defects are."""
    redrawn: Sequence[tuple[str, int]] = ()
    """(URI, images) of the datasets that detectors of further seeds learned from; nothing else here is about these."""


@dataclass(frozen=True)
class ReportContent:
    """One run."""

    title: str
    created: datetime
    run_seed: int
    config_yaml: str
    versions: Mapping[str, str]
    base_model: Mapping[str, str]
    """name, fingerprint, licence."""
    categories: Sequence[CategoryReport]
    failed: Sequence[tuple[str, str]] = ()
    """(category, reason) of those that the run could not finish."""
    warnings: Sequence[str] = ()
    timings: Sequence[tuple[str, float]] = ()
    """(stage, seconds)."""
