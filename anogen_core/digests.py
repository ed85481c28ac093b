"""What files hold, for keys: gigabytes are read once per process."""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from anogen_core.data.problems import UnusableFileError, unreadable


def digest_files(directory: Path, files: Iterable[Path]) -> str:
    """Return the sha256, in hex, of files and their paths below a directory, whatever their order.

    Raises:
        UnusableFileError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(directory).as_posix().encode() + b"\0")
        digest.update(_digest(file))
    return digest.hexdigest()


def digest_file(file: Path) -> str:
    """Return the sha256, in hex, of one file; read once as long as it does not change.

    Raises:
        UnusableFileError: the file cannot be read.
    """
    return _digest(file).hex()


def _digest(file: Path) -> bytes:
    try:
        status = file.stat()
        return _digest_once(file, status.st_size, status.st_mtime_ns)
    except OSError as failure:
        raise UnusableFileError(unreadable(file, failure)) from failure


@functools.lru_cache(maxsize=8192)
def _digest_once(file: Path, size: int, modified: int) -> bytes:
    del size, modified
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
