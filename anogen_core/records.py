"""The values that travel between stages: frozen, picklable, JSON in and out; references and numbers, never arrays."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

GOOD = "good"
"""The name of the class of normal images, as in MVTec AD."""
COMBINED = "combined"
"""The name of the class of photos that show several defects, as in MVTec AD."""


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


class Part(Record):
    """The label of one defect on a photo that shows several: as in `Sample`, an outline or boxes alone."""

    defect: str
    boxes: tuple[Box, ...] = ()
    outline: tuple[int, ...] | None = None


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
    mask_threshold: int | None = None
    """Least value in the mask image that means anomalous, or normal if inverted; None: it must hold two values."""
    mask_inverted: bool = False
    boxes: tuple[Box, ...] = ()
    """Box labels in pixels of the photo as it is stored, for data without mask images."""
    outline: tuple[int, ...] | None = None
    """Run lengths (see `anogen_core.outline`) of a mask of the photo as stored: a label file's, or joined masks."""
    sha256: str
    """Digest of the photo's file."""
    group: str | None = None
    """Leakage group (photos of one physical part), where the dataset names it."""
    parts: tuple[Part, ...] = ()
    """The label of each defect of a photo of several, where it tells them apart; `showing` gives that of one."""

    @property
    def defects(self) -> tuple[str, ...]:
        """Return the defects that its label tells apart; `good` of a normal photo."""
        return tuple(part.defect for part in self.parts) or (self.defect,)

    def showing(self, defect: str) -> "Sample | None":
        """Return the photo with the label of one defect alone; None where it does not show it, or not told apart."""
        if self.defect == defect:
            return self
        found = next((part for part in self.parts if part.defect == defect), None)
        return None if found is None else self.model_copy(update=dict(found))

    @property
    def has_mask(self) -> bool:
        """Return whether the label is a mask rather than boxes."""
        return self.mask_uri is not None or self.outline is not None

    @property
    def is_labelled(self) -> bool:
        """Return whether there is a label at all."""
        return self.has_mask or bool(self.boxes)

    @property
    def labelled_by_boxes(self) -> bool:
        """Return whether boxes alone say where its defect is."""
        return not self.has_mask and bool(self.boxes)


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


class EmbeddingEvidence(Record):
    """Whether an embedding says anything about the support photos: its masked loss beside those of random vectors."""

    loss: float
    """Masked loss (see `anogen_core.diffusion.inversion`) on a fixed grid of timesteps and noise."""
    random_losses: tuple[float, ...]
    """The same of random vectors of its length, on the same grid."""

    @property
    def beaten(self) -> int:
        """Return how many of the random vectors have a higher loss."""
        return sum(self.loss < other for other in self.random_losses)


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
    evidence: EmbeddingEvidence | None = None
    """None for an embedding that was learned from these photos, and where `quality.embedding` is off."""


class Placement(Record):
    """Where one defect goes, in pixels of the frame."""

    kind: Literal["box", "outline"] = "box"
    box: Box
    """The rectangle before rotation; its bounding box after rotation is what the ledger shows."""
    angle: float = 0.0
    """Counter-clockwise rotation of a box about its centre in degrees."""
    outline: tuple[int, ...] | None = None
    """Run lengths of the mask inside the box, as COCO writes them uncompressed; a box without them is full."""
    source: int | None = None
    """Which of the support photos the size or the outline was taken from."""
    warp: tuple[float, ...] | None = None
    """Row-major 2x3 affine map from pixels (x, y) of that photo, in the frame, to where they go; None for a box."""
    edge: tuple[float, float, float] | None = None
    """Where the defect crosses the edge of the part, as the mask does: x and y in that photo and the direction off the
    part in radians from x towards y."""
    alike: bool = False
    """Whether the place was looked for by what is around or under the support defect, which the defect keeps to."""
    layout: Literal["at", "off"] | None = None
    """Of a defect that belongs to places of an aligned product: whether it takes the place of what is there, or not."""
    fits: bool = False
    """Whether, on a product of two tones, their border runs there as around the support defect, which hides all."""
    lit: bool = False
    """Whether it is turned so that the light falls on it from where it falls on the support defects."""


class Instance(Record):
    """One planned defect of an image."""

    placement: Placement
    contrast: float | None = None
    """How strongly it should stand out (see `anogen_core.quality.contrast`); None as the model makes it."""
    seed: int
    """Seed of its noise."""


class GenerationRequest(Record):
    """One planned image."""

    index: int
    """Position in the plan of its dataset."""
    request_id: str
    replaces: str | None = None
    """The filtered request in whose place this one is made."""
    category: str
    defect: str
    normal: Sample
    instances: tuple[Instance, ...]
    """The defects that it will show, in boxes that do not touch; none when the request is blocked."""
    blocked: str | None = None
    """Why no placement was found."""
    seed: int
    """Seed of the noise of the first defect."""


class Outcome(StrEnum):
    """How a planned request ended."""

    MADE = "made"
    FILTERED = "filtered"
    BLOCKED = "blocked"
    FAILED = "failed"


class MadeInstance(Record):
    """One generated defect of an image, as the ledger holds it."""

    box: list[int]
    """Bounding box of its mask [x, y, width, height]; those of one image do not touch."""
    crop: list[int]
    """The square that was generated for it [x, y, width, height]."""
    angle: float
    contrast: float | None
    seed: int
    source: str | None = None
    """Id of the support photo that its outline or size was taken from."""
    warp: list[float] | None = None
    """Of the outline, from the support photo (see `Placement`); None for a box."""
    edge: list[float] | None = None
    """Where it crosses the edge of the part, on the support photo (see `Placement`)."""
    layout: str | None = None
    """Whether it is at a place of the product that it belongs to (see `Placement`)."""
    fits: bool | None = None
    """Whether the border of two tones runs there as around its support defect (see `Placement`); null if not."""


class LedgerRow(Record):
    """How one planned request ended: one row of samples.parquet."""

    request_id: str
    replaces: str | None = None
    """The filtered request in whose place this one was made; null for those that were planned at first."""
    row: int | None
    """Index into the arrays of the dataset; null unless made."""
    category: str
    defect: str
    outcome: Outcome
    reason: str | None
    """Null when made."""
    seed: int
    box: list[int] | None
    """Bounding box of the mask of all defects [x, y, width, height]; null when blocked."""
    angle: float | None
    """Of the first defect, as `crop` and `contrast`."""
    crop: list[int] | None
    """The square that was generated [x, y, width, height], null unless generated."""
    contrast: float | None = None
    """How strongly the defect was to stand out relative to the surface's lightness; null as the model made it."""
    instances: list[MadeInstance] | None = None
    """Every defect of the image; null unless generated."""
    quality: float | None = None
    """How far inside the gates it is: 1 where all that is measured is as on the support photos, 0 at a threshold."""
    confidence: float | None = None
    """Mean of the confidence map over the pixel mask, 0.5 to 1; null unless made."""
    normal_id: str
    normal_uri: str
    normal_sha256: str
    embedding_digest: str
    model_fingerprint: str

    @property
    def boxes(self) -> list[Box]:
        """Return the bounding box of each defect's mask; none when nothing was placed."""
        found = [instance.box for instance in self.instances] if self.instances else [self.box] if self.box else []
        return [Box(x=x, y=y, width=width, height=height) for x, y, width, height in found]


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


class DatasetRef(Record):
    """A sealed dataset."""

    uri: str
    category: str
    num_images: int
    digest: str
    config_fingerprint: str
    format_version: str
