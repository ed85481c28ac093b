"""Set-level measures: zero for alike, large for unlike, coverage by sizes and places."""

import numpy as np
import pytest

from anogen_core.quality.likeness import diversity, halves_distance, kernel_distance, place_coverage, size_coverage
from anogen_core.seeding import numpy_generator


def _cloud(seed: int, *, centre: float = 0, spread: float = 1, count: int = 200) -> np.ndarray:
    return numpy_generator(seed).normal(centre, spread, (count, 16))


def test_distance_is_near_zero_for_one_distribution_and_grows_with_the_shift() -> None:
    """Unbiased: two samples of one distribution scatter around zero; a shift is seen far above that."""
    same = [kernel_distance(_cloud(seed), _cloud(seed + 100)) for seed in range(10)]
    shifted = [kernel_distance(_cloud(1), _cloud(2, centre=shift)) for shift in (0.2, 0.5, 1.0)]

    assert abs(np.mean(same)) < 2 * np.std(same)
    assert max(same) < shifted[0] < shifted[1] < shifted[2]
    assert abs(halves_distance(_cloud(3))) < shifted[0]


def test_distance_follows_its_published_definition() -> None:
    """The unbiased estimator, written as sums over pairs."""
    x, y = _cloud(1, count=5), _cloud(2, count=4)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 16 + 1) ** 3)

    within_x = np.mean([kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(1000 * (within_x + within_y - 2 * across))


def test_copies_have_no_diversity() -> None:
    """Equal images have none, orthogonal ones have 1."""
    assert diversity(np.ones((5, 8))) == pytest.approx(0)
    assert diversity(np.eye(8)) == pytest.approx(1)


def test_coverage_counts_sizes_and_places() -> None:
    """Real masks that are far larger, or elsewhere, are not covered."""

    def square(y: int, x: int, side: int) -> np.ndarray:
        mask = np.zeros((64, 64), bool)
        mask[y : y + side, x : x + side] = True
        return mask

    made = [square(0, 0, side) for side in range(4, 9)]

    assert size_coverage(made, [square(9, 9, 6), square(9, 9, 30)]) == 0.5
    assert place_coverage(made, [square(0, 0, 8), square(56, 56, 8)]) == 0.5
    assert place_coverage(made, made) == 1
