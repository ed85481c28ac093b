"""What the numbers say, in one sentence that a person may quote."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from anogen_core.evaluation import Evaluation

BASELINE_ARM, GENERATED_ARM = "perlin", "generated"
METRICS = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
}
NOTICEABLE = 0.01
"""Smaller differences are called no difference."""
_HEADLINE_ORDER = ("pixel_ap", "image_ap", "image_auroc", "pixel_auroc")
ALL_METRICS = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "image_f1_max": "Image F1-max",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "pixel_f1_max": "Pixel F1-max",
    "pixel_aupro": "AUPRO, FPR to 0.3",
    "pixel_aupro_05": "AUPRO, FPR to 0.05",
    "pixel_iap": "IAP",
    "pixel_iap_90": "IAP@90",
}
"""Of the comparison of arms."""
_WEAK_AUROC = 0.6
_FEW_PHOTOS = 30

Tone = Literal["better", "worse", "same", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """The headline of a category."""

    tone: Tone
    sentence: str
    caveats: tuple[str, ...] = ()
    """What a reader must know before quoting the sentence."""


def judge(evaluations: Sequence[Evaluation]) -> Verdict:
    """Return what the generated data did to the detector, with everything that weakens the statement."""
    arms = {arm: [e for e in evaluations if e.arm == arm] for arm in (BASELINE_ARM, GENERATED_ARM)}
    if not evaluations:
        return Verdict("unknown", "No detector was trained; this report shows the generated data alone.")
    if not all(arms.values()):
        return _judge_alone(evaluations)
    metric = next((m for m in _HEADLINE_ORDER if all(mean_of(own, m) is not None for own in arms.values())), None)
    if metric is None:
        return Verdict("unknown", "Nothing could be compared: the test photos hold good or defective ones alone.")
    if len({(e.num_images, e.num_defective, e.excluded_ids) for e in evaluations}) > 1:
        return Verdict("unknown", "The arms were tested on different photos, so their numbers cannot be compared.")
    differences = _differences(arms, metric)
    tone = _tone(differences)
    sentence = _sentence(tone, metric, mean_of(arms[BASELINE_ARM], metric), mean_of(arms[GENERATED_ARM], metric))
    caveats = (
        *_seed_caveat(differences),
        *_contradiction(arms, metric, tone),
        *_weakness(arms),
        *_size_caveat(evaluations[0]),
    )
    return Verdict(tone, sentence, caveats)


def mean_of(evaluations: Sequence[Evaluation], metric: str) -> float | None:
    """Return the mean of a metric over seeds; None when any of them lacks it."""
    values = [getattr(e, metric) for e in evaluations]
    return fmean(values) if values and None not in values else None


def _judge_alone(evaluations: Sequence[Evaluation]) -> Verdict:
    arm, metric = evaluations[0].arm, next((m for m in _HEADLINE_ORDER if getattr(evaluations[0], m) is not None), None)
    trained = "with" if arm == GENERATED_ARM else "without"
    number = f" reached {METRICS[metric]} {getattr(evaluations[0], metric):.2f}" if metric else " has no metric"
    return Verdict(
        "unknown",
        f"The detector trained {trained} generated defects{number}; there is no second arm to compare it with.",
        _size_caveat(evaluations[0]),
    )


def _differences(arms: dict[str, list[Evaluation]], metric: str) -> list[float]:
    """Return generated minus baseline, seed by seed where both arms have the seed."""
    baseline = {e.seed: getattr(e, metric) for e in arms[BASELINE_ARM]}
    paired = [getattr(e, metric) - baseline[e.seed] for e in arms[GENERATED_ARM] if e.seed in baseline]
    return paired or [fmean(getattr(e, metric) for e in arms[GENERATED_ARM]) - fmean(baseline.values())]


def _tone(differences: Sequence[float]) -> Tone:
    change = fmean(differences)
    if abs(change) < NOTICEABLE or min(differences) < 0 < max(differences):
        return "same"
    return "better" if change > 0 else "worse"


def _sentence(tone: Tone, metric: str, before: float | None, after: float | None) -> str:
    name = METRICS[metric][0].lower() + METRICS[metric][1:]
    numbers = f"from {before:.2f} to {after:.2f}"
    if tone == "better":
        return f"Generated defects raised {name} {numbers}."
    if tone == "worse":
        return f"Generated defects did not help: {name} fell {numbers}."
    return f"Generated defects made no clear difference: {name} {before:.3f} without them, {after:.3f} with them."


def _seed_caveat(differences: Sequence[float]) -> tuple[str, ...]:
    if len(differences) == 1:
        return ("One seed: treat it as a hint.",)
    spread = f"{len(differences)} seeds, difference {min(differences):+.3f} to {max(differences):+.3f}"
    return (f"{spread}{'; the seeds disagree on the sign' if min(differences) < 0 < max(differences) else ''}.",)


def _contradiction(arms: dict[str, list[Evaluation]], metric: str, tone: Tone) -> tuple[str, ...]:
    """Return the metrics that moved noticeably against the headline."""
    against = []
    for other, name in METRICS.items():
        before, after = (mean_of(arms[arm], other) for arm in (BASELINE_ARM, GENERATED_ARM))
        if other == metric or before is None or after is None or abs(after - before) < NOTICEABLE:
            continue
        if tone == "same" or (after > before) != (tone == "better"):
            against.append(f"{name} {'rose' if after > before else 'fell'} from {before:.2f} to {after:.2f}.")
    return tuple(against)


def _weakness(arms: dict[str, list[Evaluation]]) -> tuple[str, ...]:
    values = [mean_of(own, "image_auroc") for own in arms.values()]
    known = [v for v in values if v is not None]
    if not known or max(known) >= _WEAK_AUROC:
        return ()
    return (
        f"Neither detector tells defective from good photos well: best image AUROC {max(known):.2f}, chance is 0.50.",
    )


def _size_caveat(evaluation: Evaluation) -> tuple[str, ...]:
    good = evaluation.num_images - evaluation.num_defective
    if min(good, evaluation.num_defective) >= _FEW_PHOTOS:
        return ()
    return (f"Small test set: {evaluation.num_defective} defective and {good} good photos.",)
