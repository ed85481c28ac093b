"""The values of an evaluation: what was trained, how it scored, and how arms compare."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from anogen_core.arm import Arm
from anogen_core.records import Record
from anogen_core.settings import Settings


class Trial(Record):
    """One detector to train: what it learns from, and the seed of its weights and batches."""

    arm: Arm
    seed: int


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
    pixel_ap_macro: float | None = None
    """The mean over defects of the pixel AP of each against all good photos."""
    num_images: int
    num_defective: int
    num_boxed: int = 0
    """Defective test photos that are labelled by boxes: pixel metrics count the surface in these as missed defect."""
    num_unmarked: int = 0
    """Defective test photos that no label says the place of: they count in image metrics, and in no pixel metric."""
    excluded_ids: tuple[str, ...]
    """Test samples left out because a support photo or its leakage group is among them."""
    per_defect: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """The same metrics for each defect against all good test images."""
    predictions: str | None = None
    """Key of the artefact that holds what the detector said about every photo."""


class EvaluationSettings(Settings):
    """Whether and how detectors are trained and compared."""

    enabled: bool = True
    """Train and evaluate detectors after generation."""
    needed_only: bool = False
    """Learn and generate only where an arm learns from generated images; `anogen evaluate` sets it."""
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)] = ("perlin", "generated")
    """Trained with the same budget and seeds, evaluated on the same held-out photos: perlin, support_only, cutpaste,
    generated, generated_box, generated_mask; `generated:50` for 50 images of it, `cutpaste+generated` for a mixture."""
    seeds: PositiveInt = 1
    """Detectors for each arm: the run's seed and the next ones. The support photos stay the same."""
    redraw: bool = False
    """Make a dataset for each further seed, from the same support photos: other places, outlines and noise. Without it
    all seeds share one dataset, and intervals do not hold the luck of its draw."""
    replicates: Annotated[int, Field(ge=100)] = 1000
    """Draws of the bootstrap that 95 % intervals come from."""
    examples: NonNegativeInt = 6
    """Example predictions for each category in the report."""


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
    """None where a metric is not defined: one class only, for the test photos or in a twentieth of the draws."""
    per_defect: Mapping[str, Mapping[str, Estimate | None]] = Field(default_factory=dict)
    """The same for each defect against all good photos."""


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
    largest_group: str | None = None
    """The group that holds more of the defective pixels than any other."""
    largest_share: float = 0.0
    """Its share of all defective pixels: as much of the pixel AP is about this one part."""
    redrawn: bool = False
    """Whether each seed had a dataset of its own; else intervals are about other seeds on the same dataset."""
    arms: tuple[ArmEstimates, ...]
    differences: tuple[ArmEstimates, ...]
    """Every later arm minus every earlier one."""

    def gain(self, arm: str, against: str, metric: str, defect: str | None = None) -> Estimate | None:
        """Return a metric of `arm` minus that of `against`, whichever comes first; None where there is no interval.

        Args:
            arm: what is compared.
            against: what it is compared with.
            metric: its name.
            defect: the one to tell of; all together by default.
        """
        for difference in self.differences:
            metrics = difference.metrics if defect is None else difference.per_defect.get(defect, {})
            estimate = metrics.get(metric)
            if (difference.arm, difference.against) == (arm, against):
                return estimate
            if (difference.arm, difference.against) == (against, arm) and estimate is not None:
                return Estimate(value=-estimate.value, low=-estimate.high, high=-estimate.low)
        return None


class SetLikeness(Record):
    """How alike a defect's generated images and its held-out real photos are (see `anogen_core.stages.likeness`)."""

    defect: str
    num_made: int
    num_real: int
    distance: float
    """1000 x squared MMD between generated and real; 0 is alike."""
    distance_unaltered: float
    """The same of the normal photos at the same places: what making nothing would score."""
    distance_real: float
    """The same between random halves of the real photos: as good as it gets."""
    diversity: float
    """Mean cosine distance between two generated images."""
    diversity_real: float
    area: float
    """Median share of the frame that a generated defect covers."""
    area_real: float
    size_coverage: float
    """Share of real defects whose area lies in the central 95 % of the generated ones."""
    place_coverage: float
    """Share of the places (8 x 8 grid) with real defects where there are generated ones."""
