"""Which images are exported, and which of them are for validation."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from anogen_core.errors import InputError
from anogen_core.records import LedgerRow
from anogen_core.settings import Settings
from anogen_core.storage import Dataset

Split = Literal["train", "val"]


class SelectionSettings(Settings):
    """Which images are exported."""

    defects: tuple[str, ...] = ()
    """Export images of these defects alone; empty exports all."""

    def choose(self, dataset: Dataset) -> list[LedgerRow]:
        """Return the rows of the chosen images, in the order of the plan.

        Raises:
            InputError: the dataset is not sealed, or has no such defect.
        """
        rows, known = dataset.made(), dataset.manifest.spec.defects
        unknown = [defect for defect in self.defects if defect not in known]
        if unknown:
            raise InputError(f"--defect {unknown[0]}: {dataset.uri} has no such defect. It has: {', '.join(known)}.")
        return [row for row in rows if not self.defects or row.defect in self.defects]


class SplitSettings(SelectionSettings):
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
