"""Masks transplanted from the support set: the defect's own outlines, turned, mirrored, scaled and bent a little.

A box leaves the form of a defect to the base model; an outline gives it, and is a closer label.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, final

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, StrictBool

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, cut
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.deformation import Change, deform, large_enough, moved
from anogen_core.masks.direction import inside_share
from anogen_core.masks.goals import Bounds, Goals
from anogen_core.masks.sampler import MaskSampler, Region, Segmented, draw_region, regions, render
from anogen_core.masks.scene import Scene
from anogen_core.outline import encode_outline
from anogen_core.records import Box, Placement
from anogen_core.settings import Settings

_KEPT = 0.5
"""Share of an outline that the border of the photo leaves at least."""
_EDGE_SLACK = 0.25
"""Of the share of an edge defect that lies on the product."""


class TransplantSamplerSettings(Settings):
    """Outlines of support defects at new places on the foreground."""

    kind: Literal["transplant"] = "transplant"
    jitter: Annotated[float, Field(ge=1, le=4)] = 1.25
    """Width and height are each scaled by a factor between 1 / jitter and jitter; by its fourth root (1.06 for 1.25)
    where a defect goes to surroundings like its own, and not at all where it takes the place of what is there."""
    rotation: Annotated[float, Field(ge=0, le=180)] | None = None
    """Outlines are turned by up to this many degrees either way; 180 where a defect may lie in any direction. Default:
    as far as the support defects differ, where at least three are bright at the same side, which the light decides
    (mirrored ones are turned until they are), or long and lie alike or at right angles (threads, marks of a tool); 30
    otherwise. Defects at the product's edge are turned as the edge is: by default to any side of it, and by a number
    only as far as it says. Those that the photo's border cuts off stay at their side by default."""
    flip: StrictBool = True
    """Mirror outlines at random."""
    bend: Annotated[float, Field(ge=0, le=0.3)] = 0.06
    """Points of the outline move by about this fraction of its longer side, neighbours alike, and by no more than a
    quarter of its thickness: the defect and its label, which are moved unbent, stay inside. Not where a
    defect takes the place of what is there, slivers of which would stay."""
    margin: NonNegativeInt = 1
    """Pixels by which the outline is widened: room for the soft edge of the defect."""
    min_size: PositiveInt = 8
    """Longer side of a mask in pixels; smaller ones are enlarged."""
    reach: Annotated[float, Field(ge=0, le=1)] | None = None
    """Outlines lie at most this fraction of the frame from where the support defect was, along each axis; mirrored ones
    from the mirrored place. For photos of aligned parts and defects that are found at some places only; default:
    anywhere on the foreground."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Share of the mask that lies on the foreground; less where the defect lies beside it on its own photo."""
    attempts: PositiveInt = 200
    """Random placements of one support defect tried before another one is taken, and, with none left, a request is
    blocked."""

    def build(
        self,
        support_masks: Sequence[Mask],
        shown: Sequence[Segmented] = (),
        normals: Iterable[Segmented] = (),
    ) -> "TransplantSampler":
        """Return the sampler for the defect these support masks show.

        Args:
            support_masks: (H, W) of each support photo.
            shown: The photos and where the product is on them: edges and surroundings that defects keep to.
            normals: Some normal photos, likewise: places that defects belong to where the product lies alike on all.
        """
        return TransplantSampler(self, regions(support_masks), shown, normals)


@final
class TransplantSampler(MaskSampler):
    """Draws one region of the support masks, changes it within bounds and looks for a place on the foreground.

    A region across the edge of the product goes to the edge, turned as the edge is there; one that the border of its
    photo cuts off is cut off by it again; others go where it looks as it does around them, if the support photos show
    that it matters.
    """

    def __init__(
        self,
        settings: TransplantSamplerSettings,
        found: Sequence[Region],
        shown: Sequence[Segmented] = (),
        normals: Iterable[Segmented] = (),
    ) -> None:
        """Learn how the regions lie.

        Args:
            settings: Bounds of the changes.
            found: Regions of the support masks.
            shown: Each support photo; without them regions go anywhere.
            normals: Some normal photos.
        """
        if not found:
            raise MaskPlacementError("The support masks are empty; use `mask_sampler: {kind: box}` with sizes.")
        self._settings = settings
        self._of = {photo: [r for r in found if r.photo == photo] for photo in sorted({r.photo for r in found})}
        bounds = Bounds(settings.rotation, settings.flip, settings.reach, settings.min_size)
        self._goals = Goals(found, shown, bounds, normals)
        self.looks = self._goals.context is not None
        self.insists = self._goals.context is not None and self._goals.context.middle is not None
        self._last: Scene | None = None

    def sample(
        self,
        foreground: Mask,
        rng: np.random.Generator,
        product: Mask | None = None,
        photo: Image | None = None,
        source: int | None = None,
    ) -> Placement:
        """Return an outline inside the frame with at least `min_overlap` of it on the foreground.

        Another support mask is tried only where one has no place: small defects would supplant large ones otherwise.
        """
        height, width = foreground.shape
        best = None
        scene = self._last
        if scene is None or not scene.shows(foreground, product, photo):
            scene = self._last = Scene(foreground, product, photo, self._goals.context)
        for found in self._shuffled(rng) if source is None else [self._of[source]]:
            for _ in range(self._settings.attempts):
                drawn = self._draw(found, scene, rng)
                if drawn is None:
                    continue
                placement, least = drawn
                allowed = scene.unbarred if placement.layout == "at" else foreground
                share = float(allowed[render(placement, (height, width))].mean())
                if share >= least:
                    return placement
                best = max(best or 0.0, share)
        if best is None and self.insists:
            raise MaskPlacementError(
                "nowhere on this photo does the border of the product's two tones run as around a support defect; give "
                "normal photos that show such places, or set `foreground.like_support: false`"
            )
        if best is None:
            raise MaskPlacementError(
                f"every outline of {self._settings.attempts} was longer than the shorter side of a frame of "
                f"{width}x{height} px, so no square holds it, or hung over the photo's border; lower "
                "`mask_sampler.jitter`, or take wider photos"
            )
        raise MaskPlacementError(
            f"no outline lay on the foreground with overlap >= {self._settings.min_overlap:.2f} in "
            f"{self._settings.attempts} attempts (best {best:.2f}, foreground {foreground.mean():.0%} of "
            f"{width}x{height} px); lower `mask_sampler.min_overlap` or `mask_sampler.jitter`, "
            "widen `mask_sampler.reach`, or set `foreground`"
        )

    def admits(self, placement: Placement, frame: tuple[int, int]) -> bool:
        """Return whether the middle of what crosses the edge lies within `reach` of where it was."""
        return self._goals.reaches(placement, frame)

    def _shuffled(self, rng: np.random.Generator) -> list[list[Region]]:
        """Return the regions of each support mask, in random order of these."""
        return [self._of[photo] for photo in rng.permutation(list(self._of)).tolist()]

    def _draw(self, found: Sequence[Region], scene: Scene, rng: np.random.Generator) -> tuple[Placement, float] | None:
        """Return a placement of a region, and how much must lie on the foreground; None where it does not fit."""
        settings, frame = self._settings, scene.frame
        region = draw_region(found, rng)
        mirrored = settings.flip and bool(rng.random() < 0.5)
        scale = settings.jitter ** rng.uniform(-1, 1, 2)
        change = Change(region, mirrored, large_enough(region, scale, settings.min_size))
        goal = self._goals.draw(change, scene, rng)
        if goal is None:
            return None
        # Bent, an outline would leave slivers of what the defect replaces.
        bend = 0.0 if goal.layout == "at" or goal.stiff else settings.bend
        outline = deform(goal.change, goal.turn, bend=bend, margin=settings.margin, rng=rng)
        mask, (rows, columns) = outline.mask, outline.mask.shape
        if max(rows, columns) > min(frame) and not goal.stiff:
            # No square of the frame would hold it.
            return None
        if goal.point is None:
            x, y = self._corner(goal.change, (rows, columns), frame, rng)
        else:
            x, y = (round(float(value)) for value in goal.point - (outline.warp @ [*goal.anchor, 1.0])[:2])
        warp = moved(outline.warp, x, y)
        if goal.cut:
            mask = mask[max(0, -y) : max(0, frame[0] - y), max(0, -x) : max(0, frame[1] - x)]
            x, y = max(0, x), max(0, y)
        if mask.sum() < _KEPT * outline.mask.sum():
            return None
        tight = bounding_box(mask)
        if max(tight.height, tight.width) > min(frame):
            return None
        x, y, mask = x + tight.x, y + tight.y, cut(mask, tight)
        if not (0 <= x <= frame[1] - tight.width and 0 <= y <= frame[0] - tight.height):
            return None
        placement = Placement(
            kind="outline",
            box=Box(x=x, y=y, width=tight.width, height=tight.height),
            outline=encode_outline(mask),
            source=region.photo,
            warp=tuple(warp[:2].ravel().round(4).tolist()),
            edge=None if goal.edge is None else (*goal.edge.point, goal.edge.outward),
            alike=goal.alike,
            layout=goal.layout,
            fits=goal.fits,
            lit=goal.lit,
        )
        least = settings.min_overlap
        if goal.edge is not None:
            least = min(least, inside_share(region, goal.edge) - _EDGE_SLACK)
        return placement, least

    def _corner(
        self, change: Change, shape: tuple[int, int], frame: tuple[int, int], rng: np.random.Generator
    ) -> tuple[int, int]:
        """Return (x, y) of the first pixel of an outline of this shape (h, w), wherever it may lie in the frame."""
        down, across = change.region.centre
        y = _start(shape[0], frame[0], down, self._settings.reach, rng)
        return _start(shape[1], frame[1], 1 - across if change.mirrored else across, self._settings.reach, rng), y


def _start(length: int, side: int, centre: float, reach: float | None, rng: np.random.Generator) -> int:
    """Return the first pixel of an outline along one axis of the frame."""
    last = side - length
    if reach is None:
        return int(rng.integers(0, last + 1))
    middle = (centre + float(rng.uniform(-reach, reach))) * side - length / 2
    return int(np.clip(round(middle), 0, last))
