"""What files hold, for keys: gigabytes are read once per process."""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_files(directory: Path, files: Iterable[Path]) -> str:
    """Return the sha256, in hex, of files and their paths below a directory, whatever their order."""
    digest = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        digest.update(file.relative_to(directory).as_posix().encode() + b"\0")
        digest.update(_digest(file, status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def digest_file(file: Path) -> str:
    """Return the sha256, in hex, of one file; read once as long as it does not change."""
    status = file.stat()
    return _digest(file, status.st_size, status.st_mtime_ns).hex()


@functools.lru_cache(maxsize=8192)
def _digest(file: Path, size: int, modified: int) -> bytes:
    del size, modified
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
