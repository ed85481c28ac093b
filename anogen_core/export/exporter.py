"""What every exporter is given, does and returns."""

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, final

import numpy as np
from jaxtyping import UInt8, UInt16

from anogen_core.export.folder import write_once
from anogen_core.export.originals import Originals
from anogen_core.export.pixels import png
from anogen_core.records import LedgerRow, ReviewVerdict
from anogen_core.storage import Dataset, StoredSample
from anogen_core.storage.croissant import FileGroup

OnImage = Callable[[], None]


@final
class Export:
    """One dataset on its way into one folder: the chosen images, and ways to write files that are whole or absent.

    Pictures are compressed and written by as many threads as there are cores; leaving the block waits for them.
    """

    def __init__(
        self,
        dataset: Dataset,
        folder: Path,
        rows: list[LedgerRow],
        verdicts: Mapping[int, ReviewVerdict],
        *,
        on_image: OnImage | None,
        originals: Originals | None = None,
    ) -> None:
        self.dataset = dataset
        self.folder = folder
        self.rows = rows
        """Of the chosen images, in the order of the plan."""
        self.originals = originals
        """The photos whose channels and bit depth the pictures take; without them all are RGB of 8 bit."""
        self._verdicts = verdicts
        self._on_image = on_image
        cores = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="export")
        self._pending: deque[Future[None]] = deque()
        self._most_pending = 4 * cores

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._pending:
                self._pending.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[StoredSample]:
        """Yield the chosen images with the masks that reviewers left; each is done when the next one is asked for."""
        for sample in self.dataset.read(self.rows):
            judged = sample.judged(self.verdict(sample.row))
            if judged is not None:
                yield judged
            if self._on_image is not None:
                self._on_image()

    def verdict(self, row: LedgerRow) -> ReviewVerdict | None:
        """Return what a reviewer said of a chosen image, if the export honours that."""
        return None if row.row is None else self._verdicts.get(row.row)

    def write(self, path: str, data: bytes) -> None:
        """Make sure that a file of the folder holds these bytes.

        Raises:
            StorageError: it could not be written.
        """
        write_once(self.folder / path, data)

    def picture(self, sample: StoredSample) -> bytes:
        """Return a generated image as PNG.

        Raises:
            InputError: originals are asked for, and its photo has changed or gives another background.
        """
        return png(sample.image if self.originals is None else self.originals.image(sample))

    def write_picture(self, path: str, sample: StoredSample) -> None:
        """Make sure that a file of the folder holds a generated image; done by the block's end.

        Raises:
            InputError: as `picture`, for this image or one before.
            StorageError: one of the pictures could not be written.
        """
        self._write_later(path, lambda: self.picture(sample))

    def write_png(self, path: str, pixels: UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]) -> None:
        """Make sure that a file of the folder holds these pixels (see `png`); done by the block's end.

        Raises:
            InputError: as `write_picture`.
            StorageError: one of the pictures could not be written.
        """
        self._write_later(path, lambda: png(pixels))

    def _write_later(self, path: str, encode: Callable[[], bytes]) -> None:
        if len(self._pending) >= self._most_pending:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(lambda: write_once(self.folder / path, encode())))


class Listing(NamedTuple):
    """What an exporter wrote."""

    title: str
    """Of the layout, as in `in the layout of MVTec AD`."""
    files: dict[str, dict[str, str]]
    """For each request: where its files are, by column of samples.csv."""
    groups: tuple[FileGroup, ...]
    notes: tuple[str, ...] = ()
    """What a reader of the card must know beside the groups, one sentence or more each."""


class Exporter(ABC):
    """Writes the chosen images of a sealed dataset in the layout of another tool.

    Every file is a function of the dataset and the settings, under a name that depends on nothing else.

    Example:
        >>> pull(Dataset("runs/demo/datasets/bottle-1a2b3c4d.zarr"), Path("pulled"), as_="coco")
        PosixPath('pulled/bottle')
    """

    @abstractmethod
    def write(self, export: Export) -> Listing:
        """Write all files of the layout and say which; documents that every layout has are written by `pull`.

        Raises:
            StorageError: a file could not be written, or the dataset is damaged.
        """
