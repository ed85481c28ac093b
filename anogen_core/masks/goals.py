"""Where a support defect goes, and how it is turned there: as its photo shows that it lies."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, final

import numpy as np

from anogen_core.masks.context import Context, Places
from anogen_core.masks.deformation import Change, large_enough
from anogen_core.masks.direction import (
    Edge,
    find_axes,
    find_axis,
    find_border,
    find_chord,
    find_corner,
    find_edge,
    inside_share,
    outward_at,
    turn_between,
)
from anogen_core.masks.light import Light, find_light
from anogen_core.masks.sampler import Region, Segmented
from anogen_core.masks.scene import Scene
from anogen_core.masks.surroundings import EIGHT, Position
from anogen_core.masks.tones import find_tones
from anogen_core.records import Placement

_ROTATION = 30.0
"""Degrees either way where neither the settings nor the support defects say more."""
_LONGER = 1.3
"""Standard deviation along a defect over that across it from which it shows when it lies across the grain."""
_TURN = math.radians(8)
"""Defects that lie as an edge or a border asks are turned by up to this."""
_SCALED = 0.25
"""Power of a random scale that defects keep which lie as their surroundings ask."""
_OUT = 0.1
"""What the border cuts off on several sides lies farther out by up to this share of its size."""
_ASKEW = math.radians(15)
"""By how much more than allowed an edge may be turned: parts lie askew, and some are round."""
_TRIED = 40
"""Pixels of an edge that are tried before a defect goes anywhere."""
_SHIFT = 2.0
"""Pixels by which a bite lies farther out, so that no strip of the part stays outside it, and a burr farther in; less
for small ones."""


class Bounds(NamedTuple):
    """What people allow."""

    rotation: float | None
    """Degrees either way; None for what the support photos show."""
    flip: bool
    reach: float | None
    """Fractions of the frame along each axis."""
    min_size: int
    """Pixels of the longer side."""


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
    """Whether the border of the photo cuts the region off..."""
    stiff: bool = False
    """... and on several sides, so that it is not to bend."""
    alike: bool = False
    """Whether it looks there as around the region."""
    layout: Literal["at", "off"] | None = None
    """Whether it is at a place of the product that it belongs to; None for regions that belong to none."""
    fits: bool = False
    """Whether, on a product of two tones, their border runs there as around the region."""
    lit: bool = False
    """Whether light falls on it from where it fell on the region."""


@final
class Goals:
    """Draws goals of the regions of one kind of defect.

    A region across the edge of the product goes to the edge, turned as the edge is there; one that the border of its
    photo cuts off is cut off by it again; others go where it looks as it does around them, if the support photos show
    that it matters, and anywhere if not: lit as the region was, if light made one side of all bright, or along what
    all lie along.
    """

    def __init__(
        self, found: Sequence[Region], shown: Sequence[Segmented], bounds: Bounds, normals: Iterable[Segmented] = ()
    ) -> None:
        """Learn how the regions lie.

        Args:
            found: Regions of the support masks.
            shown: Each support photo; without them regions go anywhere.
            bounds: What people allow.
            normals: Some normal photos, looked at where most regions lie at no edge.
        """
        self._bounds = bounds
        self._axes = find_axes(found) if bounds.rotation is None else None
        self._edges: dict[tuple[int, ...], Edge] = {}
        self._borders: dict[tuple[int, ...], Edge] = {}
        self._corners: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
        for region in found if shown else ():
            foreground = shown[region.photo].foreground
            mask = region.within((foreground.shape[0], foreground.shape[1]))
            if (edge := find_edge(mask, foreground)) is not None:
                self._edges[region.key] = edge
            elif (border := find_border(mask)) is not None:
                self._borders[region.key] = border
            elif (corner := find_corner(mask)) is not None:
                self._corners[region.key] = corner
        normals = list(normals)
        middle = find_tones(normals)
        held = {**self._edges, **self._borders, **self._corners}
        free = [region for region in found if region.key not in held]
        if 2 * len(free) <= len(found):
            normals = ()  # what lies at the edge as a rule belongs to that, wherever along it
        self.context = (
            Context.learn(found, shown, self._positions(), normals, middle=middle) if shown and free else None
        )
        self._light = find_light(free, shown) if shown and bounds.rotation is None else None

    def draw(self, change: Change, scene: Scene, rng: np.random.Generator) -> Goal | None:
        """Return where a changed region goes on a photo: anywhere where that has no place of its kind.

        None where it may lie nowhere else: at the border of two tones.
        """
        key, bound = change.region.key, self.context is not None and self.context.bound
        # What belongs to places does so at an edge, too: a hole in one of three wires may look like background.
        goal = self._at_place(change, scene, rng) if bound and key not in self._borders else None
        if goal is None:
            if (edge := self._edges.get(key)) is not None:
                goal = self._at_edge(change, edge, scene, rng)
            elif (border := self._borders.get(key)) is not None:
                goal = self._at_border(change, border, scene, rng)
            elif (corner := self._corners.get(key)) is not None:
                goal = self._in_corner(change, corner, scene, rng)
            elif not bound:
                goal = self._at_place(change, scene, rng)
        if goal is None and self.context is not None and self.context.is_needed(change.region):
            return None
        goal = goal or self._anywhere(change, rng)
        if not bound or (not goal.alike and (key in self._edges or key in self._borders)):
            return goal
        return goal._replace(layout="at" if goal.alike else "off")

    def reaches(self, placement: Placement, frame: tuple[int, int]) -> bool:
        """Return whether what crosses the edge lies within `reach` of where it was on its own photo."""
        if placement.edge is None or placement.warp is None:
            return True
        warp, (x, y, _) = np.array(placement.warp).reshape(2, 3), placement.edge
        mirrored = bool(np.linalg.det(warp[:, :2]) < 0)
        return bool(self._within_reach((warp @ [x, y, 1])[None], (x, y), frame, mirrored=mirrored)[0])

    def _positions(self) -> list[Position]:
        """Return in which positions surroundings may be found again."""
        most = 180.0 if self._bounds.rotation is None else self._bounds.rotation
        return [
            position
            for position in EIGHT
            if (self._bounds.flip or not position.mirrored)
            and 90 * min(position.quarters, 4 - position.quarters) <= most
        ]

    def _anywhere(self, change: Change, rng: np.random.Generator) -> Goal:
        """Return how a region is turned that goes anywhere."""
        drawn = float(rng.uniform(-1, 1))
        if self._light is not None:
            return self._lit(change, self._light, drawn)
        off = self._off_axes(change)
        if off is None or self._axes is None:
            most = _ROTATION if self._bounds.rotation is None else self._bounds.rotation
            return Goal(change, math.radians(most) * drawn)
        return Goal(change, off + self._axes.spread * drawn)

    def _lit(self, change: Change, light: Light, drawn: float) -> Goal:
        """Return how a region is turned so that its bright side is where the light falls from."""
        turn = turn_between(light.on(change), light.direction.mean)
        if change.mirrored and not self._keeps_direction(change, turn):
            return self._lit(change._replace(mirrored=False), light, drawn)
        return Goal(change, turn + light.direction.spread * drawn, lit=True)

    def _keeps_direction(self, change: Change, turn: float) -> bool:
        """Return whether a region, turned so, lies as all do, or else about as it did; a round one always does."""
        off = self._off_axes(change)
        if off is not None and self._axes is not None:
            return bool(abs(turn_between(off, turn, self._axes.period)) <= self._axes.spread)
        axis = find_axis(change.region.shape, _LONGER)
        return axis is None or abs(turn_between(axis, change.along(axis) + turn, math.pi)) <= math.radians(_ROTATION)

    def _off_axes(self, change: Change) -> float | None:
        """Return the turn that leads a region to what all lie along; None where they do not, or it has no axis."""
        axis = None if self._axes is None else find_axis(change.region.shape)
        if self._axes is None or axis is None:
            return None
        return turn_between(change.along(axis), self._axes.mean, self._axes.period)

    def _at_border(self, change: Change, border: Edge, scene: Scene, rng: np.random.Generator) -> Goal | None:
        """Return how a region that the border cuts off is cut off by it again; None where it may lie nowhere so.

        The sides of a photo are not alike, as those of a part are: by default it stays at its own.
        """
        points, outward = scene.border
        turns = turn_between(change.across(border.outward), outward)
        most = math.radians(_ROTATION if self._bounds.rotation is None else self._bounds.rotation)
        may = (np.abs(turns) <= most + 1e-6) & self._within_reach(
            points, border.point, scene.frame, mirrored=change.mirrored
        )
        if not may.any():
            return None
        chosen = int(rng.choice(np.flatnonzero(may)))
        turn = self._bounded(float(turns[chosen]), rng)
        # What the border cut straight is turned a little: it is pushed out until nothing of that is seen.
        out_by = 1 + border.width * float(change.scale.max()) / 2 * math.sin(abs(turn - float(turns[chosen])))
        out = float(outward[chosen])
        goal = points[chosen] + out_by * np.array([math.cos(out), math.sin(out)])
        return Goal(change, turn, border.point, goal, cut=True)

    def _in_corner(
        self, change: Change, cut: tuple[np.ndarray, np.ndarray], scene: Scene, rng: np.random.Generator
    ) -> Goal:
        """Return how a region that the border cuts off on several sides is cut off by the same, mirrored with it."""
        swapped = np.array([change.mirrored, False])
        first, last = np.where(swapped, cut[::-1], cut)
        spans = first & last
        changed = change._replace(scale=np.where(spans, 1.0, change.scale))
        frame, own = np.array(scene.frame[::-1]), np.array(change.region.shape.shape[::-1])
        size, out = own * changed.scale, rng.uniform(0, _OUT, 2)
        free = size / 2 + rng.uniform(0, 1, 2) * np.maximum(frame - size, 0)
        at = [frame / 2, size * (0.5 - out) - 1, frame - size * (0.5 - out) + 1]
        middle = np.select([spans, first, last], at, free)
        anchor = np.array(change.region.centre[::-1]) * frame - 0.5
        return Goal(changed, 0.0, (float(anchor[0]), float(anchor[1])), middle - 0.5, cut=True, stiff=True)

    def _at_edge(self, change: Change, edge: Edge, scene: Scene, rng: np.random.Generator) -> Goal | None:
        """Return how a region lies across the edge at a random pixel of it; None where none of some suits it."""
        may = np.flatnonzero(self._within_reach(scene.contour, edge.point, scene.frame, mirrored=change.mirrored))
        chord_width = edge.width * float(change.scale.mean())
        for chosen in rng.permutation(may)[:_TRIED].tolist():
            point = scene.contour[chosen]
            outward = outward_at(scene.product, (float(point[0]), float(point[1])), chord_width)
            if outward is None:
                continue
            turn = turn_between(change.across(edge.outward), outward)
            most = math.inf if self._bounds.rotation is None else math.radians(self._bounds.rotation)
            if abs(turn) > most + _ASKEW:
                continue
            chord = find_chord(scene.contour, point, chord_width)
            if chord is None:
                continue
            farther = 1 if inside_share(change.region, edge) > 0.5 else -1
            shift = farther * min(_SHIFT, chord_width / 12) * float(rng.uniform(0, 1))
            goal = chord + shift * np.array([math.cos(outward), math.sin(outward)])
            return Goal(change, self._bounded(turn, rng), edge.point, goal, edge)
        return None

    def _at_place(self, change: Change, scene: Scene, rng: np.random.Generator) -> Goal | None:
        """Return how a region lies at a place that looks as around it; None where it may lie at none."""
        places = scene.places(change.region)
        return None if places is None else self._alike(change, places, scene.frame, rng)

    def _alike(self, change: Change, places: Places, frame: tuple[int, int], rng: np.random.Generator) -> Goal | None:
        """Return how a region lies at one of these places; None where it may lie at none of them."""
        down, across = change.region.centre
        middle = (across * frame[1] - 0.5, down * frame[0] - 0.5)
        may = self._within_reach(places.centres, middle, frame, mirrored=places.mirrored)
        if not may.any():
            return None
        chosen = int(rng.choice(np.flatnonzero(may)))
        # Much larger, or turned a little, it would no longer fit what it lies among; what it replaces has one size.
        power = 0.0 if self.context is not None and self.context.bound else _SCALED
        scale = large_enough(change.region, change.scale**power, self._bounds.min_size)
        fits = self.context is not None and self.context.middle is not None
        changed = change._replace(mirrored=bool(places.mirrored[chosen]), scale=scale)
        return Goal(changed, float(places.turns[chosen]), middle, places.centres[chosen], alike=True, fits=fits)

    def _bounded(self, turn: float, rng: np.random.Generator) -> float:
        """Return a turn that is a little off, within what people allow."""
        most = math.inf if self._bounds.rotation is None else math.radians(self._bounds.rotation)
        return min(max(turn_between(0.0, turn + _TURN * float(rng.uniform(-1, 1))), -most), most)

    def _within_reach(
        self, points: np.ndarray, own: tuple[float, float], frame: tuple[int, int], *, mirrored: bool | np.ndarray
    ) -> np.ndarray:
        """Return (n,) which points (n, 2) lie within `reach` of where a defect was, mirrored (n,) with it."""
        if self._bounds.reach is None:
            return np.ones(len(points), bool)
        height, width = frame
        across = np.abs(points[:, 0] - np.where(mirrored, width - 1 - own[0], own[0])) <= self._bounds.reach * width
        return np.asarray(across & (np.abs(points[:, 1] - own[1]) <= self._bounds.reach * height))
