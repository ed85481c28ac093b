"""What a detector said about every test photo, and what was true: every number of an evaluation follows from it."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, final

import cv2
import numpy as np
from jaxtyping import Bool, Float64, UInt8, UInt16
from numpy.typing import NDArray

from anogen_core.errors import CorruptDatasetError
from anogen_core.metrics.curve import PixelMetrics, ScoreMetrics
from anogen_core.metrics.detection import evaluate_scores
from anogen_core.metrics.histograms import LEVELS, Row, count_pixels, pixel_metrics
from anogen_core.records import GOOD

_TOLD_APART = ""
"""Stands for the defect of photos whose label tells several apart: each of them counts by its own part."""

DEFECT_METRICS = (
    *(f"image_{name}" for name in ScoreMetrics.model_fields),
    *(f"pixel_{name}" for name in PixelMetrics.model_fields),
)
"""The names of what is measured for one defect, and for all together: image_auroc, ..., pixel_iap_90."""
METRICS = (*DEFECT_METRICS, "pixel_ap_macro")
"""The names of all metrics of a category."""


@final
@dataclass(frozen=True, slots=True)
class Predictions:
    """Scores and maps of N photos. Stored as one compressed NumPy archive without pickles.

    Maps have the detector's size and masks that of the photos, eight pixels in a byte: thousands of large photos fit in
    memory. Both meet at the size of the photos, one photo at a time.

    Example:
        `Predictions.from_bytes(path.read_bytes()).metrics()["pixel_ap"]`
    """

    sample_id: NDArray[np.str_]
    """(N,)."""
    defect: NDArray[np.str_]
    """(N,), `good` for normal photos."""
    group: NDArray[np.str_]
    """(N,): photos of one group may show the same part, so they are never told apart in a bootstrap."""
    score: NDArray[np.float32]
    """(N,). A greater score is more anomalous."""
    level: UInt16[np.ndarray, "N h w"]
    """Anomaly maps at the detector's size, in the levels of `histograms.py`."""
    mask_bits: UInt8[np.ndarray, "N B"]
    """`pack_masks` of where the photos are labelled anomalous; nothing of a defective one where no label says it."""
    frame: NDArray[np.int64]
    """(2,): height and width of the masks."""
    part_row: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(P,): the photos whose labels tell several defects apart, a row for each of their defects."""
    part_defect: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, np.str_))
    """(P,): which defect."""
    part_bits: UInt8[np.ndarray, "P B"] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    """`pack_masks` of where that defect alone is."""

    @property
    def defect_names(self) -> list[str]:
        """Return the defects in alphabetical order; those of photos of several where their labels tell them apart."""
        return sorted({*self.alone.tolist(), *self.part_defect.tolist()} - {GOOD, _TOLD_APART})

    @property
    def alone(self) -> NDArray[np.str_]:
        """Return (N,): the defect that all of a photo's mask is of, `good` for normal ones, or that it has parts."""
        names = self.defect.astype(object)
        names[self.part_row] = _TOLD_APART
        return names.astype(np.str_)

    @property
    def defective(self) -> NDArray[np.bool_]:
        """Return (N,), True for photos that are not good."""
        return np.asarray(self.defect != GOOD)

    @property
    def marked(self) -> NDArray[np.bool_]:
        """Return (N,), True for photos whose pixels count: all but defective ones that no label says the place of."""
        return ~self.defective | self.mask_bits.any(axis=1)

    def showing(self, name: str) -> NDArray[np.bool_]:
        """Return (N,), True for photos that show a defect, alone or among others."""
        shown = np.asarray(self.alone == name)
        shown[self.part_row[self.part_defect == name]] = True
        return shown

    def map_of(self, row: int) -> UInt16[np.ndarray, "H W"]:
        """Return the levels of one photo at its size; between the detector's pixels the log-odds are linear."""
        height, width = self.frame.tolist()
        own = self.level[row]
        if own.shape == (height, width):
            return own
        larger = cv2.resize(own.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.rint(larger).astype(np.uint16)

    def mask_of(self, row: int) -> Bool[np.ndarray, "H W"]:
        """Return the mask of one photo, True where it is labelled anomalous."""
        return self._unpack(self.mask_bits[row])

    def count_part(self, part: int) -> Float64[np.ndarray, "4 L"]:
        """Return the histogram of one defect of a photo of several; the pixels of the others do not count."""
        row = int(self.part_row[part])
        return count_pixels(self.map_of(row), self._unpack(self.part_bits[part]), ignored=self.mask_of(row))

    def take(self, rows: NDArray[np.int64]) -> "Predictions":
        """Return the predictions of some photos, in this order."""
        own = {name: getattr(self, name)[rows] for name in _OF_PHOTOS}
        parts = [(new, part) for new, row in enumerate(rows) for part in np.flatnonzero(self.part_row == row)]
        chosen = np.array([part for _, part in parts], np.int64)
        return replace(
            self,
            **own,
            part_row=np.array([new for new, _ in parts], np.int64),
            part_defect=self.part_defect[chosen],
            part_bits=self.part_bits[chosen],
        )

    def metrics(self) -> dict[str, float | None]:
        """Return every metric of METRICS by name; None where only one class is present."""
        return self.measure()[0]

    def measure(self) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
        """Return `metrics`, and every metric of DEFECT_METRICS of each defect against all good photos.

        The pixels of each photo are counted once, and once more for each defect that its label tells apart.
        """
        alone, names = self.alone.tolist(), self.defect_names
        pixels = {name: np.zeros((len(Row), LEVELS)) for name in (GOOD, *names, *{_TOLD_APART}.intersection(alone))}
        for row in np.flatnonzero(self.marked).tolist():
            pixels[alone[row]] += count_pixels(self.map_of(row), self.mask_of(row))
        of_all = np.sum(list(pixels.values()), axis=0)
        for part, name in enumerate(self.part_defect.tolist()):
            pixels[name] += self.count_part(part)
        per_defect = {
            name: self._named(self.showing(name) | ~self.defective, pixels[name] + pixels[GOOD]) for name in names
        }
        together = self._named(np.ones(len(self.score), bool), of_all)
        return together | {"pixel_ap_macro": macro_ap(per_defect)}, per_defect

    def to_bytes(self) -> bytes:
        """Return the archive; the same predictions give the same bytes."""
        buffer = io.BytesIO()
        names = self.__slots__ if len(self.part_row) else (*_OF_PHOTOS, "frame")
        np.savez_compressed(buffer, **{name: getattr(self, name) for name in names})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Predictions":
        """Return the predictions of an archive.

        Raises:
            CorruptDatasetError: the bytes are not such an archive.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                found = dict(archive)
            if "mask" in found:
                # Archives of before 2026-11-27 hold maps and masks as they are, at the size of the photos.
                mask = found["mask"]
                found |= {"mask_bits": pack_masks(mask), "frame": np.array(mask.shape[1:])}
            names = cls.__slots__ if "part_row" in found else (*_OF_PHOTOS, "frame")
            return cls(**{name: found[name] for name in names})
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise CorruptDatasetError(
                f"These bytes are not predictions: {error}. Evaluate the detector again."
            ) from error

    def _unpack(self, bits: NDArray[np.uint8]) -> Bool[np.ndarray, "H W"]:
        height, width = self.frame.tolist()
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)

    def _named(self, chosen: NDArray[np.bool_], pixels: Float64[np.ndarray, "4 L"]) -> dict[str, float | None]:
        return named(evaluate_scores(self.score[chosen], self.defective[chosen]), pixel_metrics(pixels))


_OF_PHOTOS = ("sample_id", "defect", "group", "score", "level", "mask_bits")
"""The fields that have a row for each photo."""


def pack_masks(masks: Iterable[Bool[np.ndarray, "H W"]]) -> UInt8[np.ndarray, "N B"]:
    """Return masks of one size with eight pixels in a byte; each is let go before the next is asked for."""
    return np.stack([np.packbits(mask) for mask in masks])


def named(images: ScoreMetrics, pixels: PixelMetrics) -> dict[str, Any]:
    """Return the metrics of images and pixels under the names of DEFECT_METRICS."""
    return {f"image_{name}": value for name, value in images} | {f"pixel_{name}": value for name, value in pixels}


def macro_ap(per_defect: Mapping[str, Mapping[str, float | None]]) -> float | None:
    """Return the mean over defects of their pixel AP against all good photos; None where one of them has none.

    In the pixel AP of all defects together each counts by the area of its masks, so one with large masks can hide what
    happens to all others.
    """
    found = [metrics["pixel_ap"] for metrics in per_defect.values()]
    known = [value for value in found if value is not None]
    return fmean(known) if known and len(known) == len(found) else None
