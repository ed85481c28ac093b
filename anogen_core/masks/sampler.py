"""The interface of mask samplers: (foreground, support masks, generator) -> placement, in bounded attempts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import cut
from anogen_core.outline import decode_outline
from anogen_core.records import Box, Placement

_JOIN = 7
"""Parts of a support mask that are closer than this many pixels are one defect, whatever their size."""

_CRUMB = 0.1
"""Area of a part, relative to the largest of its photo, below which it is no defect of its own..."""
_SEVERAL = 2
"""... but belongs to one where this many photos have this many of them..."""
_SEEN = 9
"""... of at least this many pixels."""


class MaskSampler(ABC):
    """Chooses where one defect goes.

    Example:
        >>> sampler = BoxSamplerSettings().build(support_masks)
        >>> placement = sampler.sample(foreground, rng)
        >>> mask = render(placement, foreground.shape)
    """

    looks: bool = False
    """Whether places depend on what a photo shows, beside its foreground..."""
    insists: bool = False
    """... and there are none where it shows nothing suitable; otherwise a defect goes anywhere then."""

    @abstractmethod
    def sample(
        self,
        foreground: Mask,
        rng: np.random.Generator,
        product: Mask | None = None,
        photo: Image | None = None,
        source: int | None = None,
    ) -> Placement:
        """Return a placement inside the foreground.

        Args:
            foreground: (H, W), True where defects may lie.
            rng: Draws the place.
            product: (H, W), True where the product is, of which drawn regions may allow a part only; `foreground`
                where it is not given.
            photo: (H, W, 3), for samplers that look; without it they take any place.
            source: Which of the support masks decides form and size; a random one where it is not given.

        Raises:
            MaskPlacementError: no placement was found in the allowed number of attempts; the message is the reason.
        """

    def admits(self, placement: Placement, frame: tuple[int, int]) -> bool:
        """Return whether a placement that was moved along an edge in a frame (height, width) is still within bounds."""
        del placement, frame
        return True


def render(placement: Placement, frame: tuple[int, int]) -> Mask:
    """Return the (H, W) mask of a placement; parts outside the frame are cut off."""
    box = placement.box
    if placement.outline is not None:
        mask = np.zeros(frame, bool)
        mask[box.y : box.y + box.height, box.x : box.x + box.width] = decode_outline(
            placement.outline, (box.height, box.width)
        )
        return mask
    if placement.angle == 0:
        mask = np.zeros(frame, bool)
        mask[max(box.y, 0) : box.y + box.height, max(box.x, 0) : box.x + box.width] = True
        return mask
    # Pixel centres lie on integers for OpenCV, so the centre of n pixels starting at x is x + (n - 1) / 2.
    centre = (box.x + (box.width - 1) / 2, box.y + (box.height - 1) / 2)
    corners = cv2.boxPoints((centre, (box.width - 1, box.height - 1), -placement.angle))
    canvas = np.zeros(frame, np.uint8)
    cv2.fillConvexPoly(canvas, np.rint(corners).astype(np.int32), 1)
    return canvas.astype(bool)


def union_of(placements: Sequence[Placement], frame: tuple[int, int]) -> Mask:
    """Return the (H, W) mask of all defects of one image."""
    return np.any([np.zeros(frame, bool), *(render(placement, frame) for placement in placements)], axis=0)


class Segmented(NamedTuple):
    """A photo, and where its product is."""

    photo: Image
    """(H, W, 3) in the frame."""
    foreground: Mask
    """(H, W), True where the product is."""


class Region(NamedTuple):
    """One defect in a support mask."""

    shape: Mask
    """(h, w): the region in its bounding box."""
    centre: tuple[float, float]
    """(row, column) of the box's centre as fractions of the frame."""
    corner: tuple[int, int]
    """(x, y) of the box's first pixel."""
    photo: int
    """Which of the support masks shows it."""

    @property
    def key(self) -> tuple[int, ...]:
        """What tells it from others of the same masks."""
        return self.photo, *self.corner, *self.shape.shape

    def within(self, frame: tuple[int, int]) -> Mask:
        """Return the (H, W) mask of this region alone."""
        mask, (x, y), (height, width) = np.zeros(frame, bool), self.corner, self.shape.shape
        mask[y : y + height, x : x + width] = self.shape
        return mask


def regions(masks: Sequence[Mask]) -> list[Region]:
    """Return every defect region in the masks (H, W); parts that lie close to each other for their size are one.

    Parts far smaller than the largest are crumbs of the annotation, but where several masks have several of them they
    belong to the larger part beside them: drops around a stain.
    """
    found = []
    kernel = np.ones((_JOIN, _JOIN), np.uint8)
    closed = [cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel) for mask in masks]
    parted = [cv2.connectedComponentsWithStats(mask)[1:3] for mask in closed]
    small = [_small_parts(stats) for _, stats in parted]
    scattered = sum(len(parts) >= _SEVERAL for parts in small) >= _SEVERAL
    for photo, (mask, (labels, stats)) in enumerate(zip(masks, parted, strict=True)):
        areas = stats[1:, cv2.CC_STAT_AREA]
        groups = _neighbours(labels, (np.flatnonzero(areas >= _CRUMB * areas.max(initial=0)) + 1).tolist(), stats)
        if scattered:
            groups = _with_satellites(labels, groups, small[photo], stats)
        for group in groups:
            box = _box_of(stats[group])
            middle = (box.y + box.height / 2) / mask.shape[0], (box.x + box.width / 2) / mask.shape[1]
            found.append(Region(np.isin(cut(labels, box), group) & cut(mask, box), middle, (box.x, box.y), photo))
    return found


def largest_regions(found: Sequence[Region]) -> list[Region]:
    """Return the largest region of each photo."""
    photos = sorted({region.photo for region in found})
    return [max((r for r in found if r.photo == photo), key=lambda r: int(r.shape.sum())) for photo in photos]


def draw_region(found: Sequence[Region], rng: np.random.Generator) -> Region:
    """Return a region of a photo; photos are drawn alike and the regions of one in proportion to their areas."""
    photos = sorted({region.photo for region in found})
    photo = photos[int(rng.integers(len(photos)))]
    own = [region for region in found if region.photo == photo]
    if len(own) == 1:
        return own[0]
    areas = np.array([region.shape.sum() for region in own])
    return own[int(rng.choice(len(own), p=areas / areas.sum()))]


def _small_parts(stats: np.ndarray) -> list[int]:
    """Return the numbers of parts that are far smaller than the largest, and can still be seen."""
    areas = stats[1:, cv2.CC_STAT_AREA]
    return (np.flatnonzero((areas < _CRUMB * areas.max(initial=0)) & (areas >= _SEEN)) + 1).tolist()


def _with_satellites(
    labels: np.ndarray, groups: Sequence[list[int]], small: Sequence[int], stats: np.ndarray
) -> list[list[int]]:
    """Return the groups, each with the small parts that lie nearest to it, and no farther off than it is large."""
    away = np.array(
        [cv2.distanceTransform((~np.isin(labels, group)).astype(np.uint8), cv2.DIST_L2, 5) for group in groups]
    )
    wide = [list(group) for group in groups]
    for part in small:
        gaps = away[:, labels == part].min(axis=1)
        nearest = int(gaps.argmin())
        joined = [*wide[nearest], part]
        near = gaps[nearest] <= float(stats[groups[nearest], cv2.CC_STAT_AREA].sum()) ** 0.5
        if near and _is_short(_box_of(stats[joined]), labels):
            wide[nearest] = joined
    return wide


def _is_short(box: Box, labels: np.ndarray) -> bool:
    """Return whether a group is at most half as long as the frame is wide or high: longer ones hardly find a place."""
    return max(box.width, box.height) <= min(labels.shape) / 2


def _neighbours(labels: np.ndarray, parts: Sequence[int], stats: np.ndarray) -> list[list[int]]:
    """Return groups of parts that belong together: gaps are narrower than the smaller neighbour is large.

    Args:
        labels: (H, W) number of the part at each pixel.
        parts: Numbers of those that count.
        stats: What OpenCV measured of each number.
    """
    size = {part: float(stats[part, cv2.CC_STAT_AREA]) ** 0.5 for part in parts}
    group = {part: [part] for part in parts}
    for part in parts:
        near = cut(labels, _box_of(stats[[part]], margin=int(size[part])))
        away = cv2.distanceTransform((near != part).astype(np.uint8), cv2.DIST_L2, 5)
        for other in (int(n) for n in np.unique(near) if int(n) in group):
            if other in group[part] or away[near == other].min() > min(size[part], size[other]):
                continue
            joined = sorted(group[part] + group[other])
            if _is_short(_box_of(stats[joined]), labels):
                group.update(dict.fromkeys(joined, joined))
    return [members for part, members in group.items() if part == members[0]]


def _box_of(stats: np.ndarray, *, margin: int = 0) -> Box:
    """Return the box around what OpenCV measured of some parts (n, 5), and `margin` pixels more; it may end outside."""
    x, y = (max(0, int(first) - margin) for first in stats[:, :2].min(axis=0))
    right, bottom = ((stats[:, :2] + stats[:, 2:4]).max(axis=0) + margin).tolist()
    return Box(x=x, y=y, width=right - x, height=bottom - y)
