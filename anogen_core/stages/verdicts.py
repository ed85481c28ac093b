"""Verdicts follow their images: a dataset gets those that were given on the same images of another one."""

from collections.abc import Iterator, Mapping

import numpy as np

from anogen_core.errors import StorageError
from anogen_core.records import DatasetRef, Decision, LedgerRow, Record, ReviewVerdict
from anogen_core.storage import Dataset, open_store
from anogen_core.storage.uri import DATASET_SUFFIX, VERDICTS_SUFFIX, name_of
from anogen_core.storage.verdicts import SEGMENT, VerdictWriter, newest_verdicts


class CarriedVerdicts(Record):
    """What became of the verdicts on another dataset."""

    source: str
    """Name of the other dataset."""
    carried: int
    """Verdicts that count for this dataset from now on."""
    left: int
    """Verdicts on images that this dataset does not hold."""
    problem: str | None = None
    """Why they could not be looked at."""


def carry_verdicts(ref: DatasetRef) -> list[CarriedVerdicts]:
    """Give a sealed dataset the newest verdicts on the same images of the datasets of its category beside it.

    An image is the same when its row of the ledger, its pixels and its masks are. Verdicts keep their name and time, so
    that the newest one counts whichever dataset it was given on. Datasets without verdicts are left out of the answer.

    Raises:
        StorageError: the verdicts of this dataset cannot be read or written.
    """
    target, found = Dataset(ref.uri), []
    for other in _reviewed_beside(target):
        name = name_of(other.uri).removesuffix(DATASET_SUFFIX)
        known = newest_verdicts(target.uri, ref.digest)
        try:
            if not other.is_sealed() or other.spec.category != ref.category:
                continue
            said = newest_verdicts(other.uri, other.manifest.digest)
            same, left = _agreeing(said, other, target, known=known)
        except StorageError as error:
            found.append(CarriedVerdicts(source=name, carried=0, left=0, problem=str(error)))
            continue
        writer = VerdictWriter(target.uri, ref.digest)
        for first in range(0, len(same), SEGMENT):
            writer.add(*same[first : first + SEGMENT])
        if said:
            found.append(CarriedVerdicts(source=name, carried=len(same), left=left))
    return found


def _reviewed_beside(target: Dataset) -> Iterator[Dataset]:
    """Yield the other datasets of a folder that have verdicts."""
    folder, own = target.uri.rsplit("/", 1)
    places = open_store(folder).folders()
    for place in places:
        name = place.removesuffix(VERDICTS_SUFFIX) + DATASET_SUFFIX
        if place.endswith(VERDICTS_SUFFIX) and name in places and name != own:
            yield Dataset(f"{folder}/{name}")


def _agreeing(
    said: Mapping[str, ReviewVerdict], other: Dataset, target: Dataset, *, known: Mapping[str, ReviewVerdict]
) -> tuple[list[ReviewVerdict], int]:
    """Return the verdicts that are newer than the known ones, on images that both hold, and how many are on others."""
    rows = {row.request_id: row for row in target.made()} if said else {}
    others = {row.request_id: row for row in other.made()} if said else {}
    same, left = [], 0
    for name, verdict in said.items():
        before = known.get(name)
        if (before is None and verdict.decision is Decision.NONE) or (before and before.when >= verdict.when):
            continue
        if name in rows and name in others and _is_same(other, others[name], target, rows[name]):
            same.append(verdict)
        else:
            left += 1
    return same, left


def _is_same(other: Dataset, theirs: LedgerRow, target: Dataset, ours: LedgerRow) -> bool:
    """Return whether two rows are one image with the same masks; photos may have moved since."""
    apart = {"row", "normal_uri"}
    if theirs.row is None or ours.row is None or theirs.model_dump(exclude=apart) != ours.model_dump(exclude=apart):
        return False
    arrays = (Dataset.image, Dataset.box_mask, Dataset.mask)
    return all(np.array_equal(read(other, theirs.row), read(target, ours.row)) for read in arrays)
