"""Masks that lie at the edge of the product where the support defects do, and clear of it where they do not.

A scratch on the middle of a part must not hang over its edge, and a chip belongs to the edge. What tells them apart is
the rim, a thin ring around a defect: all of it is on the product, or a part of it is not.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Final, final

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.material import Materials
from anogen_core.masks.sampler import MaskSampler, render
from anogen_core.masks.sliver import with_slivers
from anogen_core.morphology import dilate
from anogen_core.records import Placement

_WIDTH: Final = 3
"""Pixels of the ring around a mask."""
_AROUND: Final = 0.7
"""Width of the ring around a defect of the edge, relative to the side of a square of its area."""
_TOLERANCE: Final = 0.03
"""Share of a rim that may be beside the product where that of the support defect is on it, or the other way round."""
_ALONG: Final = 0.5
"""Defects of the edge are moved along it by up to this share of the width of the ring around them."""
_LEAST: Final = 0.25
"""A support defect with less of its rim on the product does not tell where on the product defects lie."""
_UNKNOWN: Final = 2
"""What a support photo does not show: the surface under the defect, and what lies outside the frame."""
_SPECK: Final = 0.005
"""Share of the frame below which background on a support photo is none."""
_BITE: Final = 0.8
"""Share of a defect of the edge that still shows the product: below it, something of the part is missing."""
_DRAWS: Final = 40
"""Masks drawn until one's rim is like that of its support defect..."""
_SOUGHT: Final = 100
"""... and until what surrounds it is the same material, too."""
_STRANGE: Final = 0.13
"""Share of a placement's surroundings that may be another material than around its support defect: one of eight."""

_FOREIGN: Final = 0.3
"""Share of the surroundings of the other of two tones from which a placement is none."""


def fill_specks(foreground: Mask, mask: Mask) -> Mask:
    """Return a foreground (H, W) without specks of background: the dark rim of a stain is no edge of the product.

    Args:
        foreground: (H, W), True where the product is.
        mask: (H, W), True at the defect, which joins no specks.
    """
    background = ~foreground & ~mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(background.astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= _SPECK * mask.size
    large[[*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]]] = True  # cut off, they may be larger than they look
    return np.asarray(foreground | (background & ~large[labels]))


def find_ring(mask: Mask, foreground: Mask, width: int = _WIDTH) -> tuple[tuple[int, int], Mask, Mask]:
    """Return the ring around a mask: (row, column) of a window that holds it, itself, the foreground there.

    Args:
        mask: (H, W), True at the defect; somewhere it is.
        foreground: (H, W), True where the product is.
        width: Of the ring in pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = max(0, int(rows[0]) - width), max(0, int(columns[0]) - width)
    near = slice(top, rows[-1] + width + 1), slice(left, columns[-1] + width + 1)
    inside = mask[near]
    return (top, left), dilate(inside, width, disc=True) & ~inside, foreground[near]


def rim_on_product(mask: Mask, foreground: Mask) -> float:
    """Return which share of a ring of three pixels around a mask lies on the product; 1 where the frame ends there.

    Args:
        mask: (H, W), True at the defect.
        foreground: (H, W), True where the product is.
    """
    _, ring, product = find_ring(mask, foreground)
    return float(product[ring].mean()) if ring.any() else 1.0


@final
class RimSampler(MaskSampler):
    """Draws masks by another sampler until one's rim is on the product where that of its support defect is."""

    def __init__(
        self, sampler: MaskSampler, support: Sequence[tuple[Mask, Mask]], materials: Materials | None = None
    ) -> None:
        """Wrap a sampler.

        Args:
            sampler: Draws the masks.
            support: Mask and foreground (H, W) of each support photo, in the order that the sampler knows them in.
            materials: What surrounds the support defects, where the product is of several materials.
        """
        self._sampler, self._materials = sampler, materials
        self.looks = sampler.looks or materials is not None
        self.insists = sampler.insists or (materials is not None and materials.two_toned)
        self._rims = [rim_on_product(mask, foreground) if mask.any() else 0.0 for mask, foreground in support]
        self._bites = [bool(mask.any()) and float(foreground[mask].mean()) < _BITE for mask, foreground in support]
        self._shown = [np.where(mask, _UNKNOWN, foreground).astype(np.uint8) for mask, foreground in support]

    @property
    def heeds_colours(self) -> bool:
        """Return whether defects go where the colours around them are those around their support defects."""
        return self._materials is not None

    def sample(
        self,
        foreground: Mask,
        rng: np.random.Generator,
        product: Mask | None = None,
        photo: Image | None = None,
        source: int | None = None,
    ) -> Placement:
        """Return the first placement whose rim is like its source's, or the one of many that comes nearest to it.

        So is the material around it, where the product is of several.

        The first draw decides on the source: those whose rims are found most easily would be all there is otherwise.
        """
        product = foreground if product is None else product
        placement = self._nearest(foreground, rng, product, photo, source)
        bites = placement.edge is not None and placement.source is not None and self._bites[placement.source]
        return with_slivers(placement, product, foreground) if bites else placement

    def _nearest(
        self, foreground: Mask, rng: np.random.Generator, product: Mask, photo: Image | None, source: int | None
    ) -> Placement:
        """Return the placement as it is drawn.

        Where the material around it is another one wherever it may lie, another support defect may be at home there.
        """
        off, first = self._search(foreground, rng, product, photo, source)
        if self._materials is None or source is not None or off <= _STRANGE + _TOLERANCE or first.source is None:
            return first
        found = [(off, first)]
        for other in rng.permutation(len(self._rims)).tolist():
            if other != first.source and self._rims[other] > 0:
                with contextlib.suppress(MaskPlacementError):
                    found.append(self._search(foreground, rng, product, photo, other))
            if found[-1][0] <= _STRANGE + _TOLERANCE:
                return found[-1][1]
        off, nearest = min(found, key=lambda pair: pair[0])
        if off > _FOREIGN and self.insists and photo is not None:
            raise MaskPlacementError(
                f"nowhere found on this photo do its two tones lie as around a support defect ({off:.0%} of what would "
                f"surround the nearest is of the other tone, expected {_FOREIGN:.0%} at most); give normal photos that "
                "show such places, or set `foreground.like_support: false`"
            )
        return nearest

    def _search(
        self, foreground: Mask, rng: np.random.Generator, product: Mask, photo: Image | None, source: int | None
    ) -> tuple[float, Placement]:
        """Return the best placement of many, or the first good one, and how far it is from good."""
        drawn: list[tuple[float, Placement]] = []
        for _ in range(_DRAWS if self._materials is None else _SOUGHT):
            try:
                placement = self._sampler.sample(foreground, rng, product, photo, source)
            except MaskPlacementError:
                if not drawn:
                    raise
                break
            source = placement.source
            wanted = 0.0 if source is None else self._rims[source]
            if placement.layout == "at":
                return 0.0, placement
            strange = self._strange(placement, photo, product)
            if drawn and strange >= min(pair[0] for pair in drawn):
                continue
            off = 0.0
            if wanted >= _LEAST:
                off, moved = self._compared(placement, foreground, product)
                strange = strange if moved is placement else self._strange(moved, photo, product)
                placement = moved
            if off <= _TOLERANCE and strange <= _STRANGE:
                return off + strange, placement
            drawn.append((off + strange, placement))
        return min(drawn, key=lambda pair: pair[0])

    def _strange(self, placement: Placement, photo: Image | None, product: Mask) -> float:
        """Return which share of a placement's surroundings is another material than around its support defect."""
        if self._materials is None or photo is None or placement.source is None or placement.warp is None:
            return 0.0
        mask = render(placement, product.shape)
        return self._materials.unlike(placement.source, placement.warp, mask, photo, product)

    def _compared(self, placement: Placement, foreground: Mask, product: Mask) -> tuple[float, Placement]:
        """Return by which share a placement's rim differs from that of its support defect, and the placement.

        Where it differs at an edge, it is moved along that to where it differs least: so teeth come to lie on teeth.

        Args:
            placement: As it was drawn.
            foreground: (H, W), True where defects may lie.
            product: (H, W), True where the product is.
        """
        mask = render(placement, product.shape)
        if placement.source is None or placement.warp is None:
            wanted = 1.0 if placement.source is None else self._rims[placement.source]
            return abs(rim_on_product(mask, product) - wanted), placement
        # At an edge it matters, too, how it goes on: whether it is that of a bore, or has a corner.
        width = _WIDTH if placement.edge is None else max(_WIDTH, round(_AROUND * float(mask.sum()) ** 0.5))
        (top, left), ring, _ = find_ring(mask, product, width)
        (height, wide), linear = ring.shape, np.array(placement.warp).reshape(2, 3)
        shown = cv2.warpAffine(
            self._shown[placement.source],
            linear - [[0, 0, left], [0, 0, top]],
            (wide, height),
            flags=cv2.INTER_NEAREST,
            borderValue=float(_UNKNOWN),
        )
        known = ring & (shown != _UNKNOWN)
        if not known.any():
            return 0.0, placement
        barred, inside = product & ~foreground, mask[top : top + height, left : left + wide]
        best = (math.inf, placement)
        for right, down in _steps(placement, round(_ALONG * width)):
            row, column, other = top + down, left + right, _moved(placement, right, down)
            near = np.s_[row : row + height, column : column + wide]
            if (right, down) != (0, 0) and (
                min(row, column) < 0
                or row + height > mask.shape[0]
                or column + wide > mask.shape[1]
                or (barred[near] & inside).any()
                or not self._sampler.admits(other, product.shape)
            ):
                continue
            off = float((product[near][known] != (shown[known] > 0)).mean())
            if off < best[0]:
                best = (off, other)
            if (right, down) == (0, 0) and off <= _TOLERANCE:
                break
        return best


def _steps(placement: Placement, most: int) -> list[tuple[int, int]]:
    """Return moves (right, down) of up to so many pixels along the edge where a placement crosses it, none first."""
    if placement.edge is None or placement.warp is None:
        return [(0, 0)]
    linear, across = np.array(placement.warp).reshape(2, 3)[:, :2], placement.edge[2]
    along = linear @ [-math.sin(across), math.cos(across)]
    steps = np.rint(np.outer(np.arange(-most, most + 1), along / np.linalg.norm(along))).astype(int).tolist()
    return sorted({(right, down) for right, down in steps}, key=lambda step: (math.hypot(*step), step))


def _moved(placement: Placement, right: int, down: int) -> Placement:
    if placement.warp is None or (right, down) == (0, 0):
        return placement
    warp, box = np.array(placement.warp), placement.box
    warp[[2, 5]] += right, down
    return placement.model_copy(
        update={
            "box": box.model_copy(update={"x": box.x + right, "y": box.y + down}),
            "warp": tuple(warp.round(4).tolist()),
        }
    )
