"""The plan: complete, fixed by the seed, independent of what it does not depend on."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anogen_core.arrays import Mask
from anogen_core.diffusion.crop import CropSettings
from anogen_core.masks import BoxSamplerSettings, TransplantSamplerSettings, duplicates
from anogen_core.masks.duplicates import SAME_PLACE, TakenPlaces
from anogen_core.masks.foreground import ForegroundSettings
from anogen_core.masks.product import Product
from anogen_core.masks.sampler import render, union_of
from anogen_core.planning import PlanSettings, plan_requests
from anogen_core.records import Box, GenerationRequest, Placement, Sample
from anogen_core.shards import split_into_shards

NORMALS = [
    Sample(
        sample_id=f"c/train/good/{i}", category="c", defect="good", split="train", image_uri=f"/{i}.png", sha256=str(i)
    )
    for i in range(5)
]
SETTINGS = PlanSettings(
    images_per_defect=12,
    mask_sampler=BoxSamplerSettings(attempts=50),
    foreground=ForegroundSettings(method="full"),
    crop=CropSettings(),
    canvas=64,
    cells=16,
    shown=False,
)
WHOLE = Product(settings=SETTINGS.foreground)


def _mask(side: int) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[10 : 10 + side, 20 : 20 + side] = True
    return mask


def _texture(sample: Sample) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(int(sample.sha256))).integers(90, 160, (64, 64, 3), dtype=np.uint8)


def _support() -> tuple[np.ndarray, np.ndarray]:
    return _texture(NORMALS[0]), _mask(9)


def _plan(
    settings: PlanSettings = SETTINGS, *, seed: int = 0, defects: tuple[str, ...] = ("crack", "hole")
) -> list[GenerationRequest]:
    return plan_requests(NORMALS, {d: [_support()] for d in defects}, settings, product=WHOLE, load=_texture, seed=seed)


@pytest.mark.parametrize(("method", "times"), [("otsu", 1), ("full", 0)])
def test_every_photo_is_read_once_for_all_defects(method: Literal["otsu", "full"], times: int) -> None:
    """However many there are, and however many requests on each: reading takes longer than placing.

    Where the product is the whole frame none is read; the first one tells the size of the frame.
    """
    normals = [NORMALS[0].model_copy(update={"sample_id": f"c/train/good/{i:03}"}) for i in range(300)]
    product = Product(settings=ForegroundSettings(method=method))
    read: list[str] = []

    def load(sample: Sample) -> np.ndarray:
        read.append(sample.sample_id)
        return _texture(sample)

    settings = SETTINGS.model_copy(update={"images_per_defect": 310, "foreground": product.settings})
    support = {"crack": [_support()], "hole": [_support()]}
    planned = plan_requests(normals, support, settings, product=product, load=load, seed=0)

    assert sorted(read) == sorted([normals[0].sample_id, *(n.sample_id for n in normals for _ in range(times))])
    assert [request.index for request in planned] == list(range(620))
    assert [request.request_id for request in planned[:2]] == ["crack-000000", "crack-000001"]
    assert planned[0].normal == planned[300].normal


def test_plan_is_complete_and_uses_normals_evenly() -> None:
    """Every defect has its number of requests, ids are unique, and each photo is used as often as any other."""
    requests = _plan()

    assert [r.index for r in requests] == list(range(24))
    assert len({r.request_id for r in requests}) == 24
    assert len({r.seed for r in requests}) == 24
    for defect in ("crack", "hole"):
        uses = [sum(r.normal == n for r in requests if r.defect == defect) for n in NORMALS]
        assert max(uses) - min(uses) <= 1


def test_plan_depends_on_seed_and_not_on_neighbours() -> None:
    """The same seed plans the same; a defect's requests do not change when another defect or more images are added."""
    alone = _plan(defects=("hole",))
    more = _plan(SETTINGS.model_copy(update={"images_per_defect": 15}))

    together = {r.request_id: r for r in _plan()}

    assert _plan() == list(together.values())
    assert _plan(seed=1) != list(together.values())
    assert all(together[r.request_id].model_copy(update={"index": r.index}) == r for r in alone)
    assert all(r.model_copy(update={"index": q.index}) == q for r in more if (q := together.get(r.request_id)))


SQUARES = st.builds(
    lambda x, y, width, height, angle: Placement(box=Box(x=x, y=y, width=width, height=height), angle=angle),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(12, 16),
    st.integers(12, 16),
    st.sampled_from([0.0, 5.0, 90.0]),
)


@given(st.lists(SQUARES, max_size=6), SQUARES)
def test_a_taken_place_is_one_whose_mask_is_nearly_the_same(taken: list[Placement], new: Placement) -> None:
    """The comparison of boxes and areas leaves out no mask that overlaps by more than the limit."""
    places, mask = TakenPlaces(), render(new, (32, 32))
    masks = [render(placement, (32, 32)) for placement in taken]
    for placement, other in zip(taken, masks, strict=True):
        places.add([placement], other)

    assert places.hold(mask) == any((mask & m).sum() / (mask | m).sum() > SAME_PLACE for m in masks)


def test_places_far_apart_are_not_drawn_to_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a plan of many images of one photo does not take time with the square of their number."""
    drawn: list[int] = []

    def counted(placements: Sequence[Placement], frame: tuple[int, int]) -> Mask:
        drawn.append(1)
        return union_of(placements, frame)

    monkeypatch.setattr(duplicates, "union_of", counted)
    places = TakenPlaces()
    squares = [Placement(box=Box(x=4 * i, y=0, width=12, height=12)) for i in range(50)]

    for square in squares:
        mask = render(square, (12, 208))
        assert not places.hold(mask)
        places.add([square], mask)

    assert drawn == []
    assert places.hold(mask)
    assert drawn == [1]


def test_request_without_a_place_is_blocked_with_its_reason() -> None:
    """A mask that no square of the frame can hold is blocked in the plan, never dropped."""
    settings = SETTINGS.model_copy(update={"mask_sampler": BoxSamplerSettings(width=(0.9, 0.9), height=(0.1, 0.1))})

    def wide(sample: Sample) -> np.ndarray:
        return np.concatenate([_texture(sample)] * 3, axis=1)

    requests = plan_requests(NORMALS, {"crack": [_support()]}, settings, product=WHOLE, load=wide, seed=0)

    assert len(requests) == 12
    assert all(not r.instances and r.blocked is not None and "largest square" in r.blocked for r in requests)


def test_masks_that_cannot_span_their_cells_are_blocked_with_what_to_do() -> None:
    """`min_cells` above the canvas's cells blocks every request; as many as it has block none."""

    def blocked(min_cells: int) -> list[str | None]:
        return [r.blocked for r in _plan(SETTINGS.model_copy(update={"crop": CropSettings(min_cells=min_cells)}))]

    assert blocked(16) == [None] * 24
    assert all("has 16 latent cells a side, expected 32" in (reason or "") for reason in blocked(32))


@pytest.mark.parametrize(
    ("sampler", "shown", "made"), [("transplant", True, 3), ("transplant", False, 0), ("box", True, 0)]
)
def test_masks_too_thin_to_be_painted_are_blocked_unless_the_defect_is_shown(
    sampler: str, made: int, *, shown: bool
) -> None:
    """A hair on a large photo is made from a transplanted support defect alone; boxes start from noise."""
    hair = np.zeros((1600, 1600), bool)
    hair[800:802, 100:1500] = True
    boxes = BoxSamplerSettings(min_size=3)
    settings = SETTINGS.model_copy(
        update={
            "images_per_defect": 3,
            "mask_sampler": boxes if sampler == "box" else TransplantSamplerSettings(margin=0, rotation=0),
            "shown": shown,
        }
    )

    def large(sample: Sample) -> np.ndarray:
        return np.tile(_texture(sample), (25, 25, 1))

    requests = plan_requests(
        NORMALS, {"hair": [(large(NORMALS[0]), hair)]}, settings, product=WHOLE, load=large, seed=0
    )

    assert [len(r.instances) for r in requests] == [1] * made + [0] * (3 - made)
    assert all("too thin to be painted" in r.blocked for r in requests if r.blocked is not None)


def test_a_thin_outline_is_drawn_again_where_others_will_do() -> None:
    """One support defect is a hair and one is not: every request takes the other, with one defect and with two."""
    hair, spot = np.zeros((2, 1600, 1600), bool)
    hair[800:802, 100:1500] = True
    spot[700:900, 700:900] = True

    def large(sample: Sample) -> np.ndarray:
        return np.tile(_texture(sample), (25, 25, 1))

    supports = {"mark": [(large(NORMALS[0]), hair), (large(NORMALS[1]), spot)]}
    for number in (1, 2):
        settings = SETTINGS.model_copy(
            update={
                "images_per_defect": 4,
                "instances": (number, number),
                "mask_sampler": TransplantSamplerSettings(margin=0, rotation=0),
                "shown": False,
            }
        )

        requests = plan_requests(NORMALS, supports, settings, product=WHOLE, load=large, seed=0)

        assert [r.blocked for r in requests] == [None] * 4
        assert {i.placement.source for r in requests for i in r.instances} == {1}


@given(st.integers(1, 30))
def test_shards_hold_every_request_once_and_in_order(size: int) -> None:
    """Whatever the shard size, the shards are a partition of the plan."""
    requests = _plan()

    shards = split_into_shards(requests, size)

    assert [r for shard in shards for r in shard.requests] == requests
    assert all(len(shard.requests) == size for shard in shards[:-1])
    assert [shard.index for shard in shards] == list(range(len(shards)))


def _free(requests: list[GenerationRequest]) -> None:
    """Assert that the boxes of the defects of each image keep their gap."""
    for request in requests:
        boxes = [i.placement.box for i in request.instances]
        for number, a in enumerate(boxes):
            for b in boxes[:number]:
                gap_x = max(a.x - b.x - b.width, b.x - a.x - a.width)
                gap_y = max(a.y - b.y - b.height, b.y - a.y - a.height)
                assert max(gap_x, gap_y) >= 4, request.request_id


def test_an_image_may_show_several_defects_that_do_not_touch() -> None:
    """Counts are drawn from the whole range, boxes keep their gap, every defect has noise of its own."""
    several = SETTINGS.model_copy(update={"instances": (1, 3), "images_per_defect": 40})

    requests = _plan(several, defects=("crack",))

    assert {len(r.instances) for r in requests} == {1, 2, 3}
    _free(requests)
    seeds = [i.seed for r in requests for i in r.instances]
    assert len(set(seeds)) == len(seeds)
    assert _plan(several, defects=("crack",)) == requests


def test_the_first_defect_does_not_depend_on_how_many_there_are() -> None:
    """One defect for each image is planned as it was before there could be several."""
    one = _plan(SETTINGS.model_copy(update={"instances": (1, 1)}))

    assert all(r.instances[0].seed == r.seed for r in one)
    assert one == _plan()


def test_more_defects_than_there_is_room_for_are_blocked_in_words() -> None:
    """The fewest must fit; the message says what to lower."""
    requests = _plan(SETTINGS.model_copy(update={"instances": (200, 200), "images_per_defect": 2}), defects=("crack",))

    assert all(not r.instances for r in requests)
    assert all("no room for 200 defects" in (r.blocked or "") for r in requests)
    assert all("generation.instances" in (r.blocked or "") for r in requests)
