"""Commit records: written once and last, they say that a shard of work is stored, and exactly which bytes it is."""

import hashlib
from typing import Literal, TypeVar

from pydantic import ValidationError

from anogen_core.errors import CorruptDatasetError
from anogen_core.records import Record

R = TypeVar("R", bound=Record)


class ShardReceipt(Record):
    """What a finished shard reports (read back from its commit record)."""

    shard: int
    attempt: str
    digest: str
    made: int
    filtered: int
    blocked: int
    failed: int
    seconds: float


class StoredObject(Record):
    """What an object must be to be believed."""

    size: int
    """Bytes."""
    sha256: str
    index_crc: int | None = None
    """crc32c of the index, for a shard of chunks: a cheap check that a reader makes before it believes any offset."""


class Commit(Record):
    """The commit record of one shard of work."""

    version: Literal[1] = 1
    spec: str
    """Fingerprint of the dataset's identity."""
    attempt: str
    """Names the folder of the objects; another attempt at the same shard has another."""
    receipt: ShardReceipt
    objects: dict[str, StoredObject]


def describe(data: bytes, *, index_crc: int | None = None) -> StoredObject:
    """Return what these bytes are."""
    return StoredObject(size=len(data), sha256=hashlib.sha256(data).hexdigest(), index_crc=index_crc)


def check(data: bytes, expected: StoredObject, *, where: str) -> bytes:
    """Return the bytes when they are what was promised.

    Raises:
        CorruptDatasetError: they are not.
    """
    if len(data) != expected.size:
        raise CorruptDatasetError(
            f"{where}: has {len(data)} bytes, expected {expected.size}. It was cut short or replaced."
        )
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        raise CorruptDatasetError(f"{where}: its sha256 differs from what was written; the stored bytes have changed.")
    return data


def parse(model: type[R], data: bytes, *, where: str) -> R:
    """Return a stored JSON record.

    Raises:
        CorruptDatasetError: the bytes are not such a record.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise CorruptDatasetError(
            f"{where}: is not usable: {field}: {first['msg']}. It was changed or is too new."
        ) from error
