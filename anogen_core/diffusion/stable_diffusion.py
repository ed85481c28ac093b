"""Base models that diffusers' text-to-image pipelines hold: Stable Diffusion 1 and 2, its inpainting UNets, and LDM."""

import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import nn

from anogen_core.arrays import Conditioning, ImageBatch, LatentMask, Latents, Surroundings
from anogen_core.diffusion.execution import ModelSettings, NoisePredictor, Turns, compilation
from anogen_core.diffusion.memory import Portions
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.pipeline_files import Canvas, describe_directory, find_parts, read_canvas
from anogen_core.diffusion.pipeline_loading import load_pipeline
from anogen_core.errors import InputError
from anogen_core.records import BaseModelInfo


class StableDiffusionSettings(ModelSettings):
    """A text-to-image pipeline of the Stable Diffusion or LDM family in a directory of this machine."""

    kind: Literal["stable_diffusion"] = "stable_diffusion"
    directory: str
    """Directory that holds `model_index.json`, as written by diffusers' `save_pretrained`."""
    licence: str = "not stated"
    """Licence of the weights; recorded in every dataset made with them."""

    def build(self, device: torch.device) -> "StableDiffusionModel":
        """Load the pipeline these settings name."""
        return StableDiffusionModel(Path(self.directory), self, licence=self.licence, device=device)

    def describe(self) -> BaseModelInfo:
        """Return the identity of the weights without loading them."""
        return describe_directory(Path(self.directory), licence=self.licence)

    def canvas(self) -> Canvas:
        """Return the canvas of the model without loading its weights."""
        return read_canvas(Path(self.directory))


class BundledModelSettings(ModelSettings):
    """The small base model that ships with AnoGen: works offline, on a CPU."""

    kind: Literal["bundled"] = "bundled"

    def build(self, device: torch.device) -> "StableDiffusionModel":
        """Load the bundled pipeline."""
        return StableDiffusionModel(BUNDLED, self, licence="Apache-2.0", device=device, name="anogen-bundled")

    def describe(self) -> BaseModelInfo:
        """Return the identity of the weights without loading them."""
        return describe_directory(BUNDLED, licence="Apache-2.0", name="anogen-bundled")

    def canvas(self) -> Canvas:
        """Return the canvas of the model without loading its weights."""
        return read_canvas(BUNDLED)


BUNDLED = Path(__file__).parent / "bundled"


@final
class StableDiffusionModel(DiffusionModel):
    """Autoencoder, text encoder and noise predictor of one diffusers pipeline, frozen and in evaluation mode."""

    def __init__(
        self, directory: Path, how: ModelSettings, *, licence: str, device: torch.device, name: str | None = None
    ) -> None:
        self._info = describe_directory(directory, licence=licence, name=name)
        self._canvas = read_canvas(directory)
        self._device = device
        parts = find_parts(directory)
        pipeline = load_pipeline(directory, parts)
        self._prompt_ids = functools.lru_cache(maxsize=256)(self._find_prompt_ids)
        self._conditioning = threading.Lock()
        self._edits = type(pipeline).__name__ == "StableDiffusionInstructPix2PixPipeline"
        self._tokenizer = pipeline.tokenizer
        self._scheduler = pipeline.scheduler
        self._vae = _frozen(getattr(pipeline, parts["autoencoder"]))
        if device.type == "cpu":
            # Twice as fast there; GPUs prefer this order in half precision only.
            self._vae.to(memory_format=torch.channels_last)
        elif how.precision != "fp32":
            # What stays in fp32 multiplies as TensorFloat-32: a large text encoder would take longer than the UNet.
            torch.set_float32_matmul_precision("high")
        if how.compile:
            self._vae.decoder.compile(**compilation(device))
        self._text_encoder = _frozen(getattr(pipeline, parts["text encoder"])).to(device)
        self._masks_padding = bool(getattr(self._text_encoder.config, "use_attention_mask", False))
        self._unet = _frozen(pipeline.unet)
        self._predictor = NoisePredictor(self._unet, how, device)
        self._encoding, self._decoding = Portions("the encoder"), Portions("the decoder")
        self._turns = Turns([self._vae, self._unet], device, offload=how.offload)

    @property
    def info(self) -> BaseModelInfo:
        """Return the name, fingerprint and licence."""
        return self._info

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return self._device

    @property
    def resolution(self) -> int:
        """Return the side of the square image the model was trained for, in pixels."""
        return self._canvas.side

    @property
    def factor(self) -> int:
        """Return how many pixels one latent cell spans along each axis."""
        return self._canvas.factor

    @property
    def width(self) -> int:
        """Return D, the length of one input embedding of the text encoder."""
        return int(self._text_encoder.get_input_embeddings().embedding_dim)

    @property
    def scheduler_config(self) -> dict[str, Any]:
        """Return the noise schedule as diffusers' schedulers take it in `from_config`."""
        return dict(self._scheduler.config)

    @property
    def alpha_bar(self) -> torch.Tensor:
        """Return the cumulative product of 1 - beta for every training timestep, on the CPU."""
        alphas: torch.Tensor = self._scheduler.alphas_cumprod
        return alphas.cpu()

    @property
    def guidance(self) -> float:
        """Return 1, no guidance, for a model that edits photos: more makes its defects flat and black or white."""
        return 1.0 if self._edits else super().guidance

    @torch.no_grad()
    def encode(self, images: ImageBatch) -> Latents:
        """Return scaled latents of images in [-1, 1] (the mode of the posterior, no sampling)."""
        with self._turns.of(self._vae):
            latents: Latents = self._encoding.map(self._encode, images)
        return latents * self._vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Latents) -> ImageBatch:
        """Return images in [-1, 1] of scaled latents."""
        scaled = latents.to(self._device) / self._vae.config.scaling_factor
        with self._turns.of(self._vae):
            images: ImageBatch = self._decoding.map(lambda part: self._vae.decode(part).sample, scaled)
        return images.clamp(-1, 1)

    def word_vector(self, word: str) -> torch.Tensor:
        """Return the (D,) input embedding of a word that is one token."""
        ids = self._ids(word)
        if len(ids) != 1:
            raise InputError(
                f"inversion.initializer: {word!r} is {len(ids)} tokens of {self._info.name}, expected one. "
                "Choose a more common word, such as 'defect'."
            )
        weight: torch.Tensor = self._text_encoder.get_input_embeddings().weight
        return weight[ids[0]].detach().clone()

    def condition(self, prompts: Sequence[str], vectors: torch.Tensor | None = None) -> Conditioning:
        """Return the last hidden state of the text encoder for prompts in which `{}` stands for a concept."""
        per_concept = 0 if vectors is None else vectors.shape[1]
        rows = [self._prompt_ids(prompt, per_concept) for prompt in prompts]
        ids = torch.tensor([row for row, _, _ in rows], device=self._device)
        shown = torch.arange(ids.shape[1]) < torch.tensor([[length] for _, _, length in rows])
        mask = shown.long().to(self._device) if self._masks_padding else None
        if vectors is None:
            with self._conditioning:
                return self._encode_text(ids, mask)
        inserted = vectors.to(self._device)
        starts = [start for _, start, _ in rows]

        def insert(_module: nn.Module, _inputs: object, embedded: torch.Tensor) -> torch.Tensor:
            parts = [
                torch.cat([row[:start], inserted[i], row[start + per_concept :]])
                for i, (row, start) in enumerate(zip(embedded, starts, strict=True))
            ]
            return torch.stack(parts)

        # Threads share the model, and a hook would take hold of the prompts of all of them.
        with self._conditioning:
            hook = self._text_encoder.get_input_embeddings().register_forward_hook(insert)
            try:
                return self._encode_text(ids, mask)
            finally:
                hook.remove()

    def surroundings(self, images: ImageBatch, mask: LatentMask, latents: Latents | None = None) -> Surroundings | None:
        """Return the mask and the latents of the photo.

        The inside is blanked and the latents are scaled, as diffusers' inpainting pipelines do, unless the pipeline
        edits photos (`StableDiffusionInstructPix2PixPipeline`): that sees all of the photo, unscaled. None when the
        UNet takes nothing but noisy latents.
        """
        if self._unet.config.in_channels == self._vae.config.latent_channels:
            return None
        if self._edits:
            whole = self.encode(images) if latents is None else latents
            return torch.cat([mask.to(self._device), whole / self._vae.config.scaling_factor], dim=1)
        outside = nn.functional.interpolate(mask, scale_factor=self.factor) < 0.5
        return torch.cat([mask.to(self._device), self.encode(images * outside.to(images))], dim=1)

    def predict(
        self,
        latents: Latents,
        timestep: torch.Tensor,
        conditioning: Conditioning,
        surroundings: Surroundings | None = None,
        *,
        static: bool = False,
    ) -> Latents:
        """Return what the UNet says of z_t: noise, velocity or sample."""
        shown = latents if surroundings is None else torch.cat([latents, surroundings], dim=1)
        with self._turns.of(self._unet):
            return self._predictor(shown, timestep, conditioning, static=static)

    def _encode(self, images: ImageBatch) -> Latents:
        output = self._vae.encode(images.to(self._device))
        latents: Latents = output.latent_dist.mode() if hasattr(output, "latent_dist") else output.latents
        return latents

    def _encode_text(self, ids: torch.Tensor, mask: torch.Tensor | None) -> Conditioning:
        output: Conditioning = self._text_encoder(ids, attention_mask=mask)[0]
        return output

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids) if text.strip() else []

    def _find_prompt_ids(self, prompt: str, per_concept: int) -> tuple[list[int], int, int]:
        """Return padded token ids, the position where the concept's vectors go, and how many ids are no padding."""
        tokenizer = self._tokenizer
        length = min(tokenizer.model_max_length, self._text_encoder.config.max_position_embeddings)
        # CLIP's tokenizer calls the ends of a text bos and eos, BERT's calls them cls and sep.
        first, last = (
            tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id,
            tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id,
        )
        before, _, after = prompt.partition("{}")
        left, right = self._ids(before), self._ids(after)
        # The id under a concept's vectors is never looked at; any ordinary token does (end-of-text ends a prompt).
        hole = [self._ids("a")[0]] * per_concept if "{}" in prompt else []
        ids = [*[first, *left, *hole, *right][: length - 1], last]
        return ids + [tokenizer.pad_token_id] * (length - len(ids)), 1 + len(left), len(ids)


def _frozen(module: Any) -> Any:
    return module.requires_grad_(requires_grad=False).eval()
