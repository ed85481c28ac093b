"""Masks transplanted from the support set: the defect's own outlines, turned, mirrored, scaled and bent a little.

A box leaves the form of a defect to the base model; an outline gives it, and is a closer label.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, final

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, StrictBool

from anogen_core.arrays import Mask
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.deformation import Change, Outline, deform, moved
from anogen_core.masks.direction import (
    Edge,
    find_axes,
    find_axis,
    find_chord,
    find_contour,
    find_edge,
    outward_at,
    turn_between,
)
from anogen_core.masks.outline import encode_outline
from anogen_core.masks.sampler import MaskSampler, Region, draw_region, regions, render
from anogen_core.records import Box, Placement
from anogen_core.settings import Settings

_ROTATION = 30.0
"""Degrees either way where neither the settings nor the support defects say more."""
_EDGE_TURN = math.radians(8)
"""Defects of an edge are turned against it by up to this."""
_EDGE_SHIFT = 2.0
"""Pixels by which they lie farther in or out."""
_EDGE_SLACK = 0.15
"""Of the share of an edge defect that lies on the product."""


class TransplantSamplerSettings(Settings):
    """Outlines of support defects at new places on the foreground."""

    kind: Literal["transplant"] = "transplant"
    jitter: Annotated[float, Field(ge=1, le=4)] = 1.25
    """Width and height are each scaled by a factor between 1 / jitter and jitter."""
    rotation: Annotated[float, Field(ge=0, le=180)] | None = None
    """Outlines are turned by up to this many degrees either way; 180 where a defect may lie in any direction. Default:
    as far as the support defects differ, where at least three are long and lie alike or at right angles (threads,
    marks of a tool); 30 otherwise. Defects at the product's edge are turned as the edge is: by default to any side of
    it, and by a number only as far as it says."""
    flip: StrictBool = True
    """Mirror outlines at random."""
    bend: Annotated[float, Field(ge=0, le=0.3)] = 0.06
    """Points of the outline move by about this fraction of its longer side, neighbours alike, and by no more than a
    quarter of its thickness: the defect and its label, which are moved unbent, stay inside."""
    margin: NonNegativeInt = 1
    """Pixels by which the outline is widened: room for the soft edge of the defect."""
    min_size: PositiveInt = 8
    """Longer side of a mask in pixels; smaller ones are enlarged."""
    reach: Annotated[float, Field(ge=0, le=1)] | None = None
    """Outlines lie at most this fraction of the frame from where the support defect was, along each axis; mirrored ones
    from the mirrored place. For photos of aligned parts and defects that are found at some places only; default:
    anywhere on the foreground."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Share of the mask that lies on the foreground."""
    attempts: PositiveInt = 200
    """Random placements tried before a request is blocked."""

    def build(self, support_masks: Sequence[Mask], foregrounds: Sequence[Mask] = ()) -> "TransplantSampler":
        """Return the sampler for the defect these support masks show; with their foregrounds it knows edges."""
        return TransplantSampler(self, regions(support_masks), foregrounds)


@final
class TransplantSampler(MaskSampler):
    """Draws one region of the support masks, changes it within bounds and looks for a place on the foreground.

    A region across the edge of the product goes to the edge, turned as the edge is there.
    """

    def __init__(
        self, settings: TransplantSamplerSettings, found: Sequence[Region], foregrounds: Sequence[Mask] = ()
    ) -> None:
        """Learn how the regions lie.

        Args:
            settings: Bounds of the changes.
            found: Regions of the support masks.
            foregrounds: (H, W) of each support photo; without them no region is at an edge.
        """
        if not found:
            raise MaskPlacementError("The support masks are empty; use `mask_sampler: {kind: box}` with sizes.")
        self._settings = settings
        self._regions = list(found)
        self._axes = find_axes(found) if settings.rotation is None else None
        self._last: tuple[Mask, np.ndarray] | None = None
        self._edges: dict[tuple[int, tuple[int, int]], Edge] = {}
        for region in found if foregrounds else ():
            foreground = foregrounds[region.photo]
            if (edge := find_edge(region.within(foreground.shape), foreground)) is not None:
                self._edges[region.photo, region.corner] = edge

    def sample(self, foreground: Mask, rng: np.random.Generator) -> Placement:
        """Return an outline inside the frame with at least `min_overlap` of it on the foreground."""
        height, width = foreground.shape
        best = None
        contour = self._contour(foreground)
        for _ in range(self._settings.attempts):
            change = self._change(rng)
            edge = self._edges.get((change.region.photo, change.region.corner)) if len(contour) else None
            if edge is None:
                drawn = self._deformed(change, self._turn(change, rng), rng)
                if max(drawn.mask.shape) > min(height, width):
                    # No square of the frame would hold it.
                    continue
                corner, least = (
                    self._anywhere(change, drawn.mask.shape, (height, width), rng),
                    self._settings.min_overlap,
                )
            else:
                found = self._at_edge(change, edge, contour, foreground, rng)
                if found is None:
                    continue
                drawn, corner = found
                least = min(self._settings.min_overlap, _inside(change.region, edge) - _EDGE_SLACK)
            placement = _place(drawn, corner, change.region.photo)
            share = float(foreground[render(placement, (height, width))].mean())
            if share >= least:
                return placement
            best = max(best or 0.0, share)
        if best is None:
            raise MaskPlacementError(
                f"every outline of {self._settings.attempts} was longer than the shorter side of a frame of "
                f"{width}x{height} px, so no square holds it, or found no part of the product's edge to lie at; lower "
                "`mask_sampler.jitter`, raise `mask_sampler.rotation` or `mask_sampler.reach`, or take wider photos"
            )
        raise MaskPlacementError(
            f"no outline lay on the foreground with overlap >= {self._settings.min_overlap:.2f} in "
            f"{self._settings.attempts} attempts (best {best:.2f}, foreground {foreground.mean():.0%} of "
            f"{width}x{height} px); lower `mask_sampler.min_overlap` or `mask_sampler.jitter`, "
            "widen `mask_sampler.reach`, or set `foreground`"
        )

    def _contour(self, foreground: Mask) -> np.ndarray:
        """Return (n, 2) pixels (x, y) of the edge of the product; none where no support defect crosses it."""
        if self._last is None or self._last[0] is not foreground:
            self._last = foreground, find_contour(foreground) if self._edges else np.empty((0, 2), int)
        return self._last[1]

    def _change(self, rng: np.random.Generator) -> Change:
        """Return a random region, and how it is mirrored and scaled."""
        settings, region = self._settings, draw_region(self._regions, rng)
        mirrored = settings.flip and bool(rng.random() < 0.5)
        scale = settings.jitter ** rng.uniform(-1, 1, 2)
        enlarged = scale * max(1.0, settings.min_size / max(np.array(region.shape.shape[::-1]) * scale))
        return Change(region, mirrored, enlarged)

    def _turn(self, change: Change, rng: np.random.Generator) -> float:
        """Return by how many radians, from x towards y, a region is turned that is at no edge."""
        drawn = float(rng.uniform(-1, 1))
        axis = None if self._axes is None else find_axis(change.region.shape)
        if self._axes is None or axis is None:
            return math.radians(_ROTATION if self._settings.rotation is None else self._settings.rotation) * drawn
        return turn_between(change.along(axis), self._axes.mean, self._axes.period) + self._axes.spread * drawn

    def _deformed(self, change: Change, turn: float, rng: np.random.Generator) -> Outline:
        return deform(change, turn, bend=self._settings.bend, margin=self._settings.margin, rng=rng)

    def _anywhere(
        self, change: Change, shape: tuple[int, ...], frame: tuple[int, int], rng: np.random.Generator
    ) -> tuple[int, int]:
        """Return (x, y) of the first pixel of an outline of this shape (h, w), wherever it may lie in the frame."""
        down, across = change.region.centre
        y = _start(shape[0], frame[0], down, self._settings.reach, rng)
        return _start(shape[1], frame[1], 1 - across if change.mirrored else across, self._settings.reach, rng), y

    def _at_edge(
        self, change: Change, edge: Edge, contour: np.ndarray, foreground: Mask, rng: np.random.Generator
    ) -> tuple[Outline, tuple[int, int]] | None:
        """Return an outline that lies across the edge at a random pixel of it, and where; None where it does not fit.

        Args:
            change: What goes there.
            edge: Where it crosses the edge of its own photo.
            contour: (n, 2) pixels (x, y) of the edge of the product.
            foreground: (H, W), True where the product is.
            rng: Draws the pixel.
        """
        settings, (height, width) = self._settings, foreground.shape
        point, (noise, off) = contour[int(rng.integers(len(contour)))], rng.uniform(-1, 1, 2)
        own = np.array([width - 1 - edge.point[0] if change.mirrored else edge.point[0], edge.point[1]])
        if settings.reach is not None and np.any(np.abs(point - own) > settings.reach * np.array([width, height])):
            return None
        width_there = edge.width * float(change.scale.mean())
        chord = find_chord(contour, point, width_there)
        outward = outward_at(foreground, (float(point[0]), float(point[1])), width_there)
        if chord is None or outward is None:
            return None
        turn = turn_between(change.across(edge.outward), outward)
        if settings.rotation is not None and abs(math.degrees(turn)) > settings.rotation:
            return None
        drawn = self._deformed(change, turn + _EDGE_TURN * noise, rng)
        onto = drawn.warp @ [*edge.point, 1.0]
        goal = chord + _EDGE_SHIFT * off * np.array([math.cos(outward), math.sin(outward)])
        x, y = (round(float(value)) for value in goal - onto[:2])
        rows, columns = drawn.mask.shape
        fits = 0 <= x <= width - columns and 0 <= y <= height - rows and max(rows, columns) <= min(width, height)
        return (drawn, (x, y)) if fits else None


def _place(drawn: Outline, corner: tuple[int, int], photo: int) -> Placement:
    """Return the placement of an outline of a support photo whose first pixel is at (x, y)."""
    rows, columns = drawn.mask.shape
    return Placement(
        kind="outline",
        box=Box(x=corner[0], y=corner[1], width=columns, height=rows),
        outline=encode_outline(drawn.mask),
        source=photo,
        warp=tuple(moved(drawn.warp, *corner)[:2].ravel().round(4).tolist()),
    )


def _inside(region: Region, edge: Edge) -> float:
    """Return which share of a region lies on the product's side of a straight edge."""
    rows, columns = np.nonzero(region.shape)
    right, down = columns + region.corner[0] - edge.point[0], rows + region.corner[1] - edge.point[1]
    return float((right * math.cos(edge.outward) + down * math.sin(edge.outward) <= 0.5).mean())


def _start(length: int, side: int, centre: float, reach: float | None, rng: np.random.Generator) -> int:
    """Return the first pixel of an outline along one axis of the frame."""
    last = side - length
    if reach is None:
        return int(rng.integers(0, last + 1))
    middle = (centre + float(rng.uniform(-reach, reach))) * side - length / 2
    return int(np.clip(round(middle), 0, last))
