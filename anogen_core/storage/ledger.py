"""How every planned request ended, as JSON while shards are made and as one Parquet file in the sealed dataset."""

import hashlib
import types
from collections.abc import Sequence
from enum import Enum
from typing import Any, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, TypeAdapter, ValidationError

from anogen_core.errors import CorruptDatasetError
from anogen_core.records import LedgerRow
from anogen_core.settings import canonical_json
from anogen_core.storage.spec import DatasetSpec

_ROWS = TypeAdapter(list[LedgerRow])


def to_json(rows: Sequence[LedgerRow]) -> bytes:
    """Return the rows of one shard as they are stored before the seal."""
    return canonical_json([row.model_dump(mode="json") for row in rows]).encode()


def from_json(data: bytes, *, where: str) -> list[LedgerRow]:
    """Return the rows of one shard."""
    try:
        return _ROWS.validate_json(data)
    except ValidationError as error:
        raise CorruptDatasetError(f"{where}: does not hold ledger rows ({error.error_count()} problems).") from error


def to_parquet(rows: Sequence[LedgerRow]) -> bytes:
    """Return the ledger of a sealed dataset."""
    schema = pa.schema(_fields(LedgerRow))
    table = pa.Table.from_pylist([row.model_dump(mode="json") for row in rows], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def read_table(data: bytes, *, where: str) -> pa.Table:
    """Return the ledger of a sealed dataset as it is stored, one row per planned request."""
    try:
        # Without threads: Arrow's can outlive the interpreter of a short command, and then they abort it. `read_table`
        # starts one even where it is told not to.
        return pq.ParquetFile(pa.BufferReader(data), pre_buffer=False).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CorruptDatasetError(f"{where}: does not hold a ledger ({_first_line(error)}).") from error


def to_rows(table: pa.Table, *, where: str) -> list[LedgerRow]:
    """Return the rows of a stored ledger, or of a part of it."""
    try:
        return _ROWS.validate_python(table.to_pylist())
    except ValidationError as error:
        raise CorruptDatasetError(f"{where}: does not hold a ledger ({_first_line(error)}).") from error


def from_parquet(data: bytes, *, where: str) -> list[LedgerRow]:
    """Return the ledger of a sealed dataset."""
    return to_rows(read_table(data, where=where), where=where)


def ledger_digest(rows: Sequence[LedgerRow], spec: DatasetSpec) -> str:
    """Return the sha256 of all rows without the places of the normal photos, which differ between machines.

    Nulls are left out, so that a column which a later version adds changes no digest. Those of `anods/1` hold the nulls
    of every column that their version had.
    """
    first = spec.format_version == "anods/1"
    digest = hashlib.sha256()
    for row in rows:
        digest.update(
            canonical_json(
                row.model_dump(mode="json", exclude={"normal_uri"}, exclude_unset=first, exclude_none=not first)
            ).encode()
            + b"\n"
        )
    return digest.hexdigest()


def _fields(record: type[BaseModel]) -> list[pa.Field]:
    return [pa.field(name, _arrow_type(field.annotation)) for name, field in record.model_fields.items()]


def _arrow_type(annotation: Any) -> pa.DataType:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(member for member in get_args(annotation) if member is not type(None))
    if get_origin(annotation) is list:
        (member,) = get_args(annotation)
        return pa.list_(pa.int32() if member is int else _arrow_type(member))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct(_fields(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return pa.string()
    return {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}[annotation]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
