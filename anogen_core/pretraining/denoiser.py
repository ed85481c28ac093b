"""Training of the UNet and the text encoder to paint into masks, with an average of the weights.

The UNet is shown the photo without the defect and the mask to paint in, as models that edit photos are (Brooks et al.,
2023): material, light and edges need not be known, they are copied, and all of a small network serves the defect. Where
a defect was learned from has no flawless twin, so part of the training shows a photo whose defect was filled in.

The network predicts v = sqrt(ab) eps - sqrt(1 - ab) z (Salimans & Ho, 2022): at high noise, where words, colours and
layout are decided, it need not copy the noise exactly, which a short training does not learn.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast, final

import torch
from diffusers import AutoencoderTiny
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from transformers import CLIPTokenizer

from anogen_core.arrays import ImageBatch
from anogen_core.detectors.detector import Share
from anogen_core.pretraining.captions import STAND_IN, CaptionWriter
from anogen_core.pretraining.corpus import LARGEST_CROP
from anogen_core.pretraining.crops import CropBatch, Crops
from anogen_core.pretraining.loop import learning_rate_factor
from anogen_core.pretraining.networks import (
    EXEMPLAR_SIZE,
    LATENT_CELL,
    Denoiser,
    ExemplarEncoder,
    build_scheduler,
    encode,
    show,
)
from anogen_core.pretraining.painting import choose_places
from anogen_core.pretraining.parallel import average_gradients, rank
from anogen_core.seeding import derive_seed, torch_seed
from anogen_core.settings import Settings

_Tensors: TypeAlias = tuple[Tensor, ...] | list[Tensor]


class DenoiserTraining(Settings):
    """How the UNet and the text encoder are trained."""

    steps: PositiveInt = 1800
    """Optimisation steps; the learning rate falls to 5 % at the last one."""
    batch_size: PositiveInt = 12
    """Crops of 64 px per step and process; steps on a larger canvas take fewer."""
    learning_rate: PositiveFloat = 8e-4
    """Peak learning rate of AdamW."""
    text_rate: NonNegativeFloat = 5.0
    """Learning rate of the text encoder and of cross-attention in units of `learning_rate`: words matter at few noise
    levels and in few cells, so they are learned slowly otherwise."""
    averaging: Share = 0.999
    """Decay of the average of the weights, which is what ships."""
    filled_share: Share = 0.35
    """Share of crops whose flawless twin is replaced by the crop itself with its defect filled in."""
    defect_weight: NonNegativeFloat = 4.0
    """Extra weight of anomalous latent cells, in units of the other cells inside the mask."""
    outside_weight: NonNegativeFloat = 0.05
    """Weight of latent cells outside the mask: generation keeps the photo there."""
    exemplar_share: Share = 0.5
    """Share of crops with a defect whose caption does not name it; a vector made from another crop of it stands in."""
    compile: bool = False
    """Compile the UNet, once for each of three sizes of crops: minutes at the start, then fewer seconds per step."""
    token_noise: NonNegativeFloat = 0.3
    """Noise on token embeddings in units of their deviation: inversion must find points between the words."""
    seed: NonNegativeInt = 0
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
        crops: Crops,
        settings: DenoiserTraining,
    ) -> None:
        self._denoiser, self._autoencoder, self._crops, self._settings = denoiser, autoencoder, crops, settings
        self._captions = CaptionWriter(tokenizer, crops.device)
        with torch_seed(derive_seed(settings.seed, "exemplars")):
            self._exemplars = ExemplarEncoder(denoiser.text_encoder.config.hidden_size).to(crops.device)
        self._alpha_bar = build_scheduler().alphas_cumprod.to(crops.device)
        self._trained = nn.ModuleList([denoiser, self._exemplars])
        groups = _groups(denoiser, self._exemplars, settings.text_rate)
        self._optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self._average = AveragedModel(self._trained, multi_avg_fn=_averaging(settings.averaging))
        self._generator = torch.Generator(crops.device)
        self._words = denoiser.text_encoder.get_input_embeddings()
        self._words.register_forward_hook(self._embed)
        self._seen: Float[Tensor, "B D"] | None = None
        if crops.device.type == "cuda":
            denoiser.unet.to(memory_format=torch.channels_last)
        if settings.compile:
            denoiser.unet.compile(dynamic=False)

    @property
    def averaged(self) -> Denoiser:
        """The denoiser with averaged weights."""
        return cast(Denoiser, cast(nn.ModuleList, self._average.module)[0])

    def train_step(self, step: int) -> Float[Tensor, ""]:
        """Take one step and return its loss."""
        loss = self._loss(step)
        for group in self._optimizer.param_groups:
            factor = group["rate"] * learning_rate_factor(step, self._settings.steps)
            group["lr"] = self._settings.learning_rate * factor
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        average_gradients(self._trained.parameters())
        nn.utils.clip_grad_norm_(self._trained.parameters(), 1.0)
        self._optimizer.step()
        self._average.update_parameters(self._trained)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return weights, their average and optimiser state."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back weights, their average and optimiser state."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"trained": self._trained, "average": self._average, "optimizer": self._optimizer}

    def _loss(self, step: int) -> Float[Tensor, ""]:
        """Return the weighted error of the predicted velocity on the crops of one step."""
        generator = self._generator.manual_seed(derive_seed(self._settings.seed, self.name, step, rank()))
        count, size = _canvas(step, self._settings.batch_size)
        crops = self._crops.draw(generator, count=count, size=size)
        latents = encode(self._autoencoder, crops.images)
        defects = functional.max_pool2d(crops.masks, LATENT_CELL)
        places = choose_places(defects, generator)
        shown = show(self._autoencoder, self._without_defects(crops), places)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        # Uniform to the power 0.6 sees high noise more often: there the words decide what appears.
        share = self._random(count) ** 0.6
        timesteps = (share * len(self._alpha_bar)).long()
        alpha_bar = self._alpha_bar[timesteps].view(-1, 1, 1, 1)
        noisy = alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise
        with torch.autocast(latents.device.type, torch.bfloat16, enabled=_is_bfloat16_fast(latents.device)):
            predicted = self._denoiser(noisy, shown, timesteps, self._caption(crops))
        velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * latents
        error = functional.mse_loss(predicted.float(), velocity, reduction="none")
        inside = places * (1 + self._settings.defect_weight * (defects > 0))
        cells = inside + self._settings.outside_weight
        return (error * cells / cells.mean()).mean()

    def _without_defects(self, crops: CropBatch) -> ImageBatch:
        """Return the crops as they were before the damage: most truly, some as inversion has to guess it."""
        guessed = self._random(len(crops.images), 1, 1, 1) < self._settings.filled_share
        return torch.where(guessed, crops.filled, crops.flawless)

    def _caption(self, crops: CropBatch) -> Int[Tensor, "B T"]:
        """Return the tokens of captions, and keep the vectors that take the place of their stand-ins."""
        count = len(crops.images)
        others = self._crops.draw(self._generator, count=count, size=EXEMPLAR_SIZE, scenes=crops.scenes)
        chosen = self._random(count) < self._settings.exemplar_share
        chosen &= (crops.defects >= 0) & (others.defects >= 0)
        self._seen = self._exemplars(others.images, others.masks)
        return self._captions.write(crops, self._generator, exemplar=chosen)

    def _embed(
        self, _module: nn.Module, inputs: tuple[Int[Tensor, "B T"], ...], embedded: Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B T D"]:
        """Put vectors of exemplars in their places and add noise (a forward hook of the embedding)."""
        if self._seen is not None:
            embedded = torch.where((inputs[0] == STAND_IN)[..., None], self._seen[:, None].to(embedded), embedded)
        deviation = self._settings.token_noise * self._words.weight.detach().std()
        noise = torch.randn(embedded.shape, generator=self._generator, device=embedded.device)
        return embedded + deviation * noise.to(embedded)

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._crops.device)


def _is_bfloat16_fast(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 itself; processors that emulate it take 20 times as long."""
    return device.type != "cpu" or torch.cpu.get_capabilities().get("avx512_bf16", False)


def _groups(denoiser: Denoiser, exemplars: ExemplarEncoder, text_rate: float) -> list[dict[str, Any]]:
    """Return two groups of parameters, each with its learning rate in units of the base rate."""
    text = [p for name, p in denoiser.named_parameters() if name.startswith("text_encoder") or "attn2" in name]
    listening = {id(p) for p in text}
    others = [p for p in denoiser.parameters() if id(p) not in listening]
    return [{"params": [*others, *exemplars.parameters()], "rate": 1.0}, {"params": text, "rate": text_rate}]


def _canvas(step: int, batch_size: int) -> tuple[int, int]:
    """Return count and side of the crops of a step: one in eight sees 96 px, one in 32 sees 128 px."""
    if step % 32 == 31:
        return max(1, batch_size // 4), LARGEST_CROP
    if step % 8 == 7:
        return max(1, batch_size * 4 // 9), 96
    return batch_size, 64


def _averaging(limit: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Return an exponential average whose memory grows with the steps taken, up to the decay `limit`."""

    @torch.no_grad()
    def average(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        decay = min(limit, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    return average
