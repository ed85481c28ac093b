"""Where a support defect goes, and how it is turned there: as its photo shows that it lies."""

import math
from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np

from anogen_core.masks.context import Context, Places
from anogen_core.masks.deformation import Change
from anogen_core.masks.direction import (
    Edge,
    border_point,
    find_axes,
    find_axis,
    find_border,
    find_chord,
    find_edge,
    outward_at,
    turn_between,
)
from anogen_core.masks.sampler import Region, Shown
from anogen_core.masks.scene import Scene

_ROTATION = 30.0
"""Degrees either way where neither the settings nor the support defects say more."""
_TURN = math.radians(8)
"""Defects that lie as their surroundings ask are turned by up to this."""
_SHIFT = 2.0
"""Pixels by which defects of an edge lie farther in or out."""


class Bounds(NamedTuple):
    """What people allow."""

    rotation: float | None
    """Degrees either way; None for what the support photos show."""
    flip: bool
    reach: float | None
    """Fractions of the frame along each axis."""


class Goal(NamedTuple):
    """Where a changed region goes."""

    change: Change
    turn: float
    """Radians from x towards y."""
    anchor: tuple[float, float] = (0.0, 0.0)
    """(x, y) in the support photo..."""
    point: np.ndarray | None = None
    """... that comes to lie here; None where it may lie anywhere."""
    edge: Edge | None = None
    """Where the region crosses the edge of the product on its own photo, if it is to do so again."""
    cut: bool = False
    """Whether the border of the photo cuts it off."""
    alike: bool = False
    """Whether that is a place like its own."""


@final
class Goals:
    """Draws goals of the regions of one kind of defect.

    A region across the edge of the product goes to the edge, turned as the edge is there; one that the border of its
    photo cuts off is cut off by it again; others go where it looks as it does around them, if the support photos show
    that it matters, and anywhere if not.
    """

    def __init__(self, found: Sequence[Region], shown: Sequence[Shown], bounds: Bounds) -> None:
        """Learn how the regions lie.

        Args:
            found: Regions of the support masks.
            shown: Each support photo; without them regions go anywhere.
            bounds: What people allow.
        """
        self._bounds = bounds
        self._axes = find_axes(found) if bounds.rotation is None else None
        self.context = Context.learn(found, shown) if shown else None
        self._edges: dict[tuple[int, tuple[int, int]], Edge] = {}
        self._borders: dict[tuple[int, tuple[int, int]], Edge] = {}
        for region in found if shown else ():
            foreground = shown[region.photo].foreground
            mask = region.within((foreground.shape[0], foreground.shape[1]))
            if (edge := find_edge(mask, foreground)) is not None:
                self._edges[region.key] = edge
            elif (border := find_border(mask)) is not None:
                self._borders[region.key] = border

    def draw(self, change: Change, scene: Scene, rng: np.random.Generator) -> Goal | None:
        """Return where a changed region goes on a photo; None where the place that was drawn does not suit it."""
        key, frame = change.region.key, (scene.foreground.shape[0], scene.foreground.shape[1])
        edge, border = self._edges.get(key), self._borders.get(key)
        if edge is not None and len(scene.contour):
            return self._at_edge(change, edge, scene, rng)
        if border is not None:
            return self._at_border(change, border, frame, rng)
        places = scene.places(change.region)
        return self._anywhere(change, rng) if places is None else self._alike(change, places, frame, rng)

    def _anywhere(self, change: Change, rng: np.random.Generator) -> Goal:
        """Return how a region is turned that goes anywhere."""
        drawn = float(rng.uniform(-1, 1))
        axis = None if self._axes is None else find_axis(change.region.shape)
        if self._axes is None or axis is None:
            most = _ROTATION if self._bounds.rotation is None else self._bounds.rotation
            return Goal(change, math.radians(most) * drawn)
        turn = turn_between(change.along(axis), self._axes.mean, self._axes.period)
        return Goal(change, turn + self._axes.spread * drawn)

    def _at_border(self, change: Change, border: Edge, frame: tuple[int, int], rng: np.random.Generator) -> Goal | None:
        """Return how a region that the border cuts off is cut off by it again; None where it may not lie there."""
        (point, out), noise = border_point(frame, rng), float(rng.uniform(-1, 1))
        if not self._within_reach(point[None], border.point, np.array([change.mirrored]), frame)[0]:
            return None
        turn = turn_between(change.across(border.outward), out)
        axis = None if self._axes is None else find_axis(change.region.shape)
        if self._axes is not None and axis is not None:
            off = turn_between(change.along(axis) + turn, self._axes.mean, self._axes.period)
            if abs(off) > self._axes.spread + _TURN:
                return None
        if self._bounds.rotation is not None and abs(math.degrees(turn)) > self._bounds.rotation:
            return None
        # What the border cut straight is turned a little: it is pushed out until nothing of that is seen.
        out_by = 1 + border.width * float(change.scale.max()) / 2 * math.sin(_TURN * abs(noise))
        goal = point + out_by * np.array([math.cos(out), math.sin(out)])
        return Goal(change, turn + _TURN * noise, border.point, goal, cut=True)

    def _at_edge(self, change: Change, edge: Edge, scene: Scene, rng: np.random.Generator) -> Goal | None:
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
        if self._bounds.rotation is not None and abs(math.degrees(turn)) > self._bounds.rotation:
            return None
        shift = _SHIFT * off * np.array([math.cos(outward), math.sin(outward)])
        return Goal(change, turn + _TURN * noise, edge.point, chord + shift, edge)

    def _alike(self, change: Change, places: Places, frame: tuple[int, int], rng: np.random.Generator) -> Goal:
        """Return how a region lies at one of these places; anywhere where it may lie at none of them."""
        bounds, (height, width) = self._bounds, frame
        down, across = change.region.centre
        middle = (across * width - 0.5, down * height - 0.5)
        may = self._within_reach(places.centres, middle, places.mirrored, frame)
        if bounds.rotation is not None:
            may &= np.abs(turn_between(0.0, places.turns)) <= math.radians(bounds.rotation) + 1e-6
        if not bounds.flip:
            may &= ~places.mirrored
        if not may.any():
            return self._anywhere(change, rng)
        chosen, noise = int(rng.choice(np.flatnonzero(may))), float(rng.uniform(-1, 1))
        changed = change._replace(mirrored=bool(places.mirrored[chosen]))
        return Goal(changed, float(places.turns[chosen]) + _TURN * noise, middle, places.centres[chosen], alike=True)

    def _within_reach(
        self, points: np.ndarray, own: tuple[float, float], mirrored: np.ndarray, frame: tuple[int, int]
    ) -> np.ndarray:
        """Return (n,) which points (n, 2) lie within `reach` of where a defect was, mirrored (n,) with it."""
        if self._bounds.reach is None:
            return np.ones(len(points), bool)
        height, width = frame
        before = np.stack([np.where(mirrored, width - 1 - own[0], own[0]), np.full(len(points), own[1])], axis=1)
        return np.asarray((np.abs(points - before) <= self._bounds.reach * np.array([width, height])).all(axis=1))
