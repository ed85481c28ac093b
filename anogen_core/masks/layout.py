"""Products that lie alike on all photos, and defects that belong to places of theirs: a missing part, a solder bridge.

Where each support defect lies is found again on normal photos, near where it was and nowhere else. That alone binds
nothing: a scratch across a board is found again as well. A kind of defect belongs to its places where what normal
photos show under one is, of all places, the most like what they show under the others.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.masks.sampler import Region, Segmented, largest_regions
from anogen_core.masks.surroundings import (
    EIGHT,
    Cutting,
    Position,
    Seen,
    between_pixels,
    cut_around,
    cut_out,
    distance,
    least_around,
    longer_side,
    see,
    share_as_like,
    view_of,
)
from anogen_core.morphology import dilate

_LEAST: Final = 3
"""Support photos, and normal ones, that tell it; with fewer, places are alike by chance."""
_NEAR: Final = 0.06
"""A product that lies alike is moved by up to this share of the frame along each axis..."""
_BEYOND: Final = 0.09
"""... and something else is what is farther off than this."""
_WIDE: Final = 0.1
"""Surroundings of this share of the longer side of the frame tell where on a product a defect lies: a part may stand on
bare board..."""
_CLEARLY: Final = 1.5
"""... and what is elsewhere differs at least so many times as much from them as its own place does..."""
_VISIBLY: Final = 4.0
"""... and by this squared difference in CIELAB, which can be seen."""
_SAME: Final = 0.05
"""Of all places of a photo this share at most is as like one that a defect belongs to as the other ones are: the mean
over the pairs, which one that fits by chance hardly lowers. Of three random places so few are in one case of two
thousand."""
_KNOWN: Final = 0.15
"""Where a place is, is known to this share of the longer side of a defect."""
_LEAST_KNOWN: Final = 2
"""... and to this many pixels."""
_AS_LIKE: Final = 2.0
"""Places may be so many times as unlike what a normal photo shows at a defect's own as that is on others..."""
_LITTLE: Final = 0.05
"""... or as little unlike it as this share of what the median place is: parts of one kind stand on other ground."""
_GAP: Final = 0.05
"""What is of a kind is parted from what is not by the widest gap of how unlike places are, of this share of what the
median place is at least."""
_OF_A_KIND: Final = 0.2
"""Nothing is of a kind that is unlike by this share of that."""
APART: Final = 1.0
"""Of places that are nearer to each other than this many times a defect's longer side the most alike one counts: a
little beside it a tooth is none any more..."""
LEAST_APART: Final = 2
"""... and than this many pixels."""


class Layout(NamedTuple):
    """What normal photos show at the places that defects of a kind belong to."""

    shown: dict[tuple[int, ...], Cutting]
    """For the key of each region."""
    limits: dict[tuple[int, ...], float]
    """How unlike it places may be."""


def find_layout(
    found: Sequence[Region], seen: Sequence[Seen], normals: Iterable[Segmented], positions: Sequence[Position]
) -> Layout | None:
    """Return the places that defects of a kind belong to; None where they do not, or the product lies otherwise.

    Args:
        found: Regions of the support masks.
        seen: Each support photo.
        normals: Some normal photos of the same size, and where the product is on them.
        positions: In which what is shown counts as like.
    """
    largest = largest_regions(found)
    if len(largest) < _LEAST:
        return None
    bare, foregrounds = [], []
    for photo, foreground in normals:
        bare.append(see(photo))
        foregrounds.append(foreground)
    if len(bare) < _LEAST:
        return None
    homes: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for region in largest:
        own = _own_places(region, seen[region.photo], bare)
        if own is None:
            return None
        homes[region.key] = own
    first, second, *_ = bare
    shown = {region.key: cut_out(region, first, homes[region.key][0]) for region in largest}
    limits = {key: _limit(cutting, homes[key], bare) for key, cutting in shown.items()}
    if not _alike(largest, Layout(shown, limits), homes, second, foregrounds[1], positions):
        return None
    for region in found:
        if region.key not in homes and (own := _own_places(region, seen[region.photo], bare)) is not None:
            homes[region.key] = own
            shown[region.key] = cut_out(region, first, own[0])
            limits[region.key] = _limit(shown[region.key], own, bare)
    return Layout(shown, {key: _kind_limit(shown[key], bare, positions) or limit for key, limit in limits.items()})


def _own_places(region: Region, seen: Seen, bare: Sequence[Seen]) -> list[tuple[float, float]] | None:
    """Return where (y, x) the middle of a region is on each normal photo; None where most show that at no one place.

    Around a defect as large as the part, or on a board of holes alone, all places look alike. Then what the first
    normal photo shows there tells, if the others show it at their places, too.
    """
    least = round(_WIDE * max(seen.size))
    cutting = cut_around(region, seen, least)
    places, near, beyond = _find_home(cutting, region, seen, bare)
    if _tells(near, beyond):
        return places
    if not np.isfinite(beyond).any():
        cutting = cut_around(region, seen, least, room=_NEAR)
        places, near, _ = _find_home(cutting, region, seen, bare)
    if not np.isfinite(near).all():
        return None
    shown = view_of(cut_out(region, bare[0], places[0]), EIGHT[0], seen.size)
    there, elsewhere = [], []
    for photo, (y, x) in zip(bare[1:], places[1:], strict=True):
        distances = distance(shown, photo)
        row, column = (min(side - 1, max(0, round(at))) for at, side in zip((y, x), photo.size, strict=True))
        there.append(float(least_around(distances, 1)[row, column]))
        elsewhere.append(float(np.where(_away(y, x, photo) > _BEYOND, distances, math.inf).min()))
    return places if _tells(there, elsewhere) else None


def _find_home(
    cutting: Cutting, region: Region, seen: Seen, bare: Sequence[Seen]
) -> tuple[list[tuple[float, float]], list[float], list[float]]:
    """Return where (y, x) on each normal photo surroundings are found near a region's place, and how unlike they are.

    Beside these, how unlike the most like place is that is farther off; infinity where they reach no such place.
    """
    view = view_of(cutting, EIGHT[0], seen.size)
    (down, across), (height, width) = region.centre, seen.size
    away = _away(down * height - 0.5, across * width - 0.5, seen)
    places, near, beyond = [], [], []
    for photo in bare:
        distances = distance(view, photo)
        close = np.where(away <= _NEAR, distances, math.inf)
        row, column = np.unravel_index(int(close.argmin()), close.shape)
        down, right = between_pixels(distances, np.array([row]), np.array([column]))[0].tolist()
        places.append((float(row) + down + cutting.off[0], float(column) + right + cutting.off[1]))
        near.append(float(close[row, column]))
        beyond.append(float(np.where(away > _BEYOND, distances, math.inf).min()))
    return places, near, beyond


def _away(y: float, x: float, seen: Seen) -> np.ndarray:
    """Return how far (h, w) places of a reduced photo lie from one, in shares of the frame along the farther axis."""
    rows, columns = np.ogrid[: seen.size[0], : seen.size[1]]
    return np.maximum(np.abs(rows - y) / seen.size[0], np.abs(columns - x) / seen.size[1])


def _tells(near: Sequence[float], beyond: Sequence[float]) -> bool:
    """Return whether most photos show something at one place, and nothing like it elsewhere."""
    there, elsewhere = float(np.median(near)), float(np.median(beyond))
    if not math.isfinite(there) or not math.isfinite(elsewhere):
        return False
    return elsewhere >= max(_CLEARLY * there, _VISIBLY)


def _alike(
    largest: Sequence[Region],
    layout: Layout,
    homes: Mapping[tuple[int, ...], Sequence[tuple[float, float]]],
    photo: Seen,
    foreground: Mask,
    positions: Sequence[Position],
) -> bool:
    """Return whether the places of all regions are of one kind, as the second of the normal photos shows it.

    Few places that show just what one does are of its kind, so they are not among those that the others' must be more
    like than: a tray of six pockets has six.
    """
    may = cv2.resize(foreground.astype(np.uint8), photo.size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    best = {
        key: np.min([distance(view_of(cutting, position, photo.size), photo) for position in positions], axis=0)
        for key, cutting in layout.shown.items()
    }
    shares = []
    for one, other in itertools.permutations(largest, 2):
        row, column = (
            min(side - 1, max(0, round(at))) for at, side in zip(homes[other.key][1], photo.size, strict=True)
        )
        reach = max(_LEAST_KNOWN, round(_KNOWN * longer_side(other, photo)))
        again = best[one.key] <= layout.limits[one.key]
        few = float(again[may & np.isfinite(best[one.key])].mean()) <= _SAME
        counted = may & ~dilate(again, reach) if few else may
        shares.append(share_as_like(best[one.key], (row, column), counted, reach)[0])
    return float(np.mean(shares)) <= _SAME


def _limit(cutting: Cutting, homes: Sequence[tuple[float, float]], bare: Sequence[Seen]) -> float:
    """Return how unlike what the first normal photo shows at a place others may be."""
    own, median = [], []
    for photo, (y, x) in zip(bare[1:], homes[1:], strict=True):
        distances = distance(view_of(cutting, EIGHT[0], photo.size), photo)
        row, column = (min(side - 1, max(0, round(at))) for at, side in zip((y, x), photo.size, strict=True))
        own.append(float(least_around(distances, 1)[row, column]))
        median.append(float(np.median(distances[np.isfinite(distances)])))
    return max(_AS_LIKE * float(np.median(own)), _LITTLE * float(np.median(median)))


def _kind_limit(cutting: Cutting, bare: Sequence[Seen], positions: Sequence[Position]) -> float | None:
    """Return how unlike places of the same kind are at most; None where no gap parts them from others.

    All pins of a chip are of a kind, and differ by the tracks beside them more than one differs from photo to photo.
    """
    limits = []
    for photo in bare[1 : 1 + _LEAST]:
        best = np.min([distance(view_of(cutting, position, photo.size), photo) for position in positions], axis=0)
        finite = np.isfinite(best)
        median = float(np.median(best[finite]))
        peaks = finite & (best == least_around(best, max(LEAST_APART, round(APART * cutting.longer))))
        values = np.sort(best[peaks & (best < median)])
        kind = int((values < _OF_A_KIND * median).sum())
        if not kind:
            continue
        gaps = np.diff([*values, median])[:kind]
        widest = int(gaps.argmax())
        if gaps[widest] >= _GAP * median:
            limits.append(float(values[widest] + gaps[widest] / 2))
    return float(np.median(limits)) if limits else None
