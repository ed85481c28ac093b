"""What a defect looks like, in words: measured on the picture, so that captions tell what the pixels show.

The name of a defect says little about a noisy picture; whether it is dark or bright, thin or round, small or large says
much. Captions with these words teach the text encoder to steer what appears, and inversion finds its way along them.
"""

import cv2
import numpy as np
from jaxtyping import Float

_RING = 5
"""Width in pixels of the surroundings that a defect is compared with."""


def describe_looks(image: Float[np.ndarray, "H W 3"], mask: Float[np.ndarray, "H W"]) -> list[str]:
    """Return words for the brightness, shape, size and colour of the masked region, the most telling first.

    Args:
        image: RGB in [0, 1].
        mask: Share of each pixel that is anomalous.
    """
    inside = mask > 0.5
    if inside.sum() < 4:
        inside = mask > 0
    around = cv2.dilate(inside.astype(np.uint8), np.ones((2 * _RING + 1, 2 * _RING + 1), np.uint8)) > 0
    ring = around & ~(mask > 0)
    if not ring.any():
        return []
    change = image[inside].mean(axis=0) - image[ring].mean(axis=0)
    return [*_brightness(float(change.mean())), *_shape(inside), *_size(float(inside.mean())), *_colour(change)]


def _brightness(change: float) -> list[str]:
    if change < -0.25:
        return ["black"]
    if change < -0.06:
        return ["dark"]
    return ["white"] if change > 0.25 else ["bright"] if change > 0.06 else []


def _shape(inside: np.ndarray) -> list[str]:
    """Return a word for the ratio of the region's principal axes."""
    points = np.argwhere(inside).astype(np.float64)
    variances = np.linalg.eigvalsh(np.cov(points.T) + np.eye(2) / 12)
    ratio = float(np.sqrt(variances[1] / variances[0]))
    return ["thin"] if ratio > 4.5 else ["long"] if ratio > 2.2 else ["round"]


def _size(share: float) -> list[str]:
    return ["small"] if share < 0.05 else ["large"] if share > 0.2 else []


def _colour(change: np.ndarray) -> list[str]:
    """Return a word for a change of hue."""
    hue = change - change.mean()
    if np.abs(hue).max() < 0.04:
        return []
    return [("red", "green", "blue")[int(np.argmax(hue))]]
