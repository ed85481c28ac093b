"""The choice of the support set and of what is left to evaluate on."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anogen_core.data.support import SupportSettings, choose_support, held_out
from anogen_core.errors import InputError
from anogen_core.records import Sample


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

    with pytest.raises(InputError, match=r"tile/crack: has 2 of 6 photos with a usable mask; 3 are needed"):
        choose_support(photos, SupportSettings(), seed=0)
    with pytest.raises(InputError, match=r"'p03.png' has no usable mask"):
        choose_support(photos, SupportSettings(images={"crack": ("p03.png",)}), seed=0)


def test_a_name_that_fits_two_photos_is_an_error() -> None:
    """The same stem with two endings has to be told apart."""
    photos = _photos()
    twin = photos[0].model_copy(update={"sample_id": "tile/test/crack/p00.bmp", "image_uri": "/data/p00.bmp"})

    with pytest.raises(InputError, match="fits 2 photos"):
        choose_support([*photos, twin], SupportSettings(images={"crack": ("p00",)}), seed=0)


def test_support_images_never_reach_evaluation() -> None:
    """A copy of a support photo under another name is left out too; train photos are in neither list."""
    photos = _photos() + _photos(defect="good")
    supports = choose_support(photos, SupportSettings(), seed=5)
    learned = supports[0].samples
    copy = learned[0].model_copy(update={"sample_id": "tile/test/hole/copy", "defect": "hole"})
    train = photos[-1].model_copy(update={"split": "train", "sample_id": "tile/train/good/x"})

    kept, excluded = held_out([*photos, copy, train], supports)

    assert set(excluded) == {*learned, copy}
    assert len(kept) == 9
    assert not {s.sha256 for s in kept} & {s.sha256 for s in learned}


def test_leakage_groups_of_support_photos_never_reach_evaluation() -> None:
    """Every photo of a support photo's part is left out, of that category alone."""
    photos = _photos(count=12, groups=6)
    others = _photos("cap", "good", count=12, groups=6)
    supports = choose_support(photos, SupportSettings(), seed=1)
    learned = {sample.group for sample in supports[0].samples}

    kept, excluded = held_out(photos + others, supports)

    assert len(excluded) == 6
    assert all(sample.group in learned for sample in excluded)
    assert not {s.group for s in kept if s.category == "tile"} & learned
    assert sum(s.category == "cap" for s in kept) == 12


def test_image_paths_are_not_opened() -> None:
    """Choosing works on records alone."""
    assert not Path("/data/tile/test/crack/p00.png").exists()
    assert choose_support(_photos(), SupportSettings(), seed=0)
