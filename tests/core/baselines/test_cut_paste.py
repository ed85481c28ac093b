"""Pasted support defects."""

import numpy as np
import pytest

from anogen_core.baselines.cut_paste import paste_defect, paste_outline
from anogen_core.diffusion.crop import bounding_box
from anogen_core.records import Box


def _defect() -> tuple[np.ndarray, np.ndarray]:
    photo, mask = np.full((40, 40, 3), 200, np.uint8), np.zeros((40, 40), bool)
    mask[10:14, 8:28] = True
    photo[mask] = 30
    return photo, mask


@pytest.mark.parametrize("place", [Box(x=0, y=0, width=10, height=8), Box(x=9, y=5, width=31, height=35)])
def test_paste_keeps_the_size_and_changes_the_mask_alone(place: Box) -> None:
    """A defect is as large in a small place as in a large one, as near to its middle as the frame lets it be."""
    normal = np.random.default_rng(0).integers(90, 110, (40, 40, 3), dtype=np.uint8)

    image, mask = paste_defect(normal, place, *_defect(), rng=np.random.default_rng(1))

    x = max(0, place.x + (place.width - 20) // 2)
    assert bounding_box(mask) == Box(x=x, y=place.y + (place.height - 4) // 2, width=20, height=4)
    assert mask.sum() == 20 * 4
    assert (image[~mask] == normal[~mask]).all()
    assert (image[mask] == 30).all()


def test_a_moved_outline_holds_the_moved_defect() -> None:
    """The pasted pixels are those of the turned support photo, also in a box as high as the defect was wide."""
    normal = np.random.default_rng(0).integers(90, 110, (60, 60, 3), dtype=np.uint8)
    photo, mask = _defect()
    photo[10:14, 8:28] = np.arange(80, dtype=np.uint8).reshape(4, 20, 1)
    outline = np.zeros((60, 60), bool)
    outline[19:41, 29:35] = True

    image, pasted = paste_outline(normal, outline, photo, mask, (0, -1, 43, 1, 0, 12))

    assert bounding_box(pasted) == Box(x=30, y=20, width=4, height=20)
    assert np.array_equal(image[20:40, 30:34], np.rot90(photo[10:14, 8:28], -1))
    assert (image[~pasted] == normal[~pasted]).all()


def test_thin_defect_survives_shrinking() -> None:
    """A one-pixel scratch that is larger than the frame is still labelled."""
    mask = np.zeros((100, 100), bool)
    np.fill_diagonal(mask, val=True)

    _, pasted = paste_defect(
        np.zeros((30, 30, 3), np.uint8), Box(x=3, y=3, width=10, height=10),
        np.full((100, 100, 3), 255, np.uint8), mask, rng=np.random.default_rng(0),
    )  # fmt: skip

    assert pasted.sum() >= 25


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
