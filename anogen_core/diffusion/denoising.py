"""The loss of masked textual inversion: support views with noise on them, and how well the model tells that noise.

Samples of many concepts go through the model as one batch; each concept's loss is the mean over its own samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from anogen_core.arrays import LatentMask, Latents, Surroundings
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.views import Views
from anogen_core.seeding import derive_seed, torch_generator

TEMPLATES: Final = (
    "a photo of a {}",
    "a rendering of a {}",
    "a cropped photo of the {}",
    "the photo of a {}",
    "a close-up photo of a {}",
    "a photo of the {}",
    "a good photo of a {}",
    "a photo of one {}",
    "a dark photo of the {}",
    "a bright photo of the {}",
    "{}",
)
"""Prompts of textual inversion (Gal et al., 2022), and the bare concept that generation uses."""


@dataclass(frozen=True)
class NoisedViews:
    """Samples of one concept with all that their loss needs and that does not depend on the embedding."""

    latents: Latents
    """z_t = sqrt(alpha_bar_t) E(I) + sqrt(1 - alpha_bar_t) eps"""
    noise: Latents
    """eps"""
    timesteps: torch.Tensor
    """(B,)"""
    masks: LatentMask
    surroundings: Surroundings | None
    prompts: tuple[str, ...]
    """With `{}` for the concept."""

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, rows: slice) -> "NoisedViews":
        return NoisedViews(
            self.latents[rows],
            self.noise[rows],
            self.timesteps[rows],
            self.masks[rows],
            None if self.surroundings is None else self.surroundings[rows],
            self.prompts[rows],
        )


def draw_views(views: Views, model: DiffusionModel, *, count: int, generator: torch.Generator) -> NoisedViews:
    """Return `count` random views at random timesteps, each with noise and a prompt of its own."""
    pick = torch.randint(len(views.latents), (count,), generator=generator)
    words = torch.randint(len(TEMPLATES), (count,), generator=generator)
    timesteps = torch.randint(len(model.alpha_bar), (count,), generator=generator)
    noise = torch.randn((count, *views.latents.shape[1:]), generator=generator)
    chosen = Views(
        views.latents[pick],
        views.masks[pick],
        None if views.surroundings is None else views.surroundings[pick],
    )
    return _noised(chosen, model, timesteps, noise, tuple(TEMPLATES[i] for i in words.tolist()))


def validation_grid(views: Views, model: DiffusionModel, *, points: int, seed: int) -> list[NoisedViews]:
    """Return all views at each timestep of a fixed, evenly spaced grid; the noise is fixed too."""
    count, horizon = len(views.latents), len(model.alpha_bar)
    grid = []
    for point in range(points):
        timesteps = torch.full((count,), int((point + 0.5) * horizon / points))
        noise = torch.randn(views.latents.shape, generator=torch_generator(derive_seed(seed, "validation", point)))
        grid.append(_noised(views, model, timesteps, noise, (TEMPLATES[0],) * count))
    return grid


def masked_loss(noise: Latents, predicted: Latents, mask: LatentMask) -> torch.Tensor:
    """Return the mean over samples of the squared error per active latent value.

    Args:
        noise: (B, C, h, w) true noise.
        predicted: (B, C, h, w).
        mask: (B, 1, h, w), 1 where anomalous, at least one cell per sample.

    Raises:
        ValueError: the shapes do not fit; broadcasting a (B, h, w) mask would silently mix samples.
    """
    if noise.shape != predicted.shape or mask.shape != (noise.shape[0], 1, *noise.shape[2:]):
        raise ValueError(
            f"Expected noise, prediction (B,C,h,w), mask (B,1,h,w); got {noise.shape}, {predicted.shape}, {mask.shape}."
        )
    error = ((noise - predicted) * mask).square().sum(dim=(1, 2, 3))
    return (error / (mask.sum(dim=(1, 2, 3)) * noise.shape[1])).mean()


def shared_losses(
    model: DiffusionModel, vectors: Sequence[torch.Tensor], samples: Sequence[NoisedViews]
) -> list[torch.Tensor]:
    """Return the masked loss of each embedding on its own samples, from one pass through the model.

    Args:
        model: The frozen base model.
        vectors: (V, D) for each concept.
        samples: Of each concept.
    """
    sizes = [len(part) for part in samples]
    rows = [one[None].expand(size, -1, -1) for one, size in zip(vectors, sizes, strict=True)]
    seen = [part.surroundings for part in samples if part.surroundings is not None]
    predicted = model.predict_noise(
        torch.cat([part.latents for part in samples]),
        torch.cat([part.timesteps for part in samples]),
        model.condition([prompt for part in samples for prompt in part.prompts], torch.cat(rows)),
        torch.cat(seen) if seen else None,
    )
    return [masked_loss(s.noise, p, s.masks) for s, p in zip(samples, torch.split(predicted, sizes), strict=True)]


def _noised(
    views: Views, model: DiffusionModel, timesteps: torch.Tensor, noise: Latents, prompts: tuple[str, ...]
) -> NoisedViews:
    alpha_bar = model.alpha_bar[timesteps].reshape(-1, 1, 1, 1).to(model.device)
    noise = noise.to(model.device)
    return NoisedViews(
        alpha_bar.sqrt() * views.latents + (1 - alpha_bar).sqrt() * noise,
        noise,
        timesteps.to(model.device),
        views.masks,
        views.surroundings,
        prompts,
    )
