"""What a dataset needs of the place it is stored in: whole objects, written atomically, some of them only once."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple


class Entry(NamedTuple):
    """An object in a listing."""

    key: str
    size: int
    """In bytes."""
    modified: datetime
    """When it was written, as the store has it."""


class Store(ABC):
    """Objects under one URI, named by keys such as `data/000001/image`.

    A store pickles as its URI alone, so it holds no secrets and no open connections.

    Example:
        >>> store = open_store("s3://bucket/prefix")
        >>> store.create("commits/000000.json", record)
        True
    """

    @property
    @abstractmethod
    def uri(self) -> str:
        """Return where the store is, without a slash at the end."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return a whole object.

        Raises:
            MissingObjectError: there is no such object.
            StorageError: the store did not answer or refused.
        """

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from `start`.

        Raises:
            MissingObjectError: there is no such object.
            CorruptDatasetError: the object ends before `start + length`.
            StorageError: the store did not answer or refused.
        """

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write or replace an object; a reader sees the old object or the new one, never a part.

        Raises:
            FullStoreError: there is no space left, or the quota is used up.
            RefusedStoreError: nobody may write there, or not with these credentials.
            StorageError: the store did not answer, or failed otherwise.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it exists; return whether the stored object now equals `data`.

        Of several writers of one key exactly one content wins.

        Raises:
            StorageError: the store is full, refused, did not answer or cannot create without overwriting.
        """

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes, or None when there is no such object."""

    @abstractmethod
    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all objects in a folder and below, in the order of their keys; nothing for a missing folder."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of all objects in a folder and below, in order; nothing for a missing folder."""
        for entry in self.entries(prefix):
            yield entry.key

    @abstractmethod
    def folders(self) -> Sequence[str]:
        """Return the names of the folders at the top that hold objects, in order; none where there is nothing."""

    @abstractmethod
    def delete(self, prefix: str) -> None:
        """Remove one object, or all objects in a folder and below; nothing happens when there are none."""

    @abstractmethod
    def link(self, key: str, *, seconds: int, endpoint: str | None = None) -> str:
        """Return an address under which a browser opens one object.

        Args:
            key: The object; it need not be there yet.
            seconds: How long the address lets its reader in, where the store asks for a key.
            endpoint: Address of the server as the reader sees it, where that differs from ours.
        """

    def meet(self) -> None:  # noqa: B027 - a directory needs no answer
        """Return at once, or soon say that nothing answers; work in progress has more patience.

        Raises:
            StorageError: nobody answers.
        """

    def exists(self, key: str) -> bool:
        """Return whether there is such an object."""
        return self.size(key) is not None

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return type(self), (self.uri,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri!r})"
