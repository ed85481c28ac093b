"""The datasets that runs have left in an output: what each holds, how large it is, and which the last run refers to."""

from collections import defaultdict
from datetime import UTC, datetime

from anogen_core.errors import AnogenError, InputError
from anogen_core.records import Record
from anogen_core.stages.result import find_result
from anogen_core.storage import Dataset, open_store
from anogen_core.storage.store import Entry
from anogen_core.storage.uri import DATASET_SUFFIX, PARTS_SUFFIX, VERDICTS_SUFFIX, name_of


class StoredDataset(Record):
    """A dataset of an output."""

    name: str
    uri: str
    category: str | None = None
    """None where it is damaged."""
    sealed: bool = False
    """Whether it is complete."""
    defects: dict[str, int] | None = None
    """Images of each defect."""
    bytes: int
    """Of all that is stored of it, verdicts included."""
    modified: datetime
    """When the newest object but verdicts was written, as the store has it: the seal of a complete one."""
    used_by_last_run: bool
    """Whether `run.json` refers to it."""
    problem: str | None = None
    """Why it cannot be read."""

    def describe(self) -> str:
        """Return it in one line."""
        counts = self.defects or {}
        images = ", ".join(f"{defect} {count}" for defect, count in counts.items())
        parts = [
            self.uri,
            f"{sum(counts.values())} images ({images})" if self.problem is None else "unreadable",
            f"{self.bytes / 1e6:.1f} MB",
            f"{self.modified.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            *(["not sealed"] if self.problem is None and not self.sealed else []),
            *(["used by the last run"] if self.used_by_last_run else []),
        ]
        return "  ".join(parts)


def list_datasets(output: str) -> list[StoredDataset]:
    """Return all datasets of an output by category, the newest of each last; those that are damaged come first.

    Raises:
        InputError: there is nothing at all at that place.
        CorruptDatasetError: the result of the last run was changed or is too new.
    """
    last = find_result(output)
    used = {name_of(dataset.uri) for result in (last.all_made if last else ()) for dataset in result.datasets}
    stored: dict[str, list[Entry]] = defaultdict(list)
    reviews: dict[str, list[Entry]] = defaultdict(list)
    for entry in open_store(f"{output}/datasets").entries():
        name, dot, suffix = entry.key.split("/", 1)[0].rpartition(".")
        if dot + suffix in (DATASET_SUFFIX, PARTS_SUFFIX):
            stored[name].append(entry)
        elif dot + suffix == VERDICTS_SUFFIX:
            reviews[name].append(entry)
    if not stored and next(iter(open_store(output).list()), None) is None:
        raise InputError(f"{output}: holds nothing; expected a run's output. `anogen run RUN.yaml` makes one.")
    found = [
        _describe(
            f"{output}/datasets/{name}{DATASET_SUFFIX}", own, reviews[name], is_used=name + DATASET_SUFFIX in used
        )
        for name, own in stored.items()
    ]
    return sorted(found, key=lambda one: (one.category or "", one.modified, one.name))


def _describe(uri: str, own: list[Entry], reviews: list[Entry], *, is_used: bool) -> StoredDataset:
    told = StoredDataset(
        name=name_of(uri).removesuffix(DATASET_SUFFIX),
        uri=uri,
        bytes=sum(entry.size for entry in [*own, *reviews]),
        modified=max(entry.modified for entry in own),
        used_by_last_run=is_used,
    )
    try:
        summary = Dataset(uri).summary()
    except AnogenError as error:
        return told.model_copy(update={"problem": str(error)})
    return told.model_copy(update={name: summary[name] for name in ("category", "sealed", "defects")})
