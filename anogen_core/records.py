"""The values that travel between stages: frozen, picklable, JSON in and out; references and numbers, never arrays."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

GOOD = "good"
"""The name of the class of normal images, as in MVTec AD."""

Arm = Literal["perlin", "support_only", "cutpaste", "generated"]
"""What a detector learns anomalies from: its own Perlin noise alone, or besides it the support photos themselves, their
defects pasted on normal photos, or generated defects."""


class Record(BaseModel):
    """Base of every record: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Box(Record):
    """An axis-aligned rectangle in pixels of the frame; (x, y) is the top-left pixel."""

    x: int
    y: int
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]

    def as_list(self) -> list[int]:
        """Return [x, y, width, height]."""
        return [self.x, self.y, self.width, self.height]


class Sample(Record):
    """One real photo of a dataset."""

    sample_id: str
    """Unique and stable: `<category>/<split>/<defect>/<file stem>`."""
    category: str
    defect: str
    """`good` for a normal image."""
    split: Literal["train", "test"]
    image_uri: str
    """Where the photo is (an absolute local path)."""
    mask_uri: str | None = None
    boxes: tuple[Box, ...] = ()
    """Box labels in pixels of the photo as it is stored, for data without mask images."""
    sha256: str
    """Digest of the photo's file."""
    group: str | None = None
    """Leakage group (photos of one physical part), where the dataset names it."""


class SupportSet(Record):
    """The k photos of one defect that AnoGen may learn from."""

    category: str
    defect: str
    samples: tuple[Sample, ...]


class BaseModelInfo(Record):
    """How a dataset or an embedding names the base model it was made with."""

    name: str
    fingerprint: str
    """Digest of all weights and configuration files."""
    licence: str


class ConceptEmbedding(Record):
    """A learned defect: a few kilobytes in the artefact store."""

    category: str
    defect: str
    uri: str
    digest: str
    """sha256 of the safetensors file."""
    base_model: str
    """Fingerprint of the base model it was learned on."""
    num_vectors: int
    support_sha256: tuple[str, ...]


class Placement(Record):
    """Where one defect goes, in pixels of the frame."""

    kind: Literal["box", "outline"] = "box"
    box: Box
    """The rectangle before rotation; its bounding box after rotation is what the ledger shows."""
    angle: float = 0.0
    """Counter-clockwise rotation of a box about its centre in degrees."""
    outline: tuple[int, ...] | None = None
    """Run lengths of the mask inside the box, as COCO writes them uncompressed; a box without them is full."""


class GenerationRequest(Record):
    """One planned image."""

    index: int
    """Position in the plan of its dataset."""
    request_id: str
    category: str
    defect: str
    normal: Sample
    placement: Placement | None
    """None when the request is blocked."""
    blocked: str | None = None
    """Why no placement was found."""
    seed: int
    """Seed of the noise."""


class Shard(Record):
    """A run of requests that one task makes and stores as whole objects."""

    index: int
    requests: tuple[GenerationRequest, ...]


class Outcome(StrEnum):
    """How a planned request ended."""

    MADE = "made"
    FILTERED = "filtered"
    BLOCKED = "blocked"
    FAILED = "failed"


class LedgerRow(Record):
    """How one planned request ended: one row of samples.parquet."""

    request_id: str
    row: int | None
    """Index into the arrays of the dataset; null unless made."""
    category: str
    defect: str
    outcome: Outcome
    reason: str | None
    """Null when made."""
    seed: int
    box: list[int] | None
    """Bounding box of the mask [x, y, width, height]; null when blocked."""
    angle: float | None
    crop: list[int] | None
    """The square that was generated [x, y, width, height], null unless generated."""
    normal_id: str
    normal_uri: str
    normal_sha256: str
    embedding_digest: str
    model_fingerprint: str


class Decision(StrEnum):
    """What a reviewer says of one image."""

    ACCEPT = "accept"
    REJECT = "reject"
    FIX = "fix"
    """The image is good, its mask is not: a box takes the mask's place."""
    NONE = "none"
    """Undecided (again): takes back what was said before."""


class ReviewVerdict(Record):
    """One person's word on one image, as it is kept beside the dataset."""

    request_id: str
    decision: Decision
    box: Box | None = None
    """The mask of a fixed image; null to take the box mask as it is."""
    who: str
    when: AwareDatetime


class ShardReceipt(Record):
    """What a finished shard reports (read back from its commit record)."""

    shard: int
    attempt: str
    digest: str
    made: int
    filtered: int
    blocked: int
    failed: int
    seconds: float


class DatasetRef(Record):
    """A sealed dataset."""

    uri: str
    category: str
    num_images: int
    digest: str
    config_fingerprint: str
    format_version: str


class CheckpointRef(Record):
    """A trained detector in the artefact store."""

    detector: str
    category: str
    arm: str
    uri: str
    digest: str
    steps: int
    trained_on: str | None
    """Digest of the generated dataset; null for an arm without generated data."""


class Trial(Record):
    """One detector to train: what it learns from, and the seed of its weights and batches."""

    arm: Arm
    seed: int


class Evaluation(Record):
    """What one detector scores on held-out real photos."""

    category: str
    detector: str
    arm: str
    seed: int
    image_auroc: float | None
    """Null when the test set has only one class."""
    image_ap: float | None
    image_f1_max: float | None = None
    pixel_auroc: float | None
    pixel_ap: float | None
    pixel_f1_max: float | None = None
    pixel_aupro: float | None = None
    """Up to a false-positive rate of 0.3."""
    pixel_aupro_05: float | None = None
    """Up to a false-positive rate of 0.05."""
    pixel_iap: float | None = None
    pixel_iap_90: float | None = None
    num_images: int
    num_defective: int
    excluded_ids: tuple[str, ...]
    """Test samples left out because a support photo or its leakage group is among them."""
    per_defect: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """The same metrics for each defect against all good test images."""
    predictions: str | None = None
    """Key of the artefact that holds what the detector said about every photo."""


class Estimate(Record):
    """A mean over seeds with its 95 % interval."""

    value: float
    low: float
    high: float


class ArmEstimates(Record):
    """Every metric of one arm, or of the difference `arm - against` on the same photos and seeds."""

    arm: str
    against: str | None = None
    metrics: Mapping[str, Estimate | None]
    """None where a metric is not defined: one class only."""


class Comparison(Record):
    """The arms of one category side by side."""

    category: str
    detector: str
    seeds: tuple[int, ...]
    """Of the detectors. With one seed the intervals are about the choice of photos alone."""
    replicates: int
    num_images: int
    num_defective: int
    num_groups: int
    """Groups of test photos that the bootstrap draws from."""
    arms: tuple[ArmEstimates, ...]
    differences: tuple[ArmEstimates, ...]
    """Every later arm minus every earlier one."""
