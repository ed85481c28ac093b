"""Masks lie at the edge of the product as the support defects do."""

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Mask
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.rim import RimSampler, fill_specks, rim_on_product
from anogen_core.masks.sampler import Segmented, render
from anogen_core.masks.transplant import TransplantSamplerSettings
from anogen_core.seeding import numpy_generator

FRAME = (160, 160)


def _disc(row: int, column: int, radius: int) -> Mask:
    return cv2.circle(np.zeros(FRAME, np.uint8), (column, row), radius, 1, -1) > 0


PART = _disc(80, 80, 60)
SCRATCH = cv2.line(np.zeros(FRAME, np.uint8), (50, 70), (110, 85), 1, 3) > 0
CHIP = _disc(80, 138, 9) & PART


def _rims(support: Mask, *, like_support: bool, count: int = 25) -> list[float]:
    settings = TransplantSamplerSettings(rotation=180)
    plain = settings.build([support], [Segmented(np.zeros((*FRAME, 3), np.uint8), PART)])
    sampler = RimSampler(plain, [(support, PART)]) if like_support else settings.build([support])
    placed = [render(sampler.sample(PART, numpy_generator(seed)), FRAME) for seed in range(count)]
    return [rim_on_product(mask, PART) for mask in placed]


def test_a_rim_is_the_share_of_the_ring_on_the_product() -> None:
    """Inside, across the edge, outside, and at the frame's border, where the product goes on."""
    assert rim_on_product(SCRATCH, PART) == 1
    assert 0.3 < rim_on_product(_disc(80, 140, 9), PART) < 0.6
    assert rim_on_product(_disc(10, 10, 5), PART) == 0
    assert rim_on_product(np.ones(FRAME, bool), PART) == 1
    assert rim_on_product(_disc(0, 80, 9), np.ones(FRAME, bool)) == 1


def test_specks_around_a_defect_are_no_background() -> None:
    """The dark rim of a scratch counts as product, what lies around the part and a bore in it do not."""
    halo = cv2.dilate(SCRATCH.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    halo[:, 70:] = False
    bore = _disc(50, 110, 9)

    filled = fill_specks(PART & ~halo & ~bore, SCRATCH)

    assert rim_on_product(SCRATCH, PART & ~halo) < 0.9
    assert rim_on_product(SCRATCH, filled) == 1
    assert np.array_equal(filled | SCRATCH, (PART & ~bore) | SCRATCH)


def test_what_was_inside_does_not_hang_over_the_edge() -> None:
    """Scratches of the middle of a part stay on it; without the rule the ends of some cross its edge."""
    assert min(_rims(SCRATCH, like_support=True)) >= 0.97
    assert min(_rims(SCRATCH, like_support=False)) < 0.95


def test_what_was_at_the_edge_goes_to_an_edge() -> None:
    """Chips come to lie where a part of their rim is beside the part; without the rule most lie in the middle."""
    wanted = rim_on_product(CHIP, PART)
    assert wanted < 0.8

    near = np.abs(np.array(_rims(CHIP, like_support=True)) - wanted)
    anywhere = np.abs(np.array(_rims(CHIP, like_support=False)) - wanted)

    assert np.median(near) < 0.12
    assert np.median(anywhere) > 0.3


def test_support_defects_whose_rims_are_seldom_found_are_used_as_often_as_others() -> None:
    """A long scratch hangs over the edge at most places, a speck at few: both are drawn alike."""
    masks = [cv2.line(np.zeros(FRAME, np.uint8), (30, 80), (130, 80), 1, 3) > 0, _disc(80, 80, 3)]
    shown = [Segmented(np.zeros((*FRAME, 3), np.uint8), PART)] * 2
    plain = TransplantSamplerSettings(rotation=180).build(masks, shown)
    sampler = RimSampler(plain, [(mask, PART) for mask in masks])

    used = [sampler.sample(PART, numpy_generator(seed)).source for seed in range(60)]

    assert 18 < used.count(0) < 42


def _rack(first: int) -> Mask:
    """Return a part with teeth of 10 px and gaps of 14 px along its upper side."""
    part = np.zeros(FRAME, bool)
    part[70:] = True
    for column in range(first, FRAME[1], 24):
        part[58:70, max(0, column) : column + 10] = True
    return part


def test_teeth_come_to_lie_on_teeth() -> None:
    """A bite out of a rack goes to where the teeth left and right of it are, whatever their phase."""
    rack = _rack(8)
    bite = np.zeros(FRAME, bool)
    bite[58:76, 78:92] = True
    plain = TransplantSamplerSettings(rotation=0).build([bite], [Segmented(np.zeros((*FRAME, 3), np.uint8), rack)])
    sampler = RimSampler(plain, [(bite, rack)])
    off = []
    for seed in range(48):
        placement = sampler.sample(_rack(seed % 24), numpy_generator(seed))
        assert placement.warp is not None
        middle = (np.array(placement.warp).reshape(2, 3) @ [84.5, 64, 1])[0]
        off.append(abs((middle - seed % 24 - 4.5 + 12) % 24 - 12))

    assert np.median(off) < 2
    assert np.quantile(off, 0.8) < 3.4


def test_moves_along_the_edge_stay_within_reach() -> None:
    """With a `reach` the tooth stays where that says, though the next tooth of the rack lies farther off."""
    rack, tooth = _rack(8), np.zeros(FRAME, bool)
    tooth[58:70, 80:90] = True
    plain = TransplantSamplerSettings(rotation=0, reach=0.03, flip=False).build(
        [tooth], [Segmented(np.zeros((*FRAME, 3), np.uint8), rack)]
    )
    sampler = RimSampler(plain, [(tooth, rack)])

    for seed in range(12):
        placement = sampler.sample(_rack(8 + 12), numpy_generator(seed))
        assert placement.warp is not None
        middle = (np.array(placement.warp).reshape(2, 3) @ [84.5, 64, 1])[0]
        assert abs(middle - 84.5) < 0.03 * FRAME[1] + 3


def test_a_texture_is_planned_as_without_the_rule() -> None:
    """Where the whole frame is product the first draw is taken, with the same random numbers."""
    everywhere = np.ones(FRAME, bool)
    plain = TransplantSamplerSettings().build([SCRATCH])
    sampler = RimSampler(plain, [(SCRATCH, everywhere)])
    for seed in range(5):
        drawn = sampler.sample(everywhere, numpy_generator(seed))
        assert drawn == plain.sample(everywhere, numpy_generator(seed))


def test_a_support_beside_the_product_tells_nothing() -> None:
    """A mask whose surroundings are background decides no places: the first draw is taken."""
    plain = TransplantSamplerSettings().build([SCRATCH])
    sampler = RimSampler(plain, [(SCRATCH, np.zeros(FRAME, bool))])
    for seed in range(5):
        assert sampler.sample(PART, numpy_generator(seed)) == plain.sample(PART, numpy_generator(seed))


def test_where_nothing_has_room_the_reason_is_told() -> None:
    """The sampler below says why, and a request is blocked with it."""
    sampler = RimSampler(TransplantSamplerSettings(attempts=5).build([SCRATCH]), [(SCRATCH, PART)])
    with pytest.raises(MaskPlacementError, match="no outline lay on the foreground"):
        sampler.sample(_disc(80, 80, 4), numpy_generator(0))


def test_a_bite_leaves_no_sliver_outside() -> None:
    """A bite of a straight edge would leave a strip of a round part beside it, and a stain would not be one."""
    straight = np.zeros(FRAME, bool)
    straight[:, :100] = True
    bite = np.zeros(FRAME, bool)
    bite[60:100, 84:100] = True
    settings = TransplantSamplerSettings(bend=0, jitter=1)

    def left(support_part: Mask) -> int:
        plain = settings.build([bite], [Segmented(np.zeros((*FRAME, 3), np.uint8), straight)])
        sampler, most = RimSampler(plain, [(bite, support_part)]), 0
        for seed in range(12):
            mask = render(sampler.sample(PART, numpy_generator(seed), PART), FRAME)
            remains = (PART & ~mask).astype(np.uint8)
            thick = cv2.morphologyEx(remains, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
            most = max(most, cv2.connectedComponentsWithStats(remains - thick)[2][1:, cv2.CC_STAT_AREA].max(initial=0))
        return most

    assert left(straight & ~bite) < 20
    assert left(straight) > 40
