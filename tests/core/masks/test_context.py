"""Defects that keep to certain surroundings are placed in such; those that lie anywhere are not."""

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.masks.context import Context
from anogen_core.masks.layout import find_layout
from anogen_core.masks.rim import RimSampler
from anogen_core.masks.sampler import Segmented, regions, render
from anogen_core.masks.surroundings import EIGHT, see
from anogen_core.masks.transplant import TransplantSamplerSettings
from anogen_core.records import Placement
from anogen_core.seeding import numpy_generator

FRAME = (200, 200)
EVERYWHERE = np.ones(FRAME, bool)
Point = tuple[int, int]


def _board(seed: int, *, quarters: int = 0) -> tuple[Image, list[Point]]:
    """Return a board with a chip and scattered pads, and the (x, y) of the gaps between the chip's pins."""
    rng = numpy_generator(seed)
    photo = np.full((*FRAME, 3), (40, 110, 60), np.uint8)
    for x, y in rng.integers((8, 100), (190, 150), (14, 2)).tolist():
        cv2.rectangle(photo, (x, y), (x + int(rng.integers(3, 9)), y + int(rng.integers(3, 9))), (190, 180, 120), -1)
    left, top = rng.integers((20, 20), (90, 40)).tolist()
    cv2.rectangle(photo, (left, top + 10), (left + 78, top + 45), (35, 35, 40), -1)
    for pin in range(8):
        cv2.rectangle(photo, (left + 10 * pin, top), (left + 10 * pin + 4, top + 10), (210, 210, 215), -1)
    gaps = [(left + 10 * pin + 7, top + 5) for pin in range(7)]
    if quarters:
        photo = np.ascontiguousarray(np.rot90(photo, quarters))
        gaps = [(y, FRAME[1] - 1 - x) for x, y in gaps]
    noise = rng.normal(0, 3, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8), gaps


def _defective(seed: int, *, in_gap: bool, lit: bool = False) -> tuple[Image, Mask]:
    photo, gaps = _board(seed)
    rng = numpy_generator(100 + seed)
    x, y = gaps[int(rng.integers(len(gaps)))] if in_gap else rng.integers((10, 10), (190, 150)).tolist()
    mask = cv2.ellipse(np.zeros(FRAME, np.uint8), (x, y), (6, 3), 0, 0, 360, 1, -1) > 0
    photo[mask] = (225, 225, 230)
    if lit:
        photo[mask] -= 12 * (x + 6 - np.nonzero(mask)[1][:, None]).astype(np.uint8)
    return photo, mask


def _support(*, in_gap: bool, first: int = 0) -> tuple[list[Mask], list[Segmented]]:
    made = [_defective(seed, in_gap=in_gap) for seed in range(first, first + 3)]
    return [mask for _, mask in made], [Segmented(photo, EVERYWHERE) for photo, _ in made]


def _away(points: list[tuple[float, float]], gaps: list[Point]) -> np.ndarray:
    """Return how far each point is from the nearest gap, in pixels."""
    return np.array([min(math.dist(point, gap) for gap in gaps) for point in points])


def _middle(mask: Mask) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


def test_surroundings_that_matter_are_told_from_those_that_do_not() -> None:
    """Bridges between pins are always seen to be there; blots at random places hardly ever seem to keep to any."""
    kept = [Context.learn(regions(masks), shown) for masks, shown in (_support(in_gap=True, first=k) for k in (0, 10))]
    free = [
        Context.learn(regions(masks), shown)
        for masks, shown in (_support(in_gap=False, first=10 * k) for k in range(12))
    ]

    assert all(kept)
    assert sum(context is not None for context in free) <= 1


def test_one_photo_tells_nothing() -> None:
    """There is nothing to compare it with."""
    masks, shown = _support(in_gap=True)

    assert Context.learn(regions(masks[:1]), shown[:1]) is None


@pytest.mark.parametrize("quarters", [0, 1])
def test_places_are_those_that_look_alike(quarters: int) -> None:
    """On other boards they are the gaps between pins, and the defect is turned as the board is."""
    masks, shown = _support(in_gap=True)
    found = regions(masks)
    context = Context.learn(found, shown)
    assert context is not None
    photo, gaps = _board(50, quarters=quarters)

    places = context.places(found[0], see(photo))

    assert np.quantile(_away(places.centres.tolist(), gaps), 0.9) < 4
    across = np.abs(np.sin(places.turns)) > 0.5
    assert across.all() if quarters else not across.any()


def test_defects_go_where_they_belong() -> None:
    """Between pins with the photo, anywhere without it or without support photos; and the placement says so."""
    masks, shown = _support(in_gap=True)
    photo, gaps = _board(60)
    sampler, blind = (TransplantSamplerSettings().build(masks, known) for known in (shown, ()))
    assert sampler.looks
    assert not blind.looks

    placed = [sampler.sample(EVERYWHERE, numpy_generator(seed), photo=photo) for seed in range(20)]
    anywhere = [blind.sample(EVERYWHERE, numpy_generator(seed), photo=photo) for seed in range(20)]

    assert all(placement.alike for placement in placed)
    assert not any(placement.alike for placement in anywhere)
    assert np.quantile(_away([_middle(render(p, FRAME)) for p in placed], gaps), 0.9) < 5
    assert np.median(_away([_middle(render(p, FRAME)) for p in anywhere], gaps)) > 15


def _row(seed: int) -> tuple[Image, list[Point]]:
    """Return a photo of a row of teeth on cloth, and their middles (x, y)."""
    rng = numpy_generator(seed)
    photo = np.full((*FRAME, 3), (60, 70, 90), np.uint8)
    left, top = rng.integers((90, 2), (106, 16)).tolist()
    teeth = [(left + 7, y + 3) for y in range(top, FRAME[0] - 8, 14)]
    for x, y in teeth:
        cv2.rectangle(photo, (x - 7, y - 3), (x + 7, y + 3), (190, 180, 150), -1)
    return np.clip(photo + rng.normal(0, 3, photo.shape), 0, 255).astype(np.uint8), teeth


def _broken(seed: int) -> tuple[Image, Mask]:
    photo, teeth = _row(seed)
    x, y = teeth[int(numpy_generator(100 + seed).integers(2, len(teeth) - 2))]
    mask = cv2.rectangle(np.zeros(FRAME, np.uint8), (x - 7, y - 3), (x + 7, y + 3), 1, -1) > 0
    photo[mask] = (30, 35, 45)
    return photo, mask


def test_each_tooth_of_a_row_is_one_place() -> None:
    """Beside it the defect would lie on cloth; nor is it turned, or larger or smaller by more than 6 %."""
    made = [_broken(seed) for seed in range(3)]
    masks, shown = [mask for _, mask in made], [Segmented(photo, EVERYWHERE) for photo, _ in made]
    sampler = TransplantSamplerSettings().build(masks, shown)
    photo, teeth = _row(50)
    metal = photo.mean(axis=2) > 120

    context = Context.learn(regions(masks), shown)
    assert context is not None
    assert len(context.places(regions(masks)[0], see(photo)).centres) <= len(teeth)
    for seed in range(20):
        placement = sampler.sample(EVERYWHERE, numpy_generator(seed), photo=photo)
        assert placement.alike
        assert placement.warp is not None
        assert placement.source is not None
        warp = np.array(placement.warp).reshape(2, 3)
        label = cv2.warpAffine(masks[placement.source].astype(np.uint8), warp, FRAME[::-1]) > 0
        assert metal[label].mean() > 0.8
        assert np.abs(np.abs(np.linalg.svd(warp[:, :2])[1]) - 1).max() < 0.061
        assert np.abs(warp[:, :2]).min() < 1e-6


def test_places_keep_the_bounds_that_people_set() -> None:
    """Within `reach` of where the defect was, not mirrored with `flip: false`, not turned with a small `rotation`."""
    masks, shown = _support(in_gap=True)
    photo, _ = _board(60)
    settings = TransplantSamplerSettings(reach=0.2, flip=False, rotation=10, bend=0)
    sampler = settings.build(masks, shown)

    for seed in range(20):
        placement = sampler.sample(EVERYWHERE, numpy_generator(seed), photo=photo)
        assert placement.warp is not None
        assert placement.source is not None
        linear = np.array(placement.warp).reshape(2, 3)[:, :2]
        assert np.linalg.det(linear) > 0
        assert abs(math.degrees(math.atan2(linear[1, 0], linear[0, 0]))) <= 10
        now, before = _middle(render(placement, FRAME)), _middle(masks[placement.source])
        assert np.all(np.abs(np.subtract(now, before)) <= 0.2 * np.array(FRAME[::-1]) + 3)


def test_surroundings_decide_before_the_light() -> None:
    """Bridges that are bright at the same side lie as the pins do; off these they are lit as they were."""
    made = [_defective(seed, in_gap=True, lit=True) for seed in range(3)]
    sampler = TransplantSamplerSettings().build(
        [mask for _, mask in made], [Segmented(photo, EVERYWHERE) for photo, _ in made]
    )

    placed = [sampler.sample(EVERYWHERE, numpy_generator(seed), photo=_board(60)[0]) for seed in range(10)]
    anywhere = [sampler.sample(EVERYWHERE, numpy_generator(seed)) for seed in range(10)]

    assert all(placement.alike and not placement.lit for placement in placed)
    assert all(placement.lit and not placement.alike for placement in anywhere)


def test_what_lies_off_the_foreground_is_no_place() -> None:
    """Where none of the gaps may be painted, defects go anywhere else."""
    masks, shown = _support(in_gap=True)
    photo, gaps = _board(60)
    foreground = EVERYWHERE.copy()
    foreground[: max(y for _, y in gaps) + 14] = False
    sampler = TransplantSamplerSettings().build(masks, shown)

    placed = [sampler.sample(foreground, numpy_generator(seed), photo=photo) for seed in range(10)]

    assert not any(placement.alike for placement in placed)
    assert all(foreground[render(placement, FRAME)].mean() >= 0.9 for placement in placed)


def test_limits_of_position_leave_the_surroundings_that_suit_them() -> None:
    """Upright ones are found where mirrored ones fit a little better: nearly all defects are placed alike."""
    masks, shown = _support(in_gap=True)
    photo, _ = _board(60)
    sampler = TransplantSamplerSettings(flip=False, rotation=10).build(masks, shown)

    placed = [sampler.sample(EVERYWHERE, numpy_generator(seed), photo=photo) for seed in range(20)]

    assert sum(placement.alike for placement in placed) >= 18


PERIOD = 24


def _carpet(seed: int) -> tuple[Image, Point]:
    """Return a photo of a carpet with a motif, and the (x, y) of one of them."""
    rng = numpy_generator(seed)
    photo = np.full((*FRAME, 3), (30, 50, 110), np.uint8)
    left, top = rng.integers(0, PERIOD, 2).tolist()
    for x in range(left - PERIOD, FRAME[1] + PERIOD, PERIOD):
        for y in range(top - PERIOD, FRAME[0] + PERIOD, PERIOD):
            cv2.ellipse(photo, (x, y), (8, 5), 0, 0, 360, (180, 40, 40), -1)
            cv2.circle(photo, (x + 3, y), 2, (230, 200, 90), -1)
    return np.clip(photo + rng.normal(0, 3, photo.shape), 0, 255).astype(np.uint8), (left, top)


def _burnt(photo: Image, seed: int) -> Mask:
    """Burn a hole anywhere into a photo."""
    x, y = numpy_generator(100 + seed).integers(45, 155, 2).tolist()
    mask = cv2.ellipse(np.zeros(FRAME, np.uint8), (x, y), (9, 6), 0, 0, 360, 1, -1) > 0
    photo[mask] = (20, 15, 10)
    return mask


def test_on_a_pattern_defects_go_where_their_own_piece_of_it_comes_again() -> None:
    """Holes lie anywhere on a motif, and each goes to its own phase of it, upright and on many of them."""
    made = [_carpet(seed) for seed in range(3)]
    masks = [_burnt(photo, seed) for seed, (photo, _) in enumerate(made)]
    sampler = TransplantSamplerSettings(bend=0).build(masks, [Segmented(photo, EVERYWHERE) for photo, _ in made])
    photo, corner = _carpet(50)
    assert sampler.looks

    placed = [sampler.sample(EVERYWHERE, numpy_generator(seed), photo=photo) for seed in range(20)]

    for placement in placed:
        assert placement.alike
        assert placement.source is not None
        assert placement.warp is not None
        own = np.subtract(_middle(masks[placement.source]), made[placement.source][1])
        phase = np.subtract(_middle(render(placement, FRAME)), corner) - own
        assert np.abs((phase + PERIOD / 2) % PERIOD - PERIOD / 2).max() < 3
        assert np.linalg.det(np.array(placement.warp).reshape(2, 3)[:, :2]) > 0
    assert len({(placement.box.x // PERIOD, placement.box.y // PERIOD) for placement in placed}) > 10


def _plain(seed: int) -> Image:
    return np.clip(100 + numpy_generator(seed).normal(0, 25, (*FRAME, 3)), 0, 255).astype(np.uint8)


def _shaded(seed: int) -> Image:
    ramp = np.linspace(60, 200, FRAME[1])[None, :, None]
    return np.clip(ramp + numpy_generator(seed).normal(0, 6, (*FRAME, 3)), 0, 255).astype(np.uint8)


def _printed(seed: int) -> Image:
    photo = _plain(seed)
    cv2.putText(photo, "AnoGen", (40, 90), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (230, 220, 60), 4)
    cv2.putText(photo, "40x27", (50, 140), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 160), 4)
    return photo


@pytest.mark.parametrize("draw", [_plain, _shaded, _printed])
def test_what_does_not_repeat_is_no_pattern(draw: Callable[[int], Image]) -> None:
    """Neither grain nor light from one side, nor a print that each photo shows once at the same place."""
    for first in (0, 10, 20):
        photos = [draw(seed) for seed in range(first, first + 3)]
        masks = [_burnt(photo, first + number) for number, photo in enumerate(photos)]
        assert Context.learn(regions(masks), [Segmented(photo, EVERYWHERE) for photo in photos]) is None


def test_a_pattern_beside_a_background_binds_nothing() -> None:
    """What comes again along a part is the part itself."""
    made = [_carpet(seed)[0] for seed in range(3)]
    masks = [_burnt(photo, seed) for seed, photo in enumerate(made)]
    part = EVERYWHERE.copy()
    part[:20] = False

    assert Context.learn(regions(masks), [Segmented(photo, part) for photo in made]) is None


PARTS = {"black": [(40, 40), (70, 44), (40, 120), (150, 90)], "brown": [(110, 40), (150, 44), (90, 110)]}
"""Middles (x, y) of the parts of two kinds on a circuit board."""


def _circuit(seed: int, *, most: int = 4, without: Point | None = None) -> tuple[Image, Point]:
    """Return a photo of a circuit board, moved by up to so many pixels, and by how many (right, down)."""
    rng, layout = numpy_generator(seed), numpy_generator(7)
    photo = np.full((*FRAME, 3), (40, 110, 60), np.uint8)
    for start, end in zip(
        layout.integers(5, 195, (9, 2)).tolist(), layout.integers(5, 195, (9, 2)).tolist(), strict=True
    ):
        cv2.line(photo, start, end, (50, 150, 80), 2)
    for kind, colour in (("black", (30, 30, 35)), ("brown", (170, 130, 90))):
        for x, y in PARTS[kind]:
            cv2.rectangle(photo, (x - 9, y - 5), (x + 9, y + 5), (210, 210, 215), -1)
            inside = (60, 130, 70) if (x, y) == without else colour
            cv2.rectangle(photo, (x - 5, y - 5), (x + 5, y + 5), inside, -1)
    right, down = rng.integers(-most, most + 1, 2).tolist()
    photo = np.roll(photo, (down, right), (0, 1))
    return np.clip(photo + rng.normal(0, 3, photo.shape), 0, 255).astype(np.uint8), (right, down)


def _without(seed: int, part: Point, *, most: int = 4) -> tuple[Mask, Segmented]:
    """Return the label and the photo of a board without one of its parts."""
    photo, (right, down) = _circuit(seed, most=most, without=part)
    x, y = part[0] + right, part[1] + down
    mask = cv2.rectangle(np.zeros(FRAME, np.uint8), (x - 9, y - 5), (x + 9, y + 5), 1, -1) > 0
    return mask, Segmented(photo, EVERYWHERE)


def _scratched(seed: int) -> tuple[Mask, Segmented]:
    photo, _ = _circuit(seed)
    start, off = numpy_generator(200 + seed).integers((50, 50), (150, 150), (2, 2)).tolist()
    end = [a + (b - 100) // 2 for a, b in zip(start, off, strict=True)]
    mask = cv2.line(np.zeros(FRAME, np.uint8), start, end, 1, 3) > 0
    photo[mask] = (190, 140, 90)
    return mask, Segmented(photo, EVERYWHERE)


FLAWLESS = [Segmented(_circuit(seed)[0], EVERYWHERE) for seed in range(60, 65)]


def test_parts_go_missing_where_parts_of_their_kind_are() -> None:
    """On a board that lies alike on all photos: those of the support photos and others, with the shift of the photo."""
    masks, shown = zip(*(_without(seed, part) for seed, part in enumerate(PARTS["black"][:3])), strict=True)
    sampler = TransplantSamplerSettings().build(masks, shown, FLAWLESS)
    photo, (right, down) = _circuit(50)

    placed = [sampler.sample(EVERYWHERE, numpy_generator(seed), photo=photo) for seed in range(30)]

    middles = [np.subtract(_middle(render(placement, FRAME)), (right, down)) for placement in placed]
    assert all(placement.alike and placement.layout == "at" for placement in placed)
    assert sampler.sample(EVERYWHERE, numpy_generator(0)).layout == "off"
    assert _away([(float(x), float(y)) for x, y in middles], PARTS["black"]).max() < 2
    nearest = {min(PARTS["black"], key=lambda part: math.dist(part, middle)) for middle in middles}
    assert nearest == set(PARTS["black"])


def test_what_belongs_to_places_is_there_wherever_the_product_is_found() -> None:
    """A foreground that misses the parts bars none of them; what people drew does."""
    masks, shown = zip(*(_without(seed, part) for seed, part in enumerate(PARTS["black"][:3])), strict=True)
    sampler = TransplantSamplerSettings().build(masks, shown, FLAWLESS)
    photo, _ = _circuit(50)
    product = photo.max(axis=2) > 90
    rims = RimSampler(sampler, [(mask, np.ones(FRAME, bool)) for mask in masks])

    def draw(foreground: Mask) -> list[Placement]:
        return [rims.sample(foreground, numpy_generator(seed), product, photo) for seed in range(12)]

    drawn = np.ones(FRAME, bool)
    drawn[:, :105] = False
    anywhere, barred = draw(product), draw(product & drawn)

    assert all(placement.layout == "at" for placement in anywhere + barred)
    assert len({placement.box.x // 20 for placement in anywhere}) > 1
    assert all(drawn[render(placement, FRAME)].mean() >= 0.9 for placement in barred)


def _tray(seed: int, *, without: int | None = None) -> tuple[Image, list[Mask]]:
    """Return a photo of a tray, a little moved, with a capsule in each of six pockets but one, and the pockets."""
    rng = numpy_generator(seed)
    photo = np.full((*FRAME, 3), (150, 155, 160), np.uint8)
    cv2.putText(photo, "LOT 27", (20, 185), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 40, 120), 2)
    pockets, shift = [], rng.integers(-3, 4, 2).tolist()
    for number in range(6):
        middle = (55 + 90 * (number % 2), 35 + 50 * (number // 2))
        pockets.append(cv2.ellipse(np.zeros(FRAME, np.uint8), middle, (36, 17), 0, 0, 360, 1, -1) > 0)
        cv2.ellipse(photo, middle, (36, 17), 0, 0, 360, (110, 112, 115), -1)
        if number != without:
            x, y = np.add(middle, rng.integers(-3, 4, 2)).tolist()
            cv2.ellipse(photo, (x, y), (28, 11), 0, 90, 270, (180, 40, 35), -1)
            cv2.ellipse(photo, (x, y), (28, 11), 0, -90, 90, (220, 205, 170), -1)
    moved = [np.roll(pocket, shift, (0, 1)) for pocket in pockets]
    noisy = np.roll(photo, shift, (0, 1)) + rng.normal(0, 3, photo.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), moved


def test_places_of_one_kind_may_be_many() -> None:
    """Six pockets of a tray are the more of it the larger they are, and capsules lie in each a little otherwise."""
    made = [(number, *_tray(seed, without=number)) for seed, number in enumerate((0, 3, 4))]
    masks = [pockets[number] for number, _, pockets in made]
    flawless = [Segmented(_tray(seed)[0], EVERYWHERE) for seed in range(60, 65)]
    sampler = TransplantSamplerSettings().build(masks, [Segmented(photo, EVERYWHERE) for _, photo, _ in made], flawless)
    photo, pockets = _tray(50)

    placed = [sampler.sample(EVERYWHERE, numpy_generator(seed), photo=photo) for seed in range(12)]

    assert all(placement.layout == "at" for placement in placed)
    for placement in placed:
        assert min(math.dist(_middle(render(placement, FRAME)), _middle(pocket)) for pocket in pockets) < 10


SOCKETS = [(40, 40), (100, 44), (160, 40), (44, 110), (100, 150), (158, 120)]
"""Middles (x, y) of six sockets, each on a ground of its own."""


def _socketed(seed: int, *, without: int | None = None) -> tuple[Image, list[Point]]:
    rng, grounds = numpy_generator(seed), numpy_generator(5)
    photo = np.full((*FRAME, 3), (40, 110, 60), np.uint8)
    for start, end in grounds.integers(5, 195, (8, 2, 2)).tolist():
        cv2.line(photo, start, end, (60, 160, 90), 2)
    for number, (x, y) in enumerate(SOCKETS):
        cv2.rectangle(photo, (x - 14, y - 10), (x + 14, y + 10), grounds.integers(95, 130, 3).tolist(), -1)
        cv2.rectangle(
            photo, (x - 10, y - 6), (x + 10, y + 6), (60, 60, 60) if number == without else (240, 235, 230), -1
        )
    right, down = rng.integers(-4, 5, 2).tolist()
    noisy = np.roll(photo, (down, right), (0, 1)) + rng.normal(0, 2, photo.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), [(x + right, y + down) for x, y in SOCKETS]


def test_what_is_of_a_kind_lies_on_grounds_of_its_own() -> None:
    """Sockets differ more than one does from photo to photo: the gap to what is no socket tells that all are places."""
    made = [(number, *_socketed(seed, without=number)) for seed, number in enumerate((0, 3, 4))]
    masks = [
        cv2.ellipse(np.zeros(FRAME, np.uint8), sockets[number], (11, 7), 0, 0, 360, 1, -1) > 0
        for number, _, sockets in made
    ]
    flawless = [Segmented(_socketed(seed)[0], EVERYWHERE) for seed in range(60, 65)]
    context = Context.learn(regions(masks), [Segmented(photo, EVERYWHERE) for _, photo, _ in made], normals=flawless)
    photo, sockets = _socketed(50)

    assert context is not None
    assert context.bound
    for region in regions(masks):
        centres = context.places(region, see(photo)).centres.tolist()
        assert len(centres) == len(sockets)
        assert _away([(x, y) for x, y in centres], sockets).max() < 3


def test_scratches_of_a_board_that_lies_alike_go_anywhere() -> None:
    """Where each lies is found again on all photos, too, but they have nothing in common."""
    bound = []
    for first in range(0, 36, 3):
        masks, shown = zip(*(_scratched(seed) for seed in range(first, first + 3)), strict=True)
        bound.append(find_layout(regions(masks), [see(photo) for photo, _ in shown], FLAWLESS, EIGHT) is not None)

    assert sum(bound) <= 1


@pytest.mark.parametrize(("most", "parts", "normals"), [(60, 3, 5), (4, 2, 5), (4, 3, 2)])
def test_what_is_no_fixed_layout(most: int, parts: int, normals: int) -> None:
    """Boards that lie anywhere; two support photos, or two normal ones, tell too little."""
    masks, shown = zip(
        *(_without(seed, part, most=most) for seed, part in enumerate(PARTS["black"][:parts])), strict=True
    )
    bare = [Segmented(_circuit(seed, most=most)[0], EVERYWHERE) for seed in range(60, 60 + normals)]

    assert find_layout(regions(masks), [see(photo) for photo, _ in shown], bare, EIGHT) is None


@pytest.mark.parametrize("frame", [(100, 3000), (250, 3000), (3000, 256)])
def test_places_on_long_photos_are_where_they_should_be(frame: tuple[int, int]) -> None:
    """Rows and columns are reduced by factors of their own."""
    centre = (frame[1] - 200, frame[0] // 2) if frame[1] > frame[0] else (frame[1] // 2, frame[0] - 200)
    radius = min(frame) // 8

    def photo(seed: int) -> Image:
        noise = numpy_generator(seed).normal(0, 4, (*frame, 3))
        mark = np.full((*frame, 3), 90.0)
        cv2.circle(mark, centre, 2 * radius, (200, 60, 60), -1)
        return np.clip(mark + noise, 0, 255).astype(np.uint8)

    mask = cv2.circle(np.zeros(frame, np.uint8), centre, radius, 1, -1) > 0
    found = regions([mask, mask, mask])
    context = Context.learn(found, [Segmented(photo(seed), np.ones(frame, bool)) for seed in range(3)])

    assert context is not None
    places = context.places(found[0], see(photo(9)))
    assert np.abs(np.median(places.centres, axis=0) - centre).max() < 12


@pytest.mark.parametrize("frame", [(34, 3000), (6, 200), (1, 1)])
def test_surroundings_larger_than_the_photo_bind_nothing(frame: tuple[int, int]) -> None:
    """There is nowhere else to compare them with."""
    mask = np.zeros(frame, bool)
    mask[:, -(frame[1] // 3 + 1) :] = True
    photo = numpy_generator(0).integers(0, 255, (*frame, 3)).astype(np.uint8)

    assert Context.learn(regions([mask] * 3), [Segmented(photo, np.ones(frame, bool))] * 3) is None


def test_many_support_photos_are_compared() -> None:
    """Twenty give 190 pairs, whose probability is still a number."""
    made = [_defective(seed, in_gap=True) for seed in range(20)]

    assert Context.learn(regions([mask for _, mask in made]), [Segmented(photo, EVERYWHERE) for photo, _ in made])


def _perforated(seed: int, *, turned: float = 0.0) -> tuple[Image, Point, Mask]:
    """Return a board of holes with a part on it, by how many pixels (right, down) it lies off, and the part's mask."""
    rng = numpy_generator(seed)
    photo = np.full((*FRAME, 3), (150, 120, 80), np.uint8)
    for y in range(13, 200, 25):
        for x in range(13, 200, 25):
            cv2.circle(photo, (x, y), 5, (25, 20, 15), -1)
    corners = cv2.boxPoints(((100, 95), (70, 50), turned)).round().astype(np.int32)
    part = cv2.fillConvexPoly(np.zeros(FRAME, np.uint8), corners, 1)
    photo[part > 0] = (45, 45, 50)
    right, down = rng.integers(-3, 4, 2).tolist()
    noisy = np.roll(photo, (down, right), (0, 1)) + rng.normal(0, 3, photo.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), (right, down), np.roll(part, (down, right), (0, 1)) > 0


def test_a_part_that_lies_askew_on_a_board_of_holes_belongs_to_its_place() -> None:
    """Around its label every place looks alike, and a large one hardly moves in the frame."""
    masks, shown = [], []
    for seed, turned in enumerate((25.0, -30.0, 40.0)):
        photo, _, part = _perforated(seed, turned=turned)
        changed = (part | _perforated(seed)[2]).astype(np.uint8)
        masks.append(cv2.dilate(changed, np.ones((5, 5), np.uint8)) > 0)
        shown.append(Segmented(photo, EVERYWHERE))
    flawless = [Segmented(_perforated(seed)[0], EVERYWHERE) for seed in range(60, 65)]
    sampler = TransplantSamplerSettings().build(masks, shown, flawless)
    photo, (right, down), _ = _perforated(50)

    placed = [sampler.sample(EVERYWHERE, numpy_generator(seed), photo=photo) for seed in range(12)]

    assert all(placement.layout == "at" for placement in placed)
    for placement in placed:
        assert placement.source is not None
        (x, y), (own_right, own_down) = _middle(masks[placement.source]), _perforated(placement.source)[1]
        off = np.subtract(_middle(render(placement, FRAME)), (x - own_right + right, y - own_down + down))
        assert np.abs(off).max() < 2


def test_what_belongs_to_places_does_so_at_an_edge_too() -> None:
    """One of three parts lies at the edge of what is found to be the product."""
    masks, shown = zip(*(_without(seed, part) for seed, part in enumerate(PARTS["black"][:3])), strict=True)
    x, _ = _middle(masks[0])
    half = EVERYWHERE.copy()
    half[:, : int(x)] = False
    sampler = TransplantSamplerSettings().build(masks, [Segmented(shown[0].photo, half), *shown[1:]], FLAWLESS)
    photo, _ = _circuit(50)

    placed = [sampler.sample(EVERYWHERE, numpy_generator(seed), half, photo, 0) for seed in range(12)]

    assert all(placement.layout == "at" and placement.edge is None for placement in placed)
