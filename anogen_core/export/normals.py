"""The real photos that a dataset's defects were generated on, read again and checked against the dataset."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import UInt8, UInt16

from anogen_core.data.frame import load_image
from anogen_core.errors import InputError
from anogen_core.export.folder import safe_names
from anogen_core.export.originals import Originals, white_level
from anogen_core.records import GOOD, LedgerRow, Sample
from anogen_core.storage import Dataset, StoredSample

log = logging.getLogger(__name__)


@final
class NormalPhotos:
    """The normal photos under some images, each given out once: in the frame of the dataset, or as they are stored."""

    def __init__(self, dataset: Dataset, rows: Iterable[LedgerRow] = (), *, originals: Originals | None = None) -> None:
        spec = dataset.spec
        self._frame = (spec.height, spec.width)
        self._white_level = white_level(spec)
        self._originals = originals
        self._waiting = _name(rows)

    @property
    def left_out(self) -> int:
        """Return how many photos have not been given out: at the end, those that are gone, changed or disagree."""
        return len(self._waiting)

    def warn(self, folder: Path) -> None:
        """Log how many photos were left out, when any was."""
        if self._waiting:
            log.warning("%s: %d normal photos could not be read and are left out", folder, self.left_out)

    def notes(self) -> tuple[str, ...]:
        """Return what a card says about photos that were left out; empty when none was."""
        if not self._waiting:
            return ()
        return (f"{self.left_out} real photos that defects were generated on could not be read and are missing.",)

    def take(self, sample: StoredSample) -> tuple[str, UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]] | None:
        """Return file name (without ending) and pixels of the photo under an image, unless it was given out already.

        The pixels are those of `load`, or of `Originals.photo` where there are originals.

        Raises:
            InputError: an original has changed since it was found.
        """
        if sample.row.normal_id not in self._waiting:
            return None
        photo = self.load(sample) if self._originals is None else self._originals.photo(sample.row)
        return None if photo is None else (self._waiting.pop(sample.row.normal_id), photo)

    def load(self, sample: StoredSample) -> UInt8[np.ndarray, "H W 3"] | None:
        """Return the photo that an image was made from, or None when it is gone, was changed or no longer agrees.

        It agrees when it equals the image everywhere outside the box mask.
        """
        row = sample.row
        try:
            photo = load_image(_as_sample(row), self._frame, white_level=self._white_level)
        except InputError as error:
            log.info("%s", error)
            return None
        outside = sample.box_mask == 0
        if not np.array_equal(photo[outside], sample.image[outside]):
            log.info("%s: differs from the background of %s", row.normal_uri, row.request_id)
            return None
        return photo


def _name(rows: Iterable[LedgerRow]) -> dict[str, str]:
    """Return a safe file name for each normal photo: its stem, or its whole id where stems are not unique."""
    stems = {row.normal_id: row.normal_id.rsplit("/", 1)[-1] for row in rows}
    unique = len(set(stems.values())) == len(stems)
    names = safe_names(stems.values() if unique else stems.keys())
    return {key: names[stem if unique else key] for key, stem in stems.items()}


def _as_sample(row: LedgerRow) -> Sample:
    return Sample(
        sample_id=row.normal_id,
        category=row.category,
        defect=GOOD,
        split="train",
        image_uri=row.normal_uri,
        sha256=row.normal_sha256,
    )
