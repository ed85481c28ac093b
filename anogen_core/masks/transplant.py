"""Masks transplanted from the support set: the defect's own outlines, turned, mirrored, scaled and bent a little.

A box leaves the form of a defect to the base model; an outline gives it, and is a closer label.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, final

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, StrictBool

from anogen_core.arrays import Image, Mask
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.context import Context, Places
from anogen_core.masks.deformation import Change, deform, moved
from anogen_core.masks.direction import (
    Edge,
    find_axes,
    find_axis,
    find_chord,
    find_edge,
    outward_at,
    turn_between,
)
from anogen_core.masks.outline import encode_outline
from anogen_core.masks.sampler import MaskSampler, Region, Shown, draw_region, regions, render
from anogen_core.masks.scene import Scene
from anogen_core.records import Box, Placement
from anogen_core.settings import Settings

_ROTATION = 30.0
"""Degrees either way where neither the settings nor the support defects say more."""
_TURN = math.radians(8)
"""Defects that lie as their surroundings ask are turned by up to this."""
_SHIFT = 2.0
"""Pixels by which defects of an edge lie farther in or out."""
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

    def build(self, support_masks: Sequence[Mask], shown: Sequence[Shown] = ()) -> "TransplantSampler":
        """Return the sampler for the defect these support masks show.

        Args:
            support_masks: (H, W) of each support photo.
            shown: The photos and where the product is on them: edges and surroundings that defects keep to.
        """
        return TransplantSampler(self, regions(support_masks), shown)


class _Goal(NamedTuple):
    """Where a changed region goes."""

    change: Change
    turn: float
    """Radians from x towards y."""
    anchor: tuple[float, float]
    """(x, y) in the support photo..."""
    point: np.ndarray
    """... that comes to lie here."""


@final
class TransplantSampler(MaskSampler):
    """Draws one region of the support masks, changes it within bounds and looks for a place on the foreground.

    A region across the edge of the product goes to the edge, turned as the edge is there; others go where it looks as
    it does around them, if the support photos show that it matters.
    """

    def __init__(
        self, settings: TransplantSamplerSettings, found: Sequence[Region], shown: Sequence[Shown] = ()
    ) -> None:
        """Learn how the regions lie.

        Args:
            settings: Bounds of the changes.
            found: Regions of the support masks.
            shown: Each support photo; without them regions go anywhere.
        """
        if not found:
            raise MaskPlacementError("The support masks are empty; use `mask_sampler: {kind: box}` with sizes.")
        self._settings = settings
        self._regions = list(found)
        self._axes = find_axes(found) if settings.rotation is None else None
        self._context = Context.learn(found, shown) if shown else None
        self.looks = self._context is not None
        self._edges = {
            region.key: edge
            for region in (found if shown else ())
            if (edge := _edge_of(region, shown[region.photo].foreground)) is not None
        }
        self._last: Scene | None = None

    def sample(self, foreground: Mask, rng: np.random.Generator, photo: Image | None = None) -> Placement:
        """Return an outline inside the frame with at least `min_overlap` of it on the foreground."""
        height, width = foreground.shape
        best = None
        if self._last is None or self._last.foreground is not foreground:
            self._last = Scene(foreground, photo, self._context)
        for _ in range(self._settings.attempts):
            drawn = self._draw(self._last, rng)
            if drawn is None:
                continue
            placement, least = drawn
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

    def _draw(self, scene: Scene, rng: np.random.Generator) -> tuple[Placement, float] | None:
        """Return a placement, and how much of it must lie on the foreground; None where it does not fit."""
        settings, frame = self._settings, scene.foreground.shape
        region = draw_region(self._regions, rng)
        mirrored = settings.flip and bool(rng.random() < 0.5)
        scale = settings.jitter ** rng.uniform(-1, 1, 2)
        scale = scale * max(1.0, settings.min_size / max(np.array(region.shape.shape[::-1]) * scale))
        change = Change(region, mirrored, scale)
        edge = self._edges.get(region.key)
        if edge is not None and not len(scene.contour):
            edge = None
        if edge is not None:
            goal = self._at_edge(change, edge, scene, rng)
            if goal is None:
                return None
        else:
            places = scene.places(region)
            goal = None if places is None else self._alike(change, places, (frame[0], frame[1]), rng)
        change, turn = (change, self._turn(change, rng)) if goal is None else (goal.change, goal.turn)
        outline = deform(change, turn, bend=settings.bend, margin=settings.margin, rng=rng)
        rows, columns = outline.mask.shape
        if max(rows, columns) > min(frame):
            # No square of the frame would hold it.
            return None
        if goal is None:
            x, y = self._anywhere(change, (rows, columns), (frame[0], frame[1]), rng)
        else:
            x, y = (round(float(value)) for value in goal.point - (outline.warp @ [*goal.anchor, 1.0])[:2])
            if not (0 <= x <= frame[1] - columns and 0 <= y <= frame[0] - rows):
                return None
        placement = Placement(
            kind="outline",
            box=Box(x=x, y=y, width=columns, height=rows),
            outline=encode_outline(outline.mask),
            source=region.photo,
            warp=tuple(moved(outline.warp, x, y)[:2].ravel().round(4).tolist()),
            edge=None if edge is None else (*edge.point, edge.outward),
            alike=edge is None and goal is not None,
        )
        least = settings.min_overlap if edge is None else min(settings.min_overlap, _inside(region, edge) - _EDGE_SLACK)
        return placement, least

    def _turn(self, change: Change, rng: np.random.Generator) -> float:
        """Return by how many radians, from x towards y, a region is turned that goes anywhere."""
        drawn = float(rng.uniform(-1, 1))
        axis = None if self._axes is None else find_axis(change.region.shape)
        if self._axes is None or axis is None:
            return math.radians(_ROTATION if self._settings.rotation is None else self._settings.rotation) * drawn
        return turn_between(change.along(axis), self._axes.mean, self._axes.period) + self._axes.spread * drawn

    def _anywhere(
        self, change: Change, shape: tuple[int, int], frame: tuple[int, int], rng: np.random.Generator
    ) -> tuple[int, int]:
        """Return (x, y) of the first pixel of an outline of this shape (h, w), wherever it may lie in the frame."""
        down, across = change.region.centre
        y = _start(shape[0], frame[0], down, self._settings.reach, rng)
        return _start(shape[1], frame[1], 1 - across if change.mirrored else across, self._settings.reach, rng), y

    def _at_edge(self, change: Change, edge: Edge, scene: Scene, rng: np.random.Generator) -> _Goal | None:
        """Return how a region lies across the edge at a random pixel of it; None where it may not or cannot."""
        height, width = scene.foreground.shape
        point, (noise, off) = scene.contour[int(rng.integers(len(scene.contour)))], rng.uniform(-1, 1, 2)
        if not self._within_reach(point[None], edge.point, np.array([change.mirrored]), (height, width))[0]:
            return None
        chord_width = edge.width * float(change.scale.mean())
        chord = find_chord(scene.contour, point, chord_width)
        outward = outward_at(scene.foreground, (float(point[0]), float(point[1])), chord_width)
        if chord is None or outward is None:
            return None
        turn = turn_between(change.across(edge.outward), outward)
        if self._settings.rotation is not None and abs(math.degrees(turn)) > self._settings.rotation:
            return None
        shift = _SHIFT * off * np.array([math.cos(outward), math.sin(outward)])
        return _Goal(change, turn + _TURN * noise, edge.point, chord + shift)

    def _alike(self, change: Change, places: Places, frame: tuple[int, int], rng: np.random.Generator) -> _Goal | None:
        """Return how a region lies at one of these places; None where it may lie at none of them."""
        settings, (height, width) = self._settings, frame
        down, across = change.region.centre
        middle = (across * width - 0.5, down * height - 0.5)
        may = self._within_reach(places.centres, middle, places.mirrored, frame)
        if settings.rotation is not None:
            may &= np.abs(turn_between(0.0, places.turns)) <= math.radians(settings.rotation) + 1e-6
        if not settings.flip:
            may &= ~places.mirrored
        if not may.any():
            return None
        chosen, noise = int(rng.choice(np.flatnonzero(may))), float(rng.uniform(-1, 1))
        changed = change._replace(mirrored=bool(places.mirrored[chosen]))
        return _Goal(changed, float(places.turns[chosen]) + _TURN * noise, middle, places.centres[chosen])

    def _within_reach(
        self, points: np.ndarray, own: tuple[float, float], mirrored: np.ndarray, frame: tuple[int, int]
    ) -> np.ndarray:
        """Return (n,) which points (n, 2) lie within `reach` of where a defect was, mirrored (n,) with it."""
        if self._settings.reach is None:
            return np.ones(len(points), bool)
        height, width = frame
        before = np.stack([np.where(mirrored, width - 1 - own[0], own[0]), np.full(len(points), own[1])], axis=1)
        return np.asarray((np.abs(points - before) <= self._settings.reach * np.array([width, height])).all(axis=1))


def _edge_of(region: Region, foreground: Mask) -> Edge | None:
    return find_edge(region.within((foreground.shape[0], foreground.shape[1])), foreground)


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
