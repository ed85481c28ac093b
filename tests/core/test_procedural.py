"""The images that the project makes: training scenes and the demo's photos."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image
from anogen_core.errors import InputError
from anogen_core.procedural import demo, scene
from anogen_core.procedural.demo import plan_demo_photos, write_demo_photos
from anogen_core.procedural.demo_flange import photograph_flange
from anogen_core.procedural.demo_leather import photograph_leather
from anogen_core.procedural.fields import Colour
from anogen_core.procedural.light import Light, light_up
from anogen_core.procedural.scene import DEFECTS, MATERIALS, Scene, render_scene
from anogen_core.procedural.surfaces.surface import Surface


def _scenes(count: int, *, size: int = 64) -> list[Scene]:
    return [render_scene(np.random.default_rng(index), size=size) for index in range(count)]


def _read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def short_demo(monkeypatch: pytest.MonkeyPatch) -> int:
    """Shrink the demo to 2 categories with 3 + 2 normal and 2 + 2 defective photos; the number of photos."""
    monkeypatch.setattr(demo, "NUM_TRAIN_GOOD", 3)
    monkeypatch.setattr(demo, "NUM_TEST_GOOD", 2)
    monkeypatch.setattr(demo, "NUM_PER_DEFECT", 2)
    return 18


def test_scene_has_the_promised_shapes_and_words() -> None:
    """A scene is an RGB photo with a mask of its size and words from the two lists."""
    for made in _scenes(40):
        assert made.image.shape == (64, 64, 3)
        assert made.image.dtype == np.uint8
        assert made.mask.shape == (64, 64)
        assert made.mask.dtype == np.bool_
        assert made.material in MATERIALS
        assert made.defect is None or made.defect in DEFECTS


def test_same_seed_same_scene() -> None:
    """The generator's state decides every pixel; another state gives another scene."""
    first, again, other = (render_scene(np.random.default_rng(seed), size=64) for seed in (5, 5, 6))

    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("material", MATERIALS)
def test_every_material_renders_as_a_photo(material: str) -> None:
    """Each material gives photos with some contrast that are neither burnt out nor black, no two alike."""
    images = [render_scene(np.random.default_rng(seed), size=96, material=material).image for seed in range(6)]

    assert all(image.std() > 1.5 for image in images)
    assert all((image == 255).mean() < 0.5 for image in images)
    assert all(image.mean() > 5 for image in images)
    assert len({image.tobytes() for image in images}) == 6


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_where_its_mask_is(monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    """Nearly all of the light that a defect changes is changed inside its mask, which is never most of the frame."""
    lit: list[np.ndarray] = []

    def record_light(surface: Surface, light: Light) -> Colour:
        lit.append(light_up(surface, light))
        return lit[-1]

    monkeypatch.setattr(scene, "light_up", record_light)

    inside, total = 0.0, 0.0
    for seed in range(12):
        lit.clear()
        made = render_scene(np.random.default_rng(seed), size=128, defect=defect)
        change = np.abs(lit[-1] - lit[0]).sum(axis=2)
        near = cv2.dilate(made.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        inside, total = inside + float(change[near].sum()), total + float(change.sum())
        assert made.defect == defect
        assert 0 < made.mask.mean() < 0.3

    assert inside > 0.9 * total


def test_scenes_without_defect_have_an_empty_mask() -> None:
    """About a quarter of the scenes are flawless, and exactly those have an empty mask."""
    scenes = _scenes(200)

    flawless = [made.defect is None for made in scenes]
    assert 0.15 < np.mean(flawless) < 0.35
    assert [not made.mask.any() for made in scenes] == flawless


def test_many_scenes_are_grey() -> None:
    """At least two scenes in five have no colour, as photos from industrial cameras."""
    grey = [float(np.ptp(made.image.astype(int), axis=2).mean()) < 4 for made in _scenes(200)]

    assert np.mean(grey) >= 0.4


def test_defects_come_in_many_sizes() -> None:
    """Defects reach from a few pixels to a third of the frame."""
    sides = []
    for made in _scenes(200, size=128):
        if made.defect is not None:
            rows, columns = np.nonzero(made.mask)
            sides.append(max(np.ptp(rows), np.ptp(columns)) + 1)

    assert np.quantile(sides, 0.05) < 12
    assert np.quantile(sides, 0.95) > 36


@pytest.mark.parametrize("words", [{"material": "unobtainium"}, {"defect": "haunted"}])
def test_unknown_word_is_named(words: dict[str, str]) -> None:
    """An unknown material or defect is refused with the word and the known ones."""
    with pytest.raises(InputError, match=r"(unobtainium|haunted).*expected one of"):
        render_scene(np.random.default_rng(0), size=64, **words)


def test_demo_shows_nothing_that_the_base_model_was_trained_on() -> None:
    """The demo's categories and defects are not among the training words: it shows learning, not recall."""
    for category, (_, defects) in demo.CATEGORIES.items():
        assert not set(category.split()) & {word for material in MATERIALS for word in material.split()}
        assert not set(defects) & set(DEFECTS)


@pytest.mark.parametrize(
    ("take", "defect"),
    [
        (photograph_flange, "gouge"),
        (photograph_flange, "spatter"),
        (photograph_leather, "burn"),
        (photograph_leather, "scar"),
    ],
)
def test_demo_defects_show_and_vary(take: demo.TakePhoto, defect: str) -> None:
    """Defects of the demo have their own places and sizes, and look unlike what surrounds them."""
    shots = [take(np.random.default_rng(seed), defect) for seed in range(5)]

    areas = [int(mask.sum()) for _, mask in shots]
    assert all(60 < area < 6000 for area in areas)
    assert len({mask.tobytes() for _, mask in shots}) == 5
    for image, mask in shots:
        assert _contrast(image, mask) > 0.15


def _contrast(image: Image, mask: np.ndarray) -> float:
    """Return how far grey levels in the mask and in a ring around it lie apart (Kolmogorov-Smirnov distance)."""
    grey = image.mean(axis=2)
    ring = (cv2.dilate(mask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0) & ~mask
    levels = np.arange(256)
    shares = [np.searchsorted(np.sort(grey[where]), levels) / where.sum() for where in (mask, ring)]
    return float(np.abs(shares[0] - shares[1]).max())


def test_demo_plan_is_the_promised_dataset() -> None:
    """Two categories, each with 200 + 30 normal photos and 15 of each of two defects."""
    planned = list(plan_demo_photos())

    assert len(planned) == 520
    assert len({photo.image_path(Path()) for photo in planned}) == 520
    assert sum(photo.mask_path(Path()) is not None for photo in planned) == 60


def test_demo_photos_lie_as_mvtec_does(short_demo: int, tmp_path: Path) -> None:
    """Photos are 256 x 256 RGB, each defective one has a 0/255 mask with some of both, normal ones have none."""
    calls: list[None] = []

    write_demo_photos(tmp_path, seed=0, on_image=lambda: calls.append(None))

    assert len(calls) == short_demo
    photos = sorted([*tmp_path.glob("*/train/*/*.png"), *tmp_path.glob("*/test/*/*.png")])
    masks = sorted(tmp_path.glob("*/ground_truth/*/*_mask.png"))
    assert len(photos) == short_demo
    assert len(masks) == 8
    assert len(list(tmp_path.rglob("*.*"))) == short_demo + 8
    for photo in photos:
        assert _read(photo).shape == (256, 256, 3)
    for mask in masks:
        assert set(np.unique(_read(mask))) == {0, 255}
        assert (mask.parents[2] / "test" / mask.parent.name / mask.name.replace("_mask", "")).exists()


def test_demo_photos_depend_on_the_seed_alone(short_demo: int, tmp_path: Path) -> None:
    """The same seed gives the same bytes anywhere; another seed gives other photos."""
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        write_demo_photos(tmp_path / name, seed=seed)

    first, again, other = (_digests(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())
    assert len(set(first.values())) == short_demo + 8


def test_interrupted_demo_is_completed(short_demo: int, tmp_path: Path) -> None:
    """After a kill, only what is missing or unfinished is written, and the result is that of an undisturbed run."""
    write_demo_photos(tmp_path, seed=3)
    whole = _digests(tmp_path)
    kept = tmp_path / "flange" / "train" / "good" / "000.png"
    kept_since = kept.stat().st_mtime_ns
    (tmp_path / "leather" / "train" / "good" / "002.png").unlink()
    (tmp_path / "leather" / "train" / "good" / "002.part").write_bytes(b"half a photo")
    (tmp_path / "leather" / "ground_truth" / "burn" / "001_mask.png").unlink()

    write_demo_photos(tmp_path, seed=3)

    assert short_demo + 8 == len(whole)
    assert _digests(tmp_path) == whole
    assert kept.stat().st_mtime_ns == kept_since
