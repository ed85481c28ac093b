"""Images that are there already: an earlier dataset of the category finished the same request by the same recipe."""

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from anogen_core.arrays import Image
from anogen_core.errors import CorruptDatasetError, InputError, MissingObjectError
from anogen_core.records import GenerationRequest, LedgerRow
from anogen_core.shards import KeptRequest, Shard
from anogen_core.stages.filtered_sheet import sheet_rows
from anogen_core.storage import Dataset, open_store
from anogen_core.storage.kept import count_pictured, finished_requests, read_chunks, read_picture
from anogen_core.storage.uri import DATASET_SUFFIX, PARTS_SUFFIX

log = logging.getLogger(__name__)

_UNUSABLE = (CorruptDatasetError, MissingObjectError, InputError)
"""What is wrong with a dataset that is damaged, deleted or sealed meanwhile."""


class Taken(NamedTuple):
    """A request that was not made again."""

    rows: list[LedgerRow]
    """As they were made, with the photo where it lies today."""
    chunks: Mapping[str, bytes] | None
    """The encoded image and its masks; None when gates filtered it and all its replacements."""
    pictures: list[Image]
    """Rows for the picture of what gates filtered."""


def find_kept(
    output: str, category: str, recipes: Mapping[str, str], requests: Sequence[GenerationRequest]
) -> dict[str, KeptRequest]:
    """Return what the datasets of an output hold of a plan, by request.

    Args:
        output: Of the run.
        category: Whose plan it is.
        recipes: Of its defects; those without one are left out.
        requests: The plan.

    Raises:
        StorageError: the store did not answer or refused. A damaged dataset is left out.
    """
    missing = {request.request_id for request in requests if request.defect in recipes}
    found: dict[str, KeptRequest] = {}
    for dataset in _datasets(f"{output}/datasets", category):
        if not missing:
            break
        try:
            spec = dataset.spec
            alike = {defect for defect, recipe in spec.recipes.items() if recipes.get(defect) == recipe}
            if spec.category != category or not alike:
                continue
            for kept in finished_requests(dataset.uri):
                if kept.request_id in missing and kept.rows[0].defect in alike:
                    found[kept.request_id] = kept
                    missing.remove(kept.request_id)
        except _UNUSABLE as error:
            log.warning("%s: its images are made again: %s", dataset.uri, error)
    return found


def take_kept(shard: Shard) -> dict[str, Taken]:
    """Return what a shard takes from earlier datasets, by request; what cannot be read is left out, to be made.

    Raises:
        StorageError: the store did not answer or refused.
    """
    # Requests lie in the order of the plan there too.
    chunks = functools.lru_cache(maxsize=1)(read_chunks)
    pictures = functools.lru_cache(maxsize=1)(_read_rows)
    photos = {request.request_id: request.normal.image_uri for request in shard.requests}
    taken: dict[str, Taken] = {}
    for kept in shard.kept:
        (sheet, first), filtered = kept.picture, count_pictured(kept.rows)
        shown, image = [], None
        try:
            if filtered:
                shown = pictures(kept.uri, sheet, sealed=kept.sealed)[first : first + filtered]
            if kept.image is not None:
                number, place = kept.image
                stored = chunks(kept.uri, number, sealed=kept.sealed)
                image = {name: array[place] for name, array in stored.items()}
        except _UNUSABLE as error:
            log.warning("%s is made again: %s", kept.request_id, error)
            continue
        update = {"row": None, "normal_uri": photos[kept.request_id]}
        taken[kept.request_id] = Taken([row.model_copy(update=update) for row in kept.rows], image, shown)
    return taken


def _read_rows(uri: str, shard: int, *, sealed: bool) -> list[Image]:
    return sheet_rows(read_picture(uri, shard, sealed=sealed))


def _datasets(folder: str, category: str) -> Iterator[Dataset]:
    """Yield the datasets that may be of a category, sealed ones first."""
    places = [place for place in open_store(folder).folders() if place.startswith(f"{category}-")]
    for suffix in (DATASET_SUFFIX, PARTS_SUFFIX):
        for place in places:
            if place.endswith(suffix):
                yield Dataset(f"{folder}/{place.removesuffix(suffix)}{DATASET_SUFFIX}")
