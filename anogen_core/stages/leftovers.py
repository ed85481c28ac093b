"""What of an output no result refers to: datasets, detectors, evaluations and the state of dead work."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

from anogen_core.errors import CorruptDatasetError, InputError, MissingObjectError
from anogen_core.records import Record
from anogen_core.stages.datasets import StoredDataset, list_datasets
from anogen_core.stages.result import RunResult
from anogen_core.stages.running import MARKS
from anogen_core.storage import Dataset, layout
from anogen_core.storage.artifacts import RECORD, SCRATCH, ArtifactStore
from anogen_core.storage.store import Entry
from anogen_core.storage.uri import DATASET_SUFFIX, PARTS_SUFFIX, VERDICTS_SUFFIX, name_of
from anogen_core.storage.verdicts import all_verdicts, read_verdicts

_DATASET = re.compile(r"(.+)-[0-9a-f]{8}")


class Removable(Record):
    """Something that no result needs."""

    kind: Literal["dataset", "detector", "evaluation", "unfinished work"]
    name: str
    about: str
    """In a few words."""
    bytes: int
    modified: datetime
    """When the newest of its objects was written."""
    places: tuple[str, ...]
    """Keys and folders below the output, in the order of their deletion: first what makes it count as there."""

    def describe(self) -> str:
        """Return it in one line."""
        when = f"{self.modified.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return "  ".join([self.name, *([self.about] if self.about else []), f"{self.bytes / 1e6:.1f} MB", when])


class Spared(Record):
    """A dataset that stays though the last run does not refer to it."""

    name: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Leftovers:
    """An output, and what decides about it."""

    output: str
    last: RunResult
    since: datetime
    """What was written then or later stays."""
    entries: list[Entry]
    """All objects of the output."""

    @cached_property
    def _folders(self) -> dict[str, list[Entry]]:
        """Return all objects by the first two parts of their keys."""
        found = defaultdict(list)
        for entry in self.entries:
            found["/".join(entry.key.split("/", 2)[:2])].append(entry)
        return found

    @cached_property
    def _categories(self) -> set[str]:
        """Return the categories that the last run finished."""
        return {result.category for result in self.last.categories}

    def datasets(self, keep_last: int) -> tuple[list[Removable], list[Spared]]:
        """Return the datasets that may go, and those that stay though the last run does not refer to them.

        Args:
            keep_last: How many complete ones of each category stay: the last run's and the newest others.
        """
        removable, spared, kept, complete = [], [], [], Counter[str | None]()
        newest_first = sorted(list_datasets(self.output), key=lambda one: (one.modified, one.name), reverse=True)
        # The last run's come first: verdicts that these have too are not lost.
        for one in sorted(newest_first, key=lambda one: not one.used_by_last_run):
            complete[one.category] += one.sealed
            if one.used_by_last_run:
                kept.append(one.uri)
                continue
            why = self._why_kept(one, kept)
            if why is None and one.sealed and complete[one.category] <= keep_last:
                why = f"one of the newest {keep_last} of its category"
            if why is None:
                removable.append(self._dataset(one))
                continue
            spared.append(Spared(name=one.name, bytes=one.bytes, why=why))
            if one.sealed:
                kept.append(one.uri)
        return removable, spared

    def artifacts(self, kind: Literal["detector", "evaluation"]) -> Iterator[Removable]:
        """Yield the detectors or the evaluations that no result refers to."""
        results = self.last.all_made
        used = {name_of(c.uri) for r in results for c in r.checkpoints}
        used |= {e.predictions for r in results for e in r.evaluations if e.predictions is not None}
        store = ArtifactStore.of_run(self.output)
        for place, own in self._folders.items():
            folder, _, key = place.partition("/")
            modified = max(entry.modified for entry in own)
            named = folder == "artifacts" and re.fullmatch(f"{kind}-[0-9a-f]{{16}}", key)
            if not named or key in used or modified >= self.since:
                continue
            # Without a record it was never finished, or its deletion was not.
            incomplete = all(entry.key != f"{place}/{RECORD}" for entry in own)
            noted = store.about(key) or {}
            about = noted.get(kind, noted)
            if incomplete or about.get("category") in self._categories:
                yield Removable(
                    kind=kind,
                    name=key,
                    about="incomplete" if incomplete else f"{about['category']}, {about['arm']}, seed {about['seed']}",
                    bytes=sum(entry.size for entry in own),
                    modified=modified,
                    places=(f"{place}/{RECORD}", place),
                )

    def unfinished(self) -> Iterator[Removable]:
        """Yield the states of learning and training that no run goes on with, and the marks of runs that were killed.

        Where a category failed, the next run may go on with them.
        """
        states = self._folders.get(f"artifacts/{SCRATCH}", [])
        marks = [entry for entry in self.entries if entry.key.startswith(f"{MARKS}/")]
        for entry in [] if self.last.failed else [*states, *marks]:
            if entry.modified < self.since:
                name = entry.key.removeprefix("artifacts/")
                yield Removable(
                    kind="unfinished work",
                    name=name,
                    about="",
                    bytes=entry.size,
                    modified=entry.modified,
                    places=(entry.key,),
                )

    def _why_kept(self, one: StoredDataset, kept: list[str]) -> str | None:
        """Return why a dataset that the last run does not refer to stays; None when nothing speaks for it.

        Args:
            one: The dataset.
            kept: Addresses of the complete ones that stay.
        """
        named = _DATASET.fullmatch(one.name)
        category = named[1] if named else None
        if category not in self._categories or one.category not in (None, category):
            return "not of a category that the last run finished"
        if one.modified >= self.since:
            return "written within a day, or since the last run ended"
        place = f"datasets/{one.name}"
        root = f"{place}{DATASET_SUFFIX}/{layout.ROOT}"
        begun = place + PARTS_SUFFIX in self._folders
        # Without root and parts its deletion was cut off.
        if one.problem is not None and (begun or any(entry.key == root for entry in self.entries)):
            return "cannot be read"
        return self._why_reviewed(one, kept) if place + VERDICTS_SUFFIX in self._folders else None

    def _why_reviewed(self, one: StoredDataset, kept: list[str]) -> str | None:
        try:
            said = read_verdicts(one.uri, Dataset(one.uri).manifest.digest).values()
            others = [v for uri in kept for v in all_verdicts(uri, Dataset(uri).manifest.digest)] if said else []
        except (CorruptDatasetError, InputError, MissingObjectError) as error:
            return f"its verdicts cannot be read: {error}"
        own = sum(verdict not in others for verdict in said)
        return f"reviewed: {own} of its verdicts are on no other dataset that stays" if own else None

    def _dataset(self, one: StoredDataset) -> Removable:
        images = ", ".join(f"{defect} {count}" for defect, count in (one.defects or {}).items())
        whole, parts, verdicts = (
            f"datasets/{one.name}{suffix}" for suffix in (DATASET_SUFFIX, PARTS_SUFFIX, VERDICTS_SUFFIX)
        )
        about = "incomplete" if one.problem is not None else images if one.sealed else f"{images} (not sealed)"
        return Removable(
            kind="dataset",
            name=one.name,
            about=about,
            bytes=one.bytes,
            modified=one.modified,
            places=(f"{whole}/{layout.ROOT}", verdicts, whole, parts),
        )
