"""Objects as files: atomic by rename, durable by fsync."""

import errno
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import final

from anogen_core.errors import CorruptDatasetError, FullStoreError, MissingObjectError, RefusedStoreError, StorageError
from anogen_core.storage.store import Entry, Store

log = logging.getLogger(__name__)

_UNFINISHED = ".unfinished"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}


@final
class LocalStore(Store):
    """A directory; it is made when the first object is written."""

    def __init__(self, directory: str) -> None:
        self._root = Path(directory).expanduser().absolute()

    @property
    def uri(self) -> str:
        """Return the absolute path."""
        return str(self._root)

    def read(self, key: str) -> bytes:
        """Return a whole file."""
        with explained(self._root / key):
            return (self._root / key).read_bytes()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of a file."""
        path = self._root / key
        with explained(path), path.open("rb") as file:
            file.seek(start)
            data = file.read(length)
        if len(data) != length:
            raise CorruptDatasetError(f"{path}: ends before byte {start + length}. The file was cut short or replaced.")
        return data

    def link(self, key: str, *, seconds: int, endpoint: str | None = None) -> str:
        """Return a file:// address; it works on this machine."""
        del seconds, endpoint
        return (self._root / key).as_uri()

    def put(self, key: str, data: bytes) -> None:
        """Write a file beside its place, then move it there."""
        path = self._root / key
        with explained(path):
            unfinished = _write_beside(path, data)
            unfinished.replace(path)
            _sync_directory(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        """Write a file beside its place, then link it there, which fails when the place is taken."""
        path = self._root / key
        with explained(path):
            unfinished = _write_beside(path, data)
            try:
                _link(unfinished, path)
            except FileExistsError:
                return path.read_bytes() == data
            finally:
                unfinished.unlink(missing_ok=True)
            _sync_directory(path.parent)
        return True

    def size(self, key: str) -> int | None:
        """Return the size of a file in bytes."""
        path = self._root / key
        try:
            with explained(path):
                return path.stat().st_size if path.is_file() else None
        except MissingObjectError:
            return None

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all files below a directory, except unfinished ones and those that go meanwhile."""
        folder = self._root / prefix
        with explained(folder):
            paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(_UNFINISHED))
        for path in paths:
            with suppress(MissingObjectError), explained(path):
                about = path.stat()
                modified = datetime.fromtimestamp(about.st_mtime, UTC)
                yield Entry(path.relative_to(self._root).as_posix(), about.st_size, modified)

    def folders(self) -> Sequence[str]:
        """Return the directories at the top; an empty one counts too."""
        with explained(self._root):
            return sorted(p.name for p in self._root.iterdir() if p.is_dir()) if self._root.is_dir() else []

    def delete(self, prefix: str) -> None:
        """Remove a file or a directory."""
        path = self._root / prefix
        with explained(path):
            if path.is_dir():
                _remove_tree(path)
            else:
                path.unlink(missing_ok=True)


def _write_beside(path: Path, data: bytes) -> Path:
    """Return a complete, synced file in the directory of `path`, under a name of its own."""
    _make_directory(path.parent)
    unfinished = path.parent / f".{path.name}.{uuid.uuid4().hex}{_UNFINISHED}"
    try:
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    return unfinished


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without hard links two writers at the same instant are possible; whole records still replace each other.
        if target.exists():
            raise FileExistsError(target) from None
        source.replace(target)


def _make_directory(path: Path) -> None:
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for created in reversed(missing):
        _sync_directory(created.parent)


def _sync_directory(path: Path) -> None:
    """Make a new name in a directory survive a power loss, where the system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        log.debug("%s: cannot be synced (%s)", path, error)
    finally:
        os.close(descriptor)


def _remove_tree(path: Path) -> None:
    """Remove a directory that another process may be removing as well."""
    while path.is_dir():
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into one sentence about the file."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError as error:
        raise MissingObjectError(f"{path}: is not there. It was moved or deleted.") from error
    except PermissionError as error:
        raise RefusedStoreError(
            f"{path}: no permission. Choose another directory or change its permissions."
        ) from error
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        raise StorageError(f"{path}: a file and a directory have the same name. Move one of them.") from error
    except OSError as error:
        if error.errno in _FULL:
            raise FullStoreError(
                f"{path}: {_FULL[error.errno]}. Free some space and run again; finished work is kept."
            ) from error
        if error.errno == errno.EROFS:
            raise RefusedStoreError(f"{path}: the file system is read-only. Choose another directory.") from error
        raise StorageError(f"{path}: {_REASONS.get(error.errno or 0, error.strerror or str(error))}") from error


_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
_REASONS = {errno.ENAMETOOLONG: "the path is too long. Choose a shorter directory or name."}
