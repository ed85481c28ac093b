"""Results that are named by what they were made from: embeddings, detectors, evaluations.

<key>/<content>/<file>      immutable; the folder's name is a digest of the files in it
<key>/artifact.json         written last: which folder counts, sha256 of each file, metadata (which may be noted anew)
scratch/<key>               the state of unfinished work, replaced again and again
"""

import hashlib
import logging
from collections.abc import Iterator
from typing import Any, Final, final

from anogen_core.errors import CorruptDatasetError, MissingObjectError
from anogen_core.records import Record
from anogen_core.settings import canonical_json, fingerprint
from anogen_core.storage.commit import StoredObject, check, describe, parse
from anogen_core.storage.store import Store
from anogen_core.storage.uri import open_store

log = logging.getLogger(__name__)

RECORD: Final = "artifact.json"
SCRATCH: Final = "scratch"

_DIGEST_BYTES: Final = 32


class _ArtifactRecord(Record):
    key: str
    folder: str
    files: dict[str, StoredObject]
    metadata: dict[str, Any]


class Artifact(Record):
    """A stored result."""

    key: str
    uri: str
    """The folder of the key."""
    sha256: dict[str, str]
    """Of each file by name."""
    metadata: dict[str, Any]
    """Plain JSON values about it."""


def _encode(record: _ArtifactRecord) -> bytes:
    return canonical_json(record.model_dump(mode="json")).encode()


def artifact_key(kind: str, *parts: Any) -> str:
    """Return `<kind>-<16 hex digits>` for plain values that decide a result.

    Example:
        >>> artifact_key("embedding", "crack", [1, 2]) == artifact_key("embedding", "crack", [1, 2])
        True
    """
    return f"{kind}-{fingerprint(list(parts))}"


@final
class Scratch:
    """One named place for the state of unfinished work."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = f"{SCRATCH}/{key}"

    def load(self) -> bytes | None:
        """Return what was saved last, or None when there is nothing or it is damaged."""
        try:
            data = self._store.read(self._key)
        except MissingObjectError:
            return None
        digest, state = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(state).digest() != digest:
            log.warning("%s/%s: is damaged; the work begins anew", self._store.uri, self._key)
            return None
        return state

    def save(self, state: bytes) -> None:
        """Replace what was saved, atomically."""
        self._store.put(self._key, hashlib.sha256(state).digest() + state)

    def clear(self) -> None:
        """Forget what was saved."""
        self._store.delete(self._key)


@final
class ArtifactStore:
    """Artefacts under one path or s3:// URI.

    Example:
        >>> artifacts = ArtifactStore("runs/demo/artifacts")
        >>> artifacts.put(artifact_key("note", 1), {"note.txt": b"hello"}, {"kind": "note"}).sha256["note.txt"][:8]
        '2cf24dba'
    """

    def __init__(self, uri: str) -> None:
        self._store = open_store(uri)

    @classmethod
    def of_run(cls, output: str) -> "ArtifactStore":
        """Return the artefacts of all runs with this output."""
        return cls(f"{output}/artifacts")

    def get(self, key: str) -> Artifact | None:
        """Return an artefact whose files were all read and found sound; None when it has to be made (again)."""
        record = self._record(key)
        if record is None:
            return None
        try:
            for name in record.files:
                self._read(record, name)
        except (CorruptDatasetError, MissingObjectError) as error:
            log.warning("%s It will be made again.", error)
            return None
        return self._artifact(record)

    def read(self, key: str, name: str) -> bytes:
        """Return one file of an artefact.

        Raises:
            MissingObjectError: there is no such artefact or file.
            CorruptDatasetError: the file was changed.
        """
        record = self._record(key)
        if record is None or name not in record.files:
            raise MissingObjectError(f"{self._store.uri}/{key}: has no file {name!r}. Run again to make it.")
        return self._read(record, name)

    def put(self, key: str, files: dict[str, bytes], metadata: dict[str, Any]) -> Artifact:
        """Store an artefact; when another writer was first, its sound artefact is returned instead."""
        described = {name: describe(data) for name, data in files.items()}
        folder = fingerprint({name: stored.sha256 for name, stored in described.items()})
        for name, data in files.items():
            self._store.put(f"{key}/{folder}/{name}", data)
        record = _ArtifactRecord(key=key, folder=folder, files=described, metadata=metadata)
        if not self._store.create(f"{key}/{RECORD}", _encode(record)):
            first = self.get(key)
            if first is not None:
                return first
            self._store.put(f"{key}/{RECORD}", _encode(record))
        return self._artifact(record)

    def annotate(self, key: str, metadata: dict[str, Any]) -> None:
        """Replace what is noted about an artefact; its files stay as they are.

        Raises:
            MissingObjectError: there is no such artefact.
        """
        record = self._record(key)
        if record is None:
            raise MissingObjectError(f"{self._store.uri}/{key}: is not there. Run again to make it.")
        self._store.put(f"{key}/{RECORD}", _encode(record.model_copy(update={"metadata": metadata})))

    def about(self, key: str) -> dict[str, Any] | None:
        """Return what is noted about an artefact, without a look at its files; None where its record is not usable."""
        record = self._record(key)
        return None if record is None else record.metadata

    def keys(self, kind: str) -> Iterator[str]:
        """Yield the keys of all artefacts of one kind, in order."""
        for name in self._store.list():
            key, _, rest = name.partition("/")
            if rest == RECORD and key.startswith(f"{kind}-"):
                yield key

    def scratch(self, key: str) -> Scratch:
        """Return the place for the state of unfinished work on an artefact."""
        return Scratch(self._store, key)

    def _record(self, key: str) -> _ArtifactRecord | None:
        where = f"{key}/{RECORD}"
        try:
            return parse(_ArtifactRecord, self._store.read(where), where=f"{self._store.uri}/{where}")
        except MissingObjectError:
            return None
        except CorruptDatasetError as error:
            log.warning("%s", error)
            return None

    def _read(self, record: _ArtifactRecord, name: str) -> bytes:
        key = f"{record.key}/{record.folder}/{name}"
        return check(self._store.read(key), record.files[name], where=f"{self._store.uri}/{key}")

    def _artifact(self, record: _ArtifactRecord) -> Artifact:
        digests = {name: stored.sha256 for name, stored in record.files.items()}
        return Artifact(key=record.key, uri=f"{self._store.uri}/{record.key}", sha256=digests, metadata=record.metadata)
