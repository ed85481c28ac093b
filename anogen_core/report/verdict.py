"""What the numbers say, in one sentence that a person may quote."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from anogen_core.evaluation import Comparison, Estimate, Evaluation

BASELINE_ARM, PASTED_ARM, GENERATED_ARM = "perlin", "cutpaste", "generated"
METRICS = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
}
NOTICEABLE = 0.01
"""Smaller differences are called no difference."""
_HEADLINE_ORDER = ("pixel_ap", "image_ap", "image_auroc", "pixel_auroc", "pixel_ap_macro")
_BOXED_ORDER = ("image_ap", "image_auroc")
"""Where test photos are labelled by boxes, so that a detector which marks the defect alone loses pixel metrics, or most
by nothing."""
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
    "pixel_ap_macro": "Pixel AP, mean over defects",
}
"""Of the comparison of arms."""
_WEAK_AUROC = 0.6
_FEW_PHOTOS = 30
_DOMINANT_SHARE = 1 / 3
"""Of the defective pixels: a part that holds more of them decides the pixel AP."""

Tone = Literal["better", "worse", "same", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """The headline of a category."""

    tone: Tone
    sentence: str
    caveats: tuple[str, ...] = ()
    """What a reader must know before quoting the sentence."""


def judge(evaluations: Sequence[Evaluation], comparison: Comparison | None = None) -> Verdict:
    """Return what the generated data did to the detector, with everything that weakens the statement.

    Args:
        evaluations: of all arms and seeds.
        comparison: of these arms; only what its intervals tell from 0 counts as a gain or a loss.
    """
    arms = {arm: [e for e in evaluations if e.arm == arm] for arm in (BASELINE_ARM, GENERATED_ARM)}
    if not evaluations:
        return Verdict("unknown", "No detector was trained; this report shows the generated data alone.")
    if not all(arms.values()):
        return _judge_alone(evaluations)
    known = [m for m in headline_metrics(evaluations) if all(mean_of(own, m) is not None for own in arms.values())]
    if not known:
        return Verdict("unknown", "Nothing could be compared: the test photos hold good or defective ones alone.")
    if len({(e.num_images, e.num_defective, e.excluded_ids) for e in evaluations}) > 1:
        return Verdict("unknown", "The arms were tested on different photos, so their numbers cannot be compared.")
    gains = {m: comparison.gain(GENERATED_ARM, BASELINE_ARM, m) if comparison else None for m in known}
    metric = next((m for m in known if gains[m] is not None), known[0])
    tone = tone_of(gains[metric])
    sentence = _sentence(tone, metric, mean_of(arms[BASELINE_ARM], metric), mean_of(arms[GENERATED_ARM], metric))
    caveats = (
        *_interval(gains[metric], arms[GENERATED_ARM], redrawn=comparison is not None and comparison.redrawn),
        *_against_pasted(comparison, metric),
        *_contradiction(arms, {m: gain for m, gain in gains.items() if m != metric}, tone),
        *_dominance(comparison, metric),
        *_weakness(arms),
        *label_notes(evaluations),
        *_size_caveat(evaluations[0]),
    )
    return Verdict(tone, sentence, caveats)


def headline_metrics(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """Return the metrics that a headline may be about, the first choice first: of pixels where masks tell of them."""
    unsure = any(e.num_boxed or 2 * e.num_unmarked > e.num_defective for e in evaluations)
    return _BOXED_ORDER if unsure else _HEADLINE_ORDER


def label_notes(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """Return a sentence each on test photos that boxes or no labels at all keep pixel metrics from; none on masks."""
    notes = []
    boxed, defective = max(((e.num_boxed, e.num_defective) for e in evaluations), default=(0, 0))
    if boxed:
        photos = f"{boxed} of {defective} defective test photos are labelled by boxes"
        notes.append(f"{photos}: pixel numbers count the surface in them as missed.")
    unmarked = max((e.num_unmarked for e in evaluations), default=0)
    if unmarked:
        photos = f"{unmarked} of {defective} defective test photos have no mask or box"
        notes.append(f"{photos}: they count in image numbers, and in no pixel number.")
    return tuple(notes)


def estimate_text(estimate: Estimate | None, number: str) -> str:
    """Return `value [low, high]` in a number format."""
    if estimate is None:
        return "n/a"
    return f"{estimate.value:{number}} [{estimate.low:{number}}, {estimate.high:{number}}]"


def mean_of(evaluations: Sequence[Evaluation], metric: str) -> float | None:
    """Return the mean of a metric over seeds; None when any of them lacks it."""
    values = [getattr(e, metric) for e in evaluations]
    return fmean(values) if values and None not in values else None


def _judge_alone(evaluations: Sequence[Evaluation]) -> Verdict:
    first = evaluations[0]
    arm, metric = first.arm, next((m for m in headline_metrics(evaluations) if getattr(first, m) is not None), None)
    trained = "with" if arm == GENERATED_ARM else "without"
    number = f" reached {ALL_METRICS[metric]} {getattr(first, metric):.2f}" if metric else " has no metric"
    return Verdict(
        "unknown",
        f"The detector trained {trained} generated defects{number}; there is no second arm to compare it with.",
        (*label_notes(evaluations), *_size_caveat(first)),
    )


def tone_of(gain: Estimate | None) -> Tone:
    """Return whether a difference is better or worse: clear of 0 by its interval, and large enough to be noticed."""
    if gain is None:
        return "unknown"
    if abs(gain.value) < NOTICEABLE or gain.low <= 0 <= gain.high:
        return "same"
    return "better" if gain.value > 0 else "worse"


def _sentence(tone: Tone, metric: str, before: float | None, after: float | None) -> str:
    name = _inside(metric)
    numbers = f"from {before:.2f} to {after:.2f}"
    if tone == "better":
        return f"Generated defects raised {name} {numbers}."
    if tone == "worse":
        return f"Generated defects did not help: {name} fell {numbers}."
    numbers = f"{name} {before:.3f} without them, {after:.3f} with them"
    if tone == "same":
        return f"Generated defects made no clear difference: {numbers}."
    return f"Whether generated defects helped is not known: {numbers}, and no interval says how much of it is chance."


def _inside(metric: str) -> str:
    """Return the name of a metric inside a sentence."""
    return ALL_METRICS[metric][0].lower() + ALL_METRICS[metric][1:]


def _interval(gain: Estimate | None, generated: Sequence[Evaluation], *, redrawn: bool) -> tuple[str, ...]:
    num_seeds = len({e.seed for e in generated})
    seeds = "one seed" if num_seeds == 1 else f"{num_seeds} seeds"
    seeds += ", each on a dataset of its own" if redrawn else ""
    interval = () if gain is None else (f"Difference {estimate_text(gain, '+.3f')}, 95 % interval, {seeds}.",)
    return (*interval, *(("One seed tells little: another may say otherwise.",) if num_seeds == 1 else ()))


def _against_pasted(comparison: Comparison | None, metric: str) -> tuple[str, ...]:
    gain = comparison.gain(GENERATED_ARM, PASTED_ARM, metric) if comparison else None
    if gain is None:
        return ()
    stand = {"better": "ahead of", "worse": "behind"}.get(tone_of(gain), "not told apart from")
    return (f"They are {stand} pasted support defects: {_inside(metric)} {estimate_text(gain, '+.3f')}.",)


def _contradiction(arms: dict[str, list[Evaluation]], gains: dict[str, Estimate | None], tone: Tone) -> tuple[str, ...]:
    """Return the metrics that clearly moved, but not as the headline did."""
    against = []
    for metric, gain in gains.items():
        moved = tone_of(gain)
        if moved in ("better", "worse") and moved != tone:
            before, after = (mean_of(arms[arm], metric) for arm in (BASELINE_ARM, GENERATED_ARM))
            against.append(
                f"{ALL_METRICS[metric]} {'rose' if moved == 'better' else 'fell'} from {before:.2f} to {after:.2f}."
            )
    return tuple(against)


def _dominance(comparison: Comparison | None, metric: str) -> tuple[str, ...]:
    """Return a warning where the headline is about pixels and one part has many of them."""
    if comparison is None or metric != "pixel_ap" or comparison.largest_share <= _DOMINANT_SHARE:
        return ()
    held = f"{comparison.largest_share:.0%} of all defective test pixels lie on one part ({comparison.largest_group})"
    return (f"{held}: pixel AP is mostly about it, its mean over defects less so.",)


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
