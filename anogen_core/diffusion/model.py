"""What the sampler and the inversion need of a latent diffusion model, whatever its family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final

import torch

from anogen_core.arrays import Conditioning, ImageBatch, LatentMask, Latents, Surroundings
from anogen_core.records import BaseModelInfo


class DiffusionModel(ABC):
    """A frozen latent diffusion model.

    Example:
        >>> model = BundledModelSettings().build(torch.device("cpu"))
        >>> latents = model.encode(images)
        >>> text = model.condition(["a photo of a {}"], vectors)
        >>> around = model.surroundings(images, mask, latents)
        >>> noise = model.predict_noise(latents, timestep, text, around)
    """

    @property
    @abstractmethod
    def info(self) -> BaseModelInfo:
        """Return the name, fingerprint and licence."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Return where the weights are."""

    @property
    @abstractmethod
    def resolution(self) -> int:
        """Return the side of the square image the model was trained for, in pixels."""

    @property
    @abstractmethod
    def factor(self) -> int:
        """Return how many pixels one latent cell spans along each axis."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Return D, the length of one input embedding of the text encoder."""

    @property
    @abstractmethod
    def scheduler_config(self) -> dict[str, Any]:
        """Return the noise schedule as diffusers' schedulers take it in `from_config`."""

    @property
    @abstractmethod
    def alpha_bar(self) -> torch.Tensor:
        """Return the cumulative product of 1 - beta for every training timestep, on the CPU."""

    @property
    def guidance(self) -> float:
        """Return the weight of classifier-free guidance that is used unless the settings say."""
        return 3.0

    @abstractmethod
    def encode(self, images: ImageBatch) -> Latents:
        """Return scaled latents of images in [-1, 1] (the mode of the posterior, no sampling)."""

    @abstractmethod
    def decode(self, latents: Latents) -> ImageBatch:
        """Return images in [-1, 1] of scaled latents."""

    @abstractmethod
    def word_vector(self, word: str) -> torch.Tensor:
        """Return the (D,) input embedding of a word that is one token.

        Raises:
            InputError: the word is not one token of this model's vocabulary.
        """

    @abstractmethod
    def condition(self, prompts: Sequence[str], vectors: torch.Tensor | None = None) -> Conditioning:
        """Return the text encoder's output for prompts in which `{}` stands for a concept.

        Args:
            prompts: One text for each sample.
            vectors: (B, V, D) vectors that take the place of `{}`; None when no prompt holds `{}`.
        """

    @abstractmethod
    def surroundings(self, images: ImageBatch, mask: LatentMask, latents: Latents | None = None) -> Surroundings | None:
        """Return what a model is shown of the photo it paints on; None for one that sees noise and text alone.

        Args:
            images: (B, 3, H, W) in [-1, 1], without a defect: an editing model sees them whole, an inpainting model
                what lies around the mask.
            mask: (B, 1, h, w), 1 where something is to be painted.
            latents: What `encode` gave for the images; saves a model that is shown them whole to encode them again.
        """

    @abstractmethod
    def predict(
        self,
        latents: Latents,
        timestep: torch.Tensor,
        conditioning: Conditioning,
        surroundings: Surroundings | None = None,
        *,
        static: bool = False,
    ) -> Latents:
        """Return what the network says of z_t, in the dtype of the latents; `surroundings` as that method gives them.

        What it says is the scheduler's `prediction_type`. `static` promises that all such calls have the same shapes
        and need no gradient: a compiled model is then used.
        """

    @final
    def predict_noise(
        self,
        latents: Latents,
        timestep: torch.Tensor,
        conditioning: Conditioning,
        surroundings: Surroundings | None = None,
    ) -> Latents:
        """Return epsilon_theta(z_t, t, c), whatever the network was trained to predict."""
        said = self.predict(latents, timestep, conditioning, surroundings)
        kind = self.scheduler_config["prediction_type"]
        if kind == "epsilon":
            return said
        alpha_bar = self.alpha_bar.to(latents.device)[timestep].reshape(-1, 1, 1, 1)
        if kind == "sample":
            return (latents - alpha_bar.sqrt() * said) / (1 - alpha_bar).sqrt()
        # v-prediction (Salimans & Ho 2022): epsilon = sqrt(alpha_bar) v + sqrt(1 - alpha_bar) z_t
        return alpha_bar.sqrt() * said + (1 - alpha_bar).sqrt() * latents
