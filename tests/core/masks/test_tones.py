"""Defects on a product of two tones, such as tracks on the ground of a circuit board."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.diffusion.crop import CropSettings
from anogen_core.masks.box_outline import outline_boxes
from anogen_core.masks.foreground import ForegroundSettings
from anogen_core.masks.product import Product
from anogen_core.masks.sampler import Segmented, render
from anogen_core.masks.tones import find_tones
from anogen_core.masks.transplant import TransplantSamplerSettings
from anogen_core.planning import PlanSettings, plan_requests
from anogen_core.records import GenerationRequest, Sample
from anogen_core.seeding import numpy_generator
from anogen_core.stages.regeneration import regenerate
from anogen_core.storage.dataset import Dataset
from anogen_core.transplant import transplant
from tests.datasets import make_dataset

FRAME = (128, 128)
EVERYWHERE = np.ones(FRAME, bool)
TRACK, GROUND = 20, 230


def _board(seed: int, *, tracks: int = 3, light: float = 1.0) -> tuple[Image, list[int]]:
    """Return a board with tracks 14 pixels wide from left to right, or from top to bottom, and where each begins."""
    rng = numpy_generator(seed)
    grey = np.full(FRAME, float(GROUND))
    starts = [int(rng.integers(4, 16)) + 40 * number for number in range(tracks)]
    for start in starts:
        grey[start : start + 14] = TRACK
    photo = np.repeat((light * grey + rng.normal(0, 3, FRAME))[..., None], 3, axis=2)
    return np.clip(photo, 0, 255).astype(np.uint8), starts


def spur(seed: int) -> tuple[Image, Mask]:
    """Return a board one of whose tracks has a spur."""
    photo, starts = _board(seed)
    corners = np.array([[50, 13], [66, 13], [60, 23]])
    corners[:, 1] += starts[0] + 1
    mask = cv2.fillPoly(np.zeros(FRAME, np.uint8), [corners], 1) > 0
    photo[mask] = TRACK
    return photo, mask


def gap(seed: int) -> tuple[Image, Mask]:
    """Return a board one of whose tracks is open."""
    photo, starts = _board(seed)
    mask = cv2.rectangle(np.zeros(FRAME, np.uint8), (56, starts[1]), (66, starts[1] + 13), 1, -1) > 0
    photo[mask] = GROUND
    return photo, mask


def hole(seed: int) -> tuple[Image, Mask]:
    """Return a board with a hole in a track, clear of its border."""
    photo, starts = _board(seed)
    mask = cv2.circle(np.zeros(FRAME, np.uint8), (60, starts[1] + 7), 3, 1, -1) > 0
    photo[mask] = GROUND
    return photo, mask


def _planned(support: tuple[Image, Mask], normals: list[Image], images: int = 12) -> list[GenerationRequest]:
    samples = [
        Sample(
            sample_id=f"c/train/good/{i}", category="c", defect="good", split="train", image_uri=f"{i}", sha256=str(i)
        )
        for i in range(len(normals))
    ]
    settings = PlanSettings(
        images_per_defect=images,
        mask_sampler=TransplantSamplerSettings(),
        foreground=ForegroundSettings(method="full"),
        crop=CropSettings(),
        canvas=64,
        cells=16,
        shown=True,
    )
    return plan_requests(
        samples,
        {"defect": [support]},
        settings,
        product=Product(settings=settings.foreground, typical=tuple(samples)),
        load=lambda sample: normals[int(sample.image_uri)],
        seed=0,
    )


def _starts(support: tuple[Image, Mask], request: GenerationRequest, normal: Image) -> tuple[Image, Mask]:
    placement = request.instances[0].placement
    mask = render(placement, FRAME)
    assert placement.warp is not None
    return transplant(normal, mask, *support, placement.warp, placement.edge, fits=placement.fits).image, mask


@pytest.mark.parametrize("make", [spur, gap, hole])
def test_an_outline_is_found_across_the_border_of_two_tones(make: Callable[[int], tuple[Image, Mask]]) -> None:
    """What a box shows of tracks is none of the defect: the tracks go on so elsewhere."""
    for seed in range(4):
        photo, mask = make(seed)
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        box = np.zeros(FRAME, bool)
        box[y - 6 : y + height + 6, x - 6 : x + width + 6] = True

        found = outline_boxes(photo, box)

        assert (found & mask).sum() / (found | mask).sum() > 0.75


def test_two_tones_are_told_from_light_and_grain() -> None:
    """Tracks and ground have two, also where each photo is mostly one; a shaded plate and one of grain have none."""
    plate = np.repeat(np.linspace(20, 235, 128)[None, :, None], 128, axis=0).repeat(3, axis=2).astype(np.uint8)
    grain = numpy_generator(0).normal(120, 50, (*FRAME, 1)).clip(0, 255).repeat(3, axis=2).astype(np.uint8)
    boards = [_board(seed, tracks=seed % 3 + 1)[0] for seed in range(6)]

    found = find_tones([Segmented(photo, EVERYWHERE) for photo in boards])

    assert found is not None
    assert 20 < found < 80
    assert find_tones([Segmented(plate, EVERYWHERE)]) is None
    assert find_tones([Segmented(grain, EVERYWHERE)]) is None
    assert find_tones([]) is None


def test_what_lies_across_the_border_of_two_tones_does_so_again() -> None:
    """A spur grows out of a track, and a gap opens one, on the boards that have any."""
    boards = [_board(seed)[0] for seed in range(10, 16)]
    for support, tone in ((spur(1), TRACK), (gap(2), GROUND)):
        for request in _planned(support, boards):
            normal = boards[int(request.normal.image_uri)]
            image, mask = _starts(support, request, normal)

            changed = np.abs(image.astype(int) - normal).max(axis=2) > 100
            assert changed.sum() > 0.5 * support[1].sum()
            assert abs(float(np.median(image[changed])) - tone) < 30
            near = cv2.dilate(changed.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            tones = normal[..., 0][near & ~mask] > 128
            assert 0.1 < tones.mean() < 0.95


def test_a_photo_without_such_a_place_is_passed_over() -> None:
    """Bare ground has no track that could be open; where no photo has one, the request is blocked and says so."""
    bare, board = _board(20, tracks=0)[0], _board(21)[0]

    some = _planned(gap(3), [bare, board, bare, board])
    none = _planned(gap(3), [bare, np.full_like(bare, TRACK)])

    assert {request.normal.image_uri for request in some if request.instances} == {"1", "3"}
    assert all(not request.instances for request in none)
    assert "two tones" in str(none[0].blocked)


def test_a_hole_stays_on_its_tone() -> None:
    """A hole in a track goes to tracks, whatever most of a photo shows."""
    boards = [_board(seed, tracks=seed % 3 + 1)[0] for seed in range(30, 36)]
    support = hole(4)
    for request in _planned(support, boards):
        mask = render(request.instances[0].placement, FRAME)
        ring = (cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & ~mask
        assert (boards[int(request.normal.image_uri)][..., 0][ring] < 128).mean() > 0.8


def test_a_defect_is_as_bright_as_the_tones_of_its_new_photo() -> None:
    """Ground that shows in a gap is that of the dimmer board, whatever share of either photo is ground."""
    support, (dim, _) = gap(5), _board(40, tracks=1, light=0.7)
    (request, *_) = _planned(support, [dim], images=1)

    image, mask = _starts(support, request, dim)

    changed = np.abs(image.astype(int) - dim).max(axis=2) > 80
    assert abs(float(np.median(image[changed & mask])) - 0.7 * GROUND) < 15


def test_a_spur_stays_dark_where_a_board_is_mostly_ground() -> None:
    """The support photo is mostly track, its spur in a narrow strip of ground: that says nothing of the light."""
    photo, normal = (np.full((*FRAME, 3), tone, np.uint8) for tone in (TRACK, GROUND))
    photo[20:33] = GROUND
    normal[:20] = TRACK
    spur = np.zeros(FRAME, bool)
    spur[20:30, 50:58] = True
    photo[spur] = TRACK

    image = transplant(normal, spur, photo, spur, (1, 0, 0, 0, 1, 0), fits=True).image

    assert np.median(image[spur]) < 2 * TRACK


def test_a_defect_at_the_border_of_two_tones_is_made_again_from_the_ledger(
    small_run: dict[str, Any], tmp_path: Path
) -> None:
    """The ledger says that the border runs there as around the support defect, which decides how bright it is."""
    root = tmp_path / "photos/board"
    for number in range(9):
        photo, mask = spur(number) if number < 3 else (_board(number)[0], None)
        folder = root / ("train/good" if mask is None else "test/spur")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{number}.png"), photo)
        if mask is not None:
            (root / "ground_truth/spur").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / f"ground_truth/spur/{number}_mask.png"), 255 * mask.astype(np.uint8))
    run = {**small_run, "reader": {"kind": "mvtec", "root": str(tmp_path / "photos")}, "output": str(tmp_path / "out")}
    run["foreground"] = {"method": "full"}

    dataset = Dataset(make_dataset(RunConfig.model_validate(run), "board").uri)

    made = dataset.made()
    assert made
    for row in made:
        assert row.instances is not None
        assert all(instance.fits for instance in row.instances)
        assert regenerate(dataset.uri, row.request_id).identical
