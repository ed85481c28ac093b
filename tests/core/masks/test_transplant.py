"""Masks transplanted from support photos: the defect's own form, changed within bounds."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anogen_core.errors import MaskPlacementError
from anogen_core.masks import TransplantSamplerSettings
from anogen_core.masks.sampler import render
from anogen_core.outline import decode_outline, encode_outline
from anogen_core.records import Placement
from anogen_core.seeding import numpy_generator

STILL = TransplantSamplerSettings(jitter=1, rotation=0, flip=False, bend=0, margin=0)


def _ring(side: int = 100) -> np.ndarray:
    """Return a mask that no box describes: a ring of 40 pixels with a bar through it."""
    canvas = np.zeros((side, side), np.uint8)
    cv2.circle(canvas, (50, 50), 18, 1, 4)
    cv2.rectangle(canvas, (48, 30), (52, 70), 1, -1)
    return canvas > 0


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_hold_the_whole_mask(mask: np.ndarray) -> None:
    """Every mask comes back from its run lengths, whatever its first and last pixel are."""
    runs = encode_outline(mask)

    assert np.array_equal(decode_outline(runs, mask.shape), mask)
    assert all(runs[1:])


def test_run_lengths_are_those_of_coco() -> None:
    """The runs go down the columns and begin with background, as pycocotools reads them."""
    mask = _ring()
    coco = pytest.importorskip("pycocotools.mask")

    rle = coco.frPyObjects({"counts": list(encode_outline(mask)), "size": list(mask.shape)}, *mask.shape)

    assert np.array_equal(coco.decode(rle) > 0, mask)


def test_without_changes_the_outline_is_the_support_defects_own() -> None:
    """All changes switched off, the rendered mask is the support mask, moved."""
    mask = _ring()

    placed = render(STILL.build([mask]).sample(np.ones((120, 150), bool), numpy_generator(1)), (120, 150))

    shown = placed[np.ix_(placed.any(axis=1), placed.any(axis=0))]
    expected = mask[np.ix_(mask.any(axis=1), mask.any(axis=0))]
    assert np.array_equal(shown, expected)


@given(st.integers(0, 2**32 - 1))
def test_outlines_lie_in_the_frame_on_the_foreground_and_vary_within_bounds(seed: int) -> None:
    """Every mask is on the foreground, of a bounded size, and survives JSON."""
    foreground = np.zeros((120, 160), bool)
    foreground[10:110, 20:150] = True
    sampler = TransplantSamplerSettings(attempts=5000).build([_ring()])

    placement = sampler.sample(foreground, numpy_generator(seed))

    mask = render(Placement.model_validate_json(placement.model_dump_json()), foreground.shape)
    assert foreground[mask].mean() >= 0.9
    # At most: both sides stretched by the jitter, and two pixels wider all around (margin, and rounding of the bend).
    widest = cv2.dilate(_ring().astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))).sum()
    assert 0.5 < mask.sum() / _ring().sum() < 1.25**2 * widest / _ring().sum()
    assert max(placement.box.width, placement.box.height) <= 40 * 1.25 * 1.5


def test_changed_outlines_keep_the_form() -> None:
    """A bent, turned and scaled ring still has its two holes, most of the time."""
    sampler = TransplantSamplerSettings().build([_ring()])
    foreground = np.ones((120, 120), bool)

    holes = []
    for seed in range(40):
        mask = render(sampler.sample(foreground, numpy_generator(seed)), foreground.shape)
        holes.append(cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)[0] - 2)

    assert np.median(holes) == 2


def test_thin_lines_stay_whole() -> None:
    """A crack one pixel wide is still one region after turning, bending and widening."""
    crack = np.zeros((100, 100), np.uint8)
    cv2.line(crack, (20, 30), (80, 60), 1, 1)
    sampler = TransplantSamplerSettings(rotation=180).build([crack > 0])
    foreground = np.ones((128, 128), bool)

    masks = [render(sampler.sample(foreground, numpy_generator(seed)), (128, 128)) for seed in range(30)]

    assert all(cv2.connectedComponents(mask.astype(np.uint8))[0] == 2 for mask in masks)
    assert max(mask.mean() for mask in masks) < 0.03


def test_a_thin_scratch_and_its_label_stay_inside_the_bent_outline() -> None:
    """The defect is moved unbent: what the outline is bent by must leave it there, however long it is."""
    scratch = np.zeros((200, 200), np.uint8)
    cv2.line(scratch, (30, 60), (150, 110), 1, 5)
    sampler = TransplantSamplerSettings(rotation=180).build([scratch > 0])
    kept = []
    for seed in range(30):
        placement = sampler.sample(np.ones((220, 220), bool), numpy_generator(seed))
        assert placement.warp is not None
        warp = np.array(placement.warp).reshape(2, 3)
        moved = cv2.warpAffine(scratch.astype(np.float32), warp, (220, 220)) > 0.35
        kept.append((moved & render(placement, (220, 220))).sum() / moved.sum())

    assert min(kept) > 0.9
    assert np.mean(kept) > 0.97


def test_specks_are_enlarged_to_the_smallest_size() -> None:
    """A defect of two pixels becomes a mask that the model can paint into."""
    speck = np.zeros((64, 64), bool)
    speck[10:12, 10:12] = True

    placement = (
        TransplantSamplerSettings(min_size=10).build([speck]).sample(np.ones((64, 64), bool), numpy_generator(0))
    )

    assert max(placement.box.width, placement.box.height) >= 9


@given(st.integers(0, 2**32 - 1))
def test_outlines_stay_within_reach_of_where_the_defect_was(seed: int) -> None:
    """A defect at the left edge is placed there or, mirrored, at the right edge: never in the middle."""
    mask = np.zeros((100, 200), bool)
    mask[40:60, 0:20] = True
    sampler = TransplantSamplerSettings(reach=0.1).build([mask])

    box = sampler.sample(np.ones((100, 200), bool), numpy_generator(seed)).box

    across, down = (box.x + box.width / 2) / 200, (box.y + box.height / 2) / 100
    assert min(abs(across - 0.05), abs(across - 0.95)) <= 0.1 + 0.05
    assert abs(down - 0.5) <= 0.1 + 0.02


def test_a_support_defect_that_seldom_fits_is_used_as_often_as_others() -> None:
    """A long bar has few places on a small part, a speck has many; one that fits nowhere leaves all to the other."""
    bar, speck, part = (np.zeros((100, 100), bool) for _ in range(3))
    bar[40:44, 20:60] = True
    speck[50:54, 50:54] = True
    part[20:50, 20:66] = True
    sampler = STILL.build([bar, speck])

    used = [sampler.sample(part, numpy_generator(seed)).source for seed in range(200)]
    narrow = [
        sampler.sample(part & (np.indices(part.shape)[1] < 40), numpy_generator(seed)).source for seed in range(5)
    ]

    assert 75 < used.count(0) < 125
    assert narrow == [1] * 5
    assert {sampler.sample(part, numpy_generator(seed), source=0).source for seed in range(5)} == {0}


def test_an_outline_that_fits_nowhere_is_refused_with_its_reason() -> None:
    """The message says what was found and what to change."""
    foreground = np.zeros((100, 100), bool)
    foreground[:5, :5] = True

    with pytest.raises(MaskPlacementError, match=r"in 20 attempts \(best 0\.\d\d, foreground 0% of 100x100 px\)"):
        TransplantSamplerSettings(attempts=20).build([_ring()]).sample(foreground, numpy_generator(0))


def test_an_outline_that_no_square_holds_is_drawn_again() -> None:
    """A bar as long as a photo is high fits where it is not stretched or turned; one that never fits is told."""
    bar = np.zeros((64, 96), bool)
    bar[30:34, 10:72] = True
    free = np.ones((64, 96), bool)
    sampler = TransplantSamplerSettings(jitter=1.3, rotation=20, margin=0).build([bar])

    drawn = [sampler.sample(free, numpy_generator(seed)).box for seed in range(40)]

    assert max(max(box.width, box.height) for box in drawn) <= 64
    wide = np.zeros((64, 96), bool)
    wide[30:34] = True
    with pytest.raises(MaskPlacementError, match="longer than the shorter side of a frame of 96x64 px"):
        STILL.build([wide]).sample(free, numpy_generator(0))


def test_empty_support_masks_are_refused() -> None:
    """Without a support mask there is nothing to transplant; the message names the sampler that needs none."""
    with pytest.raises(MaskPlacementError, match="kind: box"):
        TransplantSamplerSettings().build([np.zeros((10, 10), bool)])
