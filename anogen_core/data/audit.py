"""The audit of a dataset before any compute: every problem at once, each with its file and its remedy."""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

from anogen_core.data.fit import is_squeezed
from anogen_core.data.frame import FrameSettings
from anogen_core.data.inspection import Finding, inspect_sample
from anogen_core.data.problems import Problem, error, told_once, warning
from anogen_core.data.reader import ReaderBuilder, Unlabelled
from anogen_core.data.support import SupportSettings, support_problems
from anogen_core.records import GOOD, Sample

_FEW = 0.25
"""Share of the photos up to which odd ones are taken for a mistake."""


def audit(
    samples: Sequence[Sample],
    reader_settings: ReaderBuilder,
    frame_settings: FrameSettings,
    support_settings: SupportSettings,
) -> list[Problem]:
    """Return everything that is wrong with a dataset, errors first, then by file.

    Every photo and mask is decoded. Identical warnings about many files of one directory are counted and told once.

    Raises:
        InputError: the reader finds nothing at all.
    """
    scan = reader_settings.build().scan()
    problems = list(scan.problems)
    findings = _inspect_all(samples, frame_settings, scan.unlabelled)
    by_category: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        problems += finding.problems
        by_category[finding.sample.category].append(finding)
    for category, members in sorted(by_category.items()):
        problems += _inspect_classes(category, [finding.sample for finding in members])
        problems += _inspect_duplicates(members)
        problems += _inspect_groups(category, [f.sample for f in members], chose_splits=scan.chose_splits)
        if frame_settings.size is None:
            problems += _inspect_sizes(category, members)
        else:
            problems += _inspect_proportions(category, members, frame_settings.size)
    problems += support_problems(samples, support_settings)
    return sorted(told_once(problems), key=lambda problem: (problem.severity, problem.file, problem.what))


def _inspect_all(samples: Sequence[Sample], settings: FrameSettings, unlabelled: Unlabelled) -> list[Finding]:
    with warnings.catch_warnings(), ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # what matters of them is told as a problem
        return list(pool.map(partial(inspect_sample, settings=settings, unlabelled=unlabelled), samples))


def _inspect_classes(category: str, samples: Sequence[Sample]) -> list[Problem]:
    counts = Counter((sample.split, sample.defect == GOOD) for sample in samples)
    problems = []
    if not counts["train", True]:
        fix = "Add normal photos, or pieces of defective ones that show no defect: the defects are put onto them."
        problems.append(error(category, "has no normal photos to learn from.", fix=fix))
    if not counts["test", True]:
        fix = "Add some if detectors are to be measured."
        problems.append(warning(category, "has no normal photos to test on.", fix=fix))
    if not counts["test", False]:
        fix = "Add photos of a defect, or leave the category out."
        problems.append(error(category, "has no defective photos.", fix=fix))
    return problems


def _inspect_duplicates(findings: Sequence[Finding]) -> list[Problem]:
    """Return an error for each test photo that is a train photo too, a warning for each other repetition."""
    same: dict[str, list[Sample]] = defaultdict(list)
    for finding in findings:
        if finding.digest is not None:
            same[finding.digest].append(finding.sample)
    problems = []
    for samples in same.values():
        first, *others = sorted(samples, key=lambda sample: (sample.split == "test", sample.sample_id))
        for other in others:
            if other.split != first.split:
                what = f"is a test photo and the same as the train photo {first.image_uri}."
                fix = "Remove one of the two: a detector must not have seen what it is tested on."
                problems.append(error(other.image_uri, what, fix=fix))
            else:
                what = f"is the same photo as {first.image_uri}"
                what += "." if other.defect == first.defect else f", which is labelled {first.defect}."
                problems.append(warning(other.image_uri, what, fix="Remove one of the two."))
    return problems


def _inspect_groups(category: str, samples: Sequence[Sample], *, chose_splits: bool) -> list[Problem]:
    groups: dict[str, set[str]] = {
        split: {sample.group for sample in samples if sample.split == split and sample.group is not None}
        for split in ("train", "test")
    }
    problems = []
    both = sorted(groups["train"] & groups["test"])
    shown = f"{', '.join(both[:5])}{', ...' * (len(both) > 5)}"
    defective = {sample.group for sample in samples if sample.defect != GOOD} - {None}
    normal = [sample for sample in samples if sample.defect == GOOD]
    if both and not chose_splits:
        what = f"has {len(both)} leakage groups with photos in train and in test: {shown}."
        problems.append(warning(category, what, fix="Keep all photos of one part in one split."))
    elif both:
        what = (
            f"has {len(both)} leakage groups whose normal photos are learned from and defective ones tested: {shown}."
        )
        most_are_of_others = sum(sample.group in defective for sample in normal) < len(normal) / 2
        fix = (
            "Leave out the normal photos of parts that have a defective one: most are of others."
            if most_are_of_others
            else "Nearly all parts have a defect, so they stay: scores may be better than on parts that nothing knows."
        )
        problems.append(warning(category, what, fix=fix))
    without = sum(sample.group is None for sample in samples)
    if without and without < len(samples):
        what = f"has {without} of {len(samples)} photos without a leakage group."
        problems.append(warning(category, what, fix="Complete the table of groups."))
    return problems


def _inspect_proportions(category: str, findings: Sequence[Finding], frame: tuple[int, int]) -> list[Problem]:
    """Return a warning where some photos would be squeezed much more than most: turned ones, as a rule."""
    sizes = {f.sample.image_uri: f.size for f in findings if f.size}
    usual = median(height / width for height, width in sizes.values()) if sizes else 1.0
    odd = [file for file, size in sizes.items() if is_squeezed(size, usual)]
    if not odd or len(odd) > _FEW * len(sizes):
        return []
    more = f" (as have {len(odd) - 1} more)" if len(odd) > 1 else ""
    what = (
        f"has other proportions than most photos of {category}{more}: it would be squeezed into `frame.size` "
        f"[{frame[0]}, {frame[1]}]."
    )
    return [warning(odd[0], what, fix="Turn or cut such photos (and their labels), or leave them out.")]


def _inspect_sizes(category: str, findings: Sequence[Finding]) -> list[Problem]:
    sized = [(finding.size, finding.sample.image_uri) for finding in findings if finding.size is not None]
    sizes = Counter(size for size, _ in sized)
    if len(sizes) < 2:
        return []
    usual, count = sizes.most_common(1)[0]
    size, file = next((size, file) for size, file in sized if size != usual)
    what = (
        f"is {size[0]}x{size[1]} (height x width) while {count} of {len(sized)} photos of {category} are "
        f"{usual[0]}x{usual[1]}; there are {len(sizes)} sizes."
    )
    return [error(file, what, fix=f"Set `frame.size`, for example [{usual[0]}, {usual[1]}].")]
