"""Photos and masks in the frame."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from pydantic import ValidationError

from anogen_core.data.fit import fit_problems
from anogen_core.data.frame import (
    FrameSettings,
    frame_size_of,
    load_image,
    load_mask,
    read_mask,
    read_photo,
    repaint,
    resize_mask,
    to_rgb,
)
from anogen_core.errors import InputError
from anogen_core.records import Sample


def _sample(image: Path, *, mask: Path | None = None, defect: str = "crack") -> Sample:
    return Sample(
        sample_id="c/test/crack/a",
        category="c",
        defect=defect,
        split="test",
        image_uri=str(image),
        mask_uri=str(mask) if mask else None,
        sha256=hashlib.sha256(image.read_bytes()).hexdigest() if image.exists() else "0",
    )


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_grey_colour_and_alpha_become_rgb(tmp_path: Path, suffix: str) -> None:
    """Lossless formats give the same RGB pixels; grey has three equal channels; alpha is dropped."""
    rgb = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    PillowImage.fromarray(rgb).save(tmp_path / f"rgb{suffix}")
    PillowImage.fromarray(rgb[..., 0]).save(tmp_path / f"grey{suffix}")
    PillowImage.fromarray(np.dstack([rgb, rgb[..., 0]])).save(tmp_path / "alpha.png")

    np.testing.assert_array_equal(read_photo(tmp_path / f"rgb{suffix}"), rgb)
    np.testing.assert_array_equal(read_photo(tmp_path / f"grey{suffix}"), np.repeat(rgb[..., :1], 3, axis=2))
    np.testing.assert_array_equal(read_photo(tmp_path / "alpha.png"), rgb)


def test_palette_photos_show_their_colours(tmp_path: Path) -> None:
    """A palette image is expanded."""
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[:4] = (200, 10, 30)
    PillowImage.fromarray(rgb).quantize(2).save(tmp_path / "p.png")

    np.testing.assert_array_equal(read_photo(tmp_path / "p.png"), rgb)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_values_are_scaled_by_the_white_level(tmp_path: Path, suffix: str, channels: int) -> None:
    """White becomes 255, more than white too, and halves round up."""
    values = np.array([[0, 8, 9, 2047, 2048, 4095, 4096, 65535]], np.uint16)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), values if channels == 1 else np.dstack([values] * 3))

    at_12_bits = read_photo(path, white_level=4095)[0, :, 0]
    at_16_bits = read_photo(path)[0, :, 2]

    expected = [int(255 * min(int(v), 4095) / 4095 + 0.5) for v in values[0]]
    assert at_12_bits.tolist() == expected
    assert at_16_bits.tolist() == [int(255 * int(v) / 65535 + 0.5) for v in values[0]]


@pytest.mark.parametrize("fmt", ["JPEG", "PNG"])
def test_exif_orientation_is_ignored(tmp_path: Path, fmt: str) -> None:
    """A photo that asks to be rotated keeps its stored shape."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.new("RGB", (30, 20)).save(tmp_path / "a.img", fmt, exif=exif)

    assert read_photo(tmp_path / "a.img").shape == (20, 30, 3)


@given(
    seed=st.integers(0, 2**32 - 1),
    white=st.integers(255, 65535),
    bits=st.sampled_from([8, 16]),
    channels=st.sampled_from([(), (3,), (4,)]),
)
def test_a_repainted_photo_shows_the_image(seed: int, white: int, bits: int, channels: tuple[int, ...]) -> None:
    """Within a grey level (8 bit: exactly); a value is another only where the image is, and alpha stays."""
    rng = np.random.default_rng(seed)
    high = min(2**bits, 2 * white)
    pixels = rng.integers(0, high, (6, 7, *channels)).astype(np.uint8 if bits == 8 else np.uint16)
    shown = to_rgb(pixels, white_level=white)
    image = np.where(rng.random((6, 7, 1)) < 0.5, shown, rng.integers(0, 256, (6, 7, 3 if channels else 1), np.uint8))

    painted = repaint(pixels, image, white_level=white)

    assert (painted.dtype, painted.shape) == (pixels.dtype, pixels.shape)
    difference = np.abs(to_rgb(painted, white_level=white).astype(int) - image)
    assert difference.max() <= (bits == 16)
    same = image == shown
    kept = painted == pixels if not channels else (painted == pixels)[..., 2::-1]
    np.testing.assert_array_equal(kept, same if channels else same[..., 0])
    if channels == (4,):
        np.testing.assert_array_equal(painted[..., 3], pixels[..., 3])


def test_a_grey_photo_takes_the_lightness_of_colours() -> None:
    """Of a coloured pixel the weighted mean of its channels is painted."""
    image = np.array([[[10, 10, 10], [255, 0, 0]]], np.uint8)

    painted = repaint(np.full((1, 2), 10 * 257 + 5, np.uint16), image)

    assert painted.tolist() == [[10 * 257 + 5, 10 * 257 + 5 + (76 - 10) * 257]]


@pytest.mark.parametrize(
    ("size", "interpolation"),
    [((16, 16), cv2.INTER_AREA), ((32, 16), cv2.INTER_AREA), ((64, 96), cv2.INTER_CUBIC), ((32, 64), cv2.INTER_CUBIC)],
)
def test_the_frame_is_one_documented_resize(tmp_path: Path, size: tuple[int, int], interpolation: int) -> None:
    """An independent reader that calls cv2.resize as documented gets the same bytes."""
    stored = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), stored[..., ::-1])

    image = load_image(_sample(tmp_path / "a.png"), size)

    np.testing.assert_array_equal(image, cv2.resize(stored, size[::-1], interpolation=interpolation))


@pytest.mark.parametrize(("size", "between"), [((64, 16), (32, 16)), ((16, 96), (16, 48))])
def test_a_photo_that_shrinks_along_one_side_is_averaged_first(
    tmp_path: Path, size: tuple[int, int], between: tuple[int, int]
) -> None:
    """Two documented resizes: averaged along the side that shrinks, then lengthened along the other."""
    stored = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), stored[..., ::-1])

    image = load_image(_sample(tmp_path / "a.png"), size)

    averaged = cv2.resize(stored, between[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(image, cv2.resize(averaged, size[::-1], interpolation=cv2.INTER_CUBIC))


def test_a_mask_that_shrinks_along_one_side_is_the_sum_of_its_parts() -> None:
    """Of blocks that fill whole frame pixels all are kept, where every fourth column of each alone would do."""
    mask = np.zeros((8, 64), bool)
    mask[:, 8:16] = mask[:4, 40:44] = True
    expected = np.zeros((16, 16), bool)
    expected[:, 2:4] = expected[:8, 10] = True

    np.testing.assert_array_equal(resize_mask(mask, (16, 16)), expected)
    mask[:, 9:12] = False
    assert not resize_mask(mask, (16, 16))[:, 2].any()


def test_the_native_size_is_untouched(tmp_path: Path) -> None:
    """In its own size a photo is byte-equal to what is stored."""
    stored = np.random.default_rng(2).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), stored[..., ::-1])

    np.testing.assert_array_equal(load_image(_sample(tmp_path / "a.png"), (32, 48)), stored)


@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    to=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_no_defect_vanishes_and_none_appears(height: int, width: int, to: tuple[int, int], data: st.DataObject) -> None:
    """A mask is empty after resizing exactly when it was before, and full when it was full."""
    mask = np.zeros((height, width), bool)
    for _ in range(data.draw(st.integers(0, 3))):
        mask[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True

    assert resize_mask(mask, to).any() == mask.any()
    assert resize_mask(np.ones_like(mask), to).all()


def test_a_mask_keeps_its_place_when_it_shrinks() -> None:
    """A block that covers whole frame pixels is exactly those; one lone pixel lands where it lies."""
    block = np.zeros((64, 64), bool)
    block[16:32, 8:24] = True
    expected = np.zeros((16, 16), bool)
    expected[4:8, 2:6] = True
    lone = np.zeros((64, 64), bool)
    lone[41, 22] = True

    np.testing.assert_array_equal(resize_mask(block, (16, 16)), expected)
    assert np.argwhere(resize_mask(lone, (16, 16))).tolist() == [[10, 5]]


@pytest.mark.parametrize("value", [1, 128, 255])
@pytest.mark.parametrize("kind", ["grey", "colour", "one bit"])
def test_any_single_nonzero_value_is_anomalous(tmp_path: Path, value: int, kind: str) -> None:
    """0/1, 0/255, colour and one bit masks mean the same; polarity is not flipped."""
    expected = np.zeros((12, 10), bool)
    expected[:9] = True
    grey = (expected * value).astype(np.uint8)
    images = {
        "grey": PillowImage.fromarray(grey),
        "colour": PillowImage.fromarray(np.dstack([grey, 0 * grey, 0 * grey])),
        "one bit": PillowImage.fromarray(expected),
    }
    images[kind].save(tmp_path / "m.png")

    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), expected)


def test_a_mask_with_grey_edges_is_refused(tmp_path: Path) -> None:
    """The message counts the values and says how to save masks, or to say what they mean."""
    cv2.imwrite(str(tmp_path / "m.png"), np.array([[0, 100, 255]], np.uint8))
    sample = _sample(tmp_path / "a.png", mask=tmp_path / "m.png")

    with pytest.raises(InputError, match=r"not binary: it holds 2 values besides 0.*mask_threshold.*PNG"):
        load_mask(sample, (16, 16))

    for threshold, expected in ((1, [False, True, True]), (101, [False, False, True]), (256, [False] * 3)):
        thresholded = sample.model_copy(update={"mask_threshold": threshold})
        assert load_mask(thresholded, (1, 3)).tolist() == [expected]


def test_photos_without_a_label_have_empty_masks(tmp_path: Path) -> None:
    """Normal ones, and defective ones of which nothing says where the defect is."""
    assert not load_mask(_sample(tmp_path / "a.png", defect="good"), (16, 20)).any()
    assert not load_mask(_sample(tmp_path / "a.png"), (16, 20)).any()


def test_the_frame_is_the_native_size_only_when_all_agree(tmp_path: Path) -> None:
    """Different sizes need `frame.size`; the message lists them."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 48), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((40, 48), np.uint8))
    both = [_sample(tmp_path / "a.png"), _sample(tmp_path / "b.png")]

    assert frame_size_of(both[:1], FrameSettings()) == (32, 48)
    assert frame_size_of(both, FrameSettings(size=(64, 80))) == (64, 80)
    with pytest.raises(InputError, match=r"2 sizes.*32x48.*Set `frame.size`"):
        frame_size_of(both, FrameSettings())
    with pytest.raises(InputError, match="no photo"):
        frame_size_of([], FrameSettings())


@pytest.mark.parametrize(
    ("size", "usual", "told"),
    [
        ((480, 640), (480, 640), ""),  # squeezed into a square like all others
        ((640, 480), (480, 640), "squeezed"),
        ((270, 480), (480, 640), ""),
        ((20, 40), (480, 640), "squeezed"),
        ((100, 130), (480, 640), "enlarged"),
        ((128, 170), (480, 640), ""),
        ((100, 100), (100, 100), ""),  # small like all others
        ((4000, 4000), (100, 100), ""),
    ],
)
def test_a_photo_fits_the_frame_as_others_do(size: tuple[int, int], usual: tuple[int, int], told: str) -> None:
    """Told are photos that are squeezed by half more than most, or enlarged to more than twice their size alone."""
    problems = fit_problems(Path("a.png"), size, category="c", frame=(256, 256), usual=usual)

    assert [told in p.what for p in problems] == ([True] if told else [])


def test_impossible_frames_are_refused() -> None:
    """Sizes, white levels and limits that cannot be meant do not validate."""
    for wrong in ({"size": [0, 256]}, {"size": [256]}, {"white_level": 0}, {"max_pixels": 10**10}):
        with pytest.raises(ValidationError):
            FrameSettings.model_validate(wrong)


def test_a_file_that_is_not_an_image_is_an_input_error(tmp_path: Path) -> None:
    """Loading such a file names it; nothing else is raised."""
    (tmp_path / "a.png").write_bytes(b"not an image")

    with pytest.raises(InputError, match=r"a\.png: cannot be decoded"):
        load_image(_sample(tmp_path / "a.png"), (16, 16))
    with pytest.raises(InputError, match=r"b\.png: cannot be read \(No such file"):
        load_image(_sample(tmp_path / "b.png"), (16, 16))


def test_a_photo_that_was_changed_is_an_input_error(tmp_path: Path) -> None:
    """Another photo under the same name is not taken for the one that the data was read with."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((16, 16, 3), 9, np.uint8))
    sample = _sample(tmp_path / "a.png")
    cv2.imwrite(sample.image_uri, np.zeros((16, 16, 3), np.uint8))

    with pytest.raises(InputError, match=r"a\.png: has changed since it was read first"):
        load_image(sample, (16, 16))
