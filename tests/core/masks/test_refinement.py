"""Pixel masks of generated defects, on cases whose truth is known."""

import cv2
import numpy as np
import pytest

from anogen_core.diffusion.crop import bounding_box
from anogen_core.masks.refinement import RefinementSettings, refine_mask
from anogen_core.procedural.scene import DEFECTS, render_scene
from anogen_core.seeding import derive_seed, numpy_generator

SETTINGS = RefinementSettings()


def grainy(seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).normal(130, 6, (side, side, 3)).clip(0, 255).astype(np.uint8)


def box_of(mask: np.ndarray, padding: int = 5) -> np.ndarray:
    around = bounding_box(mask)
    box = np.zeros_like(mask)
    box[
        max(0, around.y - padding) : around.y + around.height + padding,
        max(0, around.x - padding) : around.x + around.width + padding,
    ] = True
    return box


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("depth", [25, 60, 110])
def test_a_dark_disc_is_found_at_any_strength(depth: int) -> None:
    """The threshold follows the change: a faint disc and a black one give the same mask."""
    normal = grainy(0)
    truth = cv2.circle(np.zeros((64, 64), np.uint8), (32, 30), 9, 1, -1) > 0
    image = np.where(truth[..., None], normal.clip(depth) - depth, normal).astype(np.uint8)

    assert iou(refine_mask(normal, image, box_of(truth), SETTINGS).mask, truth) > 0.9


def test_texture_that_was_painted_anew_is_not_the_defect() -> None:
    """New grain in the whole box, as a model paints it, does not join the disc."""
    normal, other = grainy(1), grainy(2)
    truth = cv2.circle(np.zeros((64, 64), np.uint8), (32, 30), 9, 1, -1) > 0
    box = box_of(truth, 8)
    image = np.where(box[..., None], other, normal)
    image[truth] -= 90

    assert iou(refine_mask(normal, image, box, SETTINGS).mask, truth) > 0.8


def test_only_colour_may_change() -> None:
    """A stain of equal brightness is found."""
    normal = np.full((40, 40, 3), 120, np.uint8)
    image = normal.copy()
    image[10:20, 12:25] = (150, 107, 120)
    truth = np.zeros((40, 40), bool)
    truth[10:20, 12:25] = True

    assert iou(refine_mask(normal, image, box_of(truth), SETTINGS).mask, truth) > 0.8


def test_the_mask_stays_in_the_box_and_is_never_empty() -> None:
    """Changes beyond the box do not count; with no change at all the box stays the label."""
    normal = grainy(3)
    box = np.zeros((64, 64), bool)
    box[20:30, 20:40] = True
    image = normal.copy()
    image[25:50, 25:50] //= 2

    assert not refine_mask(normal, image, box, SETTINGS).mask[~box].any()
    assert np.array_equal(refine_mask(normal, normal, box, SETTINGS).mask, box)
    assert np.array_equal(refine_mask(normal, image, box, RefinementSettings(enabled=False)).mask, box)


def test_rendered_defects_are_outlined_far_better_than_by_their_box() -> None:
    """Over every kind of defect the project renders, the mean IoU with the true mask is twice that of the box."""
    refined, boxes = [], []
    for index, defect in enumerate(DEFECTS):
        pair = render_scene(numpy_generator(derive_seed(31, "pair", index)), size=96, defect=defect)
        box = box_of(pair.mask)
        image = np.where(box[..., None], pair.image, pair.flawless)
        refined.append(iou(refine_mask(pair.flawless, image, box, SETTINGS).mask, pair.mask))
        boxes.append(iou(box, pair.mask))

    assert np.mean(refined) > 2 * np.mean(boxes)
    assert np.mean(refined) > 0.55


def test_confidence_says_how_far_a_mask_can_be_trusted() -> None:
    """It agrees with the mask, is high in a clear defect, low in one that hardly shows, and zero outside the box."""
    normal = grainy(5)
    truth = cv2.circle(np.zeros((64, 64), np.uint8), (32, 30), 9, 1, -1) > 0
    box = box_of(truth)
    repainted = np.where(box[..., None], grainy(6), normal)

    def sure(depth: int) -> float:
        image = np.where(truth[..., None], repainted.clip(depth) - depth, repainted).astype(np.uint8)
        found = refine_mask(normal, image, box, SETTINGS)
        assert np.array_equal(found.confidence > 127, found.mask)
        assert not found.confidence[~box].any()
        return float(found.confidence[found.mask].mean() / 255)

    assert sure(110) > sure(20) > 0.5
    assert sure(110) > 0.75
    nothing = refine_mask(normal, normal, box, SETTINGS)
    assert np.array_equal(nothing.confidence, np.where(box, 128, 0))


def test_confidence_is_a_probability_on_rendered_defects() -> None:
    """Of the pixels of a confidence around p, about the share p is truly defective."""
    said, true = [], []
    for index, defect in enumerate(DEFECTS * 4):
        pair = render_scene(numpy_generator(derive_seed(32, "pair", index)), size=96, defect=defect)
        box = box_of(pair.mask)
        image = np.where(box[..., None], pair.image, pair.flawless)
        said.append(refine_mask(pair.flawless, image, box, SETTINGS).confidence[box] / 255)
        true.append(pair.mask[box])
    said_all, true_all = np.concatenate(said), np.concatenate(true)
    bins = np.minimum((said_all * 5).astype(int), 4)
    shares = np.array([true_all[bins == b].mean() for b in range(5)])
    means = np.array([said_all[bins == b].mean() for b in range(5)])

    assert (np.diff(shares) > 0).all()
    assert np.average(np.abs(shares - means), weights=np.bincount(bins)) < 0.12
