"""The regions of a mask, and which score finds each of them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anogen_core.metrics.curve import INSTANCE_SHARE


class Regions(NamedTuple):
    """The 8-connected regions of one mask."""

    overlap: NDArray[np.float64]
    """1 / area of its region for every anomalous pixel, in the order of the mask."""
    found_at: NDArray[Any]
    """For each region, the greatest threshold at which more than half of its pixels are found."""


def find_regions(anomaly_map: NDArray[Any], mask: NDArray[Any]) -> Regions:
    """Return the regions of a mask (H, W), not 0 where anomalous, under an anomaly map (H, W)."""
    labels, count = ndimage.label(mask != 0, structure=np.ones((3, 3)))
    members = labels[labels > 0] - 1
    if count == 0:
        return Regions(np.zeros(0), anomaly_map[:0, 0])
    area = np.bincount(members)
    scores = anomaly_map[labels > 0]
    # Region by region, each from its smallest score upward.
    ordered = scores[np.lexsort((scores, members))]
    last = np.cumsum(area) - 1
    return Regions(1.0 / area[members], ordered[last - (INSTANCE_SHARE * area).astype(int)])
