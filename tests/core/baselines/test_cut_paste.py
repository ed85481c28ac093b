"""Pasted support defects."""

import numpy as np
import pytest

from anogen_core.baselines.cut_paste import paste_defect
from anogen_core.records import Box


def _defect() -> tuple[np.ndarray, np.ndarray]:
    photo, mask = np.full((40, 40, 3), 200, np.uint8), np.zeros((40, 40), bool)
    mask[10:14, 8:28] = True
    photo[mask] = 30
    return photo, mask


@pytest.mark.parametrize("place", [Box(x=0, y=0, width=10, height=8), Box(x=9, y=5, width=31, height=35)])
def test_paste_changes_the_mask_alone_and_stays_in_its_place(place: Box) -> None:
    """The defect fills the place along one axis, is centred, and every pixel outside its mask is untouched."""
    normal = np.random.default_rng(0).integers(90, 110, (40, 40, 3), dtype=np.uint8)

    image, mask = paste_defect(normal, place, *_defect(), rng=np.random.default_rng(1))

    inside = np.zeros_like(mask)
    inside[place.y : place.y + place.height, place.x : place.x + place.width] = True
    assert mask.any()
    assert not (mask & ~inside).any()
    assert (image[~mask] == normal[~mask]).all()
    assert (image[mask] == 30).mean() > 0.9
    assert mask.any(axis=0).sum() == place.width


def test_thin_defect_survives_shrinking() -> None:
    """A one-pixel scratch that shrinks tenfold is still labelled."""
    mask = np.zeros((100, 100), bool)
    np.fill_diagonal(mask, val=True)

    _, pasted = paste_defect(
        np.zeros((30, 30, 3), np.uint8), Box(x=3, y=3, width=10, height=10),
        np.full((100, 100, 3), 255, np.uint8), mask, rng=np.random.default_rng(0),
    )  # fmt: skip

    assert pasted.sum() >= 5


def test_paste_is_a_function_of_the_generator() -> None:
    """The same generator state gives the same photo; mirroring does happen."""
    photo, mask = _defect()
    photo[10:14, 8:12] = 90
    results = [
        paste_defect(np.zeros((40, 40, 3), np.uint8), Box(x=0, y=0, width=20, height=20), photo, mask,
                     rng=np.random.default_rng(seed))[0].tobytes()
        for seed in (0, 0, 1, 2, 3, 4)
    ]  # fmt: skip

    assert results[0] == results[1]
    assert len(set(results)) > 1
