"""Anomalies without a generator: a foreign texture inside thresholded Perlin noise (DRAEM, section 3.3).

The paper takes its textures from the Describable Textures Dataset. Without a directory of textures, other training
photos and procedural patterns stand in for it, strongly changed.
"""

from typing import Annotated, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from anogen_core.arrays import ImageBatch
from anogen_core.baselines.perlin_noise import perlin_noise
from anogen_core.baselines.textures import alter_textures, procedural_textures
from anogen_core.settings import Settings


class PerlinTextureSettings(Settings):
    """How to paint Perlin + texture anomalies."""

    kind: Literal["perlin_texture"] = "perlin_texture"
    texture_directory: str | None = None
    """Directory of texture images, searched recursively; None takes training photos and procedural patterns."""
    procedural_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of procedural patterns among the textures when there is no texture directory."""
    threshold: Annotated[float, Field(gt=-1, lt=1)] = 0.5
    """Noise above this value is anomalous; the noise lies in [-1, 1]."""
    max_scale_exponent: Annotated[int, Field(ge=0, le=5)] = 5
    """The noise has 2^0 to 2^this cells along each axis."""
    min_opacity: Annotated[float, Field(gt=0, le=1)] = 0.2
    """The texture's opacity is uniform between this and 1 (1 - beta in the paper)."""
    grey_on_grey: bool = True
    """Whether textures lose their colour on grey photos; a colour there would give every anomaly away."""

    def build(self) -> "PerlinTexture":
        """Return the synthesis these settings describe."""
        return PerlinTexture(self)


@final
class PerlinTexture:
    """Paints anomalies on batches of normal photos, on the device of the photos."""

    def __init__(self, settings: PerlinTextureSettings) -> None:
        self.settings = settings

    def paint(
        self, photos: ImageBatch, textures: ImageBatch, *, generator: torch.Generator
    ) -> tuple[ImageBatch, Tensor]:
        """Return the photos with one pattern of anomalies each, and the exact masks (B, 1, H, W) of 0 and 1.

        A mask may be empty where the noise never passes the threshold; that sample stays normal.

        Args:
            photos: normal photos in [0, 1].
            textures: images in [0, 1] of the same shape: the texture directory's, or other training photos.
            generator: CPU generator; the result is a function of it and the images.
        """
        settings = self.settings
        batch, device = len(photos), photos.device
        if settings.texture_directory is None:
            patterns = procedural_textures(photos, generator)
            procedural = torch.rand(batch, 1, 1, 1, generator=generator) < settings.procedural_share
            textures = torch.where(procedural.to(device), patterns, textures)
        textures = alter_textures(textures, generator)
        if settings.grey_on_grey:
            textures = torch.where(_is_grey(photos), textures.mean(dim=1, keepdim=True), textures)
        scales = 2 ** torch.randint(0, settings.max_scale_exponent + 1, (batch, 2), generator=generator)
        noise = perlin_noise(scales, photos.shape[-1], generator=generator, device=device)
        mask = (noise > settings.threshold).to(photos.dtype)
        opacity = 1 - (1 - settings.min_opacity) * torch.rand(batch, 1, 1, 1, generator=generator)
        return photos + mask * opacity.to(device) * (textures - photos), mask


def _is_grey(photos: ImageBatch) -> Tensor:
    """Return whether the channels of each photo are equal, (B, 1, 1, 1)."""
    spread = photos.amax(dim=1, keepdim=True) - photos.amin(dim=1, keepdim=True)
    return spread.amax(dim=(2, 3), keepdim=True) < 1 / 255
