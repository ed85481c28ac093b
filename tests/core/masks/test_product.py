"""What `auto` takes for the product: one choice for a category, which its support photos agree with."""

import cv2
import numpy as np
import pytest

from anogen_core.masks.foreground import ForegroundSettings, background_fault, find_foreground
from anogen_core.masks.product import Product, find_product
from anogen_core.masks.regions import find_region
from anogen_core.masks.threshold import fill_holes, frame_edge, separation, split_in_two, surrounded_fault
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


def _two_tone(seed: int) -> Photo:
    """Return a part of a white and a black half on one of three grounds."""
    part = _disc(64, 60 + seed % 9, 42)
    white = part & (np.indices((128, 128))[0] < 64)
    ground = [(110, 115, 120), (90, 125, 90), (75, 95, 140)][seed % 3]
    return _photo(seed, ground, (part, (15, 15, 15)), (white, (235, 235, 235)))


def _biscuit(seed: int) -> Photo:
    """Return a brown part on a blue belt, the rim of which is, in the shade, as dark as the belt."""
    rows, columns = np.indices((128, 128)) - np.array([64, 60 + seed % 9])[:, None, None]
    shade = 1 - 0.6 * np.clip((np.hypot(rows, columns) - 30) / 12, 0, 1) * np.clip((rows + columns) / 40, 0, 1)
    noise = numpy_generator(seed).normal(0, 3, (128, 128, 3))
    part = (np.hypot(rows, columns) < 42)[..., None]
    photo = np.where(part, shade[..., None] * np.array([200, 145, 85]), np.array([45, 75, 135]))
    return (photo + noise).clip(0, 255).astype(np.uint8)


def _gear(seed: int) -> tuple[Photo, np.ndarray]:
    """Return a dim metal part on black with two highlights, and where it is, without the gaps between its teeth."""
    rows, columns = np.indices((128, 128)) - 64.0 - seed % 3
    radius, angle = np.hypot(rows, columns), np.arctan2(rows, columns)
    part = (radius < np.where(np.cos(14 * angle + seed) > 0, 55, 43)) & (radius > 18)
    shine = 75 + 140 * np.exp(-((np.sin(angle + 1) / 0.4) ** 2))
    photo = np.where(part, shine, 15)[..., None] + numpy_generator(seed).normal(0, 3, (128, 128, 3))
    return photo.clip(0, 255).astype(np.uint8), part


def _plank(seed: int) -> Photo:
    """Return wood with dark stripes that fills the frame."""
    rows, columns = np.indices((128, 128))
    stripes = 30 * np.sin(rows / 4 + 3 * np.sin(columns / 40 + seed))[..., None]
    noise = numpy_generator(seed).normal(0, 3, (128, 128, 3))
    return (np.array([170, 120, 75]) + stripes * [1, 0.9, 0.7] + noise).clip(0, 255).astype(np.uint8)


def _end_of_plank(seed: int) -> Photo:
    photo = _plank(seed)
    photo[:, : 16 + seed % 5] = numpy_generator(seed).normal(25, 3, (128, 16 + seed % 5, 3)).clip(0, 255)
    return photo


def _texture(seed: int) -> Photo:
    return numpy_generator(seed).normal(128, 25, (128, 128, 3)).clip(0, 255).astype(np.uint8)


def _find(make: object, support: dict[str, list[tuple[Photo, np.ndarray]]], *, backwards: bool = False) -> Product:
    assert callable(make)
    normals = NORMALS[::-1] if backwards else NORMALS
    return find_product(normals, support, ForegroundSettings(), load=lambda sample: make(int(sample.sha256)))


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


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


def test_one_defect_beside_the_part_does_not_take_it_from_the_others() -> None:
    """A lid that came off may lie all over the frame; holes and chips stay on the part. Of two defects none decides."""
    on = {
        "chip": _supports(_bright_part, _disc(25, 64, 6), (20, 20, 20)),
        "hole": _supports(_bright_part, _disc(64, 64, 9), (20, 20, 20)),
    }
    lid = [(photo, _disc(14, 112, 13)) for photo, _ in _supports(_bright_part, _disc(14, 112, 7), (170, 170, 170))]

    product = _find(_bright_part, {**on, "lid": lid})
    photo = _bright_part(3)

    assert product.settings.method == "otsu"
    assert product.misses == {"lid": "misses 3 of 3 support photos of lid"}
    assert product.why == "otsu fits the normal photos and the support photos of chip, hole"
    assert find_region(photo, product, "c", "lid").all()
    assert _iou(find_region(photo, product, "c", "hole"), find_foreground(photo, product.settings)) == 1
    assert _find(_bright_part, {"hole": on["hole"], "lid": lid}).settings.method == "full"


def test_many_pieces_are_not_the_product_where_one_defect_lies_beside_them() -> None:
    """Most defects lie on the pads, but pads are parts of a board, and it goes on between them."""
    pads = _supports(_board, _disc(30, 30, 3), (40, 40, 40))
    bare = _supports(_board, _disc(48, 64, 6), (20, 90, 50))

    product = _find(_board, {"burn": pads, "spot": pads, "missing": bare})

    assert product.settings.method == "full"
    assert not product.misses


def test_a_part_on_changing_grounds_is_found_by_its_colour() -> None:
    """The grey threshold would find the part on one ground and its print on others."""
    product = _find(_cap, {"dent": _supports(_cap, _disc(80, 64, 8), (90, 20, 20))})

    assert product.settings.method == "otsu"
    for seed in range(6):
        assert _iou(find_foreground(_cap(seed), product.settings), _disc(64, 60 + seed % 9, 42)) > 0.9


def test_a_part_of_two_colours_on_changing_grounds_is_found_by_its_border() -> None:
    """No threshold tells a part that is brighter and darker than its ground, the border of each photo does."""
    product = _find(_two_tone, {"dent": _supports(_two_tone, _disc(80, 64, 8), (90, 20, 20))})

    assert product.settings.method == "border"
    assert "otsu" in str(product.why)
    for seed in range(6):
        assert _iou(find_foreground(_two_tone(seed), product.settings), _disc(64, 60 + seed % 9, 42)) > 0.9


def test_a_part_in_the_shade_is_told_from_its_ground_by_colour() -> None:
    """The dark rim of a brown part belongs to it, though grey values take it for the blue belt."""
    product = _find(_biscuit, {"burn": _supports(_biscuit, _disc(70, 64, 8), (40, 30, 20))})

    assert product.settings.method == "otsu"
    for seed in range(4):
        assert _iou(find_foreground(_biscuit(seed), product.settings), _disc(64, 60 + seed % 9, 42)) > 0.95


def test_highlights_do_not_hide_a_part_and_gaps_between_its_teeth_are_background() -> None:
    """The bright part's own spread is large; its sharp outline and the plain ground all around it say what it is."""

    def make(seed: int) -> Photo:
        return _gear(seed)[0]

    values, high = split_in_two(make(0))
    assert separation(values, high) < ForegroundSettings().min_separation

    product = _find(make, {"dent": _supports(make, _disc(64, 30, 5), (20, 20, 20))})

    assert product.settings.method == "otsu"
    for seed in range(4):
        photo, part = _gear(seed)
        found = find_foreground(photo, product.settings)
        between = ~part & (cv2.morphologyEx(part.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8)) > 0)
        assert _iou(found, part) > 0.9
        assert found[between].mean() < 0.1


def _screws(seed: int) -> Photo:
    """Return four small bright parts that hold a twentieth of the frame, on a table that the light falls off on."""
    places = numpy_generator(seed + 50).permutation(9)[:4]
    middles = [(24 + 40 * (place // 3), 24 + 40 * (place % 3)) for place in places.tolist()]
    heads = [(_disc(*middle, 8), (160, 160, 160)) for middle in middles]
    shine = [(_disc(row - 3, column - 3, 6), (230, 230, 230)) for row, column in middles]
    photo = _photo(seed, (100, 100, 100), *heads, *shine)
    light = np.linspace(-25, 25, 128)[:, None, None].round()
    return (photo + light).clip(0, 255).astype(np.uint8)


def test_several_small_parts_are_told_from_the_table_they_lie_on() -> None:
    """They explain less of the variance than one large part would, and are as far from the table as that."""
    dents = [(_screws(i), _screws(i)[..., 0] > 215) for i in range(3)]

    product = find_product(NORMALS, {"dent": dents}, ForegroundSettings(), load=lambda s: _screws(int(s.sha256)))

    assert product.settings.method == "otsu"
    values, high = split_in_two(_screws(0))
    assert separation(values, high) < 0.7


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    """Up to `closing` pixels across; a groove that opens to the ground stays unless it is narrow."""
    part = np.zeros((100, 100), bool)
    part[10:90, 10:90] = True
    small, large, notch, crack = (np.zeros_like(part) for _ in range(4))
    small[20:30, 20:30] = large[40:70, 40:70] = notch[10:30, 60:70] = crack[60:90, 20:23] = True

    filled = fill_holes(part & ~small & ~large & ~notch & ~crack, 15)

    assert filled[small].all()
    assert filled[large].mean() < 0.02
    assert not filled[notch].all()
    assert filled[notch].mean() < 0.2
    assert filled[crack].mean() > 0.9


def test_what_a_part_encloses_belongs_to_it_unless_it_looks_like_the_ground() -> None:
    """The red half of a capsule is as dark as the table that the threshold tells from the foil; a bore shows it."""
    part, red, bore = _disc(64, 64, 56), _disc(64, 44, 15), _disc(64, 88, 15)

    for seed in range(4):
        photo = _photo(seed, (55, 58, 60), (part, (165, 165, 168)), (red, (120, 20, 18)), (bore, (50, 53, 55)))
        found = find_foreground(photo, ForegroundSettings(method="otsu"))
        assert not split_in_two(photo)[1][red].any()
        assert found[red].mean() > 0.9
        assert found[bore].mean() < 0.05
        assert _iou(found, part & ~bore) > 0.97


def test_light_that_falls_off_is_no_part() -> None:
    """A bright spot in the middle of a surface has no outline, though the frame's edge is dark all around."""
    far = np.hypot(*(np.indices((128, 128)) - 64.0))
    light = 60 + 120 * np.clip(1 - far / 75, 0, 1)
    photo = (light[..., None] + numpy_generator(0).normal(0, 3, (128, 128, 3))).clip(0, 255).astype(np.uint8)
    values, high = split_in_two(photo)

    fault = surrounded_fault(photo, 0.8)

    assert not frame_edge(high).any()
    assert separation(values, high) > 0.7
    assert fault is not None
    assert fault.measure == "separation"
    assert surrounded_fault(_gear(0)[0], 0.8) is None


def test_a_board_that_goes_on_beyond_the_frame_is_found_by_its_end() -> None:
    """The board holds most of the frame's edge, the black beside it is no product; stripes of a board are not."""
    product = _find(_end_of_plank, {"stain": _supports(_end_of_plank, _disc(70, 80, 8), (40, 30, 20))})

    assert product.settings.method == "otsu_beyond"
    assert "otsu finds a part on 0 of 16 normal photos (background along the frame's edge" in str(product.why)
    for seed in range(4):
        truth = np.ones((128, 128), bool)
        truth[:, : 16 + seed % 5] = False
        assert _iou(find_foreground(_end_of_plank(seed), product.settings), truth) > 0.95
    assert _find(_plank, {}).settings.method == "full"


@pytest.mark.parametrize("seed", range(3))
def test_photos_without_colour_are_parted_by_their_grey_values(seed: int) -> None:
    """Otsu's threshold alone decides."""
    photo = np.repeat(_gear(seed)[0][..., :1], 3, axis=2)
    grey = cv2.GaussianBlur(photo[..., 0], (5, 5), 0)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)

    assert (split_in_two(photo)[1] == (grey > threshold)).mean() > 0.999


def test_a_pattern_that_is_cut_by_the_frame_is_no_part() -> None:
    """Motifs all over a cloth are well apart from its ground, which holds most of the edge; the reason says why not."""

    def make(seed: int) -> Photo:
        rows, columns = np.indices((128, 128)) + seed
        motifs = np.hypot(rows % 24 - 12, columns % 24 - 12) < 4.5
        return _photo(seed, (30, 40, 75), (motifs, (170, 40, 40)))

    product = _find(make, {})

    assert product.settings.method == "full"
    assert "expected at most 8" in str(product.why)


def test_a_part_that_is_hardly_brighter_is_refused_for_its_separation() -> None:
    """The reason is the real one, with what was found and what was expected."""

    def make(seed: int) -> Photo:
        clouds = cv2.GaussianBlur(numpy_generator(seed).normal(0, 1, (128, 128)), (0, 0), 6)
        clouds *= _disc(64, 64, 58)
        grey = 100 + 60 * clouds / np.abs(clouds).max()
        return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)

    why = str(_find(make, {}).why)

    assert "otsu finds a part on" in why
    assert "separation 0." in why
    assert "expected at least 0.72" in why


def test_a_texture_is_the_product_everywhere() -> None:
    """No method finds a part in grain, so the whole frame is taken, also where there are no support photos."""
    for known in (_supports(_texture, _disc(64, 64, 8), (0, 0, 0)), []):
        product = _find(_texture, {"spot": known})
        assert product.settings.method == "full"
        assert "border finds a part on 0 of 16 normal photos (the part's share of the frame 0, expected" in str(
            product.why
        )


def test_what_people_chose_is_not_judged() -> None:
    """Any other method stays as it is, and is no choice to tell about; some normal photos are named in any case."""
    settings = ForegroundSettings(method="otsu")

    product = find_product(NORMALS, {}, settings, load=lambda sample: _texture(int(sample.sha256)))

    assert product == Product(settings=settings, typical=product.typical)
    assert len(set(product.typical)) == 5
    with pytest.raises(ValueError, match="not for a photo"):
        find_foreground(_texture(0), ForegroundSettings())


def _casting(seed: int) -> tuple[Photo, np.ndarray]:
    """Return a turned ring around a dark bore on a grey table, and where the part is.

    Light makes sectors of the ring brighter, darker and as bright as the table, from which a thin dark line parts them.
    """
    rows, columns = np.indices((128, 128)) - np.array([64, 61 + seed % 7])[:, None, None]
    radius, angle = np.hypot(rows, columns), np.arctan2(rows, columns)
    ring = 150 + (40, 45, 50, 60, 75)[seed % 5] * np.sin(2 * angle + seed)
    table = 150 + 0.15 * (rows * np.cos(seed) + columns * np.sin(seed))
    grey = np.select([radius < 20, radius < 47.5, radius < 49], [30, ring, 90], table)
    photo = cv2.GaussianBlur(grey, (0, 0), 0.8)[..., None] + numpy_generator(seed).normal(0, 2, (128, 128, 3))
    return photo.clip(0, 255).astype(np.uint8), radius < 49


def test_a_part_that_is_in_places_as_bright_as_its_ground_ends_at_its_edges() -> None:
    """Where the light makes them alike neither threshold nor colour tells them apart, but the outline goes on."""

    def make(seed: int) -> Photo:
        return _casting(seed)[0]

    product = _find(make, {"hole": _supports(make, _disc(64, 98, 4), (30, 30, 30))})

    assert product.settings.method == "edges", product.why
    assert "border finds parts whose sizes spread by 0." in str(product.why)
    for seed in range(8):
        photo, part = _casting(seed)
        assert _iou(find_foreground(photo, ForegroundSettings(method="border")), part) < 0.8
        assert _iou(find_foreground(photo, product.settings), part) > 0.9


def test_edges_find_no_part_on_a_surface() -> None:
    """Grain and stripes have edges everywhere; nothing differs from the border, so nothing is to be surrounded."""
    for make in (_texture, _plank):
        assert not find_foreground(make(0), ForegroundSettings(method="edges")).any()
        assert _find(make, {}).settings.method == "full"


def test_parts_that_differ_in_size_are_not_ragged() -> None:
    """Edges find no more of a white and a black half than the border of the photo tells."""

    def make(seed: int) -> Photo:
        part = _disc(64, 64, 30 + 2 * (seed % 6))
        white = part & (np.indices((128, 128))[0] < 64)
        ground = [(110, 115, 120), (90, 125, 90), (75, 95, 140)][seed % 3]
        return _photo(seed, ground, (part, (15, 15, 15)), (white, (235, 235, 235)))

    sizes = [find_foreground(make(seed), ForegroundSettings(method="border")).mean() for seed in range(16)]

    assert np.ptp(np.quantile(sizes, [0.25, 0.75])) > 0.1 * np.median(sizes)
    assert _find(make, {}).settings.method == "border"


def test_what_does_not_end_at_edges_or_is_in_pieces_is_no_part_within_edges() -> None:
    """Glow around a part fades on its ground; of pads between which a board goes on edges tell nothing."""
    far = np.hypot(*(np.indices((128, 128)) - 64.0))
    glow = np.repeat((30 + 150 * np.exp(-np.square(far / 30)))[..., None], 3, axis=2)
    glow = (glow + numpy_generator(0).normal(0, 2, glow.shape)).clip(0, 255).astype(np.uint8)
    settings = ForegroundSettings(method="edges")

    measures = {}
    for name, photo in {"glow": glow, "pads": _board(0), "casting": _casting(0)[0]}.items():
        fault = background_fault(photo, find_foreground(photo, settings), settings)
        measures[name] = fault and fault.measure

    assert measures == {
        "glow": "slope along the outline, relative to the usual one",
        "pads": "the largest piece's share of the part",
        "casting": None,
    }


def test_shade_beside_a_part_lies_outside_of_its_edges() -> None:
    """It differs from the ground as the part does, and a dark line parts the two."""
    rows, columns = np.indices((128, 128)) - 64.0
    photo, part = _casting(0)[0].astype(float), _casting(0)[1]
    beside = np.clip(1 - (np.hypot(rows, columns + 3) - 49) / 12, 0, 1) * (columns + rows > 0) * ~part
    photo = (photo * (1 - 0.5 * beside[..., None])).clip(0, 255).astype(np.uint8)
    shade = beside > 0.3

    assert find_foreground(photo, ForegroundSettings(method="border"))[shade].mean() > 0.3
    assert find_foreground(photo, ForegroundSettings(method="edges"))[shade].mean() < 0.1
