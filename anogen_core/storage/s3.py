"""Objects in an S3 bucket, through botocore: no event loop, no listing cache, exact error codes.

Endpoint, region and credentials come from the standard AWS environment, which botocore reads by itself.
"""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar, final

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from anogen_core.errors import CorruptDatasetError, InputError, MissingObjectError
from anogen_core.storage.retry import Retry
from anogen_core.storage.s3_errors import TAKEN, code_of, explain, is_missing, may_pass
from anogen_core.storage.store import Entry, Store

T = TypeVar("T")

_MD5_HEX_DIGITS: Final = 32
_FIRST_DEADLINE: Final = 10.0
"""Seconds after which a server that has not answered once, at what may be a wrong address, is given up."""
_SHOWN_AS: Final = {"html": "text/html", "md": "text/plain; charset=utf-8"}
"""What a browser shall take an object for, by its ending."""


@final
class S3Store(Store):
    """A prefix in a bucket; the bucket must exist."""

    def __init__(self, uri: str, retry: Retry | None = None) -> None:
        self._bucket, _, self._prefix = uri.removeprefix("s3://").rstrip("/").partition("/")
        self._uri = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        self._retry = retry or Retry()
        if not self._bucket:
            raise InputError(f"{uri}: names no bucket. Expected s3://bucket/prefix.")

    @property
    def uri(self) -> str:
        """Return s3://bucket/prefix."""
        return self._uri

    def read(self, key: str) -> bytes:
        """Return a whole object with one GET."""
        return self._run(key, lambda s3: self._get(s3, key))

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of an object with one GET."""
        if length == 0:
            return b""
        data = self._run(key, lambda s3: self._get(s3, key, Range=f"bytes={start}-{start + length - 1}"), of_range=True)
        # Some servers ignore the range and answer with the whole object.
        data = data if len(data) <= length else data[start : start + length]
        if len(data) != length:
            raise CorruptDatasetError(
                f"{self._uri}/{key}: ends before byte {start + length}. It was cut short or replaced."
            )
        return data

    def link(self, key: str, *, seconds: int, endpoint: str | None = None) -> str:
        """Return a signed address: it reads this object and nothing else, and only for a time (a week at most)."""
        client = _client(os.getpid(), self._retry.client_attempts, endpoint)
        kind = _SHOWN_AS.get(key.rsplit(".", maxsplit=1)[-1])
        shown = {"ResponseContentType": kind} if kind else {}
        return str(client.generate_presigned_url("get_object", Params={**self._name(key), **shown}, ExpiresIn=seconds))

    def put(self, key: str, data: bytes) -> None:
        """Write an object with a single PUT and make sure that the server holds these bytes."""

        def operation(s3: Any) -> None:
            etag = s3.put_object(Body=data, **self._name(key)).get("ETag", "").strip('"')
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            # With some kinds of encryption the ETag is not the MD5 of the object: then read it back.
            if (len(etag) != _MD5_HEX_DIGITS or etag != digest) and self._get(s3, key) != data:
                raise CorruptDatasetError(f"{self._uri}/{key}: the server stored other bytes than it was sent.")

        self._run(key, operation)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object with `If-None-Match: *`.

        The answer may be lost and the client may then meet its own object, so after any error the stored one decides.
        """

        def operation(s3: Any) -> bool:
            try:
                s3.put_object(Body=data, IfNoneMatch="*", **self._name(key))
            except (ClientError, BotoCoreError) as error:
                if code_of(error) not in TAKEN and not may_pass(error):
                    raise
                stored = self._get_or_none(s3, key)
                if stored is None:
                    raise
                return stored == data
            return True

        return self._run(key, operation)

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes with one HEAD."""

        def operation(s3: Any) -> int | None:
            try:
                return int(s3.head_object(**self._name(key))["ContentLength"])
            except ClientError as error:
                if is_missing(error):
                    return None
                raise

        return self._run(key, operation)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all objects below a prefix."""
        base = f"{self._prefix}/" if self._prefix else ""
        below = f"{base}{prefix.rstrip('/')}/" if prefix else base

        def operation(s3: Any) -> list[Entry]:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=below)
            found = (entry for page in pages for entry in page.get("Contents", ()))
            return sorted(Entry(e["Key"].removeprefix(base), int(e["Size"]), e["LastModified"]) for e in found)

        yield from self._run(prefix, operation)

    def folders(self) -> Sequence[str]:
        """Return the first parts of all keys that have several."""
        base = f"{self._prefix}/" if self._prefix else ""

        def operation(s3: Any) -> list[str]:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=base, Delimiter="/")
            return sorted(entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ()))

        return [key.removeprefix(base).rstrip("/") for key in self._run("", operation)]

    def delete(self, prefix: str) -> None:
        """Remove objects one by one: bulk deletion needs checksums that several servers do not agree on."""
        for key in [prefix, *self.list(prefix)] if prefix else [*self.list()]:
            self._run(key, functools.partial(self._delete_one, key=key))

    def meet(self) -> None:
        """Ask for the bucket for some ten seconds; any answer will do, a refusal too."""

        def operation(s3: Any) -> None:
            with contextlib.suppress(ClientError):
                s3.head_bucket(Bucket=self._bucket)

        S3Store(self._uri, Retry(deadline=_FIRST_DEADLINE, client_attempts=1))._run("", operation)  # noqa: SLF001

    def _name(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{key}".strip("/")}

    def _get(self, s3: Any, key: str, **options: str) -> bytes:
        return s3.get_object(**self._name(key), **options)["Body"].read()

    def _delete_one(self, s3: Any, key: str) -> None:
        s3.delete_object(**self._name(key))

    def _get_or_none(self, s3: Any, key: str) -> bytes | None:
        try:
            return self._get(s3, key)
        except ClientError as error:
            if is_missing(error):
                return None
            raise

    def _run(self, key: str, operation: Callable[[Any], T], *, of_range: bool = False) -> T:
        """Return the operation's result, tried again until the deadline; errors become one sentence each."""
        where = f"{self._uri}/{key}".rstrip("/")
        try:
            return self._retry.run(
                lambda: operation(_client(os.getpid(), self._retry.client_attempts)), passes=may_pass, what=where
            )
        except (ClientError, BotoCoreError) as error:
            if is_missing(error):
                raise MissingObjectError(f"{where}: is not there. It was moved or deleted.") from error
            if of_range and code_of(error) == "InvalidRange":
                raise CorruptDatasetError(
                    f"{where}: is shorter than promised. It was cut short or replaced."
                ) from error
            raise explain(error, where=where, bucket=self._bucket) from error


@functools.lru_cache(maxsize=4)
def _client(_pid: int, attempts: int, endpoint: str | None = None) -> Any:
    """Return this process's client; a forked child makes its own."""
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "max_attempts": attempts},
        connect_timeout=3,
        read_timeout=15,
        max_pool_connections=32,
    )
    return botocore.session.get_session().create_client("s3", config=config, endpoint_url=endpoint)
