"""Detection metrics against scikit-learn and direct evaluations of the definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from anogen_core.errors import InputError
from anogen_core.metrics import detection
from anogen_core.metrics.curve import PixelMetrics
from anogen_core.metrics.detection import PixelEvaluation, evaluate_scores
from anogen_core.metrics.histograms import LEVELS, coarsen, count_pixels, pixel_metrics, to_levels


def _pixels(seed: int, *, levels: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return maps and masks of five images; with `levels`, scores take only so many values."""
    rng = np.random.default_rng(seed)
    masks = ndimage.gaussian_filter(rng.normal(size=(5, 24, 20)), (0, 2, 2)) > 0.12
    masks[0] = False
    maps = (rng.random(masks.shape) + 0.4 * masks).astype(np.float32) / 1.4
    return (maps if not levels else np.floor(maps * levels).astype(np.float32) / levels), masks


def _evaluate(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> PixelMetrics:
    evaluation = PixelEvaluation()
    evaluation.add(maps, masks)
    return evaluation.metrics()


def _regions(masks: NDArray[np.bool_]) -> list[tuple[int, NDArray[np.bool_]]]:
    regions = []
    for row, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(row, labels == number) for number in range(1, count + 1)]
    return regions


def _instance_precision_by_definition(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> tuple[float, float]:
    """Evaluate IAP and IAP@90: lower the threshold step by step and ask which regions are more than half found."""
    regions, curve = _regions(masks), []
    for threshold in np.unique(maps)[::-1]:
        recall = np.mean([(maps[row][region] >= threshold).mean() > 0.5 for row, region in regions])
        curve.append((float(recall), float(masks[maps >= threshold].mean())))
    steps = [
        (recall, precision) for i, (recall, precision) in enumerate(curve) if recall > (curve[i - 1][0] if i else 0)
    ]
    best = [max(precision for _, precision in steps[i:]) for i in range(len(steps))]
    gains = np.diff([0.0, *(recall for recall, _ in steps)])
    at_90 = next(i for i, (recall, _) in enumerate(steps) if recall >= 0.9 - 1e-9)
    return float(gains @ np.array(best)), best[at_90]


def _overlap_area_by_definition(maps: NDArray[np.float32], masks: NDArray[np.bool_], limit: float) -> float:
    """Evaluate AUPRO threshold by threshold, region by region."""
    regions = _regions(masks)
    area, rate, overlap = 0.0, 0.0, 0.0
    for threshold in np.unique(maps)[::-1]:
        next_rate = float((maps[~masks] >= threshold).mean())
        next_overlap = float(np.mean([(maps[row][region] >= threshold).mean() for row, region in regions]))
        if next_rate > limit:
            end = overlap + (next_overlap - overlap) * (limit - rate) / (next_rate - rate)
            return (area + (limit - rate) * (overlap + end) / 2) / limit
        area += (next_rate - rate) * (overlap + next_overlap) / 2
        rate, overlap = next_rate, next_overlap
    return area / limit


@given(st.integers(0, 10_000), st.integers(0, 6))
@settings(max_examples=40, deadline=None)
def test_scores_agree_with_scikit_learn(seed: int, decimals: int) -> None:
    """AUROC, AP and the best F1 equal scikit-learn's to 1e-9, with and without ties."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.random(40) < 0.3, [True, False])
    scores = np.round(rng.normal(size=42) + labels, decimals)

    metrics = evaluate_scores(scores, labels)

    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert metrics.auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert metrics.ap == pytest.approx(average_precision_score(labels, scores), abs=1e-9)
    assert metrics.f1_max == pytest.approx(f1.max(), abs=1e-9)


@pytest.mark.parametrize("levels", [0, 4, 30])
def test_pixels_agree_with_scikit_learn(levels: int) -> None:
    """Pixel metrics equal scikit-learn's over all pixels to 1e-9."""
    maps, masks = _pixels(0, levels=levels)

    metrics = _evaluate(maps, masks)

    assert metrics.auroc == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-9)
    assert metrics.ap == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()), abs=1e-9)
    precision, recall, _ = precision_recall_curve(masks.ravel(), maps.ravel())
    assert metrics.f1_max == pytest.approx((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


@pytest.mark.parametrize("levels", [0, 5, 30])
def test_aupro_equals_its_definition(levels: int) -> None:
    """AUPRO equals the area found by going through every threshold and every region."""
    maps, masks = _pixels(1, levels=levels)

    metrics = _evaluate(maps, masks)

    assert metrics.aupro == pytest.approx(_overlap_area_by_definition(maps, masks, 0.3), abs=1e-9)
    assert metrics.aupro_05 == pytest.approx(_overlap_area_by_definition(maps, masks, 0.05), abs=1e-9)


@given(st.integers(0, 10_000), st.sampled_from([0, 3, 12]))
@settings(max_examples=6, deadline=None)
def test_instance_precision_equals_its_definition(seed: int, levels: int) -> None:
    """IAP and IAP@90 equal what a walk through every threshold and every region finds, with and without ties."""
    maps, masks = _pixels(seed, levels=levels)

    metrics = _evaluate(maps, masks)

    assert (metrics.iap, metrics.iap_90) == pytest.approx(_instance_precision_by_definition(maps, masks), abs=1e-9)


def test_a_region_found_by_exactly_half_is_not_found() -> None:
    """More than half of a region's pixels count, so the third of four pixels decides, and ties with normal pixels."""
    maps = np.array([[[0.9, 0.8, 0.4, 0.1, 0.6, 0.6, 0.5, 0.0]]], np.float32)
    masks = np.array([[[1, 1, 1, 1, 0, 0, 0, 0]]], bool)

    # At threshold 0.4: three of the region's pixels and three normal ones.
    assert _evaluate(maps, masks).iap == 0.5


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_histograms_measure_levels_as_scores_of_any_type_are_measured(seed: int) -> None:
    """The sum of the histograms of stored levels gives every metric of these levels as scores, in any order."""
    maps, masks = _pixels(seed)
    levels = to_levels(maps)

    counts = sum((count_pixels(levels[i], masks[i]) for i in (3, 0, 4, 1, 2)), np.zeros((4, LEVELS)))

    found, expected = pixel_metrics(counts), _evaluate(levels.astype(np.float64), masks)
    assert found.model_dump() == pytest.approx(expected.model_dump(), abs=1e-12)


def test_levels_keep_the_order_and_the_ends() -> None:
    """Levels never swap two probabilities, tell 0.99999 from 0.99998, and give the probability back."""
    p = np.sort(np.concatenate([np.random.default_rng(0).random(1000), [0.0, 1e-6, 2e-6, 0.99998, 0.99999, 1.0]]))
    p = p.astype(np.float32)

    levels = to_levels(p)

    assert (np.diff(levels.astype(int)) >= 0).all()
    assert len(np.unique(levels[-4:])) == 4
    assert levels[0] == 0
    assert levels[-1] == LEVELS - 1
    given_back = 1 / (1 + np.exp(-32 * (levels / (LEVELS - 1) - 0.5)))
    assert given_back == pytest.approx(p, abs=7e-5)
    assert given_back[1] == pytest.approx(1e-6, rel=1e-3)


def test_fewer_levels_are_close() -> None:
    """4,096 levels, which intervals are computed on, change no metric by more than half a hundredth."""
    maps, masks = _pixels(7)
    counts = sum((count_pixels(level, mask) for level, mask in zip(to_levels(maps), masks, strict=True)), np.zeros(()))

    coarse = pixel_metrics(coarsen(np.asarray(counts), 4096))

    assert coarse.model_dump() == pytest.approx(pixel_metrics(np.asarray(counts)).model_dump(), abs=5e-3)


def test_metrics_do_not_depend_on_order_batches_or_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any order of the images in any batches, in sorted runs of any length, gives the same numbers."""
    maps, masks = _pixels(2, levels=50)
    expected = _evaluate(maps, masks)
    monkeypatch.setattr(detection, "_RUN", 100)
    evaluation = PixelEvaluation()

    for rows in ([4, 1], [0], [3, 2]):
        evaluation.add(maps[rows], masks[rows])

    for name, value in evaluation.metrics().model_dump().items():
        assert value == pytest.approx(getattr(expected, name), abs=1e-12)


def test_reversed_scores_reverse_the_auroc() -> None:
    """The AUROC of negated scores is 1 minus the AUROC."""
    maps, masks = _pixels(3)
    metrics, reverse = evaluate_scores(maps, masks), evaluate_scores(-maps, masks)

    assert metrics.auroc is not None
    assert reverse.auroc == pytest.approx(1 - metrics.auroc, abs=1e-12)


def test_perfect_maps_score_one() -> None:
    """A map equal to the mask has every metric at exactly 1."""
    _, masks = _pixels(4)

    assert _evaluate(masks.astype(np.float32), masks).model_dump() == {
        "auroc": 1.0,
        "ap": 1.0,
        "f1_max": 1.0,
        "aupro": pytest.approx(1.0),
        "aupro_05": pytest.approx(1.0),
        "iap": 1.0,
        "iap_90": 1.0,
    }


def test_constant_maps_tell_nothing() -> None:
    """Equal scores everywhere give AUROC 0.5 and the share of positives as AP."""
    _, masks = _pixels(5)

    metrics = _evaluate(np.ones(masks.shape, np.float32), masks)

    assert metrics.auroc == 0.5
    assert metrics.ap == pytest.approx(masks.mean())
    assert metrics.aupro == pytest.approx(0.15)


@pytest.mark.parametrize("present", [True, False])
def test_one_class_has_no_metrics(present: bool) -> None:  # noqa: FBT001
    """With one class only, or nothing at all, every metric is None."""
    masks = np.full((2, 4, 4), present)

    assert set(_evaluate(np.ones((2, 4, 4), np.float32), masks).model_dump().values()) == {None}
    assert set(evaluate_scores(np.ones(2), np.full(2, present)).model_dump().values()) == {None}
    assert PixelEvaluation().metrics().auroc is None


def test_nan_and_wrong_shapes_are_refused() -> None:
    """NaN, infinity and shapes that differ are errors, never numbers."""
    with pytest.raises(InputError, match="finite"):
        evaluate_scores(np.array([np.nan, 1.0]), np.array([0, 1]))
    with pytest.raises(InputError, match="one shape"):
        evaluate_scores(np.ones(3), np.ones(4))
    with pytest.raises(InputError, match="N, H, W"):
        PixelEvaluation().add(np.ones((4, 4)), np.ones((4, 4)))
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        to_levels(np.array([0.5, np.nan]))
    with pytest.raises(InputError, match="uint16 levels"):
        count_pixels(np.ones((4, 4), np.uint8), np.ones((4, 4)))
