"""Surroundings that a kind of defect keeps to: solder bridges lie between pins, pits where balls roll.

Whether it keeps to any is tested on the support photos: where each defect lies, its photo must look more like the
surroundings of the others than most places do. Surroundings are compared by their colours, on a reduced photo, in the
eight positions that quarter turns and mirroring give.

On a pattern that repeats, such as the motif of a carpet, defects lie anywhere, and still each fits only where its own
piece of the pattern comes again. On a product that lies alike on all photos they may belong to places of it.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, final

import cv2
import numpy as np

from anogen_core.arrays import Mask
from anogen_core.masks.layout import APART, LEAST_APART, find_layout
from anogen_core.masks.sampler import Region, Segmented, largest_regions
from anogen_core.masks.surroundings import (
    EIGHT,
    Cutting,
    Position,
    Seen,
    View,
    between_pixels,
    cut_around,
    distance,
    least_around,
    longer_side,
    mean_around,
    see,
    share_as_like,
    view_of,
)

_KEPT: Final = 8
"""Regions whose surroundings are kept ready, at about 10 MB each."""
_NEAR: Final = 0.15
"""Where a defect lies is known to this share of its longer side."""
_LIKE: Final = 1.2
"""Places may be this many times as unlike the surroundings as those of the support photos are each other."""
_BY_CHANCE: Final = 0.02
"""Probability below which defects do not lie in like surroundings by chance."""
_AGAIN: Final = 0.2
"""A piece of a pattern comes again where it differs by this share of how it differs up to a defect's length away..."""
_AGAIN_IN_TONES: Final = 0.1
"""... or this on a product of two tones: more, and a track would be as good as none..."""
_PATTERN: Final = 100.0
"""... and that is a squared difference in CIELAB of at least this: more than noise or light make."""
_CLOSE: Final = 0.2
"""Surroundings that count on a product of two tones, in multiples of a defect's longer side."""
_BOTH: Final = 0.04
"""Share of the surroundings that is of the rarer of two tones at least where their border is near."""
_ELSEWHERE: Final = 0.5
"""Of a defect's longer side: nearer than this to a defect, its own place is found again."""


class Places(NamedTuple):
    """Where surroundings are those of a support defect."""

    centres: np.ndarray
    """(n, 2) middles (x, y) of the defect in pixels of the photo."""
    mirrored: np.ndarray
    """(n,) whether it is mirrored from left to right, before it is turned."""
    turns: np.ndarray
    """(n,) radians from x towards y."""


@final
class Context:
    """The surroundings of every support defect."""

    def __init__(
        self,
        cuttings: Mapping[tuple[int, ...], Cutting],
        size: tuple[int, int],
        positions: Sequence[Position] = EIGHT,
        limits: Mapping[tuple[int, ...], float] | None = None,
        *,
        bound: bool = False,
        middle: float | None = None,
    ) -> None:
        """Take surroundings, or what flawless photos show at the places of the defects.

        Args:
            cuttings: For the key of each region.
            size: (h, w) of the reduced photos.
            positions: In which surroundings count.
            limits: How unlike places may be for each region; None where pieces of a pattern are to come again.
            bound: Whether defects belong to places of a product that lies alike on all photos.
            middle: Lightness between the tones of a product that has two.
        """
        self.bound, self.middle = bound, middle
        self._cuttings, self._size, self._positions, self._limits = cuttings, size, positions, limits
        self._views = functools.lru_cache(maxsize=_KEPT)(self._make_views)

    @classmethod
    def learn(
        cls,
        found: Sequence[Region],
        shown: Sequence[Segmented],
        positions: Sequence[Position] = EIGHT,
        normals: Iterable[Segmented] = (),
        *,
        middle: float | None = None,
    ) -> "Context | None":
        """Return the surroundings that defects of a kind go to; None where these do not matter.

        Places of a product that lies alike on all photos come first, then surroundings that the kind keeps to, then
        those of each defect on a pattern.

        The largest defects of the photos are compared in pairs. A share of the places of one photo looks at least as
        much like the surroundings of the other's defect as the place of its own defect does; were that a random place,
        the shares would be uniform (Fisher's method; the two of a pair count as one).

        Args:
            found: Regions of the support masks.
            shown: Photo and foreground of each.
            positions: In which surroundings count.
            normals: Some normal photos, likewise.
            middle: Lightness between the tones of a product that has two: there each defect fits only where their
                border runs as around it.
        """
        seen = [see(photo) for photo, _ in shown]
        if (layout := find_layout(found, seen, normals, positions)) is not None:
            return cls(layout.shown, seen[0].size, positions, layout.limits, bound=True)
        if middle is not None:
            seen = [see(photo, middle) for photo, _ in shown]
            near = {region.key: cut_around(region, seen[region.photo], wide=_CLOSE) for region in found}
            return cls(near, seen[0].size, positions, middle=middle)
        cuttings = {region.key: cut_around(region, seen[region.photo]) for region in found}
        context, largest = cls(cuttings, seen[0].size, positions), largest_regions(found)
        shares, distances = [], []
        for first in largest:
            for second in largest:
                if first.photo != second.photo:
                    share, off = context._compare(first, second, seen, shown[second.photo].foreground)
                    shares.append(share)
                    distances.append(off)
        pairs = len(shares) // 2
        if not pairs:
            return None
        if _tail(-float(np.log(shares).sum()) / 2, pairs) > _BY_CHANCE:
            own = cls(cuttings, seen[0].size, EIGHT[:1])
            patterned = all(item.foreground.all() for item in shown) and all(own._repeats(r, seen) for r in largest)
            return own if patterned else None
        return cls(cuttings, seen[0].size, positions, dict.fromkeys(cuttings, _LIKE * float(np.median(distances))))

    def places(self, region: Region, seen: Seen) -> Places:
        """Return where a photo of the same size looks as much like a defect's surroundings as theirs look alike.

        On a pattern: where these come again. On a product that lies alike on all photos: where it shows what it does at
        the defect's own place; nowhere if that is not known.

        Places around the one that looks most alike are none: there the surroundings would be shifted.
        """
        if region.key not in self._cuttings:
            return Places(np.empty((0, 2)), np.empty(0, bool), np.empty(0))
        distances = np.stack([distance(view, seen) for view in self._views(region.key)])
        best, chosen = distances.min(axis=0), distances.argmin(axis=0)
        least = least_around(best, max(LEAST_APART, round(APART * self._cuttings[region.key].longer)))
        fits = self._again(region, best) if self._limits is None else best <= self._limits[region.key]
        rows, columns = np.nonzero(np.isfinite(best) & fits & (best == least))
        kinds = chosen[rows, columns]
        offs = np.array([view.off for view in self._views(region.key)])[kinds] + between_pixels(best, rows, columns)
        across, down = seen.frame[1] / seen.size[1], seen.frame[0] / seen.size[0]
        return Places(
            np.stack([(columns + offs[:, 1] + 0.5) * across - 0.5, (rows + offs[:, 0] + 0.5) * down - 0.5], axis=1),
            np.array([position.mirrored for position in self._positions])[kinds],
            np.array([-position.quarters * math.pi / 2 for position in self._positions])[kinds],
        )

    def is_needed(self, region: Region) -> bool:
        """Return whether a defect lies at the border of two tones, and so nowhere but where that runs as around it."""
        if self.middle is None or region.key not in self._cuttings:
            return False
        cutting = self._cuttings[region.key]
        share = float((cutting.colours[..., 0] > 0)[cutting.weights > 0].mean())
        return min(share, 1 - share) > _BOTH

    def _again(self, region: Region, distances: np.ndarray) -> Mask:
        """Return where a piece of a pattern comes again (h, w): there it fits, and a little beside that it does not."""
        around = mean_around(distances, max(LEAST_APART, round(APART * self._cuttings[region.key].longer)))
        again = _AGAIN if self.middle is None else _AGAIN_IN_TONES
        return np.asarray((distances <= again * around) & (around >= _PATTERN))

    def _repeats(self, region: Region, seen: Sequence[Seen]) -> bool:
        """Return whether a defect's surroundings come again where any support photo is most like them.

        On its own photo, somewhere else: what is there once only is a mark, such as a print, and no pattern.
        """
        reach = max(LEAST_APART, round(_ELSEWHERE * self._cuttings[region.key].longer))
        for number, photo in enumerate(seen):
            distances = distance(self._views(region.key)[0], photo)
            others = distances.copy()
            if number == region.photo:
                row, column = int(region.centre[0] * photo.size[0]), int(region.centre[1] * photo.size[1])
                others[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = math.inf
            if not np.isfinite(others).any() or not self._again(region, distances).flat[others.argmin()]:
                return False
        return True

    def _make_views(self, key: tuple[int, ...]) -> list[View]:
        return [view_of(self._cuttings[key], position, self._size) for position in self._positions]

    def _compare(self, first: Region, second: Region, seen: Sequence[Seen], foreground: Mask) -> tuple[float, float]:
        """Return which share of the places of a photo is at least as like as that of its defect, and how unlike it is.

        Args:
            first: Whose surroundings are looked for.
            second: The defect of the photo where they are looked for.
            seen: Every support photo.
            foreground: (H, W), True where the defect may lie in that photo.
        """
        photo = seen[second.photo]
        best = np.min([distance(view, photo) for view in self._views(first.key)], axis=0)
        (height, width), (down, across) = photo.size, second.centre
        point = min(height - 1, int(down * height)), min(width - 1, int(across * width))
        may = cv2.resize(foreground.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        return share_as_like(best, point, may, max(2, round(_NEAR * longer_side(second, photo))))


def _tail(statistic: float, pairs: int) -> float:
    """Return the probability that minus the sum of the logarithms of uniform numbers is at least this large."""
    if statistic <= 0:
        return 1.0
    terms = (k * math.log(statistic) - math.lgamma(k + 1) - statistic for k in range(pairs))
    return sum(math.exp(term) for term in terms)
