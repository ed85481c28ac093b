"""Begin a training with the weights of an exported pipeline."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel

from anogen_core.errors import InputError
from anogen_core.pretrained import UNREADABLE, load_network
from anogen_core.pretraining.networks import Denoiser


def load_autoencoder(pipeline: Path) -> AutoencoderTiny:
    """Return the autoencoder of a pipeline as float32.

    Raises:
        InputError: its files are damaged or lack values.
    """
    autoencoder = _load(AutoencoderTiny, pipeline / "vae")
    # Diffusers would write into every export where this one was.
    autoencoder.register_to_config(_name_or_path="")
    return autoencoder.float()


def load_weights(pipeline: Path, denoiser: Denoiser) -> None:
    """Give a denoiser the weights of a pipeline of the same sizes.

    A pipeline that was shown noisy latents alone may grow into one that is shown the surroundings as well: the weights
    of the channels that it lacks are zero in the beginning, so both predict the same.

    Raises:
        InputError: the pipeline's networks have other sizes, or its files are damaged or lack values.
    """
    loaded = _load(UNet2DConditionModel, pipeline / "unet")
    text = _load(CLIPTextModel, pipeline / "text_encoder")
    channels, wanted = list(loaded.config.block_out_channels), list(denoiser.unet.config.block_out_channels)
    width, wanted_width = text.config.hidden_size, denoiser.text_encoder.config.hidden_size
    if (channels, width) != (wanted, wanted_width):
        raise InputError(
            f"{pipeline}: cannot be the start, its networks have other sizes: unet_channels {channels} and text_width "
            f"{width}, where {wanted} and {wanted_width} were expected. Set `networks` in the settings to its sizes."
        )
    unet = loaded.float().state_dict()
    widened = torch.zeros_like(denoiser.unet.conv_in.weight)
    widened[:, : unet["conv_in.weight"].shape[1]] = unet["conv_in.weight"]
    denoiser.unet.load_state_dict(unet | {"conv_in.weight": widened})
    denoiser.text_encoder.load_state_dict(text.float().state_dict())


def _load(kind: Any, directory: Path) -> Any:
    try:
        return load_network(kind, directory)
    except UNREADABLE as error:
        raise InputError(
            f"--start: {directory} cannot be loaded ({error}). Expected the {kind.__name__} of a pipeline that "
            "`anogen pretrain` wrote; copy it there again."
        ) from error
