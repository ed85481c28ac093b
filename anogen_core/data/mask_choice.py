"""What the values of a dataset's masks mean, where the masks leave no doubt."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anogen_core.data import FolderReaderSettings, ReaderSettings
from anogen_core.data.mask_values import SOFT_EDGES, MaskValues
from anogen_core.data.problems import UnusableFileError
from anogen_core.records import Sample

_LOOKED_AT = 200
"""Masks of each defect whose values are looked at, at least where there are so many."""
_MOST = 0.9
"""Share of the masks of several values from which soft edges are meant: some hold hardly more than traces."""
_RIM = 0.9
"""Share of the photo's outermost pixels that an inverted mask marks, at least: a defect at the border covers less."""


class _Look(NamedTuple):
    """What is to be known of a mask."""

    several: "_Several | None"
    """What several values besides 0 say; None where there is one at most."""
    is_flat: bool
    marks_rim: bool
    """Whether more than half of the photo, and nearly all pixels of its border, are not 0 (or not dark)."""


class _Several(NamedTuple):
    """What is to be known of a mask that holds several values besides 0."""

    held: int
    told: str
    number_something: bool
    have_soft_edges: bool


def choose_mask_values(reader: ReaderSettings, samples: Sequence[Sample]) -> tuple[ReaderSettings, list[str]]:
    """Return the reader with the settings that the values of the masks need, and why; as it is where none is clear."""
    if reader.mask_threshold is not None:
        return reader, []
    of_defects: dict[tuple[str, str], list[Path]] = {}
    for sample in samples:
        if sample.mask_uri is not None:
            of_defects.setdefault((sample.category, sample.defect), []).append(Path(sample.mask_uri))
    masks = [path for own in of_defects.values() for path in own[:: max(1, len(own) // _LOOKED_AT)]]
    with ThreadPoolExecutor() as pool:
        looks = [look for look in pool.map(_look, masks) if look is not None]
    threshold, why = _threshold([look.several for look in looks if look.several is not None])
    why += "; `reader.mask_classes` tells kinds apart" * (threshold == 1 and isinstance(reader, FolderReaderSettings))
    inverted = all(look.marks_rim for look in looks) and not all(look.is_flat for look in looks)
    notes = []
    if threshold is not None:
        notes.append(f"reader.mask_threshold: {threshold} ({why})")
    if inverted:
        what = "every mask is white along the photo's border and on most of it: black is taken for the defect"
        notes.append(f"reader.mask_inverted: true ({what}; set it to false if white is)")
    return reader.model_copy(update={"mask_threshold": threshold, "mask_inverted": inverted}), notes


def _threshold(several: Sequence[_Several]) -> tuple[int | None, str]:
    """Return the threshold that masks of several values need, and why; None where none is clear."""
    if several and all(values.number_something for values in several):
        return 1, max(several).told
    if several and sum(values.have_soft_edges for values in several) >= _MOST * len(several):
        return SOFT_EDGES, "masks have soft edges"
    return None, ""


def _look(mask: Path) -> _Look | None:
    """Return what the values of a mask say; None where it cannot be read (`check` says why)."""
    try:
        values = MaskValues.read(mask)
    except UnusableFileError:
        return None
    marked = values.shades >= (SOFT_EDGES if values.has_soft_edges else 1)
    rim = np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]])
    marks_rim = bool(marked.mean() > 0.5 and rim.mean() >= _RIM)
    return _Look(_several(values), bool(marked.all()), marks_rim)


def _several(values: MaskValues) -> _Several | None:
    if values.is_binary:
        return None
    told = f"all but {values.surface} is defect, since masks hold several {values.kind}, such as {values.shown()}"
    return _Several(len(values.marked), told, values.number_something, values.has_soft_edges)
