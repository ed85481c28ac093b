"""Which photos are tested on, where a dataset does not say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from anogen_core.data.inventory import Photo
from anogen_core.records import GOOD

_EVERY = 5


def split_photos(photos: Sequence[Photo], digests: Mapping[Path, str]) -> dict[Path, Literal["train", "test"]]:
    """Return the split of each photo: every fifth normal one and every defective one is a test photo.

    Normal photos are counted in the order of their content hashes; identical ones and those of one group count once.
    """
    units = _units([photo for photo in photos if photo.defect == GOOD], digests)
    test = set(sorted(set(units.values()))[_EVERY - 1 :: _EVERY])
    return {p.path: "train" if p.defect == GOOD and units[p.path] not in test else "test" for p in photos}


def _units(photos: Sequence[Photo], digests: Mapping[Path, str]) -> dict[Path, str]:
    """Return the smallest digest of all photos that each one is joined to, by content or group and on from there."""
    units = {photo.path: digests.get(photo.path, "") for photo in photos}
    joined = [(("content", units[photo.path]), ("group", photo.group or units[photo.path])) for photo in photos]
    while True:
        smallest: dict[tuple[str, str], str] = {}
        for photo, keys in zip(photos, joined, strict=True):
            for key in keys:
                smallest[key] = min(smallest.get(key, units[photo.path]), units[photo.path])
        found = {p.path: min(smallest[key] for key in keys) for p, keys in zip(photos, joined, strict=True)}
        if found == units:
            return units
        units = found
