"""One person's review of one dataset: which images match a filter, what each shows, what was decided.

Only the ledger is read at the start; pixels are read for the images that are looked at.
"""

import functools
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
from pydantic import NonNegativeInt

from anogen_core.errors import InputError, StorageError
from anogen_core.records import Box, Decision, LedgerRow, Record, ReviewVerdict
from anogen_core.review import pictures
from anogen_core.storage import Dataset, StoredSample, ledger
from anogen_core.storage.verdicts import VerdictWriter

if TYPE_CHECKING:
    from anogen_core.export.normals import NormalPhotos

_CODES: Final = {decision: code for code, decision in enumerate(Decision)}


class Query(Record):
    """Which image to show."""

    row: NonNegativeInt = 0
    step: int = 0
    """0: the first match at or after `row`; k: the k-th match after it; -k: before it. Ends at the last or first."""
    defect: NonNegativeInt | None = None
    """Position in the dataset's list of defects; null for all."""
    decision: Decision | None = None
    """Null for all."""
    radius: NonNegativeInt = 8
    """How many neighbours to list on each side."""


class Judgement(Record):
    """What a person says of one image."""

    row: NonNegativeInt
    decision: Decision
    box: Box | None = None
    """The new mask of a fixed image; null to take the box mask as it is."""


@final
class Review:
    """The samples and verdicts behind the page; may be called from several threads.

    Args:
        dataset: A sealed dataset; it is only read.
        who: Name that is kept with each verdict.

    Raises:
        InputError: the dataset is not there, is not sealed, has no image, or has no place for verdicts beside it.

    Example:
        >>> review = Review(Dataset("runs/demo/datasets/bottle-1a2b3c4d.zarr"), "ada")
        >>> review.judge(Judgement(row=0, decision=Decision.REJECT))
        >>> review.counts()["reject"]
        1
    """

    def __init__(self, dataset: Dataset, who: str) -> None:
        self._dataset = dataset
        self._who = who
        self._table = dataset.made_table()
        if not len(self._table):
            raise InputError(f"{dataset.uri}: holds no image to review. See its ledger for the reasons.")
        self._writer = VerdictWriter(dataset.uri, dataset.manifest.digest)
        places = {name: place for place, name in enumerate(dataset.spec.defects)}
        self._defects = np.array([places[name] for name in self._table["defect"].to_pylist()])
        self._lock = threading.Lock()
        self._done: list[tuple[int, ReviewVerdict | None]] = []
        self._verdicts: dict[int, ReviewVerdict] = {}
        self._codes = np.zeros(0, np.uint8)
        self._newest = datetime.min.replace(tzinfo=UTC)
        self.refresh()

    def refresh(self) -> None:
        """Read the verdicts again, those of other sessions included."""
        with self._lock:
            self._verdicts = self._dataset.verdicts()
            self._newest = max((v.when for v in self._verdicts.values()), default=self._newest)
            self._codes = np.full(len(self._table), _CODES[Decision.NONE], np.uint8)
            for row, verdict in self._verdicts.items():
                self._codes[row] = _CODES[verdict.decision]

    def about(self) -> dict[str, Any]:
        """Return what does not change while the page is open."""
        spec = self._dataset.spec
        return {
            "name": spec.name,
            "digest": self._dataset.manifest.digest,
            "width": spec.width,
            "height": spec.height,
            "defects": list(spec.defects),
            "who": self._who,
        }

    def counts(self) -> dict[str, int]:
        """Return how many images there are by decision; `none` counts the undecided ones."""
        return {decision.value: int((self._codes == code).sum()) for decision, code in _CODES.items()}

    def view(self, query: Query) -> dict[str, Any]:
        """Return one image with what is known about it, its neighbours in the filter, and the counts."""
        matches = self._matches(query)
        view: dict[str, Any] = {"counts": self.counts(), "total": len(matches), "current": None, "strip": []}
        if not len(matches):
            return view
        position = self._position(matches, query)
        first = max(0, position - query.radius)
        strip = [int(row) for row in matches[first : position + query.radius + 1]]
        return {
            **view,
            "position": position,
            "current": self._describe(int(matches[position])),
            "strip": [{"row": row, "decision": self._decision(row)} for row in strip],
        }

    def judge(self, judgement: Judgement) -> None:
        """Store what was decided about one image.

        Raises:
            InputError: there is no such image, or the box does not fit.
            StorageError: the verdict could not be stored; nothing has changed.
        """
        self._check(judgement)
        with self._lock:
            before = self._verdicts.get(judgement.row)
            self._store(judgement.row, judgement.decision, judgement.box)
            self._done.append((judgement.row, before))

    def undo(self) -> int | None:
        """Take back the last verdict of this session that was not taken back yet; return its row, or None."""
        with self._lock:
            if not self._done:
                return None
            row, before = self._done[-1]
            self._store(row, before.decision if before else Decision.NONE, before.box if before else None)
            self._done.pop()
            return row

    def image(self, row: int) -> bytes:
        """Return an image as PNG; raises IndexError when there is no such row."""
        return pictures.png(self._dataset.image(row))

    def thumbnail(self, row: int) -> bytes:
        """Return an image as small JPEG; raises IndexError when there is no such row."""
        return pictures.thumbnail(self._dataset.image(row))

    def normal(self, row: int) -> bytes | None:
        """Return the real photo under an image as PNG, or None when it is gone or was changed."""
        dataset = self._dataset
        image, box_mask = dataset.image(row), dataset.box_mask(row)
        # Whether the photo is the right one shows outside the box mask; the pixel mask plays no part.
        photo = self._normal_photos.load(StoredSample(self._row(row), image, box_mask, box_mask, box_mask))
        return None if photo is None else pictures.png(photo)

    @functools.cached_property
    def _normal_photos(self) -> "NormalPhotos":
        # Its import takes seconds; the first generated image need not wait for them.
        from anogen_core.export.normals import NormalPhotos  # noqa: PLC0415

        return NormalPhotos(self._dataset)

    def _row(self, row: int) -> LedgerRow:
        return ledger.to_rows(self._table.slice(row, 1), where=self._dataset.uri)[0]

    def _matches(self, query: Query) -> np.ndarray:
        chosen = np.ones(len(self._table), bool)
        if query.defect is not None:
            chosen &= self._defects == query.defect
        if query.decision is not None:
            chosen &= self._codes == _CODES[query.decision]
        return np.flatnonzero(chosen)

    def _position(self, matches: np.ndarray, query: Query) -> int:
        after = query.step > 0
        place = int(np.searchsorted(matches, query.row, side="right" if after else "left"))
        return min(max(0, place + query.step - after), len(matches) - 1)

    def _describe(self, row: int) -> dict[str, Any]:
        ledger_row, verdict = self._row(row), self._verdicts.get(row)
        known = {
            "row": row,
            "request_id": ledger_row.request_id,
            "defect": ledger_row.defect,
            "normal_id": ledger_row.normal_id,
            "quality": ledger_row.quality,
            "confidence": ledger_row.confidence,
            "decision": self._decision(row),
            "who": verdict.who if verdict else None,
            "when": verdict.when.isoformat() if verdict else None,
        }
        try:
            box_mask, mask = self._dataset.box_mask(row), self._dataset.mask(row)
            sample = StoredSample(ledger_row, np.empty((0, 0, 3), np.uint8), box_mask, mask, mask)
            fixed = sample.judged(verdict) or sample
        except StorageError as error:
            return {**known, "error": str(error)}
        return {
            **known,
            "mask": pictures.outline(fixed.mask),
            "box_mask": pictures.outline(box_mask),
            "pixels": int(np.count_nonzero(fixed.mask)),
            "detail": pictures.detail(np.maximum(box_mask, fixed.mask)),
        }

    def _decision(self, row: int) -> str:
        return self._verdicts[row].decision.value if row in self._verdicts else Decision.NONE.value

    def _check(self, judgement: Judgement) -> None:
        if judgement.row >= len(self._table):
            raise InputError(f"row: expected 0 to {len(self._table) - 1}, found {judgement.row}.")
        box, spec = judgement.box, self._dataset.spec
        if box is None:
            return
        if judgement.decision is not Decision.FIX:
            raise InputError(f"box: only a fix has one, not {judgement.decision}.")
        if box.x < 0 or box.y < 0 or box.x + box.width > spec.width or box.y + box.height > spec.height:
            raise InputError(f"box: expected inside {spec.width}x{spec.height} pixels, found {box.as_list()}.")

    def _store(self, row: int, decision: Decision, box: Box | None) -> None:
        """Store a verdict that is newer than every known one, whatever the clocks of other machines say."""
        verdict = ReviewVerdict(
            request_id=self._row(row).request_id,
            decision=decision,
            box=box,
            who=self._who,
            when=max(datetime.now(UTC), self._newest + timedelta(microseconds=1)),
        )
        self._writer.add(verdict)
        self._newest = verdict.when
        self._codes[row] = _CODES[decision]
        if decision is Decision.NONE:
            self._verdicts.pop(row, None)
        else:
            self._verdicts[row] = verdict
