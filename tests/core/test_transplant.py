"""A support defect shown at the place of a request, and what is made from such a start."""

import copy
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anogen_core import bands
from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig, parse_config
from anogen_core.diffusion import BundledModelSettings
from anogen_core.diffusion.crop import CropSettings, bounding_box, choose_crop
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.sampling import SamplerSettings
from anogen_core.errors import InputError
from anogen_core.generation import GENERATION_VERSION, GenerationSettings, Job, generate
from anogen_core.masks import TransplantSamplerSettings
from anogen_core.masks.refinement import RefinementSettings, refine_mask
from anogen_core.masks.sampler import render
from anogen_core.matting import find_matte, shows_through
from anogen_core.quality.contrast import contrast
from anogen_core.quality.gates import Gates
from anogen_core.records import Box
from anogen_core.seeding import numpy_generator
from anogen_core.stages import catalogue, embedding, recipe
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.jobs import Source, load_job
from anogen_core.stages.regeneration import regenerate
from anogen_core.storage import Dataset
from anogen_core.transplant import Transplant, transplant, transplant_label
from tests.datasets import make_dataset

STILL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    return BundledModelSettings().build(torch.device("cpu"))


def _surface(level: int, seed: int = 0) -> Image:
    noise = np.random.Generator(np.random.PCG64(seed)).integers(-4, 5, (96, 128, 1))
    return np.repeat(np.clip(level + noise, 0, 255), 3, axis=2).astype(np.uint8)


def _defect() -> tuple[Image, Mask]:
    """Return a photo with an L-shaped defect, dark with a bright rim, and its mask."""
    canvas = np.zeros((96, 128), np.uint8)
    cv2.rectangle(canvas, (30, 20), (40, 60), 1, -1)
    cv2.rectangle(canvas, (30, 50), (60, 60), 1, -1)
    inner = cv2.erode(canvas, np.ones((3, 3), np.uint8)) > 0
    photo = _surface(120)
    photo[canvas > 0] = 200
    photo[inner] = 40
    return photo, canvas > 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_warp_of_a_placement_brings_the_support_defect_into_its_outline(seed: int) -> None:
    """Turned, mirrored and scaled as it is, what the warp moves lies where the mask is."""
    _, mask = _defect()
    sampler = TransplantSamplerSettings(rotation=180, bend=0, margin=0, attempts=2000).build([mask])

    placement = sampler.sample(np.ones((150, 170), bool), numpy_generator(seed))

    assert placement.warp is not None
    matrix = np.array(placement.warp).reshape(2, 3)
    moved = cv2.warpAffine(mask.astype(np.float32), matrix, (170, 150)) > 0.35
    placed = render(placement, (150, 170))
    assert (moved & placed).sum() / (moved | placed).sum() > 0.97


def test_a_defect_is_shown_inside_the_mask_and_nothing_changes_outside() -> None:
    """The defect's pixels arrive where the warp says; the rest of the photo is untouched."""
    photo, mask = _defect()
    normal, place = _surface(120, seed=1), np.roll(mask, (10, 25), axis=(0, 1))

    shown = transplant(normal, place, photo, mask, (1, 0, 25, 0, 1, 10)).image

    assert np.array_equal(shown[~place], normal[~place])
    middle = cv2.erode(place.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert np.abs(shown[middle].astype(int) - 40).max() <= 2


@pytest.mark.parametrize("level", [60, 180])
def test_a_defect_is_as_bright_as_the_surface_it_comes_to(level: int) -> None:
    """On a surface of another brightness the defect keeps its ratio to what surrounds it."""
    photo, mask = _defect()
    middle = cv2.erode(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0

    shown = transplant(_surface(level), mask, photo, mask, STILL).image

    assert shown[middle].mean() == pytest.approx(40 * level / 120, rel=0.1)


PAD = cv2.rectangle(np.zeros((96, 128), np.uint8), (30, 20), (60, 60), 1, -1) > 0


def _printed(level: int, seed: int = 0) -> Image:
    """Return a dark surface as bright as `level` with a white frame around a pad."""
    photo = _surface(level, seed)
    return cv2.rectangle(photo, (27, 17), (63, 63), (4 * level, 4 * level, 4 * level), 3)


@pytest.mark.parametrize("level", [40, 60])
def test_a_defect_among_other_things_is_as_bright_as_the_light_of_its_photo_says(level: int) -> None:
    """A white frame around a pad is no light that the bare board lacks; another exposure is followed all the same."""
    photo = _printed(40)
    photo[PAD] = 120

    shown = transplant(_surface(level, seed=1), PAD, photo, PAD, STILL)

    assert shown.image[30:50, 40:50].mean() == pytest.approx(120 * level / 40, rel=0.1)
    assert shown.unlike
    bare = _surface(40)
    bare[PAD] = 120
    assert not transplant(_printed(40, seed=1), PAD, bare, PAD, STILL).unlike


def test_a_defect_among_the_same_things_is_as_bright_as_these() -> None:
    """The frame is there in both photos: what differs around the mask is the light that falls on this place alone."""
    photo, normal = _printed(40), _printed(40, seed=1)
    photo[PAD] = 120
    normal[:80, :75] = normal[:80, :75] * 0.6

    shown = transplant(normal, PAD, photo, PAD, STILL)

    assert shown.image[30:50, 40:50].mean() == pytest.approx(120 * 0.6, rel=0.1)
    assert not shown.unlike


@pytest.mark.parametrize(("highlight", "least", "most"), [(250, 145, 180), (None, 215, 230)])
def test_a_shiny_defect_is_not_burnt_to_white(highlight: int | None, least: int, most: int) -> None:
    """Shade around it on its own photo says how bright a matte defect is, but not one whose highlight is white."""
    rows, columns = np.indices((96, 128))
    away = np.hypot(rows - 48, columns - 64)
    levels = np.where((away > 12) & (away < 24), 100, 150)
    if highlight is not None:
        levels[away < 4] = highlight
    photo = np.repeat(levels[..., None], 3, axis=2).astype(np.uint8)
    normal = np.full((96, 128, 3), 150, np.uint8)

    shown = transplant(normal, away <= 12, photo, away <= 12, STILL).image

    assert least <= np.median(shown[(away > 5) & (away < 8)]) <= most


def test_light_that_falls_off_along_a_defect_is_followed() -> None:
    """A strong ramp makes the sides of the mask differ as unlike things do, but steadily."""
    photo, mask = _defect()
    ramp = np.linspace(0.2, 1.2, 128)[None, :, None]
    normal = (_surface(120, seed=1) * ramp).astype(np.uint8)
    middle = cv2.erode(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    around = (cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0) & ~mask

    shown = transplant(normal, mask, photo, mask, STILL)

    assert shown.image[middle].mean() == pytest.approx(40 * normal[around].mean() / 120, rel=0.1)
    assert not shown.unlike


def test_a_mask_that_fills_the_photo_is_transplanted_as_it_is() -> None:
    """Nothing tells how bright its surroundings are; the photo is shown unscaled."""
    photo, _ = _defect()
    everything = np.ones((96, 128), bool)

    shown = transplant(_surface(90), everything, photo, everything, STILL).image

    assert np.array_equal(shown[10:-10, 10:-10], photo[10:-10, 10:-10])


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_what_the_photos_border_cuts_off_does_not_fade_out_there(turns: int) -> None:
    """A crack that runs out of the photo is as dark in the last pixel as before it, and ends softly inside."""
    photo, crack = np.full((64, 96, 3), 150, np.uint8), np.zeros((64, 96), bool)
    crack[28:36, 40:] = True
    photo[crack] = 60
    turned, outline = np.rot90(photo, turns).copy(), np.rot90(crack, turns).copy()

    image = transplant(np.full_like(turned, 150), outline, turned, outline, STILL).image

    along = np.rot90(image, -turns)[32, 40:, 0].astype(int)
    assert abs(along[-1] - along[-5]) <= 3
    assert along[0] > along[-5] + 20


def test_the_label_is_the_persons_outline_moved_and_cut_to_the_mask() -> None:
    """Where the support defect arrives and the mask allows it; the refined mask is that."""
    photo, mask = _defect()
    normal, place = _surface(120, seed=1), np.roll(mask, (10, 25), axis=(0, 1))
    wide = cv2.dilate(place.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    wide[:40] = False

    label = transplant_label(wide, mask, (1, 0, 25, 0, 1, 10))
    image = transplant(normal, wide, photo, mask, (1, 0, 25, 0, 1, 10)).image
    refined = refine_mask(normal, image, wide, RefinementSettings(), known=label)

    assert np.array_equal(label, place & wide)
    assert np.array_equal(refined.mask, label)
    assert np.array_equal(refined.confidence > 127, label)
    assert not refined.confidence[~wide].any()
    nothing = refine_mask(normal, normal, wide, RefinementSettings(), known=label)
    assert np.array_equal(nothing.mask, label)
    assert np.array_equal(nothing.confidence, np.where(label, 128, np.where(wide, 127, 0)))


def _jobs(model: DiffusionModel) -> list[Job]:
    photo, mask = _defect()
    cells = model.resolution // model.factor
    jobs = []
    for seed in range(3):
        normal = _surface(110, seed)
        crop = choose_crop(bounding_box(mask), mask.shape, cells, model.resolution, CropSettings())
        start = transplant(normal, mask, photo, mask, STILL).image if seed != 1 else None
        jobs.append(Job(normal, mask, crop, model.word_vector("scratch")[None], seed=seed, start=start))
    return jobs


def _settings(strength: float) -> GenerationSettings:
    return GenerationSettings(
        batch_size=2, feather=0, sampler=SamplerSettings(num_inference_steps=6, strength=strength)
    )


def test_little_noise_keeps_the_start_and_much_noise_varies_it(model: DiffusionModel) -> None:
    """What is made moves away from the start as the strength grows, and stays in the mask."""
    job = _jobs(model)[0]
    assert job.start is not None

    distances = []
    for strength in (0.17, 0.5, 0.84):
        image = generate([job], model, _settings(strength))[0]
        assert np.array_equal(image[~job.mask], job.normal[~job.mask])
        distances.append(np.abs(image[job.mask].astype(float) - job.start[job.mask]).mean())

    assert distances[0] < distances[1] < distances[2]


def test_jobs_with_and_without_a_start_do_not_depend_on_each_other(model: DiffusionModel) -> None:
    """Law 1, where only some masks are outlines of support defects."""
    jobs = _jobs(model)

    together = generate(jobs, model, _settings(0.5))
    alone = [generate([job], model, _settings(0.5))[0] for job in jobs]

    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one, other)


def _sealed(small_run: dict[str, object], output: Path, *, start: str) -> tuple[Dataset, RunConfig]:
    values = copy.deepcopy(small_run) | {"output": str(output)}
    values["generation"] = {
        "images_per_defect": 2,
        "batch_size": 2,
        "start": start,
        "sampler": {"num_inference_steps": 3},
    }
    config = parse_config(values, source="test")
    return Dataset(make_dataset(config, "bolt").uri), config


@pytest.mark.parametrize("start", ["support", "noise"])
def test_a_dataset_is_labelled_by_the_outlines_its_ledger_names(
    start: str, small_run: dict[str, object], tmp_path: Path
) -> None:
    """Photo and map in the ledger give the stored pixel mask again, and the image can be made again."""
    dataset, config = _sealed(small_run, tmp_path, start=start)
    masks = {
        sample.sample_id: mask
        for support in read_category(config, "bolt").supports
        for sample, (_, mask) in zip(support.samples, embedding.load_support(support, config), strict=True)
    }

    rows = dataset.made()

    assert rows
    for index, row in enumerate(rows):
        assert row.instances is not None
        (instance,) = row.instances
        assert instance.source is not None
        assert instance.warp is not None
        stored = next(iter(dataset.read([row])))
        expected = transplant_label(stored.box_mask > 0, masks[instance.source], instance.warp)
        assert np.array_equal(stored.mask > 0, expected), index
    assert regenerate(dataset.uri, rows[0].request_id).identical


def test_an_image_that_older_code_made_says_so(
    small_run: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference that the version of a step explains is told with both versions."""
    dataset, _ = _sealed(small_run, tmp_path, start="noise")
    monkeypatch.setattr(recipe, "GENERATION_VERSION", 1000)

    again = regenerate(dataset.uri, dataset.made()[0].request_id)

    assert again.identical
    assert again.describe() == "identical to the stored image, byte for byte"
    other = dataclasses.replace(again, image=255 - again.stored)
    assert other.describe().endswith(f"grey levels; it was made by generation {GENERATION_VERSION}, not 1000")


def _chipped(root: Path) -> None:
    """Write a category of bright plates on dark grounds, four of them with a chip of the upper edge."""
    plate = np.zeros((128, 128), np.uint8)
    cv2.rectangle(plate, (30, 34), (98, 96), 1, -1)
    for index in range(10):
        chipped, noise = index >= 6, numpy_generator(index).normal(0, 2, (128, 128, 3))
        left = 40 + 7 * (index - 6)
        chip = cv2.fillConvexPoly(
            np.zeros_like(plate), np.array([(left, 34), (left + 26, 34), (left + 18, 44), (left + 8, 44)]), 1
        )
        shown = (plate > 0) & ~((chip > 0) & chipped)
        photo = np.where(shown[..., None], (190, 180, 170), (30 + 3 * index, 40, 50)) + noise
        folder = root / "plate" / ("test/chip" if chipped else "train/good")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:03d}.png"), np.clip(photo, 0, 255).astype(np.uint8))
        if chipped:
            labels = root / "plate" / "ground_truth" / "chip"
            labels.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(labels / f"{index:03d}_mask.png"), 255 * chip)


def test_a_chip_of_the_edge_is_made_again_from_the_ledger(small_run: dict[str, Any], tmp_path: Path) -> None:
    """The ledger holds the edge that decides what background is, so that the same image comes out."""
    _chipped(tmp_path / "photos")
    run = {**small_run, "reader": {"kind": "mvtec", "root": str(tmp_path / "photos")}, "frame": {}}
    values = run | {"output": str(tmp_path / "out"), "generation": {**run["generation"], "images_per_defect": 4}}
    config = parse_config(values | {"mask_sampler": {"kind": "transplant"}, "foreground": {}}, source="test")

    dataset = Dataset(make_dataset(config, "plate").uri)

    rows = dataset.made()
    assert rows
    for row in rows:
        assert row.instances is not None
        assert row.instances[0].edge is not None
        assert regenerate(dataset.uri, row.request_id).identical


def _board(index: int, *, without: int | None = None) -> tuple[Image, list[Mask]]:
    """Return a photo of a board with four printed parts, one of which may be missing, and where they are."""
    rng, layout = numpy_generator(index), numpy_generator(99)
    photo, parts = np.full((128, 128, 3), (60, 110, 40), np.uint8), []
    for start, end in zip(
        layout.integers(4, 124, (6, 2)).tolist(), layout.integers(4, 124, (6, 2)).tolist(), strict=True
    ):
        cv2.line(photo, start, end, (80, 150, 50), 2)
    for number, (x, y) in enumerate([(24, 30), (80, 24), (40, 90), (98, 84)]):
        parts.append(cv2.rectangle(np.zeros((128, 128), np.uint8), (x, y), (x + 17, y + 11), 1, -1) > 0)
        cv2.rectangle(photo, (x, y), (x + 17, y + 11), (60, 110, 40), -1)
        if number != without:
            cv2.rectangle(photo, (x, y), (x + 17, y + 11), (35, 30, 30), -1)
            cv2.putText(photo, "10", (x + 2, y + 9), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (220, 220, 220), 1)
    return np.clip(photo + rng.normal(0, 3, photo.shape), 0, 255).astype(np.uint8), parts


def test_a_missing_part_lets_nothing_of_the_part_through(small_run: dict[str, Any], tmp_path: Path) -> None:
    """It takes the place of a part: bare board from edge to edge, kept by the gates, and made again from the ledger."""
    root = tmp_path / "photos" / "board"
    for index in range(11):
        missing = None if index < 8 else index - 8
        photo, parts = _board(index, without=missing)
        folder = root / ("train/good" if missing is None else "test/missing")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:03d}.png"), photo)
        if missing is not None:
            labels = root / "ground_truth" / "missing"
            labels.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(labels / f"{index:03d}_mask.png"), 255 * parts[missing].astype(np.uint8))
    run = {**small_run, "reader": {"kind": "mvtec", "root": str(tmp_path / "photos")}, "frame": {}}
    values = run | {"output": str(tmp_path / "out"), "support": {"shots": 3}}
    values["generation"] = {**run["generation"], "images_per_defect": 6, "start": "support"}
    config = parse_config(values | {"mask_sampler": {"kind": "transplant"}, "foreground": {}}, source="test")

    dataset = Dataset(make_dataset(config, "board").uri)

    rows = dataset.made()
    assert len(rows) == 6
    for index, row in enumerate(rows):
        assert row.instances is not None
        assert [(i.layout, i.contrast) for i in row.instances] == [("at", None)]
        image, inside = dataset.image(index), cv2.erode(dataset.mask(index), np.ones((7, 7), np.uint8)) > 0
        assert image[inside].std(axis=0).max() < 12
        assert regenerate(dataset.uri, row.request_id).identical


@pytest.mark.parametrize("edge", [(64.0, 40.0, -np.pi / 2), None])
def test_what_crosses_an_edge_is_not_amplified(
    edge: tuple[float, float, float] | None, small_run: dict[str, Any]
) -> None:
    """A bite would take on colours; inside the part defects are made as strong as asked."""
    config = parse_config(small_run | {"output": "unused"}, source="test")
    plate, spot = np.zeros((96, 128), bool), cv2.circle(np.zeros((96, 128), np.uint8), (64, 44), 14, 1, -1) > 0
    plate[40:] = True
    normal = np.where(plate[..., None], (190, 180, 170), (30, 40, 50)).astype(np.uint8)
    photo = np.where(spot[..., None], (30, 40, 50), normal).astype(np.uint8)
    source = Source(photo, spot, STILL, edge, outlined=True)

    job = load_job(normal, spot, torch.zeros(1, 4), config, seed=0, contrast=0.5, source=source)

    assert (job.contrast is None) == (edge is not None)


def test_the_label_of_a_bite_covers_what_it_takes_along(small_run: dict[str, Any]) -> None:
    """Here the part reaches five pixels farther out than on the support photo: these are gone, too."""
    config = parse_config(small_run | {"output": "unused"}, source="test")
    rows, bite = np.arange(96)[:, None], np.zeros((96, 128), bool)
    bite[40:52, 50:80] = True
    colours = (190, 180, 170), (30, 40, 50)
    photo = np.where(((rows >= 40) & ~bite)[..., None], *colours).astype(np.uint8)
    normal = np.broadcast_to(np.where((rows >= 35)[..., None], *colours), (96, 128, 3)).astype(np.uint8)
    mask = np.zeros((96, 128), bool)
    mask[31:53, 49:81] = True
    source = Source(photo, bite, STILL, (65.0, 40.0, -np.pi / 2), outlined=True)

    job = load_job(normal, mask, torch.zeros(1, 4), config, seed=0, contrast=0.5, source=source)

    assert job.start is not None
    assert job.label is not None
    assert np.abs(job.start[36:51, 52:78].astype(int) - colours[1]).max() < 12
    assert job.label[36:51, 52:78].all()
    assert not job.label[:35].any()


def test_a_support_photo_that_changed_is_named(small_run: dict[str, Any], tmp_path: Path) -> None:
    """An image that started from it is not quietly made another one."""
    root = shutil.copytree(small_run["reader"]["root"], tmp_path / "photos")
    run = {**small_run, "reader": {**small_run["reader"], "root": str(root)}}
    dataset, config = _sealed(run, tmp_path / "out", start="support")
    row = dataset.made()[0]
    assert row.instances is not None
    (photo,) = (
        Path(s.image_uri) for s in read_category(config, "bolt").samples if s.sample_id == row.instances[0].source
    )
    changed = cv2.imread(str(photo), cv2.IMREAD_UNCHANGED)
    assert changed is not None
    cv2.imwrite(str(photo), changed // 2)
    catalogue._read.cache_clear()  # Another process reads the photos anew.

    with pytest.raises(InputError, match=rf"{photo.name}: the support photo .* has changed .*Put the original"):
        regenerate(dataset.uri, row.request_id)


def _shown_job(model: DiffusionModel) -> Job:
    """Return a job that starts from a support defect."""
    photo, mask = _defect()
    job = _jobs(model)[0]
    shown = transplant(job.normal, mask, photo, mask, STILL)
    return dataclasses.replace(job, start=shown.image, transplant=shown, contrast=None)


def test_without_variation_the_support_defect_is_pasted(model: DiffusionModel) -> None:
    """Nothing of the model is left, and the rim is that of the support defect: it fades in once."""
    job = _shown_job(model)
    assert job.start is not None

    (image,) = generate([job], model, _settings(0.9).model_copy(update={"variation": 0, "feather": 0.3}))

    assert np.abs(image.astype(int) - job.start)[job.mask].max() <= 1
    assert not np.array_equal(image[job.mask], job.normal[job.mask])


def test_what_a_model_changes_fades_in_like_the_support_defect(model: DiffusionModel) -> None:
    """Thin cracks had a bright line along their outline, where all of the change met half of the crack."""
    job = _shown_job(model)
    assert job.start is not None
    core = cv2.erode(job.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rim = job.mask & (cv2.erode(job.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    jobs = [job, dataclasses.replace(job, transplant=None)]

    images = generate(jobs, model, _settings(0.9).model_copy(update={"variation": 4.0}))

    faded, free = (np.abs(image - job.start.astype(float)) for image in images)
    assert np.array_equal(faded[core], free[core])
    assert 0.4 * free[rim].mean() < faded[rim].mean() < 0.7 * free[rim].mean()


def test_a_model_changes_no_more_of_a_defect_than_its_share(model: DiffusionModel) -> None:
    """A larger variation lets a model that knows nothing change more; a share of what stands out is never exceeded."""
    job = _shown_job(model)
    assert job.start is not None
    start, normal = job.start.astype(float), job.normal.astype(float)

    changes = []
    for share in (0.1, 0.3, 3.0):
        (image,) = generate([job], model, _settings(0.9).model_copy(update={"variation": share}))
        changes.append(float(np.square(image - start)[job.mask].mean() / np.square(start - normal)[job.mask].mean()))

    assert changes[0] < changes[1] < changes[2]
    assert changes[0] < 0.1**2 * 3
    assert changes[1] < 0.3**2 * 3


def test_a_model_changes_little_where_a_pattern_goes_on_around_a_defect(model: DiffusionModel) -> None:
    """What stands out of the photo there is a wire, too, and no share of that is to be painted into a gap."""
    job = _shown_job(model)
    assert job.start is not None
    assert job.transplant is not None
    fitting = dataclasses.replace(job, transplant=job.transplant._replace(fits=True))

    images = generate([job, fitting], model, _settings(0.9))

    free, held = (float(np.square(image - job.start.astype(float))[job.mask].mean()) for image in images)
    assert held < free / 4


def test_a_thin_line_of_a_large_photo_is_held_to_its_share_too(model: DiffusionModel) -> None:
    """No pixel of the canvas is covered by half of it; without variation it is the support defect nevertheless."""
    line = np.zeros((1200, 1200), bool)
    line[600:602, 200:1000] = True
    photo = np.full((1200, 1200, 3), 120, np.uint8)
    normal, photo[line] = photo.copy(), 40
    shown = transplant(normal, line, photo, line, STILL)
    crop = Box(x=100, y=100, width=1000, height=1000)
    vectors = model.word_vector("scratch")[None]
    job = Job(normal, line, crop, vectors, seed=0, start=shown.image, transplant=shown)

    (image,) = generate([job], model, _settings(0.9).model_copy(update={"variation": 0}))

    assert np.abs(image.astype(int) - shown.image)[line].max() <= 1


def test_what_lies_behind_a_bite_is_not_repainted(model: DiffusionModel) -> None:
    """Where the support defect shows the background, the photo's own stays as the start shows it."""
    job = _shown_job(model)
    assert job.start is not None
    assert job.transplant is not None
    behind = np.zeros(job.mask.shape, np.float32)
    behind[:, : bounding_box(job.mask).x + 8] = 1
    bite = dataclasses.replace(job, transplant=job.transplant._replace(background=behind))

    (image,) = generate([bite], model, _settings(0.9))

    through = job.mask & (behind > 0)
    assert bite.alters_colours
    assert not job.alters_colours
    assert np.abs(image.astype(int) - job.start)[through].max() <= 1
    assert np.abs(image.astype(int) - job.start)[job.mask & ~through].max() > 1


def _weave(columns: int, *, tone: int = 120) -> Image:
    """Return a woven surface, its threads shifted by a number of pixels."""
    rows, across = np.indices((96, 128))
    thread = np.sin((across + columns) * 2 * np.pi / 9) * np.sin(rows * 2 * np.pi / 9)
    return np.repeat((tone + 50 * thread)[..., None], 3, axis=2).astype(np.uint8)


def test_a_stain_darkens_the_surface_it_comes_to_and_leaves_its_texture() -> None:
    """A texture that goes on below the defect is that of the new photo; the tint is the support's."""
    place = cv2.circle(np.zeros((96, 128), np.uint8), (64, 48), 24, 1, -1) > 0
    stained = _weave(0)
    stained[place] = (0.6 * stained[place]).astype(np.uint8)
    normal = _weave(4)

    shown, surface, *_ = transplant(normal, place, stained, place, STILL)

    middle = cv2.erode(place.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    assert surface[:2] == (1, 1)
    assert np.corrcoef(shown[middle][:, 0], normal[middle][:, 0])[0, 1] > 0.95
    assert np.corrcoef(shown[middle][:, 0], stained[middle][:, 0])[0, 1] < 0.2
    assert shown[middle].mean() == pytest.approx(0.6 * normal[middle].mean(), rel=0.05)


def test_where_a_thread_is_missing_the_weave_is_not_shown() -> None:
    """Detail calmer than the weave, which does not go on in it, is the defect's own."""
    place = np.zeros((96, 128), bool)
    place[20:76, 56:70] = True
    photo = _weave(0)
    lying = (110 + 25 * np.sin(np.indices((96, 128))[0] * 2 * np.pi / 5))[..., None].repeat(3, axis=2)
    photo[place] = lying[place].astype(np.uint8)

    shown, surface, *_ = transplant(_weave(4), place, photo, place, STILL)

    middle = cv2.erode(place.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert len(surface) == 1
    assert not any(surface)
    assert np.abs(shown[middle].astype(int) - photo[middle]).max() <= 8


def _mesh(columns: int) -> Image:
    """Return wires before a bright background, shifted by a number of pixels."""
    rows, across = np.indices((96, 128))
    wires = np.minimum((across + columns) % 16, rows % 16) < 4
    return np.repeat(np.where(wires, 90, 180)[..., None], 3, axis=2).astype(np.uint8)


def _broken_mesh() -> tuple[Image, Mask]:
    """Return a photo that lacks a piece of a wire between two others, and its label."""
    photo, gap = _mesh(0), np.zeros((96, 128), bool)
    gap[36:48, 64:68] = True
    photo[gap] = 180
    return photo, cv2.dilate(gap.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0


@pytest.mark.parametrize(("columns", "fits"), [(0, True), (16, True), (8, False)])
def test_where_a_pattern_goes_on_around_a_defect_all_of_it_is_shown(columns: int, *, fits: bool) -> None:
    """Nothing of the wire that is there comes back into the gap of a broken one."""
    photo, label = _broken_mesh()

    shown = transplant(_mesh(columns), label, photo, label, STILL)

    assert shown.fits is fits
    if fits:
        assert not any(shown.surface)
        assert np.abs(shown.image[38:46, 64:68].astype(int) - 180).max() <= 2


def test_what_a_broken_wire_changes_is_told_by_the_mesh_around_it(small_run: dict[str, Any]) -> None:
    """From around the label alone the wire that is missing cannot be guessed."""
    config = parse_config(small_run | {"output": "unused"}, source="test")
    photo, label = _broken_mesh()
    source = Source(photo, label, STILL, None, outlined=True)
    normal = _mesh(0)

    job = load_job(normal, label, torch.zeros(1, 4), config, seed=0, contrast=0.1, source=source)

    gates = Gates.calibrate([(photo, label)], config.quality)
    assert gates is not None
    assert job.start is not None
    assert gates.judge(normal, job.start, label).reason is not None
    assert gates.judge(normal, job.start, label, shown=job.start if job.alters_colours else None).reason is None


def test_a_defect_rougher_than_its_surface_is_shown_with_its_own_pixels() -> None:
    """No band of a rough spot on a smooth surface is taken for the surface."""
    place = cv2.circle(np.zeros((96, 128), np.uint8), (64, 48), 24, 1, -1) > 0
    photo = _surface(120)
    photo[place] = numpy_generator(0).integers(0, 255, (int(place.sum()), 1))

    shown, surface, *_ = transplant(_surface(120, seed=1), place, photo, place, STILL)

    middle = cv2.erode(place.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert not any(surface)
    assert np.abs(shown[middle].astype(int) - photo[middle]).max() <= 8


def test_a_thin_defect_is_to_stand_out_as_its_support_does() -> None:
    """The border fades in, which weakens a fine line; the contrast asked for is that of the whole line."""
    line = cv2.line(np.zeros((96, 128), np.uint8), (20, 30), (100, 60), 1, 1) > 0
    photo = _surface(120)
    photo[line] = 50
    normal = _surface(120, seed=1)

    shown, _, strength, *_ = transplant(normal, line, photo, line, STILL)

    assert strength == pytest.approx(contrast(_surface(120), photo, line), rel=0.05)
    assert contrast(normal, shown, line) < 0.9 * strength


def _fork(photo: Image) -> tuple[Image, Mask, Mask]:
    """Return a photo with a forked crack, its label, which covers what is between the branches, and that alone."""
    between = cv2.fillPoly(np.zeros((96, 128), np.uint8), [np.array([[30, 48], [90, 38], [90, 58]])], 1)
    label = cv2.dilate(between, np.ones((7, 7), np.uint8)) > 0
    lines = np.zeros((96, 128), np.uint8)
    for end in ((90, 38), (90, 58)):
        cv2.line(lines, (30, 48), end, 1, 2)
    cracked = photo.copy()
    cracked[lines > 0] = 40
    return cracked, label, label & ~(cv2.dilate(lines, np.ones((5, 5), np.uint8)) > 0)


def test_between_the_branches_of_a_crack_the_new_surface_shows() -> None:
    """A crack in clear glass brings no glass along to a brown liquid, and is as dark there."""
    photo, label, between = _fork(_surface(200))
    normal = (_surface(200, seed=1) * np.array([1.0, 0.7, 0.35])).astype(np.uint8)

    shown = transplant(normal, label, photo, label, STILL).image

    near = between & (cv2.distanceTransform(label.astype(np.uint8), cv2.DIST_L2, 5) <= 4)
    change = shown.astype(float) - normal
    assert near.sum() > 50
    assert np.abs(change[near].mean(axis=0)).max() < 4
    assert shown[photo[..., 0] == 40].mean() < 60
    assert np.array_equal(shown[~label], normal[~label])


def test_a_stripe_below_a_scratch_stays_where_it_was() -> None:
    """The bright stripe of a shaft below the label of a scratch is no part of the scratch on a plain place."""
    photo, normal = _surface(110), _surface(110, seed=1)
    photo[40:56] = np.clip(photo[40:56].astype(int) + 90, 0, 255)
    label = cv2.line(np.zeros((96, 128), np.uint8), (60, 24), (66, 72), 1, 9) > 0
    scratch = cv2.line(np.zeros((96, 128), np.uint8), (60, 24), (66, 72), 1, 2) > 0
    photo[scratch] = 20
    beside = label & (cv2.dilate(scratch.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)

    shown = transplant(normal, label, photo, label, STILL).image

    assert shown[beside].astype(float).mean() == pytest.approx(110, abs=6)
    assert shown[scratch].mean() < 60


def test_what_is_missing_hides_the_part_that_is_there_on_other_photos() -> None:
    """Bare board with two pads stays that; nothing of the part that the new photo shows below the label is left."""
    photo, normal = _surface(60), _surface(60, seed=1)
    for at in (32, 52):
        cv2.rectangle(photo, (at, 24), (at + 6, 56), (150, 150, 150), -1)
    cv2.rectangle(normal, (31, 21), (59, 59), (15, 15, 15), -1)
    cv2.putText(normal, "103", (33, 45), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 230, 230), 1)

    shown = transplant(normal, PAD, photo, PAD, STILL).image

    middle = cv2.erode(PAD.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.abs(shown[middle].astype(int) - photo[middle]).max() <= 8


def test_a_defect_that_ends_at_a_bar_has_no_notch_there() -> None:
    """Beside a bar as dark as it a dark finger cannot be told from it; it is dark to its end elsewhere all the same."""
    photo, normal = _surface(120), (_surface(120, seed=1) * np.array([1.0, 0.7, 0.35])).astype(np.uint8)
    finger = cv2.rectangle(np.zeros((96, 128), np.uint8), (40, 42), (79, 51), 1, -1) > 0
    photo[finger] = photo[:, 80:90] = 40
    normal[:, 80:90] = (40, 28, 14)

    shown = transplant(normal, finger, photo, finger, STILL).image

    assert shown[45:49, 44:78].max() < 60


def test_where_the_surface_differs_below_a_label_alone_its_guess_is_wrong() -> None:
    """A new photo that shows what the old one shows beside the defect has the same surface below it, too."""
    photo = _surface(120)
    beside = (cv2.dilate(PAD.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0) & ~PAD
    guess = photo.astype(np.float32)
    guess[PAD] = 40

    assert not shows_through(photo, guess, PAD, beside).any()
    assert shows_through(photo, guess - 80 * ~PAD[..., None], PAD, beside)[40, 45].mean() == pytest.approx(80, abs=5)


def test_deep_below_a_wide_label_all_is_the_defects_own() -> None:
    """Half of a stain looks as the surface does; what is guessed from far away makes no hole in it."""
    photo = _surface(120)
    label = cv2.circle(np.zeros((96, 128), np.uint8), (64, 48), 16, 1, -1) > 0
    photo[label & (np.indices(label.shape)[1] > 64)] = 30

    opacity = find_matte(photo, label).opacity

    assert opacity[48, 56:74].min() == 1
    assert opacity[48, 48:51].max() < 0.4


def test_the_middle_of_a_bubble_is_not_taken_for_the_surface() -> None:
    """Inside its dark rim a defect that looks as the surface does is opaque; the margin of its label is not."""
    photo = _surface(120)
    label = cv2.circle(np.zeros((96, 128), np.uint8), (64, 48), 7, 1, -1) > 0
    cv2.circle(photo, (64, 48), 4, (30, 30, 30), 2)

    opacity = find_matte(photo, label).opacity

    assert opacity[46:51, 62:67].min() > 0.9
    assert opacity[label & ~(cv2.circle(np.zeros((96, 128), np.uint8), (64, 48), 6, 1, -1) > 0)].mean() < 0.3


def test_where_bare_places_are_no_better_guessed_all_is_the_defects_own() -> None:
    """On a rough print nothing tells a defect from it: a label without holes is better than a wrong guess."""
    rough = numpy_generator(0).integers(0, 255, (12, 16, 1)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    photo = np.repeat(rough, 3, axis=2)
    photo[PAD] = 128

    assert find_matte(photo, PAD).opacity.min() == 1
    assert find_matte(photo, np.zeros_like(PAD)).opacity.min() == 1


def test_an_edge_beside_the_mask_gives_the_defect_no_colour() -> None:
    """Where the ring lies half on a blue background, the grey defect stays nearly grey."""
    photo, mask = _defect()
    normal = _surface(120, seed=1)
    normal[:, 45:] = (20, 60, 220)

    shown = transplant(normal, mask, photo, mask, STILL).image

    middle = shown[cv2.erode(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0].astype(float).mean(axis=0)
    assert middle.max() / middle.min() < 1.4


def test_bands_that_are_the_surfaces_are_not_repainted(model: DiffusionModel) -> None:
    """What the model makes of a texture is left out in these bands; in others it varies the defect."""
    job = dataclasses.replace(_jobs(model)[0], contrast=None)
    assert job.start is not None
    kept = dataclasses.replace(job, transplant=Transplant(job.start, (1.0, 1.0), 1.0))

    free, bound = generate([job, kept], model, _settings(0.9).model_copy(update={"variation": 4}))

    inside = cv2.erode(job.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    distances = [
        np.abs(bands.split(image.astype(np.float32), 2)[1] - bands.split(job.start.astype(np.float32), 2)[1])[inside]
        for image in (free, bound)
    ]
    assert distances[1].mean() < 0.4 * distances[0].mean()
