"""Surroundings that a kind of defect keeps to: solder bridges lie between pins, pits where balls roll.

Whether it keeps to any is tested on the support photos: where each defect lies, its photo must look more like the
surroundings of the others than most places do. Surroundings are compared by their colours, on a reduced photo, in the
eight positions that quarter turns and mirroring give.
"""

import functools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple, final

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.masks.sampler import Region, Shown, largest_regions
from anogen_core.quality.contrast import to_lab

_SIDE: Final = 320
"""Longer side in pixels of the photos that are compared."""
_AROUND: Final = 0.6
"""Surroundings reach this many times a defect's longer side beyond it..."""
_LEAST_AROUND: Final = 5
"""... and at least this many pixels."""
_HIDDEN: Final = 0.15
"""The defect may show this many times its longer side beyond its mask..."""
_LEAST_HIDDEN: Final = 2
"""... and at least this many pixels."""
_KEPT: Final = 8
"""Regions whose surroundings are kept ready, at about 10 MB each."""
_NEAR: Final = 0.15
"""Where a defect lies is known to this share of its longer side."""
_LIKE: Final = 1.2
"""Places may be this many times as unlike the surroundings as those of the support photos are each other."""
_APART: Final = 1.0
"""Of places that are nearer to each other than this many times a defect's longer side the most alike one counts: a
little beside it a tooth is none any more..."""
_LEAST_APART: Final = 2
"""... and than this many pixels."""
_BY_CHANCE: Final = 0.02
"""Probability below which defects do not lie in like surroundings by chance."""


class Seen(NamedTuple):
    """A photo as it is compared."""

    frame: tuple[int, int]
    """Height and width of the photo."""
    size: tuple[int, int]
    """Height and width of the reduced one."""
    colours: np.ndarray
    """(h, w, 3) differences in CIELAB from the photo's median."""
    spectrum: np.ndarray
    """(4, h, w // 2 + 1) of the colours and of the sum of their squares."""


class Places(NamedTuple):
    """Where surroundings are those of a support defect."""

    centres: np.ndarray
    """(n, 2) middles (x, y) of the defect in pixels of the photo."""
    mirrored: np.ndarray
    """(n,) whether it is mirrored from left to right, before it is turned."""
    turns: np.ndarray
    """(n,) radians from x towards y."""


class _Cutting(NamedTuple):
    """Surroundings cut out of a support photo."""

    colours: np.ndarray
    """(h, w, 3)."""
    weights: np.ndarray
    """(h, w), 0 at the defect."""
    middle: tuple[int, int]
    """(row, column) of the middle of the defect."""
    longer: float
    """Longer side of the defect in pixels."""


class _View(NamedTuple):
    """Surroundings in one of their positions."""

    spectrum: np.ndarray
    """(4, h, w // 2 + 1), conjugated: of the weighted colours, doubled and negative, and of the weights."""
    constant: float
    area: float
    shape: tuple[int, int]
    middle: tuple[int, int]
    """(row, column) of the middle of the defect."""


class Position(NamedTuple):
    """How surroundings may be found again."""

    mirrored: bool
    """From left to right, before they are turned."""
    quarters: int
    """Quarter turns against the clock."""


EIGHT: Final = tuple(Position(mirrored, quarters) for mirrored in (False, True) for quarters in range(4))
"""All positions that quarter turns and mirroring give."""


def see(photo: Image) -> Seen:
    """Return a photo (H, W, 3) as it is compared."""
    frame = photo.shape[0], photo.shape[1]
    scale = min(1.0, _SIDE / max(frame))
    size = max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))
    lab = cv2.GaussianBlur(cv2.resize(to_lab(photo), size[::-1], interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    colours = (lab - np.median(lab.reshape(-1, 3), axis=0)).astype(np.float32)
    planes = np.concatenate([np.moveaxis(colours, -1, 0), np.square(colours).sum(axis=-1)[None]])
    return Seen(frame, size, colours, np.fft.rfft2(planes))


@final
class Context:
    """The surroundings of every support defect."""

    def __init__(self, found: Sequence[Region], shown: Sequence[Seen], positions: Sequence[Position] = EIGHT) -> None:
        """Cut the surroundings out of the support photos.

        Args:
            found: Regions of the support masks.
            shown: Each support photo; all of one size.
            positions: In which surroundings count.
        """
        self._cuttings = {region.key: _cut(region, shown[region.photo]) for region in found}
        self._size = shown[0].size
        self._positions = positions
        self._views = functools.lru_cache(maxsize=_KEPT)(self._make_views)
        self._limit = math.inf

    @classmethod
    def learn(
        cls, found: Sequence[Region], shown: Sequence[Shown], positions: Sequence[Position] = EIGHT
    ) -> "Context | None":
        """Return the surroundings that a kind of defect keeps to; None where it keeps to none.

        The largest defects of the photos are compared in pairs. A share of the places of one photo looks at least as
        much like the surroundings of the other's defect as the place of its own defect does; were that a random place,
        the shares would be uniform (Fisher's method; the two of a pair count as one).

        Args:
            found: Regions of the support masks.
            shown: Photo and foreground of each.
            positions: In which surroundings count.
        """
        seen = [see(photo) for photo, _ in shown]
        context, largest = cls(found, seen, positions), largest_regions(found)
        shares, distances = [], []
        for first in largest:
            for second in largest:
                if first.photo != second.photo:
                    share, distance = context._compare(first, second, seen, shown[second.photo].foreground)
                    shares.append(share)
                    distances.append(distance)
        pairs = len(shares) // 2
        if not pairs or _tail(-float(np.log(shares).sum()) / 2, pairs) > _BY_CHANCE:
            return None
        context._limit = _LIKE * float(np.median(distances))
        return context

    def places(self, region: Region, seen: Seen) -> Places:
        """Return where a photo of the same size looks as much like a defect's surroundings as theirs look alike.

        Places around the one that looks most alike are none: there the surroundings would be shifted.
        """
        distances = np.stack([_distance(view, seen) for view in self._views(region.key)])
        best, chosen = distances.min(axis=0), distances.argmin(axis=0)
        least = _least_around(best, max(_LEAST_APART, round(_APART * self._cuttings[region.key].longer)))
        rows, columns = np.nonzero(np.isfinite(best) & (best <= self._limit) & (best == least))
        kinds = chosen[rows, columns]
        across, down = seen.frame[1] / seen.size[1], seen.frame[0] / seen.size[0]
        return Places(
            np.stack([(columns + 0.5) * across - 0.5, (rows + 0.5) * down - 0.5], axis=1),
            np.array([position.mirrored for position in self._positions])[kinds],
            np.array([-position.quarters * math.pi / 2 for position in self._positions])[kinds],
        )

    def _make_views(self, key: tuple[int, ...]) -> list[_View]:
        return [_view(self._cuttings[key], position, self._size) for position in self._positions]

    def _compare(self, first: Region, second: Region, seen: Sequence[Seen], foreground: Mask) -> tuple[float, float]:
        """Return which share of the places of a photo is at least as like as that of its defect, and how unlike it is.

        Args:
            first: Whose surroundings are looked for.
            second: The defect of the photo where they are looked for.
            seen: Every support photo.
            foreground: (H, W), True where the defect may lie in that photo.
        """
        photo = seen[second.photo]
        best = np.min([_distance(view, photo) for view in self._views(first.key)], axis=0)
        scale = max(photo.size) / max(photo.frame)
        best = _least_around(best, max(2, round(_NEAR * max(second.shape.shape) * scale)))
        height, width = photo.size
        row, column = min(height - 1, int(second.centre[0] * height)), min(width - 1, int(second.centre[1] * width))
        may = cv2.resize(foreground.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        others, own = best[may & np.isfinite(best)], float(best[row, column])
        if not math.isfinite(own) or not others.size:
            return 1.0, math.inf
        return max(float((others <= own).mean()), 1 / others.size), own


def _cut(region: Region, seen: Seen) -> _Cutting:
    """Return the surroundings of a region."""
    (height, width), (rows, columns) = seen.size, region.shape.shape
    down, across = height / seen.frame[0], width / seen.frame[1]
    longer = max(rows * down, columns * across)
    own = cv2.resize(region.within(seen.frame).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    reach = 2 * max(_LEAST_HIDDEN, round(_HIDDEN * longer)) + 1
    hidden = cv2.dilate((own > 0).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    around = max(_LEAST_AROUND, round(_AROUND * longer))
    row, column = (min(side - 1, int(part * side)) for part, side in zip(region.centre, seen.size, strict=True))
    top, left = max(0, row - round(rows * down / 2) - around), max(0, column - round(columns * across / 2) - around)
    window = np.s_[
        top : row + round(rows * down / 2) + around + 1, left : column + round(columns * across / 2) + around + 1
    ]
    weights = (hidden[window] == 0).astype(np.float32)
    return _Cutting(seen.colours[window], weights, (row - top, column - left), longer)


def _view(cutting: _Cutting, position: Position, size: tuple[int, int]) -> _View:
    marker = np.zeros(cutting.weights.shape, bool)
    marker[cutting.middle] = True
    colours, weights, marker = (
        np.rot90(plane[:, ::-1] if position.mirrored else plane, position.quarters)
        for plane in (cutting.colours, cutting.weights, marker)
    )
    weighted = colours * weights[..., None]
    planes = np.concatenate([-2 * np.moveaxis(weighted, -1, 0), weights[None]])
    row, column = np.argwhere(marker)[0].tolist()
    fits = weights.shape[0] <= size[0] and weights.shape[1] <= size[1]
    return _View(
        spectrum=np.conj(np.fft.rfft2(planes, s=size)) if fits else np.empty(0),
        constant=float((weighted * colours).sum(dtype=np.float64)),
        area=float(weights.sum()),
        shape=(weights.shape[0], weights.shape[1]),
        middle=(row, column),
    )


def _distance(view: _View, seen: Seen) -> np.ndarray:
    """Return the mean squared difference of colours (h, w) with the defect's middle at each pixel; inf where cut off.

    The square is expanded: each of its terms is a correlation, and all of them take one inverse transform.
    """
    found = np.full(seen.size, math.inf)
    rows, columns = seen.size[0] - view.shape[0] + 1, seen.size[1] - view.shape[1] + 1
    if rows < 1 or columns < 1 or not view.area:
        return found
    total = np.fft.irfft2((seen.spectrum * view.spectrum).sum(axis=0), s=seen.size)[:rows, :columns] + view.constant
    row, column = view.middle
    found[row : row + rows, column : column + columns] = np.maximum(total, 0) / view.area
    return found


def _least_around(distances: np.ndarray, reach: int) -> np.ndarray:
    """Return the least of the distances (h, w) up to this many pixels away along each axis."""
    return cv2.erode(distances, np.ones((2 * reach + 1,) * 2, np.uint8), borderValue=math.inf)


def _tail(statistic: float, pairs: int) -> float:
    """Return the probability that minus the sum of the logarithms of uniform numbers is at least this large."""
    if statistic <= 0:
        return 1.0
    terms = (k * math.log(statistic) - math.lgamma(k + 1) - statistic for k in range(pairs))
    return sum(math.exp(term) for term in terms)
