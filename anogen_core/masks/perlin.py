"""Blobs of Perlin noise: masks for defects whose form is not known, stains and corrosion for example."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, final

import cv2
import numpy as np
from pydantic import Field, PositiveInt

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, cut
from anogen_core.masks.box import BoxSamplerSettings, Fraction
from anogen_core.masks.sampler import MaskSampler, Segmented
from anogen_core.outline import encode_outline
from anogen_core.records import Box, Placement
from anogen_core.seeding import torch_generator
from anogen_core.settings import Settings

_SMALLEST = 32
"""Side of the square that a blob is drawn in, at least; it is shrunk into its box."""


class PerlinSamplerSettings(Settings):
    """Random blobs on the foreground, as large as the support defects unless ranges are given."""

    kind: Literal["perlin"] = "perlin"
    width: tuple[Fraction, Fraction] | None = None
    """Smallest and largest width as fractions of the frame; default: the widths of the support masks, varied."""
    height: tuple[Fraction, Fraction] | None = None
    """Smallest and largest height as fractions of the frame; default: the heights of the support masks, varied."""
    jitter: Annotated[float, Field(ge=1, le=4)] = 1.25
    """Sizes taken from the support masks are scaled by a factor between 1 / jitter and jitter."""
    cells: tuple[Annotated[int, Field(ge=1, le=16)], Annotated[int, Field(ge=1, le=16)]] = (2, 5)
    """Fewest and most waves of the noise along a blob: more make it more jagged."""
    raggedness: Annotated[float, Field(ge=0, le=3)] = 1.2
    """How far the noise, rather than the distance from the middle, decides the outline; 0 is an ellipse."""
    fill: tuple[Fraction, Fraction] = (0.35, 0.65)
    """Smallest and largest share of its box that a blob fills."""
    min_size: PositiveInt = 8
    """Shortest side of a blob's box in pixels."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Share of the blob's box that lies on the foreground."""
    attempts: PositiveInt = 200
    """Random placements tried before a request is blocked."""

    def build(
        self,
        support_masks: Sequence[Mask],
        shown: Sequence[Segmented] = (),
        normals: Iterable[Segmented] = (),
    ) -> "PerlinSampler":
        """Return the sampler for the defect these support masks show; what lies around it decides nothing."""
        del shown, normals
        return PerlinSampler(self, support_masks)


@final
class PerlinSampler(MaskSampler):
    """Places a box as the box sampler does and draws a blob in it."""

    def __init__(self, settings: PerlinSamplerSettings, support_masks: Sequence[Mask]) -> None:
        self._settings = settings
        shared = settings.model_dump(include={"width", "height", "jitter", "min_size", "min_overlap", "attempts"})
        self._boxes = BoxSamplerSettings(padding=0, **shared).build(support_masks)

    def sample(
        self,
        foreground: Mask,
        rng: np.random.Generator,
        product: Mask | None = None,
        photo: Image | None = None,
        source: int | None = None,
    ) -> Placement:
        """Return a blob inside the frame whose box lies on the foreground with at least `min_overlap` of it."""
        del product, photo
        placed = self._boxes.sample(foreground, rng, source=source)
        blob = self._blob((placed.box.height, placed.box.width), rng)
        tight = bounding_box(blob)
        box = Box(x=placed.box.x + tight.x, y=placed.box.y + tight.y, width=tight.width, height=tight.height)
        return Placement(kind="outline", box=box, outline=encode_outline(cut(blob, tight)), source=placed.source)

    def _blob(self, shape: tuple[int, int], rng: np.random.Generator) -> Mask:
        """Return one connected region (rows, columns) without holes."""
        import torch  # noqa: PLC0415 - reading settings must not import it

        from anogen_core.baselines.perlin_noise import perlin_noise  # noqa: PLC0415

        side = max(*shape, _SMALLEST)
        waves = torch.from_numpy(rng.integers(self._settings.cells[0], self._settings.cells[1] + 1, (1, 2)))
        generator = torch_generator(int(rng.integers(2**62)))
        noise = perlin_noise(waves, side, generator=generator, device=torch.device("cpu"))[0, 0].numpy()
        axis = (np.arange(side) + 0.5) / side * 2 - 1
        away = np.hypot(*np.meshgrid(axis, axis))
        # The noise dies away towards the edge of the box: a blob ends by itself and is not cut off there.
        height = 1 - away + self._settings.raggedness * noise * np.clip(1 - away**2, 0, None)
        level = np.quantile(height, 1 - rng.uniform(*self._settings.fill))
        _, regions, stats, _ = cv2.connectedComponentsWithStats((height > level).astype(np.uint8))
        largest = (regions == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
        outlines, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        solid = cv2.drawContours(np.zeros_like(largest), outlines, -1, 255, thickness=cv2.FILLED)
        scaled = cv2.resize(solid, shape[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(scaled >= min(128, int(scaled.max())), bool)
