"""Where a defect may be: boxes on the foreground, sizes from the support masks, honest refusals."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from anogen_core.diffusion.crop import bounding_box
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.box import BoxSamplerSettings
from anogen_core.masks.foreground import ForegroundSettings, find_foreground
from anogen_core.masks.perlin import PerlinSamplerSettings
from anogen_core.masks.sampler import draw_region, regions, render
from anogen_core.records import Box, Placement
from anogen_core.seeding import numpy_generator


def _mask(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    for x, y, w, h in boxes:
        mask[y : y + h, x : x + w] = True
    return mask


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_boxes_lie_in_the_frame_and_on_the_foreground(seed: int, rotate: bool) -> None:  # noqa: FBT001
    """Every accepted mask is not empty and covers the foreground by the stated share."""
    foreground = _mask(80, 120, (30, 20, 70, 50))
    settings = BoxSamplerSettings(rotate=rotate, min_overlap=0.9, attempts=5000)
    sampler = settings.build([_mask(80, 120, (10, 10, 20, 8))])

    mask = render(sampler.sample(foreground, numpy_generator(seed)), (80, 120))

    assert mask.any()
    assert foreground[mask].mean() >= 0.9


def test_placement_follows_its_generator_alone() -> None:
    """The same seed gives the same placement, another seed another one, and no global generator is touched."""
    foreground = np.ones((64, 64), bool)
    sampler = BoxSamplerSettings().build([_mask(64, 64, (5, 5, 12, 9))])
    np.random.seed(1)  # noqa: NPY002 - the global generator that must stay untouched
    before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002

    first, again, other = (sampler.sample(foreground, numpy_generator(seed)) for seed in (4, 4, 5))

    assert first == again
    assert first != other
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # noqa: NPY002


def test_sizes_follow_the_support_masks() -> None:
    """Without ranges, boxes are as large as the support defects, give or take jitter and padding."""
    settings = BoxSamplerSettings(jitter=1.25, padding=0.0, min_size=1)
    sampler = settings.build([_mask(200, 200, (50, 50, 40, 20))])

    boxes = [sampler.sample(np.ones((200, 200), bool), numpy_generator(i)).box for i in range(50)]

    assert all(32 <= box.width <= 50 and 16 <= box.height <= 25 for box in boxes)
    assert len({box.width for box in boxes}) > 5


def test_impossible_placement_ends_after_bounded_attempts_with_a_reason() -> None:
    """A foreground too small for any box ends the search; the message says what was found and what to change."""
    sampler = BoxSamplerSettings(attempts=20).build([_mask(64, 64, (0, 0, 40, 40))])

    with pytest.raises(MaskPlacementError, match=r"in 20 attempts \(best 0\.\d\d, foreground 1% of 64x64 px\)"):
        sampler.sample(_mask(64, 64, (30, 30, 6, 6)), numpy_generator(0))


def test_rotation_setting_rejects_the_string_false() -> None:
    """The text "False" is not a boolean; read as one it would rotate every box."""
    with pytest.raises(ValidationError, match="boolean"):
        BoxSamplerSettings.model_validate({"rotate": "False"})


def test_crumbs_of_an_annotation_are_not_defects() -> None:
    """Fragments closer than the joining distance are one defect, and specks far smaller than it are none."""
    mask = _mask(100, 100, (10, 10, 20, 20), (33, 10, 10, 20), (90, 90, 2, 2))

    (region,) = regions([mask])
    assert region.shape.shape == (20, 33)


def test_small_parts_of_several_photos_belong_to_the_defect() -> None:
    """Drops beside a stain are kept with it where two photos have two; not far ones, and not pixels."""
    drops = [(15, 40, 4, 4), (45, 10, 3, 4)]
    masks = [_mask(200, 200, (30, 30, 20, 20), *drops, (150, 150, 4, 4), (20, 70, 2, 2)) for _ in range(2)]
    alone, single = _mask(200, 200, (30, 30, 20, 20)), _mask(200, 200, (30, 30, 20, 20), *drops[:1])

    assert [int(region.shape.sum()) for region in regions([*masks, alone])] == [428, 428, 400]
    assert [int(region.shape.sum()) for region in regions([masks[0], single])] == [400, 400]


def test_specks_of_a_cluster_are_one_defect() -> None:
    """Gaps narrower than the parts are large join them; wider ones, and a chain as long as the frame, do not."""
    cluster = _mask(200, 200, (20, 20, 20, 20), (52, 20, 20, 20), (30, 52, 20, 20), (150, 150, 20, 20))
    row = _mask(60, 400, *((x, 20, 16, 16) for x in range(10, 390, 28)))

    assert sorted(region.shape.sum() for region in regions([cluster])) == [400, 1200]
    assert all(max(region.shape.shape) <= 30 for region in regions([row]))


def test_photos_are_drawn_alike_and_their_large_defects_first() -> None:
    """Three far specks weigh as much as the one defect of another photo, and a large one more than a small one."""
    specks = _mask(100, 100, (5, 5, 8, 8), (80, 5, 8, 8), (5, 80, 16, 8))
    found = regions([np.zeros((100, 100), bool), specks, _mask(100, 100, (40, 40, 20, 20))])
    rng = numpy_generator(0)

    drawn = [draw_region(found, rng) for _ in range(2000)]

    assert np.mean([region.photo == 2 for region in drawn]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([region.shape.sum() == 128 for region in drawn]) == pytest.approx(0.25, abs=0.04)


def test_axis_aligned_box_is_rendered_exactly() -> None:
    """The mask of an unrotated placement is its box, pixel by pixel."""
    placement = Placement(box=Box(x=3, y=5, width=7, height=4))

    assert bounding_box(render(placement, (20, 20))) == placement.box
    assert render(placement, (20, 20)).sum() == 28


def test_part_on_a_plain_background_is_found() -> None:
    """A bright part on a dark mat is the foreground, whichever of the two is brighter."""
    rng = numpy_generator(0)
    part = _mask(100, 100, (30, 25, 45, 50))
    grey = np.where(part, 180, 40) + rng.normal(0, 6, (100, 100))
    photo = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    for image in (photo, 255 - photo):
        found = find_foreground(image, ForegroundSettings(method="otsu", closing=5))
        assert (found == part).mean() > 0.97


def _blobs(**settings: Any) -> list[np.ndarray]:
    support = np.zeros((160, 200), bool)
    support[40:70, 50:95] = True
    sampler = PerlinSamplerSettings(**settings).build([support])
    everywhere = np.ones(support.shape, bool)
    return [render(sampler.sample(everywhere, numpy_generator(i)), support.shape) for i in range(20)]


def test_blobs_are_connected_varied_and_as_large_as_the_support() -> None:
    """One region each, without holes, never a full box, and no two alike; the seed decides."""
    blobs = _blobs()

    for blob in blobs:
        count, _ = cv2.connectedComponents(blob.astype(np.uint8), connectivity=8)
        box = bounding_box(blob)
        assert count == 2
        assert 12 <= box.height <= 30 * 1.25 + 1
        assert 18 <= box.width <= 45 * 1.25 + 1
        assert 0.25 < blob.sum() / (box.width * box.height) < 0.95
    assert len({blob.tobytes() for blob in blobs}) == 20
    assert all((a == b).all() for a, b in zip(blobs, _blobs(), strict=True))


def test_raggedness_makes_an_outline_longer() -> None:
    """Without noise a blob is an ellipse; with it the outline is longer for its area."""

    def length(blobs: list[np.ndarray]) -> float:
        found = [cv2.findContours(b.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0] for b in blobs]
        return float(
            np.mean([cv2.arcLength(o, closed=True) / np.sqrt(b.sum()) for o, b in zip(found, blobs, strict=True)])
        )

    assert length(_blobs(raggedness=1.5)) > 1.1 * length(_blobs(raggedness=0))
