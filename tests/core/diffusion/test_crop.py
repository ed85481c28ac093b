"""The square around a mask: it holds the mask, fits the frame, and the paste touches nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anogen_core.diffusion.crop import (
    CropSettings,
    bounding_box,
    choose_crop,
    paste,
    require_cells,
    to_latent_mask,
)
from anogen_core.errors import MaskPlacementError
from anogen_core.records import Box


@st.composite
def boxes_in_frames(draw: st.DrawFn) -> tuple[Box, tuple[int, int]]:
    height, width = draw(st.integers(16, 700)), draw(st.integers(16, 700))
    longest = min(height, width)
    box_width, box_height = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    x, y = draw(st.integers(0, width - box_width)), draw(st.integers(0, height - box_height))
    return Box(x=x, y=y, width=box_width, height=box_height), (height, width)


@given(boxes_in_frames())
def test_crop_is_a_square_in_the_frame_that_holds_the_mask(case: tuple[Box, tuple[int, int]]) -> None:
    """Whatever the mask and the frame, the square lies in the frame and the mask lies in the square."""
    box, (height, width) = case

    crop = choose_crop(box, (height, width), 16, 64, CropSettings())

    assert crop.width == crop.height <= min(height, width)
    assert 0 <= crop.x <= box.x
    assert 0 <= crop.y <= box.y
    assert box.x + box.width <= crop.x + crop.width <= width
    assert box.y + box.height <= crop.y + crop.height <= height


@given(boxes_in_frames(), st.floats(1, 8), st.integers(1, 16))
def test_masks_are_zoomed_until_they_span_enough_cells(
    case: tuple[Box, tuple[int, int]], context: float, min_cells: int
) -> None:
    """The longer side of a mask spans `min_cells` latent cells (rounding a pixel aside), whatever the context."""
    box, frame = case
    settings = CropSettings(context=context, min_cells=min_cells)

    crop = choose_crop(box, frame, 16, 64, settings)

    longest = max(box.width, box.height)
    assert longest * 16 / crop.width >= min_cells * (1 - 1 / crop.width)


def test_more_cells_than_a_canvas_has_are_refused() -> None:
    """No zoom gives a mask 17 of 16 cells; the message names a canvas that has them."""
    mask = np.zeros((200, 200), bool)
    mask[50:90, 50:90] = True
    crop = Box(x=50, y=50, width=40, height=40)

    require_cells(mask, crop, 16, 64, CropSettings(min_cells=16))
    with pytest.raises(
        MaskPlacementError, match=r"has 16 latent cells a side, expected 17 .*`generation.crop.canvas: 96`"
    ):
        require_cells(mask, crop, 16, 64, CropSettings(min_cells=17))
    require_cells(mask, crop, 24, 96, CropSettings(min_cells=17))


@pytest.mark.parametrize("length", [700, 1000])
def test_a_mask_too_thin_for_its_square_is_refused_with_a_canvas_that_suffices(length: int) -> None:
    """At the zoom of a long hair a model has nothing to paint; what is thicker, shown or zoomed in is taken."""
    hair, bar = np.zeros((1024, 1024), bool), np.zeros((1024, 1024), bool)
    hair[500:502, 10 : 10 + length] = True
    bar[500:506, 10 : 10 + length] = True

    def require(mask: np.ndarray, canvas: int, *, thin: bool = False) -> None:
        grid = canvas // 4, canvas, CropSettings()
        require_cells(mask, choose_crop(bounding_box(mask), mask.shape, *grid), *grid, thin=thin)

    require(bar, 64)
    require(hair, 64, thin=True)
    with pytest.raises(
        MaskPlacementError, match=r"less than 0\.04 latent cells thick .* too thin to be painted"
    ) as refused:
        require(hair, 64)
    assert str(refused.value).endswith("or raise `generation.crop.canvas` to 128 or more")
    require(hair, 128)


def test_mask_longer_than_the_frame_is_blocked_before_compute() -> None:
    """No square holds a mask that is longer than the shorter side of the frame: the error says so."""
    with pytest.raises(MaskPlacementError, match="spans 90 px but the largest square"):
        choose_crop(Box(x=0, y=0, width=90, height=5), (40, 100), 16, 64, CropSettings())


def test_a_latent_cell_counts_if_any_of_its_pixels_is_anomalous() -> None:
    """One anomalous pixel activates exactly the cell it lies in."""
    mask = np.zeros((64, 64), bool)
    mask[17, 42] = True

    cells = to_latent_mask(mask, Box(x=0, y=0, width=64, height=64), 16)

    assert cells.shape == (1, 1, 16, 16)
    assert cells.sum() == 1
    assert cells[0, 0, 4, 10] == 1


@given(st.integers(0, 2**32 - 1), st.integers(20, 90))
def test_no_anomalous_pixel_is_lost_on_the_latent_grid(seed: int, side: int) -> None:
    """At any zoom every anomalous pixel lies under an active cell, and every active cell over an anomalous pixel."""
    mask = np.random.Generator(np.random.PCG64(seed)).random((side, side)) < 0.02

    cells = to_latent_mask(mask, Box(x=0, y=0, width=side, height=side), 16)[0, 0].numpy()

    edges = np.arange(17) * side / 16
    for row in range(16):
        for column in range(16):
            rows = slice(int(np.floor(edges[row])), int(np.ceil(edges[row + 1])))
            columns = slice(int(np.floor(edges[column])), int(np.ceil(edges[column + 1])))
            assert cells[row, column] == mask[rows, columns].any()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_paste_changes_no_pixel_outside_the_mask(seed: int, feather: float) -> None:
    """Law 6: outside the mask the result is byte-equal to the normal image, whatever was generated."""
    rng = np.random.Generator(np.random.PCG64(seed))
    normal = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    mask = rng.random((50, 60)) < 0.2
    generated = rng.uniform(-50, 300, (40, 40, 3)).astype(np.float32)
    untouched = normal.copy()

    result = paste(normal, generated, Box(x=10, y=5, width=40, height=40), mask, feather)

    assert (result[~mask] == untouched[~mask]).all()
    assert (normal == untouched).all()


def test_paste_without_feather_shows_exactly_what_was_generated() -> None:
    """Inside the mask and the square, feather 0 shows the generated values, rounded and clipped."""
    normal = np.zeros((20, 20, 3), np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[8:12, 8:12] = True
    generated = np.full((10, 10, 3), 199.6, np.float32)

    result = paste(normal, generated, Box(x=5, y=5, width=10, height=10), mask, 0)

    assert (result[mask] == 200).all()


def test_bounding_box_of_an_empty_mask_is_an_error() -> None:
    """An empty mask has no box; nothing is generated for it."""
    with pytest.raises(MaskPlacementError, match="no anomalous pixel"):
        bounding_box(np.zeros((8, 8), bool))
