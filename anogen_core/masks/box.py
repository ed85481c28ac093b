"""Box masks: the paper's weak label. Sizes come from the support masks unless ranges are given."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, final

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, StrictBool, model_validator

from anogen_core.arrays import Image, Mask
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.sampler import MaskSampler, Region, Segmented, draw_region, regions, render
from anogen_core.records import Box, Placement
from anogen_core.settings import Settings

Fraction = Annotated[float, Field(gt=0, le=1)]


class BoxSamplerSettings(Settings):
    """Random boxes on the foreground."""

    kind: Literal["box"] = "box"
    width: tuple[Fraction, Fraction] | None = None
    """Smallest and largest width as fractions of the frame; default: the widths of the support masks, varied."""
    height: tuple[Fraction, Fraction] | None = None
    """Smallest and largest height as fractions of the frame; default: the heights of the support masks, varied."""
    jitter: Annotated[float, Field(ge=1, le=4)] = 1.25
    """Sizes taken from the support masks are scaled by a factor between 1 / jitter and jitter."""
    padding: NonNegativeFloat = 0.15
    """A box is larger than the defect by this fraction on each axis, as hand-drawn boxes are."""
    min_size: PositiveInt = 8
    """Shortest side of a box in pixels."""
    rotate: StrictBool = False
    """Turn boxes by a random angle and exchange width and height at random."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Share of the box that lies on the foreground."""
    attempts: PositiveInt = 200
    """Random placements tried before a request is blocked."""

    @model_validator(mode="after")
    def _check_ranges(self) -> "BoxSamplerSettings":
        for name in ("width", "height"):
            limits = getattr(self, name)
            if limits is not None and limits[0] > limits[1]:
                raise ValueError(f"{name}: expected [smallest, largest], got {list(limits)}")
        return self

    def build(
        self,
        support_masks: Sequence[Mask],
        shown: Sequence[Segmented] = (),
        normals: Iterable[Segmented] = (),
    ) -> "BoxSampler":
        """Return the sampler for the defect these support masks show; what lies around it decides nothing."""
        del shown, normals
        return BoxSampler(self, regions(support_masks))


@final
class BoxSampler(MaskSampler):
    """Draws size, place and angle independently; accepts the first box with enough foreground under it."""

    def __init__(self, settings: BoxSamplerSettings, found: Sequence[Region]) -> None:
        if not found and (settings.width is None or settings.height is None):
            raise MaskPlacementError("The support masks are empty; set `mask_sampler.width` and `mask_sampler.height`.")
        self._settings = settings
        self._regions = list(found)

    def sample(
        self,
        foreground: Mask,
        rng: np.random.Generator,
        product: Mask | None = None,
        photo: Image | None = None,
        source: int | None = None,
    ) -> Placement:
        """Return a box inside the frame with at least `min_overlap` of it on the foreground."""
        del product, photo
        height, width = foreground.shape
        best = 0.0
        for _ in range(self._settings.attempts):
            placement = self._draw((height, width), rng, source)
            covered = render(placement, (height, width))
            share = float(foreground[covered].mean()) if covered.any() else 0.0
            if share >= self._settings.min_overlap:
                return placement
            best = max(best, share)
        raise MaskPlacementError(
            f"no box lay on the foreground with overlap >= {self._settings.min_overlap:.2f} in "
            f"{self._settings.attempts} attempts (best {best:.2f}, foreground {foreground.mean():.0%} of "
            f"{width}x{height} px); lower `mask_sampler.min_overlap` or the box size, or set `foreground`"
        )

    def _draw(self, frame: tuple[int, int], rng: np.random.Generator, source: int | None) -> Placement:
        height, width = frame
        found = [region for region in self._regions if source in (None, region.photo)]
        region = draw_region(found, rng) if found else None
        box_width, box_height = self._draw_size(frame, region, rng)
        angle = float(rng.uniform(-90, 90)) if self._settings.rotate else 0.0
        x = int(rng.integers(0, width - box_width + 1))
        y = int(rng.integers(0, height - box_height + 1))
        box = Box(x=x, y=y, width=box_width, height=box_height)
        return Placement(box=box, angle=round(angle, 2), source=region.photo if region else None)

    def _draw_size(self, frame: tuple[int, int], region: Region | None, rng: np.random.Generator) -> tuple[int, int]:
        settings, (height, width) = self._settings, frame
        scale = (1 + settings.padding) * settings.jitter ** rng.uniform(-1, 1)
        rows, columns = region.shape.shape if region else (0, 0)
        box_w = _uniform(settings.width, rng) * width if settings.width else columns * scale
        box_h = _uniform(settings.height, rng) * height if settings.height else rows * scale
        if settings.rotate and rng.random() < 0.5:
            box_w, box_h = box_h, box_w
        return _clip(box_w, settings.min_size, width), _clip(box_h, settings.min_size, height)


def _uniform(limits: tuple[PositiveFloat, PositiveFloat], rng: np.random.Generator) -> float:
    return float(rng.uniform(*limits))


def _clip(size: float, smallest: int, largest: int) -> int:
    return int(min(max(round(size), smallest), largest))
