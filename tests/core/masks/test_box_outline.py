"""Outlines found inside boxes, on defects whose truth is known."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from anogen_core.masks.box_outline import outline_boxes
from anogen_core.procedural.scene import DEFECTS, render_scene
from anogen_core.seeding import derive_seed, numpy_generator


def shaded(side: int = 96, seed: int = 0) -> np.ndarray:
    """A grainy surface that gets brighter to the right."""
    grain = np.random.default_rng(seed).normal(0, 4, (side, side, 3))
    return (grain + np.linspace(90, 170, side)[None, :, None]).clip(0, 255).astype(np.uint8)


def box_around(mask: np.ndarray, share: float = 0.2) -> np.ndarray:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    right, down = round(share * width) + 1, round(share * height) + 1
    box = np.zeros_like(mask)
    box[max(0, y - down) : y + height + down, max(0, x - right) : x + width + right] = True
    return box


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def scratch(side: int) -> np.ndarray:
    return cv2.line(np.zeros((side, side), np.uint8), (20, 70), (72, 24), 1, 4) > 0


def disc(side: int) -> np.ndarray:
    return cv2.circle(np.zeros((side, side), np.uint8), (48, 44), 14, 1, -1) > 0


@pytest.mark.parametrize("draw", [scratch, disc])
@pytest.mark.parametrize("change", [-50, 45])
def test_an_outline_is_found_on_an_uneven_surface(draw: Callable[[int], np.ndarray], change: int) -> None:
    """Dark and bright, thin and wide, though the surface alone differs by more than the defect across the photo."""
    truth = draw(96)
    photo = np.clip(shaded() + truth[..., None] * float(change), 0, 255).astype(np.uint8)
    box = box_around(truth)

    found = outline_boxes(photo, box)

    assert iou(box, truth) < 0.6
    assert iou(found, truth) > 0.8
    assert not (found & ~box).any()


def test_outlines_are_closer_than_boxes_on_rendered_scenes() -> None:
    """Over all kinds of defects on all kinds of surfaces."""
    boxes, outlines = [], []
    for number in range(60):
        rng = numpy_generator(derive_seed(5, number))
        scene = render_scene(rng, size=128, defect=DEFECTS[number % len(DEFECTS)])
        if 20 < scene.mask.sum() < 0.3 * scene.mask.size:
            box = box_around(scene.mask, 0.15)
            boxes.append(iou(box, scene.mask))
            outlines.append(iou(outline_boxes(scene.image, box), scene.mask))

    assert len(boxes) > 30
    assert np.mean(outlines) > np.mean(boxes) + 0.1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_groove_that_crosses_a_loose_box_is_no_defect(seed: int) -> None:
    """It goes on beyond the box, and is darker than the blot that lies across it is beside it."""
    down, across = np.indices((96, 96))
    groove = 40 * np.exp(-(((down - 48 - 0.3 * (across - 48)) / 8) ** 4))
    truth = cv2.ellipse(np.zeros((96, 96), np.uint8), (44, 44), (7, 13), 20, 0, 360, 1, -1) > 0
    photo = np.clip(shaded(seed=seed) - groove[..., None] - 30.0 * truth[..., None], 0, 255).astype(np.uint8)

    assert iou(outline_boxes(photo, box_around(truth, 0.8)), truth) > 0.75


@pytest.mark.parametrize("draw", [scratch, disc])
def test_a_box_around_the_whole_photo_is_outlined(draw: Callable[[int], np.ndarray]) -> None:
    """Nothing lies beside it, so most of what it holds is taken for surface."""
    truth = draw(96)
    photo = np.clip(shaded() - 50.0 * truth[..., None], 0, 255).astype(np.uint8)

    assert iou(outline_boxes(photo, np.ones((96, 96), bool)), truth) > 0.8


def test_the_threshold_follows_how_much_of_a_loose_box_is_filled() -> None:
    """Over all kinds of defects on all kinds of surfaces, in boxes twice as wide and high and more."""
    outlines = []
    for number in range(60):
        rng = numpy_generator(derive_seed(5, number))
        scene = render_scene(rng, size=128, defect=DEFECTS[number % len(DEFECTS)])
        if 20 < scene.mask.sum() < 0.3 * scene.mask.size:
            outlines.append(iou(outline_boxes(scene.image, box_around(scene.mask, 0.8)), scene.mask))

    assert np.mean(outlines) > 0.44


def test_boxes_apart_have_outlines_of_their_own() -> None:
    """What one box holds does not change what is found in another."""
    photo = shaded()
    cv2.circle(photo, (20, 20), 6, (30, 30, 30), -1)
    first = np.zeros((96, 96), bool)
    first[10:31, 10:31] = True
    alone = outline_boxes(photo, first)
    second = np.zeros((96, 96), bool)
    second[60:85, 60:85] = True
    cv2.circle(photo, (72, 72), 5, (250, 250, 250), -1)

    both = outline_boxes(photo, first | second)

    assert np.array_equal(both & first, alone)
    assert 60 < (both & second).sum() < 200


@pytest.mark.parametrize("size", [(64, 64), (1, 1)])
def test_a_box_in_which_nothing_stands_out_stays(size: tuple[int, int]) -> None:
    photo = np.full((64, 64, 3), 120, np.uint8)
    box = np.zeros((64, 64), bool)
    box[: size[0], : size[1]] = True

    assert np.array_equal(outline_boxes(photo, box), box)


def test_a_photo_without_boxes_has_no_outline() -> None:
    assert not outline_boxes(shaded(), np.zeros((96, 96), bool)).any()


def test_large_boxes_are_outlined_as_small_ones_are() -> None:
    """A photo of four times the size has the same outline, four times as large."""
    truth = disc(96)
    photo = np.where(truth[..., None], 40, shaded()).astype(np.uint8)
    large = cv2.resize(photo, (960, 960), interpolation=cv2.INTER_CUBIC)
    truth = cv2.resize(truth.astype(np.uint8), (960, 960), interpolation=cv2.INTER_NEAREST) > 0

    assert iou(outline_boxes(large, box_around(truth)), truth) > 0.9
