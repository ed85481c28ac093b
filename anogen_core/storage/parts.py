"""The parts of a dataset before its seal: immutable objects of attempts, and commit records that choose among them."""

import logging
import uuid
from collections.abc import Iterator

from anogen_core.errors import CorruptDatasetError, InputError, MissingObjectError, StorageError
from anogen_core.records import LedgerRow
from anogen_core.storage import layout, ledger
from anogen_core.storage.commit import Commit, check, parse
from anogen_core.storage.spec import DatasetSpec
from anogen_core.storage.store import Store

log = logging.getLogger(__name__)


class Parts:
    """What has been made of one unsealed dataset."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def spec(self) -> DatasetSpec | None:
        """Return what the dataset will be, or None when nothing has been begun."""
        try:
            data = self.store.read(layout.SPEC)
        except MissingObjectError:
            return None
        return parse(DatasetSpec, data, where=self._where(layout.SPEC))

    def begin(self, spec: DatasetSpec) -> None:
        """Write down what the dataset will be; nothing changes when it is there already.

        Raises:
            InputError: another dataset has been begun here.
            StorageError: the store overwrites objects that were to be created only once.
        """
        stored = self.spec()
        if stored is None:
            self._require_create_only()
            self.store.create(layout.SPEC, spec.model_dump_json(indent=1).encode())
            stored = self.spec() or spec
        require_same(stored, spec, where=self.store.uri)

    def commit(self, shard: int) -> Commit | None:
        """Return the commit record of a shard, or None when the shard is not stored."""
        try:
            data = self.store.read(layout.commit_key(shard))
        except MissingObjectError:
            return None
        return parse(Commit, data, where=self._where(layout.commit_key(shard)))

    def commits(self) -> dict[int, Commit]:
        """Return all commit records by shard."""
        found = {number: self.commit(number) for number in self._committed()}
        return {number: commit for number, commit in found.items() if commit is not None}

    def read(self, commit: Commit, name: str) -> bytes:
        """Return one object of a committed shard.

        Raises:
            MissingObjectError: it is gone.
            CorruptDatasetError: it differs from the commit record.
        """
        key = f"{layout.attempt_folder(commit.receipt.shard, commit.attempt)}/{name}"
        return check(self.store.read(key), commit.objects[name], where=self._where(key))

    def rows(self, commit: Commit) -> list[LedgerRow]:
        """Return how every request of a committed shard ended."""
        return ledger.from_json(self.read(commit, layout.LEDGER_PART), where=self._where(commit.attempt))

    def is_whole(self, commit: Commit) -> bool:
        """Return whether all objects of a committed shard are there with their sizes."""
        folder = layout.attempt_folder(commit.receipt.shard, commit.attempt)
        return all(self.store.size(f"{folder}/{name}") == stored.size for name, stored in commit.objects.items())

    def discard(self, shard: int) -> None:
        """Remove the commit record of a damaged shard, so that the shard is made again."""
        log.warning("%s: shard %d is damaged; it will be made again", self.store.uri, shard)
        self.store.delete(layout.commit_key(shard))

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the stored objects of committed shards."""
        for number in self._committed():
            try:
                commit = self.commit(number)
            except CorruptDatasetError as error:
                yield str(error)
                continue
            if commit is None:
                continue
            for name in commit.objects:
                try:
                    self.read(commit, name)
                except (CorruptDatasetError, MissingObjectError) as error:
                    yield str(error)

    def _committed(self) -> list[int]:
        return [int(key.rsplit("/", 1)[-1].removesuffix(".json")) for key in self.store.list(layout.COMMITS)]

    def _where(self, key: str) -> str:
        return f"{self.store.uri}/{key}"

    def _require_create_only(self) -> None:
        """Find out whether the store really refuses to overwrite; two writers of a shard depend on it."""
        key = f"{layout.PROBE}/{uuid.uuid4().hex}"
        if not self.store.create(key, b"first") or self.store.create(key, b"second"):
            raise StorageError(
                f"{self.store.uri}: this store overwrites objects that were to be created only once (If-None-Match). "
                "Use another S3 server, or a newer version of this one."
            )
        self.store.delete(key)


def require_same(stored: DatasetSpec, wanted: DatasetSpec, *, where: str) -> None:
    """Raise InputError unless both describe the same dataset; settings that change no image may differ."""
    have, want = stored.identity(), wanted.identity()
    different = [name for name in want if have.get(name) != want[name]]
    if different:
        name = different[0]
        raise InputError(
            f"{where}: holds another dataset: {name} is {have.get(name)!r} there, expected {want[name]!r}. "
            "Choose another output, or delete that dataset."
        )
