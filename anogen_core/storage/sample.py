"""One image of a dataset with its labels and its row of the ledger."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from anogen_core.records import Decision, LedgerRow, ReviewVerdict


class StoredSample(NamedTuple):
    """One made image with everything that is known about it."""

    row: LedgerRow
    image: UInt8[np.ndarray, "H W 3"]
    box_mask: UInt8[np.ndarray, "H W"]
    mask: UInt8[np.ndarray, "H W"]
    confidence: UInt8[np.ndarray, "H W"]
    """How sure it is that a pixel shows the defect, 0 to 255; the mask is where it is above one half."""

    def judged(self, verdict: ReviewVerdict | None) -> "StoredSample | None":
        """Return the sample as a reviewer left it: with the mask that was fixed, or None when it was rejected."""
        if verdict is None or verdict.decision in (Decision.ACCEPT, Decision.NONE):
            return self
        if verdict.decision is Decision.REJECT:
            return None
        if verdict.box is None:
            return self._replace(mask=self.box_mask, confidence=self.box_mask)
        x, y, width, height = verdict.box.as_list()
        mask = np.zeros_like(self.mask)
        mask[y : y + height, x : x + width] = 255
        return self._replace(mask=mask, confidence=mask)
