"""Defects of the edge lie across it on every side, and defects that run alike go on doing so."""

import math

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Mask
from anogen_core.masks.direction import (
    find_axes,
    find_axis,
    find_border,
    find_contour,
    find_edge,
    is_cut_off,
    turn_between,
)
from anogen_core.masks.rim import RimSampler, rim_on_product
from anogen_core.masks.sampler import Segmented, regions, render
from anogen_core.masks.transplant import TransplantSamplerSettings
from anogen_core.records import Placement
from anogen_core.seeding import numpy_generator

FRAME = (200, 240)
SEEDS = range(24)


def _filled(*corners: tuple[int, int]) -> Mask:
    return cv2.fillConvexPoly(np.zeros(FRAME, np.uint8), np.array(corners), 1) > 0


PART = _filled((40, 40), (199, 40), (199, 159), (40, 159))
"""40 pixels from the top, the left, the right and the bottom."""
DENT = _filled((100, 40), (130, 40), (124, 52), (106, 52))
"""Bites into the upper edge: wide outside, narrow inside."""
BURR = _filled((100, 25), (130, 25), (130, 41), (100, 41))
"""Stands out of the upper edge."""


def _line(angle: float, centre: tuple[int, int] = (120, 100), *, length: int = 50) -> Mask:
    """Return a line at an angle in degrees from x towards y."""
    way = length / 2 * np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    first, second = (tuple(np.rint(np.array(centre) + sign * way).astype(int).tolist()) for sign in (-1, 1))
    return cv2.line(np.zeros(FRAME, np.uint8), first, second, 1, 5) > 0


def _placed(settings: TransplantSamplerSettings, masks: list[Mask], foreground: Mask) -> list[Placement]:
    foregrounds = [foreground] * len(masks)
    shown = [Segmented(np.zeros((*FRAME, 3), np.uint8), foreground)] * len(masks)
    sampler = RimSampler(settings.build(masks, shown), list(zip(masks, foregrounds, strict=True)))
    return [sampler.sample(foreground, numpy_generator(seed)) for seed in SEEDS]


def _outside(placement: Placement) -> tuple[float, str]:
    """Return how far the former outer side of a defect is from the part it lies at, and at which side that is."""
    assert placement.warp is not None
    outer = np.array(placement.warp).reshape(2, 3) @ [115, 40, 1]
    inner = np.array(placement.warp).reshape(2, 3) @ [115, 52, 1]
    away = {"top": outer[1] - 40, "left": outer[0] - 40, "bottom": 159 - outer[1], "right": 199 - outer[0]}
    side = min(away, key=lambda name: abs(away[name]))
    deeper = {"top": inner[1] - 40, "left": inner[0] - 40, "bottom": 159 - inner[1], "right": 199 - inner[0]}[side]
    return float(deeper - away[side]), side


def test_an_edge_is_found_with_its_direction() -> None:
    """The dent crosses the upper edge; what lies inside, or across a strip from side to side, has no such direction."""
    edge = find_edge(DENT, PART & ~DENT)

    assert edge is not None
    assert edge.point == pytest.approx((115, 40), abs=1.5)
    assert edge.outward == pytest.approx(-math.pi / 2, abs=0.05)
    assert edge.width == pytest.approx(35, abs=5)
    assert find_edge(_line(0), PART) is None
    assert find_edge(_line(90, length=60), _filled((0, 90), (239, 90), (239, 110), (0, 110))) is None
    assert find_edge(DENT, np.ones(FRAME, bool)) is None


def test_what_lies_all_across_a_part_or_over_a_groove_is_at_no_edge() -> None:
    """Also where one side hangs over a little more than the other; a wavy edge that is touched twice is one edge."""
    across = _filled((105, 30), (130, 30), (130, 162), (107, 162))
    spot = cv2.circle(np.zeros(FRAME, np.uint8), (120, 100), 20, 1, -1) > 0
    groove = _filled((126, 40), (133, 40), (133, 159), (126, 159))
    waves = (
        PART
        & ~_filled((104, 40), (110, 40), (110, 46), (104, 46))
        & ~_filled((120, 40), (128, 40), (128, 46), (120, 46))
    )
    along = _filled((100, 44), (132, 44), (132, 60), (100, 60))

    assert find_edge(across, PART) is None
    assert find_edge(spot, PART & ~groove) is None
    assert find_edge(along, waves) is not None


def test_the_border_of_the_photo_is_no_edge() -> None:
    """A part that the photo cuts off has no edge there."""
    contour = find_contour(_filled((0, 0), (239, 0), (239, 99), (0, 99)))

    assert set(contour[:, 1].tolist()) == {99}
    assert len(contour) == FRAME[1]


def test_dents_bite_into_every_side_from_outside() -> None:
    """They are turned with the edge, with their outer side outside; kept from turning they stay at the upper one."""
    found = [_outside(placement) for placement in _placed(TransplantSamplerSettings(), [DENT], PART)]
    still = [_outside(placement) for placement in _placed(TransplantSamplerSettings(rotation=10), [DENT], PART)]

    assert {side for _, side in found} == {"top", "left", "bottom", "right"}
    assert np.median([deeper for deeper, _ in found]) > 9
    assert min(deeper for deeper, _ in found) > 5
    assert {side for _, side in still} == {"top"}


def test_burrs_stand_out_of_the_part() -> None:
    """A defect that is mostly beside the part goes beside it, whatever `min_overlap` says."""
    masks = [render(placement, FRAME) for placement in _placed(TransplantSamplerSettings(), [BURR], PART)]

    assert np.median([PART[mask].mean() for mask in masks]) < 0.3
    assert max(PART[mask].mean() for mask in masks) < 0.5
    assert all(0.1 < rim_on_product(mask, PART) < 0.6 for mask in masks)


def test_no_strip_of_the_part_stays_outside_a_bite() -> None:
    """The outer side of a dent lies at the edge or beyond it, the inner side of a burr at the edge or inside."""
    dents = _placed(TransplantSamplerSettings(jitter=1), [DENT], PART)
    burrs = _placed(TransplantSamplerSettings(jitter=1), [BURR], PART)

    def depth(placement: Placement) -> float:
        assert placement.warp is not None
        x, y = np.array(placement.warp).reshape(2, 3) @ [115, 40, 1]
        return float(min(y - 40, x - 40, 159 - y, 199 - x))

    assert -3 < min(map(depth, dents)) < -1
    assert max(map(depth, dents)) < 1
    assert min(map(depth, burrs)) > -1.5
    assert 1 < max(map(depth, burrs)) < 3


def test_places_of_an_edge_stay_within_reach() -> None:
    """`reach` bounds how far along the edge a dent goes, along each axis."""
    settings = TransplantSamplerSettings(reach=0.1, flip=False)
    for placement in _placed(settings, [DENT], PART):
        middle = np.array(placement.warp).reshape(2, 3) @ [115, 40, 1]
        assert abs(middle[0] - 115) <= 0.1 * FRAME[1] + 4
        assert abs(middle[1] - 40) <= 0.1 * FRAME[0] + 4


@pytest.mark.parametrize("rotation", [0, 5])
def test_a_small_rotation_is_kept_and_parts_may_lie_askew(rotation: float) -> None:
    """On a part that is tilted by three degrees, dents are turned by what is allowed and no more."""
    tilted = cv2.warpAffine(PART.astype(np.uint8), cv2.getRotationMatrix2D((120, 100), 3, 1), FRAME[::-1]) > 0
    sampler = TransplantSamplerSettings(rotation=rotation).build(
        [DENT], [Segmented(np.zeros((*FRAME, 3), np.uint8), PART)]
    )
    placed = [sampler.sample(tilted, numpy_generator(seed)) for seed in SEEDS]
    assert sum(placement.edge is not None for placement in placed) >= len(placed) - 1
    for placement in placed:
        assert placement.warp is not None
        (a, b), (c, d) = np.array(placement.warp).reshape(2, 3)[:, :2]
        turns = math.degrees(math.atan2(c, abs(a))), math.degrees(math.atan2(-b, d))
        assert max(abs(turn) for turn in turns) < rotation + 0.1


def test_both_sides_of_a_narrow_part_are_told_apart() -> None:
    """A chip that is wider than a shaft is thick lies at its rim, not in its middle."""
    shaft = _filled((0, 90), (239, 90), (239, 113), (0, 113))
    chip = _filled((80, 90), (139, 90), (130, 97), (90, 97))
    for placement in _placed(TransplantSamplerSettings(), [chip], shaft):
        rows = np.flatnonzero(render(placement, FRAME).any(axis=1))
        assert rows[0] <= 92 or rows[-1] >= 111


def test_chips_of_a_bore_stay_at_bores() -> None:
    """The wider ring around them tells a bore from the outer edge."""
    rows, columns = np.indices(FRAME)
    near = [np.hypot(rows - 100, columns - x) for x in (85, 155)]
    part = PART & (near[0] > 14) & (near[1] > 14)
    chip = part & (np.hypot(rows - 100, columns - 69) < 6)
    placed = [render(placement, FRAME) for placement in _placed(TransplantSamplerSettings(), [chip], part)]
    at_bores = [min(distance[mask].mean() for distance in near) < 26 for mask in placed]

    assert sum(at_bores) >= len(placed) - 2


def test_drawn_regions_are_no_edges() -> None:
    """A scratch stays where it is legal, and dents at the edge that is legal."""
    legal = PART.copy()
    legal[:, :120] = False
    sampler = TransplantSamplerSettings().build([DENT], [Segmented(np.zeros((*FRAME, 3), np.uint8), PART)])
    for seed in SEEDS:
        placement = sampler.sample(legal, numpy_generator(seed), PART)
        mask = render(placement, FRAME)
        assert rim_on_product(mask, PART) < 0.9
        assert legal[mask & PART].mean() > 0.7


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0, 90.0])
def test_an_axis_is_the_longer_direction(angle: float) -> None:
    """It is found to a degree or two, and a blob has none."""
    axis = find_axis(_line(angle))

    assert axis is not None
    assert abs(math.degrees(turn_between(math.radians(angle), axis, math.pi))) < 2
    assert find_axis(_filled((90, 90), (110, 90), (110, 108), (90, 108))) is None
    assert find_axis(np.ones((1, 1), bool)) is None


@pytest.mark.parametrize(
    ("angles", "period"),
    [([28, 30, 33], math.pi), ([1, 91, -2], math.pi / 2), ([0, 40, 80], None), ([10, 10], None)],
)
def test_axes_that_agree_are_told_from_those_that_do_not(angles: list[float], period: float | None) -> None:
    """Alike, at right angles, scattered, and too few to tell."""
    axes = find_axes(regions([_line(angle) for angle in angles]))

    assert (axes.period if axes else None) == period


@pytest.mark.parametrize(("angles", "wanted"), [([28, 30, 32], 30), ([0, 90, 1], 0)])
def test_defects_that_lie_alike_are_not_turned(angles: list[float], wanted: float) -> None:
    """Diagonal ones keep their direction when they are mirrored, too; 30 degrees where a number says so."""
    masks, everywhere = [_line(angle) for angle in angles], np.ones(FRAME, bool)
    period = math.pi if wanted else math.pi / 2

    def turns(settings: TransplantSamplerSettings) -> list[float]:
        found = [find_axis(render(p, FRAME)) for p in _placed(settings, masks, everywhere)]
        return [abs(math.degrees(turn_between(math.radians(wanted), axis, period))) for axis in found if axis]

    assert max(turns(TransplantSamplerSettings())) < 7
    assert max(turns(TransplantSamplerSettings(rotation=30))) > 15


@pytest.mark.parametrize("rotation", [None, 180])
def test_what_the_border_cuts_off_is_cut_off_again(rotation: float | None) -> None:
    """A crack that leaves the photo does so at its own side, or at any with a `rotation` that lets it."""
    crack = cv2.line(np.zeros(FRAME, np.uint8), (120, 0), (128, 45), 1, 3) > 0
    sides = []
    for placement in _placed(TransplantSamplerSettings(rotation=rotation), [crack], np.ones(FRAME, bool)):
        mask = render(placement, FRAME)
        ends = {"top": mask[0], "bottom": mask[-1], "left": mask[:, 0], "right": mask[:, -1]}
        sides.append({name for name, line in ends.items() if line.any()})
        assert np.count_nonzero(mask) > 0.5 * np.count_nonzero(crack)

    assert all(sides)
    assert set.union(*sides) >= ({"top", "left", "bottom", "right"} if rotation else {"top"})
    assert rotation or all("top" in touched for touched in sides)


def test_what_several_sides_of_the_photo_cut_off_stays_there() -> None:
    """A shade over a whole end of the part, or in a corner of it, shows no straight side: those lie at the border."""
    end, corner = np.zeros(FRAME, bool), np.zeros(FRAME, bool)
    end[:, 150:] = True
    corner[:60, :80] = True
    for mask, sides in ((end, {"top", "bottom"}), (corner, {"top"})):
        for placement in _placed(TransplantSamplerSettings(), [mask], np.ones(FRAME, bool)):
            placed = render(placement, FRAME)
            ends = {"top": placed[0], "bottom": placed[-1], "left": placed[:, 0], "right": placed[:, -1]}
            touched = {name for name, line in ends.items() if line.sum() > 30}
            assert touched >= sides
            assert touched - sides in ({"left"}, {"right"})


def test_a_stain_at_the_border_stays_as_large_as_it_was() -> None:
    """It is pushed out by no more than its straight side asks; where the part ends before, it goes anywhere."""
    stain = cv2.circle(np.zeros(FRAME, np.uint8), (160, 0), 20, 1, -1) > 0
    everywhere, inner = np.ones(FRAME, bool), PART

    sizes = [render(p, FRAME).sum() / stain.sum() for p in _placed(TransplantSamplerSettings(), [stain], everywhere)]
    sampler = TransplantSamplerSettings().build([stain], [Segmented(np.zeros((*FRAME, 3), np.uint8), everywhere)])

    assert 0.8 < np.median(sizes) < 1.3
    assert all(PART[render(sampler.sample(inner, numpy_generator(seed)), FRAME)].mean() >= 0.9 for seed in SEEDS)


def test_borders_and_corners() -> None:
    """A defect in the middle has no border, one in a corner two of which none counts."""
    assert find_border(_line(0)) is None
    assert find_border(_filled((0, 0), (30, 0), (30, 30), (0, 30))) is None
    border = find_border(_filled((0, 50), (20, 50), (20, 80), (0, 80)))
    assert border is not None
    assert border.point == (0, 65)
    assert border.width == 30
    assert find_border(cv2.circle(np.zeros(FRAME, np.uint8), (120, 20), 20, 1, -1) > 0) is None
    assert border.outward == pytest.approx(math.pi)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_crack_that_tapers_towards_the_border_is_cut_off_by_it(turns: int) -> None:
    """It counts how thick it is near the border, not where it is thickest; a blob that grazes the border is not."""
    crack = _filled((239, 97), (239, 105), (190, 112), (160, 100), (190, 88)) | _line(0, (150, 100))
    blob = cv2.circle(np.zeros(FRAME, np.uint8), (219, 100), 20, 1, -1) > 0

    border = find_border(np.rot90(crack, turns))

    assert np.flatnonzero(crack[:, -1]).tolist() == list(range(97, 106))
    assert border is not None
    assert border.outward == pytest.approx([0, -math.pi / 2, math.pi, math.pi / 2][turns])
    assert find_border(np.rot90(blob, turns)) is None


@pytest.mark.parametrize("flip", [False, True])
def test_the_plan_tells_what_the_border_cuts_off(*, flip: bool) -> None:
    """It does of cracks that leave the photo, but in its corners, and of hardly any that ends inside."""
    inside = cv2.line(np.zeros(FRAME, np.uint8), (120, 60), (128, 105), 1, 3) > 0
    crack = cv2.line(np.zeros(FRAME, np.uint8), (120, 0), (128, 45), 1, 3) > 0
    settings, everywhere = TransplantSamplerSettings(flip=flip), np.ones(FRAME, bool)

    placed = [is_cut_off(placement, FRAME) for placement in _placed(settings, [crack], everywhere)]
    assert sum(placed) >= 0.9 * len(placed)
    touching = [is_cut_off(placement, FRAME) for placement in _placed(settings, [inside], everywhere)]
    assert sum(touching) <= 0.1 * len(touching)  # by chance
