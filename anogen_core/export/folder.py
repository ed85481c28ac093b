"""The folder of one export: claimed by a marker, filled with files that are complete or absent."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from anogen_core.errors import InputError, StorageError
from anogen_core.storage import Dataset
from anogen_core.storage.local import explained

MARKER: Final = "anogen-export.json"
"""Written first: says which dataset the folder is an export of, and with which settings."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_SUM_DIGITS: Final = 8


def claim_folder(
    dest: Path, dataset: Dataset, settings: dict[str, Any], review: str, *, defaults: dict[str, Any]
) -> Path:
    """Return the folder for an export, new or begun by an earlier export with the same settings.

    Args:
        dest: The root of the layout.
        dataset: What is exported.
        settings: Layout and choice of images, as JSON values.
        review: Identifies what reviewers decided in the export.
        defaults: Of the settings: what an export of an earlier version had of those that it did not know.

    Raises:
        InputError: the directory holds something that is not an export, or an export of another dataset or with other
            settings.
    """
    category = dataset.spec.category
    folder = dest / safe_names([category])[category]
    claim = {"settings": settings, "digest": dataset.manifest.digest, "dataset": dataset.spec.name, "review": review}
    with explained(dest):
        if dest.exists() and not dest.is_dir():
            raise InputError(f"{dest}: is a file. Expected a new or empty directory, or one that holds exports.")
        foreign = [p for p in sorted(dest.glob("*")) if not p.name.startswith(".") and not (p / MARKER).is_file()]
        if foreign and not _is_empty_folder(foreign, folder):
            raise InputError(f"{dest}: holds {foreign[0].name!r}, which is not an export. Choose an empty directory.")
        if (folder / MARKER).is_file():
            _require_same(folder, claim, defaults)
    write_once(folder / MARKER, json.dumps(claim, indent=1).encode())
    return folder


def write_once(path: Path, data: bytes) -> None:
    """Make sure that a file holds these bytes; a reader never sees a part of them.

    Raises:
        StorageError: the file could not be written, or holds other bytes than were written.
    """
    with explained(path):
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)  # a full disk keeps nothing of it
        if path.read_bytes() != data:
            raise StorageError(f"{path}: holds other bytes than were written. Check the disk and run again.")


def safe_names(identifiers: Iterable[str], *, dots: bool = True) -> dict[str, str]:
    """Return a file name for each identifier: itself where every file system takes it, else a readable name with a sum.

    Names differ in more than upper and lower case, and depend only on the set of identifiers.
    Without `dots`, none has one.
    """
    unique = sorted(set(identifiers))
    folded = Counter(identifier.casefold() for identifier in unique)
    kept = {text for text in unique if folded[text.casefold()] == 1 and _is_safe(text) and (dots or "." not in text)}
    return {text: text if text in kept else _with_sum(text) for text in unique}


def _is_safe(text: str) -> bool:
    return _SAFE.fullmatch(text) is not None and not text.endswith(".") and _RESERVED.fullmatch(text) is None


def _with_sum(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_SUM_DIGITS]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:60]
    return f"{readable}-{digest}" if readable else digest


def _is_empty_folder(foreign: list[Path], folder: Path) -> bool:
    """Return whether the only thing in the way is the folder itself, still empty."""
    return foreign == [folder] and folder.is_dir() and all(p.name.startswith(".") for p in folder.iterdir())


def _require_same(folder: Path, claim: dict[str, Any], defaults: dict[str, Any]) -> None:
    try:
        stored = json.loads((folder / MARKER).read_bytes())
    except ValueError:
        stored = {}
    if isinstance(stored.get("settings"), dict):
        stored["settings"] = {**defaults, **stored["settings"]}
    if stored == claim:
        return
    if stored.get("digest") != claim["digest"]:
        found = f"an export of another dataset ({stored.get('dataset', 'something unknown')})"
    elif stored.get("settings") == claim["settings"]:
        found = "an export from before images were rejected, accepted or fixed in review"
    else:
        old, new = stored.get("settings", {}), claim["settings"]
        changes = [f"{key} is {old.get(key)!r}, not {new[key]!r}" for key in new if old.get(key) != new[key]]
        found = f"an export with other settings ({'; '.join(changes)})"
    raise InputError(f"{folder}: holds {found}. Choose another directory or delete it.")
