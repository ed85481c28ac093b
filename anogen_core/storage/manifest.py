"""The manifest of a sealed dataset: every object with its digest, the counts, and one digest for everything."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from anogen_core.errors import CorruptDatasetError
from anogen_core.records import LedgerRow, Outcome, Record
from anogen_core.settings import canonical_json
from anogen_core.storage.commit import ShardReceipt, StoredObject, parse
from anogen_core.storage.spec import DatasetSpec


class Manifest(Record):
    """What a sealed dataset holds."""

    spec: DatasetSpec
    num_images: int
    outcomes: dict[Outcome, int]
    """Requests by how they ended; together all that were planned and their replacements."""
    made: dict[str, int]
    """Images of each defect."""
    ledger_sha256: str
    """Of all ledger rows, without the places of the normal photos."""
    digest: str
    """Of identity, pixels and ledger: the same wherever the dataset is made, and however often the run was killed."""
    files: dict[str, StoredObject]
    """Every object of the dataset but this one."""
    receipts: tuple[ShardReceipt, ...]
    """How each shard of work went; seconds and attempts differ between equal datasets."""
    checksum: str = ""
    """sha256 of everything above."""

    def signed(self) -> "Manifest":
        """Return the manifest with its checksum."""
        return self.model_copy(update={"checksum": _checksum(self.model_dump(mode="json"))})

    def to_bytes(self) -> bytes:
        """Return the manifest as it is stored."""
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> "Manifest":
        """Return a stored manifest.

        Raises:
            CorruptDatasetError: it is damaged.
        """
        manifest = parse(cls, data, where=where)
        # Of the stored values: earlier versions did not write all fields.
        if manifest.checksum != _checksum(json.loads(data)):
            raise CorruptDatasetError(f"{where}: its checksum does not match; the manifest was changed.")
        return manifest


def dataset_digest(spec: DatasetSpec, files: dict[str, StoredObject], ledger_sha256: str) -> str:
    """Return the digest of identity, pixels and ledger."""
    prefixes = tuple(f"{name}/c/" for name in spec.pixel_arrays)
    objects = {key: stored.sha256 for key, stored in files.items() if key.startswith(prefixes)}
    return _sha256({"spec": spec.identity(), "objects": objects, "ledger": ledger_sha256})


def count_outcomes(rows: Sequence[LedgerRow]) -> dict[Outcome, int]:
    """Return how many requests ended in each way."""
    counts = Counter(row.outcome for row in rows)
    return {outcome: counts[outcome] for outcome in Outcome}


def count_replacements(rows: Sequence[LedgerRow]) -> int:
    """Return how many requests were made in the place of filtered ones."""
    return sum(row.replaces is not None for row in rows)


def count_made(rows: Sequence[LedgerRow], defects: Sequence[str]) -> dict[str, int]:
    """Return how many images there are of each defect."""
    counts = Counter(row.defect for row in rows if row.outcome is Outcome.MADE)
    return {defect: counts[defect] for defect in defects}


def _checksum(values: dict[str, Any]) -> str:
    return _sha256({name: value for name, value in values.items() if name != "checksum"})


def _sha256(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
