"""Training of the autoencoder: small, smooth latents of about unit variance that keep fine grain."""

from typing import Any, final

import torch
from diffusers import AutoencoderTiny
from jaxtyping import Float
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from anogen_core.arrays import ImageBatch, Latents
from anogen_core.pretraining.crops import Crops
from anogen_core.pretraining.loop import learning_rate_factor
from anogen_core.pretraining.parallel import average_gradients, rank
from anogen_core.seeding import derive_seed
from anogen_core.settings import Settings


class AutoencoderTraining(Settings):
    """How the autoencoder is trained."""

    steps: PositiveInt = 1600
    """Optimisation steps."""
    batch_size: PositiveInt = 8
    """Crops of 64 px per step and process."""
    learning_rate: PositiveFloat = 1e-3
    """Peak learning rate of Adam."""
    latent_noise: NonNegativeFloat = 0.05
    """Standard deviation of the noise added to the latents, so that close latents decode to close images."""
    seed: NonNegativeInt = 0
    """Seed of crops and noise."""


@final
class AutoencoderTrainer:
    """Trains an autoencoder on crops of a corpus."""

    name = "autoencoder"

    def __init__(self, autoencoder: AutoencoderTiny, crops: Crops, settings: AutoencoderTraining) -> None:
        self.autoencoder = autoencoder
        self._crops, self._settings = crops, settings
        self._generator = torch.Generator(crops.device)
        self._optimizer = torch.optim.Adam(
            autoencoder.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), fused=True
        )

    def train_step(self, step: int) -> Float[Tensor, ""]:
        """Take one step and return its loss."""
        settings = self._settings
        self._generator.manual_seed(derive_seed(settings.seed, self.name, step, rank()))
        images = self._crops.draw(self._generator, count=settings.batch_size, size=64).images
        latents = self.autoencoder.encode(images).latents
        noise = torch.randn(latents.shape, generator=self._generator, device=latents.device)
        decoded = self.autoencoder.decode(latents + settings.latent_noise * noise).sample
        loss = reconstruction_loss(decoded, images) + 0.02 * _distance_from_unit(latents)
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(step, settings.steps)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        average_gradients(self.autoencoder.parameters())
        torch.nn.utils.clip_grad_norm_(self.autoencoder.parameters(), 1.0)
        self._optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser state."""
        return {"autoencoder": self.autoencoder.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back weights and optimiser state."""
        self.autoencoder.load_state_dict(state["autoencoder"])
        self._optimizer.load_state_dict(state["optimizer"])


def reconstruction_loss(decoded: ImageBatch, images: ImageBatch) -> Float[Tensor, ""]:
    """Return the absolute error of pixels, of their colour and of their differences.

    Colour counts on its own because most inspection photos are grey: a short training ends colour-blind without it. The
    differences keep grain and thin lines.
    """
    error = decoded - images
    colour = error - error.mean(dim=1, keepdim=True)
    steps = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 2 * colour.abs().mean() + steps / 2


def _distance_from_unit(latents: Latents) -> Float[Tensor, ""]:
    """Return how far the channels are from zero mean and unit deviation over the batch."""
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    return (mean.square() + (deviation - 1).square()).mean()


@torch.no_grad()
def fit_scaling_factor(autoencoder: AutoencoderTiny, crops: Crops, *, count: int = 256) -> float:
    """Set the autoencoder's `scaling_factor` so that latents of a corpus have unit deviation, and return it."""
    images = crops.draw(torch.Generator(crops.device).manual_seed(0), count=count, size=64).images
    factor = round(1 / float(autoencoder.encode(images).latents.std()), 4)
    autoencoder.register_to_config(scaling_factor=factor)
    autoencoder.scaling_factor = factor
    return factor


@torch.no_grad()
def round_trip_psnr(autoencoder: AutoencoderTiny, images: ImageBatch) -> float:
    """Return the mean peak signal-to-noise ratio in dB of images in [-1, 1] after encoding and decoding."""
    decoded = autoencoder.decode(autoencoder.encode(images).latents).sample.clamp(-1, 1)
    error = functional.mse_loss(decoded, images, reduction="none").mean((1, 2, 3)) / 4  # to the range [0, 1]
    return float((-10 * error.clamp_min(1e-10).log10()).mean())
