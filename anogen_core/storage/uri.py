"""One way to name and open a place: a local path, `file://` or `s3://bucket/prefix`."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from anogen_core.errors import InputError
from anogen_core.storage.local import LocalStore
from anogen_core.storage.s3 import S3Store
from anogen_core.storage.store import Store

DATASET_SUFFIX = ".zarr"
PARTS_SUFFIX = ".parts"
VERDICTS_SUFFIX = ".verdicts"

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_HALF_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")


def is_address(text: str) -> bool:
    """Return whether a location is meant as an address, well written or not, and not as a local path."""
    return (_SCHEME.match(text) or _HALF_SCHEME.match(text)) is not None


def open_store(uri: str | Path) -> Store:
    """Return the store at a URI; nothing is read, written or connected to yet.

    Credentials and endpoint of S3 come from the standard AWS environment, never from the URI.

    Raises:
        InputError: the URI is empty, names no bucket, has another scheme or lacks one of its slashes.
    """
    text = str(uri)
    if not text.strip():
        raise InputError("The storage location is empty. Expected a directory or s3://bucket/prefix.")
    half = _HALF_SCHEME.match(text)
    if half is not None:
        meant = f"{half[1]}://{'/' if half[1].lower() == 'file' else ''}{text[half.end() :]}"
        raise InputError(f"{text}: one slash is missing. Did you mean {meant}? A directory of that name is ./{text}.")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return LocalStore(text)
    if scheme[1].lower() == "file":
        return LocalStore(unquote(urlsplit(text).path))
    if scheme[1].lower() == "s3":
        return S3Store("s3://" + text[len(scheme[0]) :])
    raise InputError(
        f"{text}: unknown kind of storage {scheme[1]!r}. Expected a directory, file:///path or s3://bucket/prefix."
    )


def well_named(uri: str) -> str:
    """Return a URI that names a place which can be opened.

    Raises:
        InputError: as of `open_store`.
    """
    open_store(uri)
    return uri


def name_of(uri: str) -> str:
    """Return the last part of a URI: the name of a dataset, the key of an artefact. The places may have moved since."""
    return uri.rstrip("/").rsplit("/", 1)[-1]


def parts_uri(uri: str | Path) -> str | None:
    """Return where the unsealed parts of the dataset `<name>.zarr` are, or None when the name ends otherwise."""
    return _beside(uri, PARTS_SUFFIX)


def verdicts_uri(uri: str | Path) -> str | None:
    """Return where the verdicts on the dataset `<name>.zarr` are, or None when the name ends otherwise."""
    return _beside(uri, VERDICTS_SUFFIX)


def _beside(uri: str | Path, suffix: str) -> str | None:
    text = str(uri).rstrip("/")
    return text.removesuffix(DATASET_SUFFIX) + suffix if text.endswith(DATASET_SUFFIX) else None
