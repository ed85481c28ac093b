"""Where on a photo a detector sees defects."""

import cv2
import numpy as np
from jaxtyping import Float

from anogen_core.records import Box, Record

LOWEST = 0.5
"""Share of the threshold down to which the pixels around a peak belong to its region."""


class Region(Record):
    """One place that a detector marks."""

    box: Box
    """What encloses it, in pixels of the photo as stored."""
    peak: float
    """Its highest P(anomalous)."""
    share: float
    """Of the photo's area."""


def find_regions(
    anomaly_map: Float[np.ndarray, "h w"], threshold: float, photo_size: tuple[int, int]
) -> tuple[Region, ...]:
    """Return the regions of an anomaly map that reach a threshold, the highest peak first.

    A region is all that hangs together, by sides or corners, above half the threshold (hysteresis; Canny, 1986).

    Args:
        anomaly_map: P(anomalous), at the detector's own size.
        threshold: What a peak has to reach.
        photo_size: Height and width of the photo in pixels; boxes grow outward to whole ones.
    """
    _, labels = cv2.connectedComponents((anomaly_map >= LOWEST * threshold).astype(np.uint8), connectivity=8)
    down, right = np.divide(photo_size, anomaly_map.shape)
    regions = []
    for label in np.unique(labels[anomaly_map >= threshold]):
        inside = labels == label
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        top, left = int(rows[0] * down), int(columns[0] * right)
        bottom, end = int(np.ceil((rows[-1] + 1) * down)), int(np.ceil((columns[-1] + 1) * right))
        box = Box(x=left, y=top, width=end - left, height=bottom - top)
        regions.append(Region(box=box, peak=float(anomaly_map[inside].max()), share=float(inside.mean())))
    return tuple(sorted(regions, key=lambda region: -region.peak))
