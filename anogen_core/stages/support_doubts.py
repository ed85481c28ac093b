"""What looks wrong about the support photos themselves: told before a run, as nothing made from them can be better."""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_mask
from anogen_core.data.problems import Problem, warning
from anogen_core.detectors.sharpness import CLEAR, SEEN, clear_size, shown_side
from anogen_core.errors import InputError
from anogen_core.masks.box_outline import as_clear
from anogen_core.masks.product import spread_out
from anogen_core.quality.contrast import support_contrast
from anogen_core.records import GOOD, Sample, SupportSet
from anogen_core.stages.catalogue import Category, read_catalogue
from anogen_core.stages.embedding import defect_name, load_support

_NOTHING = 0.03
"""Contrast below which nothing can be seen."""
_ODD = 0.1
"""Share of the usual contrast below which the label is more likely to be wrong than the defect to be faint."""
NORMALS = 16
"""Normal photos whose surface is compared with what was found in a box."""
_FEWEST = 8
"""Fewer tell nothing."""
DOUBTFUL = 0.1
"""Share of them that may be as clear as the box."""
_LOOKED_INTO = 100
"""Support photos with boxes of a run that are compared at most: each takes a second or so."""
_MORE = (
    "Add photos of defects, or take fewer for support (`support.shots`); without, `evaluation.enabled: false` saves "
    "the time of training detectors."
)


def support_doubts(config: RunConfig) -> list[Problem]:
    """Return a warning for each label that shows nothing, and for what no detector can find or be tested on.

    Raises:
        InputError: the photos have errors; `anogen_core.data.audit` lists them.
    """
    doubts: list[Problem] = []
    looked_into = 0
    for category in read_catalogue(config):
        normals = functools.cache(functools.partial(_normals, category))
        for support in category.supports:
            labelled = load_support(support, config)
            doubts += _invisible(support, labelled)
            if looked_into < _LOOKED_INTO:
                boxed = [] if not config.support.outline_boxes else [s for s in support.samples if not s.has_mask]
                doubts += _surface(support, boxed, category, normals)
                looked_into += len(boxed)
            if config.evaluation.enabled:
                doubts += _too_small(support, labelled, config.detector.image_size)
        if config.evaluation.enabled:
            doubts += _untested(category)
    return doubts


def require_tested(config: RunConfig) -> None:
    """Stop where no category has good and defective photos left to test on.

    Raises:
        InputError: nothing could be compared, or the photos have errors.
    """
    tested = [{sample.defect == GOOD for sample in category.evaluated[0]} for category in read_catalogue(config)]
    if all(len(kinds) < 2 for kinds in tested):
        raise InputError(
            f"{config.reader.root}: there are no good or no defective photos left to test on, so nothing can be "
            f"compared: support photos, their copies and photos of the same parts are left out. {_MORE}"
        )


def _untested(category: Category) -> Iterator[Problem]:
    tested = {defect for sample in category.evaluated[0] for defect in sample.defects}
    missing = [support.defect for support in category.supports if support.defect not in tested]
    if missing:
        what = f"photo of {', '.join(missing)}" if tested - {GOOD} else "defective photo"
        yield warning(
            category.name,
            f"has no {what} left to test on: all are support photos, copies of them, or show the same parts.",
            fix=_MORE,
        )


def _invisible(support: SupportSet, labelled: Sequence[tuple[Image, Mask]]) -> Iterator[Problem]:
    contrasts = [support_contrast(photo, mask) for photo, mask in labelled]
    known = [value for value in contrasts if value is not None]
    least = max(_NOTHING, _ODD * float(np.median(known))) if known else 0.0
    for sample, value in zip(support.samples, contrasts, strict=True):
        if value is not None and value < least:
            others = ", ".join(f"{v:.2f}" for v in sorted(known, reverse=True))
            yield warning(
                sample.mask_uri or sample.image_uri,
                f"labels a place that looks like what surrounds it (contrast {value:.2f}; the support photos of "
                f"{defect_name(support)} have {others}): defects made from it will hardly show.",
                fix="Check this label, or choose other photos with `support.images`.",
            )


def _normals(category: Category) -> list[Image]:
    return [category.load(normal) for normal in spread_out(category.normals, NORMALS)]


def _surface(
    support: SupportSet, boxed: Sequence[Sample], category: Category, normals: Callable[[], list[Image]]
) -> Iterator[Problem]:
    """Yield a warning for each photo with a box in which surface may have been taken for the defect."""
    if len(category.normals) < _FEWEST:
        return
    for sample in boxed:
        found = as_clear(category.load(sample), load_mask(sample, category.frame), normals())
        if found > DOUBTFUL * len(normals()):
            yield warning(
                sample.image_uri,
                f"has a box of {defect_name(support)} in which nothing stands out clearly: what was found there is no "
                f"clearer than what the same box holds on {found} of {len(normals())} good photos. The outline may be "
                "surface.",
                fix="Look at it with `anogen check --picture`; draw the box closer, an outline or a mask, or choose "
                "other photos with `support.images`.",
            )


def _too_small(support: SupportSet, labelled: Sequence[tuple[Image, Mask]], side: int) -> Iterator[Problem]:
    height, width = labelled[0][1].shape
    share = float(np.median([mask.mean() for _, mask in labelled]))
    shown, better = shown_side(share, side), clear_size(share, (height, width)) if share else side
    if shown < SEEN or (shown < CLEAR and better > side):
        fix = f"Set `detector.image_size: {better}`, or cut the photos into tiles."
        found = "cannot be found" if shown < SEEN else "is found less well than where it is larger"
        yield warning(
            defect_name(support),
            f"is about {shown:.1f} px large where the detector sees it (photos of {width}x{height} px at "
            f"`detector.image_size` {side}): it {found}.",
            fix=fix if better > side else "Cut the photos into tiles.",
        )
