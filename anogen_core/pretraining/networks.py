"""The four networks of the base model, sized by settings; every class is diffusers' or transformers' own."""

from itertools import pairwise
from typing import Annotated, Literal, TypeAlias, final

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from anogen_core.arrays import ImageBatch, LatentMask, Latents, Surroundings
from anogen_core.pretraining.vocabulary import PROMPT_LENGTH
from anogen_core.settings import Settings

TOKEN_DEVIATION = 0.5
"""Standard deviation of token embeddings at the start of training."""
EXEMPLAR_SIZE = 64
"""Side in pixels of the crop that shows a defect as an exemplar."""
LATENT_CELL = 4
"""Pixels along one side of a latent cell: an autoencoder of three stages halves twice."""
_Blocks: TypeAlias = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
_Channels: TypeAlias = Annotated[int, Field(ge=32, multiple_of=32)]


class NetworkSettings(Settings):
    """The sizes of the base model; the defaults are the sizes that ship."""

    image_size: Literal[64] = 64
    """Side of the crops the model is made for, in pixels; larger canvases work too."""
    latent_channels: PositiveInt = 8
    """Channels of a latent cell of 4x4 pixels."""
    encoder_width: PositiveInt = 32
    """Channels inside the encoder."""
    encoder_blocks: _Blocks = (0, 2, 3)
    """Residual blocks at full, half and quarter resolution."""
    decoder_width: PositiveInt = 40
    """Channels inside the decoder."""
    decoder_blocks: _Blocks = (4, 2, 0)
    """Residual blocks at quarter, half and full resolution."""
    unet_channels: Annotated[tuple[_Channels, ...], Field(min_length=2)] = (64, 160, 256)
    """Channels at each level of the UNet, finest first; multiples of 32."""
    text_width: Annotated[PositiveInt, Field(multiple_of=4)] = 128
    """Width of the text encoder and of a concept embedding."""


@final
class Denoiser(nn.Module):
    """The two networks that learn together: prompt tokens, noisy latents, surroundings and a timestep in, v out."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(
        self, latents: Latents, surroundings: Surroundings, timesteps: Int[Tensor, " B"], tokens: Int[Tensor, "B T"]
    ) -> Float[Tensor, "B C h w"]:
        """Return the predicted velocity v of the latents (Salimans & Ho, 2022)."""
        conditioning = self.text_encoder(tokens).last_hidden_state
        return self.unet(torch.cat([latents, surroundings], dim=1), timesteps, conditioning).sample


@final
class ExemplarEncoder(nn.Module):
    """Sees one defect and gives the vector of a token that means it.

    Words tell defects of the same kind apart only roughly; a text encoder that also learned from such vectors gives
    embeddings to be learned a space in which defects that look alike lie close together (as Gal et al., 2023, use one).
    """

    def __init__(self, text_width: int, *, width: int = 32) -> None:
        super().__init__()
        widths = (4, width, 2 * width, 4 * width, 4 * width)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU())
                for before, after in pairwise(widths)
            )
        )
        self.head = nn.Sequential(nn.Linear(8 * width, 8 * width), nn.SiLU(), nn.Linear(8 * width, text_width))
        self.norm = nn.LayerNorm(text_width, elementwise_affine=False)

    def forward(self, images: ImageBatch, masks: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B D"]:
        """Return vectors with the deviation of token embeddings for images in [-1, 1] and the masks of their defects.

        The features of the defect and those of its surroundings are averaged apart: a defect is a difference.
        """
        features = self.layers(torch.cat([images, masks], dim=1))
        inside = functional.interpolate(masks, features.shape[2:], mode="area")
        means = [(features * weights).sum((2, 3)) / (weights.sum((2, 3)) + 1e-3) for weights in (inside, 1 - inside)]
        return self.norm(self.head(torch.cat(means, dim=1))) * TOKEN_DEVIATION


def build_autoencoder(settings: NetworkSettings) -> AutoencoderTiny:
    """Return an untrained deterministic autoencoder with `settings.latent_channels` channels per 4x4 pixels."""
    stages = len(settings.encoder_blocks)
    return AutoencoderTiny(
        latent_channels=settings.latent_channels,
        encoder_block_out_channels=(settings.encoder_width,) * stages,
        decoder_block_out_channels=(settings.decoder_width,) * stages,
        num_encoder_blocks=settings.encoder_blocks,
        num_decoder_blocks=settings.decoder_blocks,
    )


def build_denoiser(settings: NetworkSettings, tokenizer: CLIPTokenizer) -> Denoiser:
    """Return an untrained denoiser: convolutions alone at the finest level, attention one level down and in the middle.

    Attention at the finest level would double the cost of a step on a CPU.
    """
    middle = len(settings.unet_channels) - 2
    unet = UNet2DConditionModel(
        sample_size=settings.image_size // LATENT_CELL,
        in_channels=2 * settings.latent_channels + 1,  # noisy latents, the mask, the photo to paint on
        out_channels=settings.latent_channels,
        block_out_channels=settings.unet_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", *("DownBlock2D",) * middle),
        up_block_types=(*("UpBlock2D",) * middle, "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=settings.text_width,
        attention_head_dim=4,  # diffusers reads this as the number of heads
    )
    return Denoiser(unet, _build_text_encoder(settings, tokenizer))


def build_scheduler() -> DDIMScheduler:
    """Return the noise schedule of latent diffusion models (Rombach et al., 2022), for a UNet that predicts v."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


def _build_text_encoder(settings: NetworkSettings, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_width,
        intermediate_size=4 * settings.text_width,
        projection_dim=settings.text_width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=PROMPT_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    encoder = CLIPTextModel(config)
    # CLIP's 0.02 drowns a word under what two layers add to it, and the UNet then sees one text for every prompt.
    nn.init.normal_(encoder.get_input_embeddings().weight, std=TOKEN_DEVIATION)
    return encoder


@torch.no_grad()
def encode(autoencoder: AutoencoderTiny, images: Float[Tensor, "B 3 H W"]) -> Latents:
    """Return the scaled latents of images in [-1, 1]: about unit variance, one cell per 4x4 pixels."""
    return autoencoder.encode(images).latents * autoencoder.config.scaling_factor


@torch.no_grad()
def show(autoencoder: AutoencoderTiny, photos: ImageBatch, mask: LatentMask) -> Surroundings:
    """Return the mask and the latents of photos without a defect: what the model is to paint on.

    The latents are not scaled, as in InstructPix2Pix (Brooks et al., 2023).
    """
    return torch.cat([mask, autoencoder.encode(photos).latents], dim=1)
