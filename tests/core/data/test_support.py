"""The choice of the support set and of what is left to evaluate on."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anogen_core.data.frame import FrameSettings
from anogen_core.data.support import SupportSettings, choose_support, held_out
from anogen_core.digests import digest_file
from anogen_core.errors import InputError
from anogen_core.records import Box, Part, Sample


def _photos(
    category: str = "tile", defect: str = "crack", *, count: int = 6, groups: int | None = None
) -> list[Sample]:
    return [
        Sample(
            sample_id=f"{category}/test/{defect}/p{i:02d}",
            category=category,
            defect=defect,
            split="test",
            image_uri=f"/data/{category}/test/{defect}/p{i:02d}.png",
            mask_uri=f"/data/{category}/ground_truth/{defect}/p{i:02d}.png" if defect != "good" else None,
            sha256=f"{category}{defect}{i}",
            group=str(i % groups) if groups else None,
        )
        for i in range(count)
    ]


@given(seed=st.integers(0, 2**32), order=st.permutations(range(12)), shots=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_choice_depends_on_seed_and_photos_alone(seed: int, order: list[int], shots: int) -> None:
    """The order of the samples, other defects and other categories change nothing."""
    crack, hole = _photos(), _photos(defect="hole")
    chosen = SupportSettings(shots=shots)
    shuffled = [(crack + hole)[i] for i in order]

    alone = choose_support(crack, chosen, seed=seed)
    together = choose_support(shuffled + _photos("cap") + _photos(defect="good"), chosen, seed=seed)

    assert [(s.category, s.defect) for s in together] == [("cap", "crack"), ("tile", "crack"), ("tile", "hole")]
    assert together[1] == alone[0]
    ids = [sample.sample_id for sample in alone[0].samples]
    assert ids == sorted(set(ids))
    assert len(ids) == shots


def test_another_seed_chooses_other_photos() -> None:
    """Over twenty seeds many different sets come up."""
    sets = {choose_support(_photos(count=12), SupportSettings(), seed=seed)[0].samples for seed in range(20)}

    assert len(sets) > 10


def test_support_photos_show_different_parts_when_groups_are_named() -> None:
    """With three groups of many photos each, three shots are one of each; a fourth repeats a group."""
    photos = _photos(count=30, groups=3)
    for seed in range(20):
        three = choose_support(photos, SupportSettings(shots=3), seed=seed)[0].samples
        four = choose_support(photos, SupportSettings(shots=4), seed=seed)[0].samples

        assert {sample.group for sample in three} == {"0", "1", "2"}
        assert len(set(four)) == 4


def test_photos_of_several_defects_are_chosen_last() -> None:
    """They show what is labelled of the defect, may be named, and are enough where there are no others."""
    alone = _photos(count=2)
    parts = tuple(Part(defect=d, boxes=(Box(x=x, y=0, width=1, height=1),)) for d, x in (("crack", 1), ("stain", 2)))
    both = [
        p.model_copy(update={"parts": parts, "mask_uri": None, "sha256": p.sha256[::-1]})
        for p in _photos(defect="combined", count=2)
    ]

    for seed in range(8):
        crack, stain = choose_support([*alone, *both], SupportSettings(shots=2), seed=seed)
        assert (crack.defect, stain.defect) == ("crack", "stain")
        assert set(crack.samples) == set(alone)
        assert {s.sample_id for s in stain.samples} == {s.sample_id for s in both}
        assert [s.boxes for s in stain.samples] == [parts[1].boxes] * 2
        assert [s.outline for s in stain.samples] == [None] * 2
    named = SupportSettings(images={"crack": (both[0].sample_id,)}, defects=("crack",))
    (support,) = choose_support([*alone, *both], named, seed=0)
    assert support.samples[0].boxes == parts[0].boxes


@pytest.mark.parametrize("key", ["crack", "tile/crack"])
@pytest.mark.parametrize(
    "name", ["p04.png", "p04", "test/crack/p04.png", "./tile/test/crack/p04.png", "tile/test/crack/p04"]
)
def test_photos_can_be_named(key: str, name: str) -> None:
    """File names, ends of paths and ids name a photo; defects that are not listed are chosen by seed."""
    named = SupportSettings(images={key: (name, "p01.png")})

    hole, crack = sorted(
        choose_support(_photos() + _photos(defect="hole"), named, seed=0), key=lambda s: -len(s.samples)
    )

    assert [sample.sample_id for sample in crack.samples] == ["tile/test/crack/p01", "tile/test/crack/p04"]
    assert len(hole.samples) == 3


def test_defects_can_be_selected() -> None:
    """Only the named defects get a support set."""
    photos = _photos() + _photos(defect="hole") + _photos("cap")

    chosen = choose_support(photos, SupportSettings(defects=("hole", "cap/crack")), seed=0)

    assert [(s.category, s.defect) for s in chosen] == [("cap", "crack"), ("tile", "hole")]


def test_all_unknown_names_are_told_at_once_with_near_matches() -> None:
    """Wrong photos, wrong keys and wrong defects come in one message that suggests what exists."""
    wrong = SupportSettings(images={"crack": ("p3.png", "p01.png"), "crak": ("a",)}, defects=("crack", "hol"))

    with pytest.raises(InputError) as caught:
        choose_support(_photos() + _photos(defect="hole"), wrong, seed=0)

    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "support.defects[hol]" in lines[0]
    assert "hole" in lines[0]
    assert "support.images[crak]" in lines[1]
    assert "crack" in lines[1]
    assert "'p3.png'" in lines[2]
    assert "p03.png" in lines[2]


def test_too_few_photos_with_masks_is_an_error() -> None:
    """Photos without a mask do not count, and cannot be named either."""
    photos = _photos(count=2) + [p.model_copy(update={"mask_uri": None}) for p in _photos()[2:]]

    with pytest.raises(InputError, match=r"tile/crack: has 2 of 6 photos with mask or boxes; 3 are needed"):
        choose_support(photos, SupportSettings(), seed=0)
    with pytest.raises(InputError, match=r"'p03.png' has no usable mask"):
        choose_support(photos, SupportSettings(images={"crack": ("p03.png",)}), seed=0)


def test_a_name_that_fits_two_photos_is_an_error() -> None:
    """The same stem with two endings has to be told apart."""
    photos = _photos()
    twin = photos[0].model_copy(update={"sample_id": "tile/test/crack/p00.bmp", "image_uri": "/data/p00.bmp"})

    with pytest.raises(InputError, match="fits 2 photos"):
        choose_support([*photos, twin], SupportSettings(images={"crack": ("p00",)}), seed=0)


def _stored(photos: list[Sample], folder: Path) -> list[Sample]:
    """Return the samples with a small photo of its own for each, written into a folder."""
    stored = []
    for i, photo in enumerate(photos):
        path = folder / f"{photo.sample_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        stored.append(_store(photo, path, np.random.default_rng(i).integers(0, 256, (16, 24, 3), dtype=np.uint8)))
    return stored


def _store(photo: Sample, path: Path, pixels: np.ndarray, *, compression: int = 1) -> Sample:
    options = [cv2.IMWRITE_PNG_COMPRESSION, compression] if path.suffix == ".png" else []
    assert cv2.imwrite(str(path), pixels, options)
    return photo.model_copy(update={"image_uri": str(path), "sha256": digest_file(path)})


def test_support_images_never_reach_evaluation(tmp_path: Path) -> None:
    """A copy of a support photo under another name is left out too; train photos are in neither list."""
    photos = _stored(_photos() + _photos(defect="good"), tmp_path)
    supports = choose_support(photos, SupportSettings(), seed=5)
    learned = supports[0].samples
    copy = learned[0].model_copy(update={"sample_id": "tile/test/hole/copy", "defect": "hole"})
    train = photos[-1].model_copy(update={"split": "train", "sample_id": "tile/train/good/x"})

    kept, excluded = held_out([*photos, copy, train], supports, FrameSettings())

    assert set(excluded) == {*learned, copy}
    assert len(kept) == 9
    assert not {s.sha256 for s in kept} & {s.sha256 for s in learned}


@pytest.mark.parametrize("name", ["again.png", "copy.bmp", "copy.tif", "grey.png", "deep.png"])
def test_support_images_in_another_file_never_reach_evaluation(tmp_path: Path, name: str) -> None:
    """Other compression, another format, one channel for three and 16 bits for 8 do not make it another photo."""
    photos = _stored(_photos(), tmp_path)
    grey = np.repeat(np.random.default_rng(99).integers(0, 256, (16, 24, 1), dtype=np.uint8), 3, axis=2)
    photos[0] = _store(photos[0], tmp_path / "support.png", grey)
    supports = choose_support(photos, SupportSettings(images={"crack": ("support.png",)}), seed=0)
    others: dict[str, np.ndarray] = {"grey.png": grey[..., 0], "deep.png": grey.astype(np.uint16) * 257}
    copy = photos[0].model_copy(update={"sample_id": "tile/test/good/copy", "defect": "good"})
    copy = _store(copy, tmp_path / name, others.get(name, grey), compression=9)

    kept, excluded = held_out([*photos, copy], supports, FrameSettings())

    assert copy.sha256 != photos[0].sha256
    assert excluded == [photos[0], copy]
    assert kept == photos[1:]


def test_only_photos_of_a_support_photos_size_are_decoded(tmp_path: Path) -> None:
    """A photo of another size is told apart by its header; one that is as large and cannot be decoded is an error."""
    photos = _stored(_photos(), tmp_path)
    supports = choose_support(photos[:5], SupportSettings(), seed=0)
    broken = tmp_path / "broken.png"

    def truncated(height: int) -> list[Sample]:
        noise = np.random.default_rng(7).integers(0, 256, (height, 24, 3), dtype=np.uint8)
        _store(photos[5], broken, noise)
        broken.write_bytes(broken.read_bytes()[:60])
        return [*photos[:5], photos[5].model_copy(update={"image_uri": str(broken), "sha256": digest_file(broken)})]

    kept, _ = held_out(truncated(20), supports, FrameSettings())

    assert len(kept) == 3
    with pytest.raises(InputError, match=r"broken\.png"):
        held_out(truncated(16), supports, FrameSettings())


def test_leakage_groups_of_support_photos_never_reach_evaluation(tmp_path: Path) -> None:
    """Every photo of a support photo's part is left out, of that category alone."""
    photos = _stored(_photos(count=12, groups=6) + _photos("cap", "good", count=12, groups=6), tmp_path)
    supports = choose_support(photos[:12], SupportSettings(), seed=1)
    learned = {sample.group for sample in supports[0].samples}

    kept, excluded = held_out(photos, supports, FrameSettings())

    assert len(excluded) == 6
    assert all(sample.group in learned for sample in excluded)
    assert not {s.group for s in kept if s.category == "tile"} & learned
    assert sum(s.category == "cap" for s in kept) == 12


def test_the_group_of_a_copy_is_that_of_the_support_photo(tmp_path: Path) -> None:
    """A copy's group is left out though the support photo has none; so is a copy of a photo of that group."""
    photos = _stored(_photos(), tmp_path)
    supports = choose_support(photos, SupportSettings(images={"crack": ("p00",)}), seed=0)
    copy = photos[0].model_copy(update={"sample_id": "tile/test/crack/copy", "group": "A"})
    photos[3] = photos[3].model_copy(update={"group": "A"})
    third = photos[3].model_copy(update={"sample_id": "tile/test/good/third", "group": None})

    kept, excluded = held_out([*photos, copy, third], supports, FrameSettings())

    assert excluded == [photos[0], photos[3], copy, third]
    assert kept == [photos[1], photos[2], photos[4], photos[5]]


def test_image_paths_are_not_opened() -> None:
    """Choosing works on records alone."""
    assert not Path("/data/tile/test/crack/p00.png").exists()
    assert choose_support(_photos(), SupportSettings(), seed=0)
