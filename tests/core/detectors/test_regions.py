"""Where a detector sees defects."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anogen_core.detectors.regions import find_regions
from anogen_core.records import Box


def test_regions_are_what_hangs_together_around_a_peak() -> None:
    """Down to half the threshold; a place that never reaches it is none, and boxes are in pixels of the photo."""
    heat = np.zeros((8, 8), np.float32)
    heat[1, 1:3] = 0.6, 0.3
    heat[2, 3] = 0.3  # by a corner
    heat[1, 5] = 0.4  # never reaches it
    heat[6:8, 6:8] = 0.9
    heat[5, 5] = 0.2  # below half

    strong, weak = find_regions(heat, 0.5, (16, 40))

    assert (strong.box, round(strong.peak, 4), strong.share) == (Box(x=30, y=12, width=10, height=4), 0.9, 4 / 64)
    assert (weak.box, round(weak.peak, 4), weak.share) == (Box(x=5, y=2, width=15, height=4), 0.6, 3 / 64)


@given(
    heat=arrays(np.float32, (6, 6), elements=st.floats(0, 1, width=32)),
    threshold=st.floats(0.0625, 1, width=32),
    height=st.integers(1, 50),
    width=st.integers(1, 50),
)
def test_each_region_lies_in_the_photo_and_there_is_one_where_the_threshold_is_reached(
    heat: np.ndarray, threshold: float, height: int, width: int
) -> None:
    """Photos may be smaller than the map."""
    regions = find_regions(heat, threshold, (height, width))

    assert bool(regions) == bool((heat >= threshold).any())
    for region in regions:
        assert 0 <= region.box.x < region.box.x + region.box.width <= width
        assert 0 <= region.box.y < region.box.y + region.box.height <= height
        assert region.peak >= threshold
