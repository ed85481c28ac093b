"""Anomaly maps in 65,536 levels: small to store, exact to measure, and additive over photos.

A level is a 16 bit code of the log-odds log(p / (1 - p)), clipped to [-16, 16]: steps of 0.0005, as fine near 0 and 1
as between, where half precision would merge everything above 0.9995. Every metric of a set of photos is a function of
the sum of their histograms, so memory does not grow with the number of photos, and a bootstrap is a weighted sum.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt16
from numpy.typing import NDArray

from anogen_core.errors import InputError
from anogen_core.metrics.curve import Curve, PixelMetrics
from anogen_core.metrics.regions import find_regions

LEVELS = 1 << 16
_LIMIT = 16.0


class Row(IntEnum):
    """What each row of a histogram (4, levels) counts at every level."""

    NEGATIVES = 0
    POSITIVES = 1
    OVERLAP = 2
    """Of each pixel of a region 1 / area."""
    INSTANCES = 3
    """Regions of which more than half is found from this level on."""


def to_levels(probability: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the level of each probability; a greater probability never has a smaller level.

    Raises:
        InputError: a value is not in [0, 1].
    """
    if not ((probability >= 0) & (probability <= 1)).all():
        raise InputError(
            "Anomaly maps must lie in [0, 1]; found other values or NaN. The detector's weights are broken."
        )
    p = probability.astype(np.float64)
    with np.errstate(divide="ignore"):
        log_odds = np.log(p) - np.log1p(-p)
    return np.rint((log_odds.clip(-_LIMIT, _LIMIT) / (2 * _LIMIT) + 0.5) * (LEVELS - 1)).astype(np.uint16)


def count_pixels(
    levels: UInt16[np.ndarray, "H W"], mask: NDArray[Any], *, ignored: NDArray[Any] | None = None
) -> Float64[np.ndarray, "4 L"]:
    """Return the histogram of one anomaly map; rows are named by `Row`.

    Args:
        levels: The map.
        mask: Not 0 where it is anomalous.
        ignored: Not 0 where pixels that are not anomalous do not count, such as those of other defects.

    Raises:
        InputError: map and mask differ in shape, or the map has no levels.
    """
    if levels.dtype != np.uint16 or levels.shape != mask.shape:
        raise InputError(
            f"Expected uint16 levels and a mask of one shape (H, W), "
            f"found {levels.dtype} {levels.shape} and {mask.shape}."
        )
    anomalous = mask != 0
    normal = ~anomalous if ignored is None else ~(anomalous | (ignored != 0))
    regions = find_regions(levels, mask)
    counts = np.empty((len(Row), LEVELS))
    counts[Row.NEGATIVES] = np.bincount(levels[normal], minlength=LEVELS)
    counts[Row.POSITIVES] = np.bincount(levels[anomalous], minlength=LEVELS)
    counts[Row.OVERLAP] = np.bincount(levels[anomalous], weights=regions.overlap, minlength=LEVELS)
    counts[Row.INSTANCES] = np.bincount(regions.found_at, minlength=LEVELS)
    return counts


def coarsen(counts: Float64[np.ndarray, "4 L"], levels: int) -> Float64[np.ndarray, "4 l"]:
    """Return a histogram of fewer levels, each the union of neighbours."""
    return counts.reshape(len(Row), levels, -1).sum(axis=2)


def pixel_metrics(counts: Float64[np.ndarray, "4 L"]) -> PixelMetrics:
    """Return the metrics of a histogram: of one photo, of a sum of them or of a weighted sum."""
    curve = curve_of(counts)
    return PixelMetrics() if curve is None else curve.pixel_metrics()


def curve_of(counts: Float64[np.ndarray, "4 L"]) -> Curve | None:
    """Return the curve of a histogram, None when a class is missing."""
    falling = counts[:, ::-1]
    negatives_ge = np.cumsum(falling[Row.NEGATIVES])
    rows = np.flatnonzero(falling[Row.POSITIVES])
    if len(rows) == 0 or negatives_ge[-1] == 0:
        return None
    return Curve(
        positives=falling[Row.POSITIVES, rows],
        negatives_ge=negatives_ge[rows],
        negatives_gt=negatives_ge[rows] - falling[Row.NEGATIVES, rows],
        num_negatives=float(negatives_ge[-1]),
        overlap=falling[Row.OVERLAP, rows],
        instances=falling[Row.INSTANCES, rows],
    )
