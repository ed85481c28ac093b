"""Which images are exported, and which of them are for validation."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from anogen_core.errors import InputError
from anogen_core.records import Decision, LedgerRow, ReviewVerdict
from anogen_core.settings import Settings
from anogen_core.storage import Dataset

Split = Literal["train", "val"]


class SelectionSettings(Settings):
    """Which images are exported."""

    defects: tuple[str, ...] = ()
    """Export images of these defects alone; empty exports all."""
    review: Literal["kept", "accepted", "all"] = "kept"
    """`kept`: what reviewers did not reject, with the masks that they fixed. `accepted`: only what they accepted or
    fixed. `all`: every image as it was sealed, whatever reviewers said."""

    min_quality: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Export images of at least this quality: 1 where all that gates measure is as on the support photos, 0 at a
    gate's threshold. Images that were made without gates have none and pass 0 alone."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Export images whose pixel mask is at least this sure on average, from 0.5 (cannot be told) to 1."""

    def verdicts(self, dataset: Dataset) -> dict[int, ReviewVerdict]:
        """Return the verdicts that the export honours, by row of the dataset.

        Raises:
            InputError: the dataset is not sealed.
            CorruptDatasetError: a stored verdict is damaged.
        """
        return {} if self.review == "all" else dataset.verdicts()

    def choose(self, dataset: Dataset, verdicts: Mapping[int, ReviewVerdict]) -> list[LedgerRow]:
        """Return the rows of the chosen images, in the order of the plan.

        Args:
            dataset: What is exported.
            verdicts: What `verdicts` returned for it.

        Raises:
            InputError: the dataset is not sealed, or has no such defect.
        """
        rows, known = dataset.made(), dataset.manifest.spec.defects
        unknown = [defect for defect in self.defects if defect not in known]
        if unknown:
            raise InputError(f"--defect {unknown[0]}: {dataset.uri} has no such defect. It has: {', '.join(known)}.")
        kept = [row for number, row in enumerate(rows) if self._is_kept(verdicts.get(number))]
        return [row for row in kept if self._is_asked_for(row)]

    def _is_asked_for(self, row: LedgerRow) -> bool:
        good = (row.quality or 0) >= self.min_quality and (row.confidence or 0) >= self.min_confidence
        return good and (not self.defects or row.defect in self.defects)

    def _is_kept(self, verdict: ReviewVerdict | None) -> bool:
        if verdict is None:
            return self.review != "accepted"
        return verdict.decision is not Decision.REJECT


class ExportSettings(SelectionSettings):
    """What every layout can be told."""

    originals: Path | None = None
    """Directory with the normal photos: images get the channels and bit depth of their photo (grey, 16 bit, alpha), and
    its own values wherever no defect was painted. Null: RGB of 8 bit, as in the dataset."""


class SplitSettings(ExportSettings):
    """Which images are exported, and which of them are for validation."""

    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Expected share of normal photos whose images go to validation; all images on one photo stay together."""

    def splits(self) -> tuple[Split, ...]:
        """Return the splits that there are."""
        return ("train", "val") if self.validation_fraction else ("train",)

    def empty_splits(self, rows: Iterable[LedgerRow]) -> list[Split]:
        """Return the splits that none of these images is in."""
        filled = {self.split(row) for row in rows}
        return [split for split in self.splits() if split not in filled]

    def split(self, row: LedgerRow) -> Split:
        """Return where an image belongs: decided by the content of its normal photo, whatever else is exported."""
        # Not the digest itself: readers may have chosen the normal photos by it.
        drawn = hashlib.sha256(f"validation/{row.normal_sha256}".encode()).digest()
        share = int.from_bytes(drawn[:8], "big") / 2**64
        return "val" if share < self.validation_fraction else "train"
