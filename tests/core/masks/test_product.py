"""What `auto` takes for the product: one choice for a category, which its support photos agree with."""

import numpy as np
import pytest

from anogen_core.masks.foreground import ForegroundSettings, find_foreground
from anogen_core.masks.product import Product, find_product
from anogen_core.records import Sample
from anogen_core.seeding import numpy_generator

Photo = np.ndarray
NORMALS = [
    Sample(sample_id=f"c/train/good/{i}", category="c", defect="good", split="train", image_uri=f"/{i}", sha256=str(i))
    for i in range(20)
]


def _disc(row: int, column: int, radius: int) -> np.ndarray:
    rows, columns = np.indices((128, 128))
    return np.hypot(rows - row, columns - column) < radius


def _photo(seed: int, ground: tuple[int, int, int], *shapes: tuple[np.ndarray, tuple[int, int, int]]) -> Photo:
    photo = np.empty((128, 128, 3))
    photo[:] = ground
    for where, colour in shapes:
        photo[where] = colour
    return (photo + numpy_generator(seed).normal(0, 3, photo.shape)).clip(0, 255).astype(np.uint8)


def _bright_part(seed: int) -> Photo:
    return _photo(seed, (20, 20, 20), (_disc(64, 60 + seed % 9, 40), (170, 170, 170)))


def _board(seed: int) -> Photo:
    """Return a green board that fills the frame, with bright pads."""
    pads = [(_disc(row, column, 7), (230, 230, 220)) for row in (30, 64, 98) for column in (30, 98)]
    return _photo(seed, (20, 90, 50), *pads)


def _cap(seed: int) -> Photo:
    """Return a red cap with a bright print on one of three grounds: lighter than it, darker, and as grey as it."""
    ground = [(190, 190, 195), (15, 15, 18), (60, 75, 110)][seed % 3]
    return _photo(seed, ground, (_disc(64, 60 + seed % 9, 42), (170, 30, 35)), (_disc(64, 64, 12), (240, 220, 140)))


def _texture(seed: int) -> Photo:
    return numpy_generator(seed).normal(128, 25, (128, 128, 3)).clip(0, 255).astype(np.uint8)


def _find(make: object, support: dict[str, list[tuple[Photo, np.ndarray]]], *, backwards: bool = False) -> Product:
    assert callable(make)
    normals = NORMALS[::-1] if backwards else NORMALS
    return find_product(normals, support, ForegroundSettings(), load=lambda sample: make(int(sample.sha256)))


def _supports(make: object, mask: np.ndarray, colour: tuple[int, int, int]) -> list[tuple[Photo, np.ndarray]]:
    assert callable(make)
    photos = [make(seed) for seed in (40, 41, 42)]
    for photo in photos:
        photo[mask] = colour
    return [(photo, mask) for photo in photos]


def test_a_bright_part_on_a_dark_ground_is_found_by_its_brightness() -> None:
    """A dark hole in it and a chip at its edge lie on the part, though they look like the ground inside."""
    support = {
        "hole": _supports(_bright_part, _disc(64, 64, 9), (20, 20, 20)),
        "chip": _supports(_bright_part, _disc(25, 64, 6), (20, 20, 20)),
    }

    product = _find(_bright_part, support)

    assert product.settings.method == "otsu"
    assert product == _find(_bright_part, support, backwards=True)


def test_pads_are_not_the_product_where_defects_lie_beside_them() -> None:
    """The threshold finds the same pads on every photo; defects of the bare board tell that they are not all of it."""
    pads = _supports(_board, _disc(30, 30, 3), (40, 40, 40))
    bare = _supports(_board, _disc(48, 64, 6), (20, 90, 50))

    product = _find(_board, {"burn": pads, "missing": bare})

    assert _find(_board, {"burn": pads}).settings.method == "otsu"
    assert product.settings.method == "full"
    assert "otsu misses 3 of 3 support photos of missing" in str(product.why)


def test_a_part_on_changing_grounds_is_found_by_its_border() -> None:
    """The threshold finds the part on one ground and its print on others, the border of each photo the part on all."""
    product = _find(_cap, {"dent": _supports(_cap, _disc(80, 64, 8), (90, 20, 20))})

    assert product.settings.method == "border"
    assert "otsu finds parts of like size on" in str(product.why)
    for seed in range(6):
        truth = _disc(64, 60 + seed % 9, 42)
        found = find_foreground(_cap(seed), product.settings)
        assert (found & truth).sum() / (found | truth).sum() > 0.9


def test_a_texture_is_the_product_everywhere() -> None:
    """No method finds a part in grain, so the whole frame is taken, also where there are no support photos."""
    for known in (_supports(_texture, _disc(64, 64, 8), (0, 0, 0)), []):
        product = _find(_texture, {"spot": known})
        assert product.settings.method == "full"
        assert "border finds parts of like size on 0 of 16 normal photos" in str(product.why)


def test_what_people_chose_is_not_judged() -> None:
    """Any other method stays as it is, and is no choice to tell about."""
    settings = ForegroundSettings(method="otsu")

    product = find_product(NORMALS, {}, settings, load=lambda sample: _texture(int(sample.sha256)))

    assert product == Product(settings=settings)
    with pytest.raises(ValueError, match="not for a photo"):
        find_foreground(_texture(0), ForegroundSettings())
