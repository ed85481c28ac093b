"""How the product is found on the photos of a category: chosen once, from its normal and its support photos."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import cv2
import numpy as np
from pydantic import Field

from anogen_core.arrays import Image, Mask
from anogen_core.masks.foreground import (
    Background,
    ForegroundSettings,
    background_fault,
    find_foreground,
    learn_background,
)
from anogen_core.masks.rim import rim_on_product
from anogen_core.records import Record, Sample

_PHOTOS: Final = 16
"""Normal photos that decide."""
_TYPICAL: Final = 5
"""Normal photos that show how the product lies."""
_CANDIDATES: Final[tuple[Literal["otsu", "otsu_beyond", "border", "edges"], ...]] = (
    "otsu",
    "otsu_beyond",
    "border",
    "edges",
)
"""What `auto` tries before it takes the whole frame."""
_NEARLY_ALL: Final = 0.8
_ALIKE: Final = 1.5
"""Parts of one category differ in size by up to this factor from the usual one."""
_TOUCHES: Final = 0.05
"""Share of a defect's rim on the product from which it is at the product's edge."""
_MOSTLY: Final = 0.3
"""Share of a defect's rim on the product from which it belongs to it; about a half at a straight edge, and less where a
tooth broke off."""
_UNSTEADY: Final = 0.1
"""Spread of the parts' sizes (quartiles, relative to the median) from which edges are asked..."""
_FULLER: Final = 1.5
"""... whether theirs are so many times as large: what is as bright as the background comes and goes with the light."""
_ONE_PIECE: Final = 0.8
"""Share of what is found that its largest piece holds where it is one part: pads of a board are many."""


class Product(Record):
    """How the product is told from its background: the same for every photo of a category."""

    settings: ForegroundSettings
    """The method is never `auto`."""
    background: Background | None = None
    """Of the normal photos, where their statistics tell the product from what is around it."""
    why: str | None = None
    """What `auto` chose, and for which reason."""
    misses: dict[str, str] = Field(default_factory=dict)
    """Defects that do not lie on the product that `auto` chose, and how that shows: they may lie all over the frame."""
    typical: tuple[Sample, ...] = ()
    """Some normal photos: they show whether the product lies alike on all."""

    def settings_of(self, defect: str) -> ForegroundSettings:
        """Return how the product is found where places of a defect are sought."""
        return self.settings.model_copy(update={"method": "full"}) if defect in self.misses else self.settings


def find_product(
    normals: Sequence[Sample],
    support: Mapping[str, Sequence[tuple[Image, Mask]]],
    settings: ForegroundSettings,
    *,
    load: Callable[[Sample], Image],
) -> Product:
    """Return how the product is found; the same for the same photos and masks, in whatever order.

    Args:
        normals: Normal photos of the category.
        support: Support photos (H, W, 3) and masks (H, W) in the frame, for each defect.
        settings: What people chose.
        load: Returns a photo in the frame.
    """
    typical = tuple(spread_out(normals, _TYPICAL))
    if settings.method == "statistics":
        background = learn_background([load(normal) for normal in spread_out(normals, _PHOTOS)])
        return Product(settings=settings, background=background, typical=typical)
    if settings.method != "auto":
        return Product(settings=settings, typical=typical)
    photos = [load(normal) for normal in spread_out(normals, _PHOTOS)]
    faults: list[str] = []
    mostly: Product | None = None
    for method in _CANDIDATES:
        chosen = settings.model_copy(update={"method": method})
        fault = _size_fault(photos, chosen)
        misses = {} if fault else _misses(support, chosen)
        if method == "border" and fault is None:
            fault = _ragged_fault(photos, support, settings)
        if fault is None and not misses:
            why = "; ".join([f"{method} fits the normal and support photos", *faults])
            return Product(settings=chosen, why=why, typical=typical)
        if mostly is None and fault is None and 2 * len(misses) < len(support) and _in_one_piece(photos, chosen):
            fitting = ", ".join(sorted(support.keys() - misses))
            why = f"{method} fits the normal photos and the support photos of {fitting}"
            mostly = Product(settings=chosen, why=why, misses=misses, typical=typical)
        faults.append(f"{method} {fault or next(iter(misses.values()))}")
    if mostly is not None:
        return mostly
    whole = settings.model_copy(update={"method": "full"})
    return Product(settings=whole, why=f"the whole frame ({'; '.join(faults)})", typical=typical)


def spread_out(normals: Sequence[Sample], most: int) -> list[Sample]:
    """Return up to so many photos, from the first to the last by name."""
    ordered = sorted(normals, key=lambda sample: sample.sample_id)
    count = min(most, len(ordered))
    return [ordered[i * len(ordered) // count] for i in range(count)]


def _size_fault(photos: Sequence[Image], settings: ForegroundSettings) -> str | None:
    """Return what is wrong with the parts that a method finds on normal photos."""
    shares: list[float] = []
    faults: dict[tuple[str, str], list[float]] = {}
    for photo in photos:
        product = find_foreground(photo, settings)
        fault = background_fault(photo, product, settings)
        if fault is None:
            shares.append(float(product.mean()))
        else:
            faults.setdefault((fault.measure, fault.expected), []).append(fault.found)
    usual = float(np.median(shares)) if shares else 0.0
    alike = sum(usual / _ALIKE <= share <= usual * _ALIKE for share in shares)
    if alike >= _NEARLY_ALL * len(photos):
        return None
    if len(shares) >= _NEARLY_ALL * len(photos):
        return f"finds parts of like size on {alike} of {len(photos)} normal photos"
    # Whatever else is wrong with some photos, the commonest reason is the one to mend.
    (measure, expected), found = max(faults.items(), key=lambda item: (len(item[1]), item[0]))
    middle = float(np.median(found))
    return (
        f"finds a part on {len(shares)} of {len(photos)} normal photos ({measure} {middle:.2g}, expected {expected}, "
        f"on {len(found)} of them)"
    )


def _ragged_fault(
    photos: Sequence[Image], support: Mapping[str, Sequence[tuple[Image, Mask]]], settings: ForegroundSettings
) -> str | None:
    """Return how ragged are the parts that differ from the border; None where not so, or edges find none that fit.

    Their sizes vary with the light, and edges find far more of them: parts may differ in size, too.
    """
    border, edges = (settings.model_copy(update={"method": method}) for method in ("border", "edges"))
    low, usual, high = np.quantile(_shares(photos, border), [0.25, 0.5, 0.75])
    spread, fuller = (high - low) / usual, np.median(_shares(photos, edges)) / usual
    if spread < _UNSTEADY or fuller < _FULLER or _size_fault(photos, edges) or _misses(support, edges):
        return None
    return f"finds parts whose sizes spread by {spread:.2g} of the usual one, edges {fuller:.2g} times as much"


def _shares(photos: Sequence[Image], settings: ForegroundSettings) -> list[float]:
    return [float(find_foreground(photo, settings).mean()) for photo in photos]


def _in_one_piece(photos: Sequence[Image], settings: ForegroundSettings) -> bool:
    """Return whether a method finds one part on nearly all normal photos, not many."""
    shares = []
    for photo in photos:
        stats = cv2.connectedComponentsWithStats(find_foreground(photo, settings).astype(np.uint8))[2]
        areas = stats[1:, cv2.CC_STAT_AREA]
        shares.append(float(areas.max(initial=0) / max(1, areas.sum())))
    return sum(share >= _ONE_PIECE for share in shares) >= _NEARLY_ALL * len(photos)


def _misses(support: Mapping[str, Sequence[tuple[Image, Mask]]], settings: ForegroundSettings) -> dict[str, str]:
    """Return the defects that do not lie on the product that a method finds, and how that shows.

    What counts is the rim of a defect: a dark hole or a bright spot looks like background inside.
    """
    found = {}
    for defect, labelled in sorted(support.items()):
        rims = [rim_on_product(mask, find_foreground(photo, settings)) for photo, mask in labelled if mask.any()]
        on, touching = (sum(rim >= least for rim in rims) for least in (_MOSTLY, _TOUCHES))
        if rims and (touching < _NEARLY_ALL * len(rims) or 2 * on <= len(rims)):
            found[defect] = f"misses {len(rims) - on} of {len(rims)} support photos of {defect}"
    return found
