"""Legal and illegal regions: what people drew decides where defects lie, and a bad file is one clear message."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.errors import InputError
from anogen_core.masks.foreground import ForegroundSettings, find_foreground, learn_background
from anogen_core.masks.product import Product
from anogen_core.masks.regions import find_region, region_digests
from anogen_core.masks.sampler import render
from anogen_core.masks.transplant import TransplantSamplerSettings
from anogen_core.seeding import numpy_generator

PHOTO = np.full((64, 96, 3), 128, np.uint8)


def _draw(path: Path, rows: slice, columns: slice, *, shape: tuple[int, int] = (64, 96)) -> str:
    mask = np.zeros(shape, np.uint8)
    mask[rows, columns] = 255
    cv2.imwrite(str(path), mask)
    return str(path)


def test_defects_lie_inside_the_legal_and_outside_the_illegal_region(tmp_path: Path) -> None:
    """Both apply, in the category's and the defect's own file, whatever the size they were drawn at."""
    legal = _draw(tmp_path / "tile.png", slice(0, 64), slice(0, 96), shape=(128, 192))
    _draw(tmp_path / "tile-crack.png", slice(0, 10), slice(0, 10))
    settings = ForegroundSettings(
        method="full",
        legal=legal.replace("tile.png", "{category}.png"),
        illegal=str(tmp_path / "{category}-{defect}.png"),
    )

    region = find_region(PHOTO, Product(settings=settings), "tile", "crack")

    expected = np.zeros((64, 96), bool)
    expected[:32, :48] = True
    expected[:10, :10] = False
    assert (region == expected).all()
    sampler = TransplantSamplerSettings(min_overlap=1).build([np.pad(np.ones((6, 9), bool), 20)])
    for seed in range(20):
        assert region[render(sampler.sample(region, numpy_generator(seed)), (64, 96))].all()


def test_another_drawing_is_another_dataset(tmp_path: Path) -> None:
    """The content of the files counts, not their names."""
    settings = ForegroundSettings(legal=_draw(tmp_path / "a.png", slice(0, 9), slice(0, 9)))
    before = region_digests(settings, "tile", "crack")

    _draw(tmp_path / "a.png", slice(0, 8), slice(0, 8))

    assert region_digests(settings, "tile", "crack") != before
    assert region_digests(ForegroundSettings(), "tile", "crack") == []


@pytest.mark.parametrize("fault", ["missing", "empty", "grey"])
def test_a_bad_region_is_one_message_with_its_file(tmp_path: Path, fault: str) -> None:
    """The message names the file and what is wrong."""
    path = tmp_path / f"{fault}.png"
    if fault != "missing":
        pixels = np.zeros((64, 96), np.uint8)
        pixels[:, :40] = 0 if fault == "empty" else np.arange(40)
        cv2.imwrite(str(path), pixels)

    with pytest.raises(InputError, match=f"{fault}.png") as error:
        find_region(PHOTO, Product(settings=ForegroundSettings(method="full", legal=str(path))), "tile", "crack")

    assert {"missing": "cannot be read", "empty": "is empty", "grey": "Paint 255 where"}[fault] in str(error.value)


def _scene(seed: int, *, part: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return a photo of a part that is bright, dark and as grey as the tray below it, and where the part is."""
    noise = numpy_generator(seed)
    rows, columns = np.indices((160, 200))
    photo = np.stack([120 + 6 * np.sin(columns / 9), np.full(rows.shape, 125.0), np.full(rows.shape, 130.0)], axis=-1)
    shown = ((rows - 80) / 45) ** 2 + ((columns - 95 - 3 * (seed % 5)) / 60) ** 2 < 1
    if part:
        photo[shown] = 40
        photo[shown & (columns < 95)] = 215
        photo[shown & (rows > 95)] = (120, 124, 131)
        photo[shown & (rows > 95) & (columns // 3 % 2 == 0)] = (100, 110, 140)
    return (photo + noise.normal(0, 4, photo.shape)).clip(0, 255).astype(np.uint8), shown


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def test_a_part_of_several_colours_is_found_where_a_threshold_fails(tmp_path: Path) -> None:
    """By the statistics of the normal photos, and by a photo of the empty tray."""
    normals = [_scene(seed)[0] for seed in range(8)]
    cv2.imwrite(str(tmp_path / "tray.png"), _scene(99, part=False)[0][..., ::-1])
    template = ForegroundSettings(method="template", template=str(tmp_path / "{category}.png"))

    for seed in range(20, 24):
        photo, truth = _scene(seed)
        by_threshold = find_foreground(photo, ForegroundSettings(method="otsu"))
        by_statistics = find_foreground(
            photo, ForegroundSettings(method="statistics"), background=learn_background(normals)
        )
        by_template = find_region(photo, Product(settings=template), "tray", "crack")
        assert _iou(by_threshold, truth) < 0.6
        assert _iou(by_statistics, truth) > 0.85
        assert _iou(by_template, truth) > 0.9


def test_a_drawn_template_is_taken_as_it_is(tmp_path: Path) -> None:
    """An image of 0 and 255 alone is where the part is, at any size; its content is part of the dataset's identity."""
    drawn = _draw(tmp_path / "part.png", slice(0, 64), slice(96, 192), shape=(128, 192))
    settings = ForegroundSettings(method="template", template=drawn)

    region = find_region(PHOTO, Product(settings=settings), "tile", "crack")

    expected = np.zeros((64, 96), bool)
    expected[:32, 48:] = True
    assert (region == expected).all()
    assert len(region_digests(settings, "tile", "crack")) == 1


@pytest.mark.parametrize("values", [{"method": "template"}, {"method": "otsu", "template": "a.png"}])
def test_a_template_needs_its_method_and_the_method_a_template(values: dict[str, str]) -> None:
    """A forgotten half is refused instead of ignored."""
    with pytest.raises(ValueError, match="go together"):
        ForegroundSettings.model_validate(values)
