"""Surroundings that a kind of defect keeps to: solder bridges lie between pins, pits where balls roll.

Whether it keeps to any is tested on the support photos: where each defect lies, its photo must look more like the
surroundings of the others than most places do. Surroundings are compared by their colours, on a reduced photo, in the
eight positions that quarter turns and mirroring give.
"""

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
_HIDDEN: Final = 2
"""Pixels beyond the mask that may show the defect."""
_NEAR: Final = 0.15
"""Where a defect lies is known to this share of its longer side."""
_BY_CHANCE: Final = 0.01
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


class _View(NamedTuple):
    """Surroundings in one of their eight positions."""

    mirrored: bool
    quarters: int
    spectrum: np.ndarray
    """(4, h, w // 2 + 1), conjugated: of the weighted colours, doubled and negative, and of the weights."""
    constant: float
    area: float
    shape: tuple[int, int]
    middle: tuple[int, int]
    """(row, column) of the middle of the defect."""


def see(photo: Image) -> Seen:
    """Return a photo (H, W, 3) as it is compared."""
    frame = photo.shape[0], photo.shape[1]
    scale = min(1.0, _SIDE / max(frame))
    size = max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))
    lab = cv2.GaussianBlur(cv2.resize(to_lab(photo), size[::-1], interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    colours = lab - np.median(lab.reshape(-1, 3), axis=0)
    planes = np.concatenate([np.moveaxis(colours, -1, 0), np.square(colours).sum(axis=-1)[None]])
    return Seen(frame, size, colours, np.fft.rfft2(planes))


@final
class Context:
    """The surroundings of every support defect."""

    def __init__(self, found: Sequence[Region], shown: Sequence[Seen]) -> None:
        """Cut the surroundings out of the support photos.

        Args:
            found: Regions of the support masks.
            shown: Each support photo.
        """
        self._views = {region.key: _views(region, shown[region.photo]) for region in found}
        self._limit = math.inf

    @classmethod
    def learn(cls, found: Sequence[Region], shown: Sequence[Shown]) -> "Context | None":
        """Return the surroundings that a kind of defect keeps to; None where it keeps to none.

        The largest defects of the photos are compared in pairs. A share of the places of one photo looks at least as
        much like the surroundings of the other's defect as the place of its own defect does; were that a random place,
        the shares would be uniform (Fisher's method; the two of a pair count as one).

        Args:
            found: Regions of the support masks.
            shown: Photo and foreground of each.
        """
        seen = [see(photo) for photo, _ in shown]
        context, largest = cls(found, seen), largest_regions(found)
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
        context._limit = float(np.median(distances))
        return context

    def places(self, region: Region, seen: Seen) -> Places:
        """Return where a photo of the same size looks as much like a defect's surroundings as theirs look alike.

        Where it does so nowhere, the place that does it most; none where the surroundings are larger than the photo.
        """
        views = self._views[region.key]
        distances = np.stack([_distance(view, seen) for view in views])
        best, chosen, scale = distances.min(axis=0), distances.argmin(axis=0), seen.frame[0] / seen.size[0]
        rows, columns = np.nonzero(np.isfinite(best) & (best <= max(self._limit, float(best.min()))))
        kinds = chosen[rows, columns]
        return Places(
            (np.stack([columns, rows], axis=1) + 0.5) * scale - 0.5,
            np.array([view.mirrored for view in views])[kinds],
            np.array([-view.quarters * math.pi / 2 for view in views])[kinds],
        )

    def _compare(self, first: Region, second: Region, seen: Sequence[Seen], foreground: Mask) -> tuple[float, float]:
        """Return which share of the places of a photo is at least as like as that of its defect, and how unlike it is.

        Args:
            first: Whose surroundings are looked for.
            second: The defect of the photo where they are looked for.
            seen: Every support photo.
            foreground: (H, W), True where the defect may lie in that photo.
        """
        photo = seen[second.photo]
        best = np.min([_distance(view, photo) for view in self._views[first.key]], axis=0)
        scale = photo.size[0] / photo.frame[0]
        near = 2 * max(2, round(_NEAR * max(second.shape.shape) * scale)) + 1
        best = cv2.erode(best, np.ones((near, near), np.uint8), borderValue=math.inf)
        height, width = photo.size
        row, column = min(height - 1, int(second.centre[0] * height)), min(width - 1, int(second.centre[1] * width))
        may = cv2.resize(foreground.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        others, own = best[may & np.isfinite(best)], float(best[row, column])
        if not math.isfinite(own) or not others.size:
            return 1.0, math.inf
        return max(float((others <= own).mean()), 1 / others.size), own


def _views(region: Region, seen: Seen) -> list[_View]:
    """Return the surroundings of a region in their eight positions."""
    height, width = seen.size
    scale = height / seen.frame[0]
    own = cv2.resize(region.within(seen.frame).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    hidden = cv2.dilate((own > 0).astype(np.uint8), np.ones((2 * _HIDDEN + 1, 2 * _HIDDEN + 1), np.uint8))
    rows, columns = region.shape.shape
    around = max(_LEAST_AROUND, round(_AROUND * max(rows, columns) * scale))
    top, left = (max(0, round(start * scale) - around) for start in region.corner[::-1])
    window = np.s_[
        top : round((region.corner[1] + rows) * scale) + around,
        left : round((region.corner[0] + columns) * scale) + around,
    ]
    colours, weights = seen.colours[window], (hidden[window] == 0).astype(np.float64)
    marker = np.zeros(weights.shape, bool)
    marker[int(region.centre[0] * height) - top, int(region.centre[1] * width) - left] = True
    views = []
    for mirrored in (False, True):
        for quarters in range(4):
            turned = [np.rot90(plane[:, ::-1] if mirrored else plane, quarters) for plane in (colours, weights, marker)]
            views.append(_view(*turned, mirrored=mirrored, quarters=quarters, size=seen.size))
    return views


def _view(
    colours: np.ndarray,
    weights: np.ndarray,
    marker: np.ndarray,
    *,
    mirrored: bool,
    quarters: int,
    size: tuple[int, int],
) -> _View:
    weighted = colours * weights[..., None]
    planes = np.concatenate([-2 * np.moveaxis(weighted, -1, 0), weights[None]])
    row, column = np.argwhere(marker)[0].tolist()
    fits = weights.shape[0] <= size[0] and weights.shape[1] <= size[1]
    return _View(
        mirrored=mirrored,
        quarters=quarters,
        spectrum=np.conj(np.fft.rfft2(planes, s=size)) if fits else np.empty(0),
        constant=float((weighted * colours).sum()),
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


def _tail(statistic: float, pairs: int) -> float:
    """Return the probability that minus the sum of the logarithms of uniform numbers is at least this large."""
    return math.exp(-statistic) * sum(statistic**k / math.factorial(k) for k in range(pairs))
