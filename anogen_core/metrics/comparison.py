"""Arms side by side: means over seeds, and 95 % intervals from a bootstrap over groups of photos and over seeds.

A replicate draws as many groups of test photos as there are, with replacement, and as many seeds; groups with a
defective photo and groups without are drawn apart, so that every replicate has both. All arms see the same draw: a
difference of arms is one on the same photos and seeds, and its interval is narrower than two separate ones suggest.

A metric may be undefined in a replicate although it is defined for the test set: the pixel metrics where by chance only
defective photos without a labelled pixel are drawn. The interval is then that of the other replicates, as long as few
are left out; otherwise it would be that of luckier draws, and there is none.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from anogen_core.errors import InputError
from anogen_core.evaluation import ArmEstimates, Comparison, Estimate, Trial
from anogen_core.metrics.curve import ScoreMetrics
from anogen_core.metrics.histograms import Row, coarsen, count_pixels, curve_of, pixel_metrics
from anogen_core.metrics.predictions import DEFECT_METRICS, METRICS, Predictions, macro_ap, named
from anogen_core.records import GOOD
from anogen_core.seeding import numpy_generator

_COARSE_LEVELS = 1 << 12
"""Replicates are measured on 4,096 levels; their spread is put around the exact value."""
_BLOCK = 64
"""Replicates whose histograms are in memory at the same time."""
_PERCENTILES = (2.5, 97.5)
_MOST_UNDEFINED = 0.05
"""Share of replicates without a value from which on there is no interval."""


def compare_arms(
    trials: Iterable[tuple[Trial, Predictions]], *, replicates: int, seed: int, category: str = "", detector: str = ""
) -> Comparison:
    """Return means, intervals and paired differences of arms that were all trained with the same seeds.

    Args:
        trials: the predictions of each arm and seed on the same photos; read one by one.
        replicates: draws of the bootstrap.
        seed: of the draws.
        category: told in the result.
        detector: told in the result.

    Raises:
        InputError: there is no trial, an arm lacks a seed, or the test photos differ.
    """
    rng = numpy_generator(seed)
    first: Predictions | None = None
    weights = np.zeros((0, 0))
    exact: dict[Trial, NDArray[np.float64]] = {}
    drawn: dict[Trial, NDArray[np.float64]] = {}
    for trial, predictions in trials:
        if first is None:
            first, weights = predictions, _draw_photos(predictions, replicates, rng)
        elif not np.array_equal(first.sample_id, predictions.sample_id):
            raise InputError(
                f"{trial.arm}: evaluated on different photos than the other arms, so their numbers cannot be compared. "
                "Run `anogen evaluate` again on the photos there are."
            )
        exact[trial] = _as_array(*predictions.measure())
        drawn[trial] = _measure(predictions, weights)
    if first is None:
        raise InputError("There is no evaluated detector to compare. Set `evaluation.arms`.")
    arms, seeds = _grid(list(exact))
    seed_rows = rng.integers(len(seeds), size=(replicates, len(seeds)))
    value = {arm: np.mean([exact[Trial(arm=arm, seed=s)] for s in seeds], axis=0) for arm in arms}
    spread = {arm: _spread(np.stack([drawn[Trial(arm=arm, seed=s)] for s in seeds]), seed_rows) for arm in arms}
    defects = first.defect_names
    largest_group, largest_share = _largest_group(first)
    return Comparison(
        category=category,
        detector=detector,
        seeds=tuple(seeds),
        replicates=replicates,
        num_images=len(first.score),
        num_defective=int(first.defective.sum()),
        num_groups=len(set(first.group.tolist())),
        largest_group=largest_group,
        largest_share=largest_share,
        arms=tuple(_arm_estimates(arm, None, value[arm], spread[arm], defects) for arm in arms),
        differences=tuple(
            _arm_estimates(arm, other, value[arm] - value[other], spread[arm] - spread[other], defects)
            for other, arm in combinations(arms, 2)
        ),
    )


def _grid(trials: Sequence[Trial]) -> tuple[list[str], list[int]]:
    """Return the arms and the seeds, each in the order of the trials.

    Raises:
        InputError: some arm lacks a seed that another has.
    """
    arms: list[str] = list(dict.fromkeys(t.arm for t in trials))
    seeds = list(dict.fromkeys(t.seed for t in trials))
    missing = [f"{arm} with seed {seed}" for arm in arms for seed in seeds if Trial(arm=arm, seed=seed) not in trials]
    if missing:
        raise InputError(f"Arms can be compared on the same seeds alone; missing: {', '.join(missing)}. Run again.")
    return arms, seeds


def _draw_photos(predictions: Predictions, replicates: int, rng: np.random.Generator) -> Float64[np.ndarray, "R N"]:
    """Return how often each photo is in each replicate; row 0 is the test set itself."""
    names, group = np.unique(predictions.group, return_inverse=True)
    with_defect = np.zeros(len(names), bool)
    with_defect[group[predictions.defective]] = True
    times = np.ones((replicates + 1, len(names)))
    for stratum in (with_defect, ~with_defect):
        size = int(stratum.sum())
        if size:
            times[1:, stratum] = rng.multinomial(size, np.full(size, 1 / size), size=replicates)
    return times[:, group]


def _largest_group(predictions: Predictions) -> tuple[str | None, float]:
    """Return the group with the most defective pixels and its share of them."""
    names, group = np.unique(predictions.group[predictions.defective], return_inverse=True)
    area = np.bitwise_count(predictions.mask_bits[predictions.defective]).sum(axis=1, dtype=np.int64)
    of_group = np.bincount(group, weights=area, minlength=len(names))
    if not of_group.sum():
        return None, 0.0
    return str(names[of_group.argmax()]), float(of_group.max() / of_group.sum())


def _measure(predictions: Predictions, weights: Float64[np.ndarray, "R N"]) -> Float64[np.ndarray, "R K M"]:
    """Return every metric of every replicate, NaN where it is not defined; rows as in `_as_array`."""
    histograms = np.zeros((len(predictions.score), len(Row), _COARSE_LEVELS))
    for row in np.flatnonzero(predictions.marked).tolist():
        histograms[row] = coarsen(count_pixels(predictions.map_of(row), predictions.mask_of(row)), _COARSE_LEVELS)
    defects, alone = predictions.defect_names, predictions.alone
    shown = {name: predictions.showing(name) for name in (GOOD, *defects)}
    photos = {name: np.flatnonzero(alone == name) for name in dict.fromkeys((GOOD, *defects, *alone.tolist()))}
    histograms_of = {name: histograms[rows] for name, rows in photos.items()}
    part_rows, part_histograms = _parts(predictions)
    values = []
    for start in range(0, len(weights), _BLOCK):
        block = weights[start : start + _BLOCK]
        pixels = {name: np.tensordot(block[:, photos[name]], own, axes=1) for name, own in histograms_of.items()}
        parts = {name: np.tensordot(block[:, part_rows[name]], own, axes=1) for name, own in part_histograms.items()}
        for row, drawn in enumerate(block):
            counts = {name: of_block[row] for name, of_block in pixels.items()}
            of_all = pixel_metrics(np.sum(list(counts.values()), axis=0))
            for name, of_block in parts.items():
                counts[name] = counts[name] + of_block[row]
            per_defect = {
                name: named(
                    _image_metrics(predictions, drawn * (shown[name] | shown[GOOD])),
                    pixel_metrics(counts[name] + counts[GOOD]),
                )
                for name in defects
            }
            together = named(_image_metrics(predictions, drawn), of_all)
            values.append(_as_array(together | {"pixel_ap_macro": macro_ap(per_defect)}, per_defect))
    return np.stack(values)


def _parts(predictions: Predictions) -> tuple[dict[str, NDArray[np.int64]], dict[str, Float64[np.ndarray, "P 4 L"]]]:
    """Return, for each defect that photos of several show, these photos and its histogram on each of them."""
    rows, histograms = {}, {}
    for name in sorted(set(predictions.part_defect.tolist())):
        parts = np.flatnonzero(predictions.part_defect == name)
        rows[name] = predictions.part_row[parts]
        histograms[name] = np.stack([coarsen(predictions.count_part(int(p)), _COARSE_LEVELS) for p in parts])
    return rows, histograms


def _image_metrics(predictions: Predictions, weights: NDArray[np.float64]) -> ScoreMetrics:
    """Return the metrics of weighted photos: a histogram whose levels are the distinct scores."""
    scores, level = np.unique(predictions.score, return_inverse=True)
    counts = np.zeros((len(Row), len(scores)))
    for row, chosen in ((Row.NEGATIVES, ~predictions.defective), (Row.POSITIVES, predictions.defective)):
        counts[row] = np.bincount(level[chosen], weights=weights[chosen], minlength=len(scores))
    curve = curve_of(counts)
    return ScoreMetrics() if curve is None else curve.score_metrics()


def _spread(drawn: Float64[np.ndarray, "S R K M"], seed_rows: NDArray[np.int64]) -> Float64[np.ndarray, "R K M"]:
    """Return the mean over the drawn seeds of each replicate, minus that of the test set itself."""
    replicates = np.arange(len(seed_rows))[:, None] + 1
    spread: NDArray[np.float64] = drawn[seed_rows, replicates].mean(axis=1) - drawn[:, 0].mean(axis=0)
    return spread


def _arm_estimates(
    arm: str,
    against: str | None,
    value: Float64[np.ndarray, "K M"],
    spread: Float64[np.ndarray, "R K M"],
    defects: Sequence[str],
) -> ArmEstimates:
    lowest = 0.0 if against is None else -1.0
    together, *apart = (_estimates(value[k], spread[:, k], lowest) for k in range(len(value)))
    per_defect = {
        defect: {name: found[name] for name in DEFECT_METRICS} for defect, found in zip(defects, apart, strict=True)
    }
    return ArmEstimates(arm=arm, against=against, metrics=together, per_defect=per_defect)


def _estimates(
    value: NDArray[np.float64],
    spread: Float64[np.ndarray, "R M"],
    lowest: float,
) -> Mapping[str, Estimate | None]:
    defined = np.isfinite(spread)
    known = np.isfinite(value) & (defined.mean(axis=0) > 1 - _MOST_UNDEFINED)
    found: dict[str, Estimate | None] = {}
    for i, name in enumerate(METRICS):
        if not known[i]:
            found[name] = None
            continue
        low, high = np.percentile(spread[defined[:, i], i], _PERCENTILES) + value[i]
        found[name] = Estimate(value=value[i], low=max(lowest, low), high=min(1.0, high))
    return found


def _as_array(
    together: Mapping[str, float | None], per_defect: Mapping[str, Mapping[str, float | None]]
) -> Float64[np.ndarray, "K M"]:
    """Return METRICS in columns: of all defects together, then of each of them in alphabetical order."""
    return np.array([[row.get(name) for name in METRICS] for row in (together, *per_defect.values())], np.float64)
