"""Training of the UNet and the text encoder to paint into masks, with an average of the weights.

The UNet is shown the photo without the defect and the mask to paint in, as models that edit photos are (Brooks et al.,
2023): material, light and edges need not be known, they are copied, and all of a small network serves the defect. Where
a defect was learned from has no flawless twin, so part of the training shows a photo whose defect was filled in.

The network predicts v = sqrt(ab) eps - sqrt(1 - ab) z (Salimans & Ho, 2022): at high noise, where words, colours and
layout are decided, it need not copy the noise exactly, which a short training does not learn.
"""

from collections.abc import Callable
from typing import Any, cast, final

import numpy as np
import torch
from diffusers import AutoencoderTiny
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from transformers import CLIPTokenizer

from anogen_core.arrays import ImageBatch
from anogen_core.diffusion.crop import fill_canvas
from anogen_core.pretraining.corpus import Corpus, CropBatch, crop_batch
from anogen_core.pretraining.loop import learning_rate_factor
from anogen_core.pretraining.networks import LATENT_CELL, Denoiser, build_scheduler, encode, show, tokenize
from anogen_core.pretraining.painting import choose_places
from anogen_core.pretraining.parallel import average_gradients, rank
from anogen_core.seeding import derive_seed, numpy_generator, torch_generator
from anogen_core.settings import Settings


class DenoiserTraining(Settings):
    """How the UNet and the text encoder are trained."""

    steps: int = 1800
    """Optimisation steps; the learning rate falls to 5 % at the last one."""
    batch_size: int = 12
    """Crops of 64 px per step and process; steps on a larger canvas take fewer."""
    learning_rate: float = 8e-4
    """Peak learning rate of AdamW."""
    text_rate: float = 5.0
    """Learning rate of the text encoder and of cross-attention in units of `learning_rate`: words matter at few noise
    levels and in few cells, so they are learned slowly otherwise."""
    averaging: float = 0.999
    """Decay of the average of the weights, which is what ships."""
    filled_share: float = 0.35
    """Share of crops whose flawless twin is replaced by the crop itself with its defect filled in."""
    defect_weight: float = 4.0
    """Extra weight of anomalous latent cells, in units of the other cells inside the mask."""
    outside_weight: float = 0.05
    """Weight of latent cells outside the mask: generation keeps the photo there."""
    token_noise: float = 0.3
    """Noise on token embeddings in units of their deviation: inversion must find points between the words."""
    seed: int = 0
    """Seed of crops, captions, timesteps and noise."""


@final
class DenoiserTrainer:
    """Trains a denoiser on the latents of captioned crops."""

    name = "denoiser"

    def __init__(
        self,
        denoiser: Denoiser,
        tokenizer: CLIPTokenizer,
        autoencoder: AutoencoderTiny,
        corpus: Corpus,
        settings: DenoiserTraining,
    ) -> None:
        self._device = next(denoiser.parameters()).device
        self._denoiser, self._tokenizer, self._autoencoder, self._corpus = denoiser, tokenizer, autoencoder, corpus
        self._settings = settings
        self._alpha_bar = build_scheduler().alphas_cumprod.to(self._device)
        self._optimizer = torch.optim.AdamW(_groups(denoiser, settings.text_rate), betas=(0.9, 0.99), weight_decay=0.01)
        self._average = AveragedModel(denoiser, avg_fn=_averaging(settings.averaging))
        self._generator = torch_generator(settings.seed)
        self._words = denoiser.text_encoder.get_input_embeddings()
        self._words.register_forward_hook(self._shake_tokens)

    @property
    def averaged(self) -> Denoiser:
        """The denoiser with averaged weights."""
        return cast(Denoiser, self._average.module)

    def train_step(self, step: int) -> float:
        """Take one step and return its loss."""
        loss = self._loss(step)
        for group in self._optimizer.param_groups:
            factor = group["rate"] * learning_rate_factor(step, self._settings.steps)
            group["lr"] = self._settings.learning_rate * factor
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        average_gradients(self._denoiser.parameters())
        nn.utils.clip_grad_norm_(self._denoiser.parameters(), 1.0)
        self._optimizer.step()
        self._average.update_parameters(self._denoiser)
        return float(loss.detach())

    def state_dict(self) -> dict[str, Any]:
        """Return weights, their average and optimiser state."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back weights, their average and optimiser state."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"denoiser": self._denoiser, "average": self._average, "optimizer": self._optimizer}

    def _loss(self, step: int) -> Float[Tensor, ""]:
        """Return the weighted error of the predicted velocity on the crops of one step."""
        seed = derive_seed(self._settings.seed, self.name, step, rank())
        count, size = _canvas(step, self._settings.batch_size)
        crops = crop_batch(self._corpus, numpy_generator(seed), count=count, size=size)
        images = crops.images.to(self._device)
        latents = encode(self._autoencoder, images)
        defects = functional.max_pool2d(crops.masks, LATENT_CELL)
        places = choose_places(defects, numpy_generator(derive_seed(seed, "places"))).to(self._device)
        shown = show(self._autoencoder, self._without_defects(crops, seed).to(self._device), places)
        self._generator.manual_seed(seed)
        noise = torch.randn(latents.shape, generator=self._generator).to(self._device)
        # Uniform to the power 0.6 sees high noise more often: there the words decide what appears.
        share = torch.rand((count,), generator=self._generator) ** 0.6
        timesteps = (share * len(self._alpha_bar)).long().to(self._device)
        alpha_bar = self._alpha_bar[timesteps].view(-1, 1, 1, 1)
        tokens = tokenize(self._tokenizer, crops.captions).to(self._device)
        noisy = alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise
        with torch.autocast(self._device.type, torch.bfloat16, enabled=_is_bfloat16_fast(self._device)):
            predicted = self._denoiser(noisy, shown, timesteps, tokens)
        velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * latents
        error = functional.mse_loss(predicted.float(), velocity, reduction="none")
        inside = places * (1 + self._settings.defect_weight * (defects.to(self._device) > 0))
        cells = inside + self._settings.outside_weight
        return (error * cells / cells.mean()).mean()

    def _without_defects(self, crops: CropBatch, seed: int) -> ImageBatch:
        """Return the crops as they were before the damage: most truly, some as inversion has to guess it."""
        shown = crops.flawless.clone()
        guessed = numpy_generator(derive_seed(seed, "filled")).random(len(shown)) < self._settings.filled_share
        for index in np.flatnonzero(guessed & (crops.masks.amax((1, 2, 3)) > 0).numpy()):
            shown[index] = fill_canvas(crops.images[index : index + 1], crops.masks[index, 0].numpy() > 0)[0]
        return shown

    def _shake_tokens(
        self, _module: nn.Module, _inputs: Any, embedded: Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B T D"]:
        """Add noise to embedded tokens (a forward hook of the embedding)."""
        deviation = self._settings.token_noise * self._words.weight.detach().std()
        return embedded + deviation * torch.randn(embedded.shape, generator=self._generator).to(embedded)


def _is_bfloat16_fast(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 itself; processors that emulate it take 20 times as long."""
    return device.type != "cpu" or torch.cpu.get_capabilities().get("avx512_bf16", False)


def _groups(denoiser: Denoiser, text_rate: float) -> list[dict[str, Any]]:
    """Return two groups of parameters, each with its learning rate in units of the base rate."""
    text = [p for name, p in denoiser.named_parameters() if name.startswith("text_encoder") or "attn2" in name]
    listening = {id(p) for p in text}
    others = [p for p in denoiser.parameters() if id(p) not in listening]
    return [{"params": others, "rate": 1.0}, {"params": text, "rate": text_rate}]


def _canvas(step: int, batch_size: int) -> tuple[int, int]:
    """Return count and side of the crops of a step: one in eight sees 96 px, one in 32 sees 128 px."""
    if step % 32 == 31:
        return max(1, batch_size // 4), 128
    if step % 8 == 7:
        return max(1, batch_size * 4 // 9), 96
    return batch_size, 64


def _averaging(limit: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return an exponential average whose memory grows with the steps taken, up to the decay `limit`."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        decay = min(limit, (1 + int(count)) / (10 + int(count)))
        return averaged.lerp(current, 1 - decay)

    return average
