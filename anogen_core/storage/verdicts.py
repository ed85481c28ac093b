"""What reviewers said of a sealed dataset: verdicts one after another, beside it, never in it.

Each session writes objects of its own, so sessions never meet; an object is replaced whole with every verdict until it
holds `SEGMENT` of them. The newest verdict on an image counts. Verdicts are kept under the dataset's digest: another
dataset of the same name has none of them.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, final

from anogen_core.errors import InputError
from anogen_core.records import Decision, ReviewVerdict
from anogen_core.settings import fingerprint
from anogen_core.storage.commit import parse
from anogen_core.storage.store import Store
from anogen_core.storage.uri import open_store, verdicts_uri

SEGMENT: Final = 250
"""Verdicts in one object: few objects to read, little to write again with each verdict."""


def read_verdicts(uri: str, digest: str) -> dict[str, ReviewVerdict]:
    """Return the newest verdict on each image that has one, by request; arguments and errors as `all_verdicts`."""
    newest = newest_verdicts(uri, digest)
    return {name: verdict for name, verdict in newest.items() if verdict.decision is not Decision.NONE}


def newest_verdicts(uri: str, digest: str) -> dict[str, ReviewVerdict]:
    """Return the newest verdict that was given on each image, by request, also where it takes back what was said.

    Arguments and errors as `all_verdicts`.
    """
    return {verdict.request_id: verdict for verdict in all_verdicts(uri, digest)}


def all_verdicts(uri: str, digest: str) -> list[ReviewVerdict]:
    """Return every verdict that was ever given on the images of a dataset, the newest last.

    Args:
        uri: Of the dataset.
        digest: Of the dataset.

    Raises:
        CorruptDatasetError: a stored verdict is damaged.
        StorageError: the store did not answer or refused.
    """
    beside = verdicts_uri(uri)
    if beside is None:
        return []
    store = open_store(beside)
    # The sort is stable: of two verdicts at the same instant the later line counts.
    return sorted((v for key in store.list(_folder(digest)) for v in _read(store, key)), key=lambda v: v.when)


def review_fingerprint(verdicts: Mapping[int, ReviewVerdict]) -> str | None:
    """Return 16 hex digits that identify what a review changes for training; None when it changes nothing.

    Rejections and fixed masks count; acceptances, names and times do not.
    """
    changes = {
        str(row): [verdict.decision.value, verdict.box.as_list() if verdict.box else None]
        for row, verdict in verdicts.items()
        if verdict.decision in (Decision.REJECT, Decision.FIX)
    }
    return fingerprint(changes) if changes else None


@final
class VerdictWriter:
    """Adds the verdicts of one session; a verdict is safe when `add` returns.

    Args:
        uri: Of the dataset.
        digest: Of the dataset.

    Raises:
        InputError: the URI does not end in `.zarr`, so there is no place beside it.
    """

    def __init__(self, uri: str, digest: str) -> None:
        beside = verdicts_uri(uri)
        if beside is None:
            raise InputError(f"{uri}: expected a dataset name that ends in .zarr.")
        self._store = open_store(beside)
        self._session = f"{_folder(digest)}/{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._number = 0
        self._lines: list[str] = []

    def add(self, *verdicts: ReviewVerdict) -> None:
        """Store verdicts in one object.

        Raises:
            StorageError: they could not be stored; they will not be stored with the next ones either.
        """
        lines = [*self._lines, *(verdict.model_dump_json() for verdict in verdicts)]
        self._store.put(f"{self._session}-{self._number:04d}.jsonl", "".join(f"{line}\n" for line in lines).encode())
        if len(lines) < SEGMENT:
            self._lines = lines
        else:
            self._lines, self._number = [], self._number + 1


def _folder(digest: str) -> str:
    return digest[:16]


def _read(store: Store, key: str) -> list[ReviewVerdict]:
    lines = store.read(key).splitlines()
    return [parse(ReviewVerdict, line, where=f"{store.uri}/{key} line {i}") for i, line in enumerate(lines, start=1)]
