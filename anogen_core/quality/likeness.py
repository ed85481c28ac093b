"""How alike two sets of images of a defect are: distance, diversity, and coverage of sizes and places."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from anogen_core.arrays import Mask
from anogen_core.seeding import numpy_generator

Features = Float[np.ndarray, "N D"]

_GRID = 8
"""Cells along each side of the frame when places are counted."""


def kernel_distance(first: Features, second: Features) -> float:
    """Return 1000 times the unbiased squared maximum mean discrepancy of two sets (KID, Binkowski et al., 2018).

    The kernel is (x y / D + 1)^3, as for KID. 0 means alike; small sets make it noisy, so it can be negative.

    Args:
        first: At least two rows.
        second: At least two rows.
    """
    xx, yy, xy = ((a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((first, first), (second, second), (first, second)))
    within = sum(float((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))) for k in (xx, yy))
    return 1000 * (within - 2 * float(xy.mean()))


def halves_distance(features: Features, *, draws: int = 20) -> float:
    """Return the mean `kernel_distance` between random halves of one set: what 'alike' is for it; four rows or more."""
    rng, half = numpy_generator(0), len(features) // 2
    orders = [rng.permutation(len(features)) for _ in range(draws)]
    return float(np.mean([kernel_distance(features[o[:half]], features[o[half:]]) for o in orders]))


def diversity(features: Features) -> float:
    """Return the mean cosine distance between two images of a set; at least two rows."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = unit @ unit.T
    return float(1 - (similar.sum() - np.trace(similar)) / (len(unit) * (len(unit) - 1)))


def size_coverage(made: Sequence[Mask], real: Sequence[Mask]) -> float:
    """Return the share of real masks whose area lies between the 2.5 and the 97.5 percentile of the made ones."""
    low, high = np.percentile([mask.mean() for mask in made], [2.5, 97.5])
    areas = np.array([mask.mean() for mask in real])
    return float(((areas >= low) & (areas <= high)).mean())


def place_coverage(made: Sequence[Mask], real: Sequence[Mask]) -> float:
    """Return the share of the cells of an 8 x 8 grid on the frame with real defects where made ones are too."""
    theirs, ours = _cells(real), _cells(made)
    return float((ours & theirs).sum() / max(int(theirs.sum()), 1))


def _cells(masks: Sequence[Mask]) -> Mask:
    total = np.any(np.stack(masks), axis=0).astype(np.float32)
    return np.asarray(cv2.resize(total, (_GRID, _GRID), interpolation=cv2.INTER_AREA) > 0)
