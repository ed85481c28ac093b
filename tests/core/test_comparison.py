"""Arms side by side: stored predictions give every number again, and intervals mean what they say."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from sklearn.metrics import average_precision_score, roc_auc_score

from anogen_core.errors import CorruptDatasetError, InputError
from anogen_core.evaluation import Comparison, Estimate, Evaluation, Trial
from anogen_core.metrics.comparison import _measure, compare_arms
from anogen_core.metrics.histograms import to_levels
from anogen_core.metrics.predictions import METRICS, Predictions, pack_masks
from anogen_core.report.tables import comparison_table
from anogen_core.report.verdict import ALL_METRICS


def predictions(seed: int, *, skill: float = 0.2, copies: int = 1, photos: int = 24) -> Predictions:
    """Return what a detector of some skill says; every photo comes `copies` times, as one group."""
    rng = np.random.default_rng(0)
    mask = np.zeros((photos, 12, 12), bool)
    mask[::2, 3:6, 3:8] = True
    noise = np.random.default_rng(seed).random(mask.shape)
    levels = to_levels(np.clip(0.8 * noise + skill * mask, 0, 1))
    names = [f"{i:02d}" for i in range(photos)]
    defect = np.where(mask.any(axis=(1, 2)), np.where(rng.random(photos) < 0.5, "crack", "dent"), "good")
    whole = Predictions(
        sample_id=np.array(names),
        defect=defect,
        group=np.array(names),
        score=levels.max(axis=(1, 2)).astype(np.float32),
        level=levels,
        mask_bits=pack_masks(mask),
        frame=np.array(mask.shape[1:]),
    )
    return whole.take(np.repeat(np.arange(photos), copies))


def compare(arms: dict[str, list[Predictions]], *, replicates: int = 100) -> Comparison:
    trials = [(Trial.model_validate({"arm": a, "seed": s}), p) for a, ps in arms.items() for s, p in enumerate(ps)]
    return compare_arms(trials, replicates=replicates, seed=0)


def known(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def width(comparison: Comparison, metric: str = "pixel_ap") -> float:
    estimate = known(comparison.arms[0].metrics[metric])
    return estimate.high - estimate.low


def test_stored_predictions_give_every_number_again() -> None:
    """An archive holds all that the metrics need; the same predictions give the same bytes; damage is an error."""
    said = predictions(1)

    again = Predictions.from_bytes(said.to_bytes())

    assert again.metrics() == said.metrics()
    assert again.measure()[1].keys() == {"crack", "dent"}
    assert again.to_bytes() == said.to_bytes()
    assert said.metrics()["pixel_ap"] == pytest.approx(
        average_precision_score(np.stack([said.mask_of(i) for i in range(24)]).ravel(), said.level.ravel()), abs=1e-9
    )
    with pytest.raises(CorruptDatasetError, match="not predictions"):
        Predictions.from_bytes(said.to_bytes()[:-30])


def test_photos_are_measured_at_their_own_size() -> None:
    """A map of the detector's size meets the labels at the photo's: what it says between pixels is interpolated."""
    whole = predictions(1)
    large = np.zeros((24, 30, 50), bool)
    large[::2, 7:15, 12:33] = True
    said = replace(whole, mask_bits=pack_masks(large), frame=np.array(large.shape[1:]))

    assert all(np.array_equal(said.mask_of(i), large[i]) for i in range(24))
    rows, columns = (np.clip((np.arange(n) + 0.5) * 12 / n - 0.5, 0, 11) for n in (30, 50))
    straight = [
        map_coordinates(level.astype(float), np.meshgrid(rows, columns, indexing="ij"), order=1) for level in said.level
    ]
    maps = np.stack([said.map_of(i) for i in range(24)])
    assert np.abs(maps - np.stack(straight)).max() < 1
    assert said.metrics()["pixel_ap"] == pytest.approx(average_precision_score(large.ravel(), maps.ravel()), abs=1e-9)
    assert Predictions.from_bytes(said.to_bytes()).metrics() == said.metrics()


def test_archives_of_full_sized_masks_are_read() -> None:
    """As results of earlier versions hold them."""
    said = predictions(1)
    buffer = io.BytesIO()
    same = {name: getattr(said, name) for name in ("sample_id", "defect", "group", "score", "level")}
    np.savez_compressed(buffer, **same, mask=np.stack([said.mask_of(i) for i in range(24)]))

    assert Predictions.from_bytes(buffer.getvalue()).to_bytes() == said.to_bytes()


def test_every_metric_has_a_field_and_a_name() -> None:
    """What is measured is what is stored and shown."""
    assert set(METRICS) <= set(Evaluation.model_fields)
    assert tuple(ALL_METRICS) == METRICS


def test_value_is_the_mean_over_seeds_and_lies_in_its_interval() -> None:
    """The estimate is the plain mean of the seeds' exact metrics; its interval holds it."""
    seeds = [predictions(s) for s in range(3)]

    arm = compare({"perlin": seeds}).arms[0]

    for name in METRICS:
        estimate = arm.metrics[name]
        assert estimate is not None
        assert estimate.value == pytest.approx(np.mean([p.metrics()[name] for p in seeds]), abs=1e-12)
        assert estimate.low <= estimate.value <= estimate.high


def test_a_defect_with_large_masks_does_not_hide_the_others() -> None:
    """The mean over defects is that of their own pixel APs, each against the good photos and with an interval."""
    small, large = np.zeros((2, 40, 12, 12), bool)
    small[:10, 2:4, 2:4] = True
    large[10:20, :, :9] = True
    said = {}
    for arm, (skill_small, skill_large) in {"perlin": (0.0, 0.3), "generated": (0.7, 0.3)}.items():
        noise = np.random.default_rng(1).random(small.shape)
        levels = to_levels(np.clip(0.5 * noise + skill_small * small + skill_large * large, 0, 1))
        names = np.array([f"{i:02d}" for i in range(40)])
        said[arm] = Predictions(
            sample_id=names,
            defect=np.array(["crack"] * 10 + ["dent"] * 10 + ["good"] * 20),
            group=names,
            score=levels.max(axis=(1, 2)).astype(np.float32),
            level=levels,
            mask_bits=pack_masks(small | large),
            frame=np.array(small.shape[1:]),
        )

    compared = compare({arm: [p] for arm, p in said.items()})

    gain = compared.differences[0]
    crack, dent = (known(gain.per_defect[name]["pixel_ap"]) for name in ("crack", "dent"))
    macro, together = (known(gain.metrics[name]) for name in ("pixel_ap_macro", "pixel_ap"))
    assert crack.low > 0.5
    assert dent.value == pytest.approx(0, abs=1e-9)
    assert macro.value == pytest.approx((crack.value + dent.value) / 2, abs=1e-9)
    assert macro.low > 0.2 > together.high
    for estimates in compared.arms:
        alone = said[estimates.arm].take(np.r_[:10, 20:40]).metrics()
        for name, estimate in estimates.per_defect["crack"].items():
            assert known(estimate).value == pytest.approx(alone[name], abs=1e-9)
    assert compared.largest_group == "10"
    assert compared.largest_share == pytest.approx(108 / 1120)


def test_photos_of_one_group_count_once() -> None:
    """Four photos of every part, told as one group, give an interval as wide as one photo of every part."""
    single, copied = (width(compare({"perlin": [predictions(1, copies=copies)]})) for copies in (1, 4))
    alone = predictions(1, copies=4)
    apart = Predictions(
        **{name: getattr(alone, name) for name in Predictions.__slots__ if name != "group"},
        group=np.array([f"{i}" for i in range(len(alone.score))]),
    )

    assert copied == pytest.approx(single, rel=0.15)
    assert width(compare({"perlin": [apart]})) < 0.7 * single


def test_differences_are_paired() -> None:
    """An arm minus its equal is zero with no width; a better arm's gain is narrower than two separate intervals."""
    weak, strong = [predictions(s) for s in range(2)], [predictions(s, skill=0.25) for s in range(2)]

    comparison = compare({"perlin": weak, "cutpaste": weak, "generated": strong})

    same, gain, _ = (d.metrics["pixel_ap"] for d in comparison.differences)
    assert [(d.arm, d.against) for d in comparison.differences] == [
        ("cutpaste", "perlin"),
        ("generated", "perlin"),
        ("generated", "cutpaste"),
    ]
    assert same is not None
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert gain is not None
    assert 0 < gain.low < gain.value < gain.high
    assert gain.high - gain.low < width(comparison)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Of ten test sets drawn from one world, at least seven intervals hold that world's value."""
    truth = float(np.mean([predictions(1000 + i, photos=60).metrics()["pixel_auroc"] or 0 for i in range(10)]))
    hits = 0
    for seed in range(10):
        estimate = compare({"perlin": [predictions(seed, photos=20)]}, replicates=100).arms[0].metrics["pixel_auroc"]
        assert estimate is not None
        hits += estimate.low <= truth <= estimate.high

    assert hits >= 7


@pytest.mark.parametrize(("unlabelled", "shown"), [(0, True), (9, True), (10, False)])
def test_few_draws_without_a_label_are_left_out(unlabelled: int, shown: bool) -> None:  # noqa: FBT001
    """Of 12 defective photos 9 without a labelled pixel leave 3 % of the draws without a value, 10 of them 11 %."""
    said = predictions(1)
    mask = np.stack([said.mask_of(i) for i in range(24)])
    mask[: 2 * unlabelled] = False
    bits = pack_masks(mask)
    arms = {
        "perlin": [replace(said, mask_bits=bits), replace(predictions(2), mask_bits=bits)],
        "generated": [replace(predictions(seed, skill=0.3), mask_bits=bits) for seed in (1, 2)],
    }

    comparison = compare(arms, replicates=400)

    for estimates in (*comparison.arms, *comparison.differences):
        assert (estimates.metrics["pixel_ap"] is not None) == shown
        assert estimates.metrics["image_ap"] is not None
    if shown:
        estimate = comparison.arms[0].metrics["pixel_ap"]
        assert estimate is not None
        assert estimate.low < estimate.value < estimate.high


def test_what_cannot_be_compared_is_refused() -> None:
    """Arms with different seeds or photos, and no arm at all, are errors; a missing class gives None."""
    with pytest.raises(InputError, match="generated with seed 1"):
        compare({"perlin": [predictions(0), predictions(1)], "generated": [predictions(0)]})
    with pytest.raises(InputError, match="different photos"):
        compare({"perlin": [predictions(0)], "generated": [predictions(0, photos=20)]})
    with pytest.raises(InputError, match="no evaluated detector"):
        compare({})
    good = predictions(0)
    alone = good.take(np.flatnonzero(good.defect == "good"))
    assert set(compare({"perlin": [alone]}).arms[0].metrics.values()) == {None}


def test_table_shows_arms_and_gains_of_the_last_one() -> None:
    """One row per metric; the last arm is compared with each other one; numbers carry their interval."""
    table = comparison_table(compare({"perlin": [predictions(0)], "generated": [predictions(0, skill=0.4)]}))

    assert table.arms == ("perlin", "generated")
    assert table.pairs == ("generated - perlin",)
    assert [name for name, _ in table.rows] == [*ALL_METRICS.values(), "Pixel AP of crack", "Pixel AP of dent"]
    assert table.differences[4][1][0].startswith("+0.")
    assert table.differences[4][1][0].endswith("]")


def test_pixels_of_defective_photos_without_a_label_do_not_count() -> None:
    """They count by their scores alone; nothing of them is a false alarm."""
    whole = predictions(1, skill=0.5)
    dented = np.flatnonzero(whole.defect == "dent")[:3]
    bits = whole.mask_bits.copy()
    bits[dented] = 0
    unmarked = replace(whole, mask_bits=bits)
    marked = unmarked.take(np.flatnonzero(unmarked.marked))

    assert np.flatnonzero(~unmarked.marked).tolist() == dented.tolist()
    for scope, expected, of_marked in (
        (unmarked.metrics(), whole.metrics(), marked.metrics()),
        (unmarked.measure()[1]["dent"], whole.measure()[1]["dent"], marked.measure()[1]["dent"]),
    ):
        for name, value in scope.items():
            assert value == (expected if name.startswith("image") else of_marked)[name], name
    (of_draw, *_), *_ = _measure(unmarked, np.ones((1, len(unmarked.score))))
    assert dict(zip(METRICS, of_draw, strict=True)) == pytest.approx(unmarked.metrics(), abs=6e-3)


def test_a_defect_without_any_label_has_no_pixel_metric() -> None:
    """Nor has the mean over defects, then."""
    whole = predictions(1)
    bits = np.where((whole.defect == "crack")[:, None], np.uint8(0), whole.mask_bits)

    together, of_defects = replace(whole, mask_bits=bits).measure()

    assert of_defects["crack"]["pixel_ap"] is None
    assert of_defects["crack"]["image_ap"] is not None
    assert of_defects["dent"]["pixel_ap"] is not None
    assert together["pixel_ap"] is not None
    assert together["pixel_ap_macro"] is None


def _of_several(skill: float = 0.2) -> tuple[Predictions, Predictions]:
    """Return predictions of photos with a crack and a dent each, told apart, and of the same photos cut in two.

    Of the latter each half shows one of the defects, so that no pixel of the other is in it.
    """
    rng = np.random.default_rng(3)
    masks = {name: np.zeros((16, 8, 12), bool) for name in ("crack", "dent")}
    masks["crack"][::2, 1:3, 1:5] = True
    masks["dent"][::4, 4:7, 7:11] = True
    both = masks["crack"] | masks["dent"]
    levels = to_levels(np.clip(0.7 * rng.random(both.shape) + skill * both, 0, 1))
    names = np.array([f"{i:02d}" for i in range(16)])
    shown = [[name for name, mask in masks.items() if mask[row].any()] for row in range(16)]
    parts = [(row, name) for row, of_photo in enumerate(shown) for name in of_photo if len(of_photo) > 1]
    told = Predictions(
        sample_id=names,
        defect=np.array([(*of_photo, "good")[0] if len(of_photo) < 2 else "combined" for of_photo in shown]),
        group=names,
        score=levels.max(axis=(1, 2)).astype(np.float32),
        level=levels,
        mask_bits=pack_masks(both),
        frame=np.array(both.shape[1:]),
        part_row=np.array([row for row, _ in parts]),
        part_defect=np.array([name for _, name in parts]),
        part_bits=pack_masks(masks[name][row] for row, name in parts),
    )
    return told, replace(told, part_row=np.zeros(0, int), part_defect=np.zeros(0, str))


def test_defects_of_one_photo_count_each_for_itself() -> None:
    """A part counts by its own pixels; those of the other defect are no false alarms, and all together counts once."""
    told, whole = _of_several()
    levels = [told.map_of(row) for row in range(16)]
    dents = [part for part, name in enumerate(told.part_defect) if name == "dent"]
    positive = [levels[told.part_row[part]][4:7, 7:11].ravel() for part in dents]
    negative = [levels[row][~told.mask_of(row)] for row in range(16) if not told.showing("crack")[row]]
    negative += [levels[told.part_row[part]][~told.mask_of(int(told.part_row[part]))] for part in dents]
    scores = np.concatenate([*positive, *negative])
    labels = np.arange(len(scores)) < sum(map(len, positive))

    together, of_defects = told.measure()

    assert set(of_defects) == {"crack", "dent"}
    assert set(whole.measure()[1]) == {"crack", "combined"}
    assert of_defects["dent"]["pixel_ap"] == pytest.approx(average_precision_score(labels, scores))
    assert {k: v for k, v in together.items() if k != "pixel_ap_macro"} == pytest.approx(
        {k: v for k, v in whole.metrics().items() if k != "pixel_ap_macro"}
    )
    assert together["pixel_ap_macro"] == pytest.approx(np.mean([of_defects[d]["pixel_ap"] for d in of_defects]))
    assert of_defects["dent"]["image_auroc"] == pytest.approx(
        roc_auc_score(told.defective[keep := told.showing("dent") | ~told.defective], told.score[keep])
    )


def test_intervals_of_defects_of_one_photo(tmp_path: Path) -> None:
    """They lie around the exact values, after the archive was written and read, and for some of the photos alone."""
    archive = tmp_path / "predictions.npz"
    archive.write_bytes(_of_several()[0].to_bytes())
    told = Predictions.from_bytes(archive.read_bytes())
    turned = told.take(np.arange(16)[::-1])

    (arm,) = compare({"perlin": [told]}).arms

    assert turned.measure()[1]["dent"] == pytest.approx(told.measure()[1]["dent"])
    assert set(arm.per_defect) == {"crack", "dent"}
    for name, metrics in told.measure()[1].items():
        found = known(arm.per_defect[name]["pixel_ap"])
        assert found.value == pytest.approx(metrics["pixel_ap"])
        assert found.low < found.value < found.high
