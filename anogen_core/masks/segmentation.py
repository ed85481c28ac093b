"""Regions of pixels that stand out, from a measure of how much each does."""

import cv2
import numpy as np

from anogen_core.arrays import Mask


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold that parts non-negative values into two classes of largest variance between (Otsu, 1979)."""
    scale = 255 / max(1e-6, float(np.percentile(values, 99.5)))
    levels = np.clip(values * scale, 0, 255).astype(np.uint8).reshape(-1, 1)
    high = levels > cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
    # Where nothing lies between the classes every threshold there is as good: the middle is meant.
    middles = [float(levels[part].mean()) for part in (high, ~high) if part.any()]
    return sum(middles) / len(middles) / scale


def solid_regions(candidates: Mask, seeds: Mask) -> Mask:
    """Return the connected candidates that hold a seed (hysteresis, Canny 1986), small gaps closed and holes filled."""
    count, labels = cv2.connectedComponents(candidates.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, np.uint8)
    kept[labels[seeds & candidates]] = 1
    closed = cv2.morphologyEx(kept[labels], cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(closed), outlines, -1, 1, thickness=cv2.FILLED) > 0
