"""Base models with random weights, for benchmarks: time does not depend on the weights."""

import time
from pathlib import Path
from typing import Any, Final

import torch

from anogen_core.diffusion import BundledModelSettings, StableDiffusionSettings
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.stable_diffusion import BUNDLED

_SMALL_UNET: Final[dict[str, Any]] = {
    "block_out_channels": (64, 128, 192),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}
"""As wide as the bundled model's; the autoencoder's share of the work is as small as in the full-size ones."""


def build(kind: str, folder: Path, device: torch.device, precision: str = "fp32") -> DiffusionModel:
    """Return the bundled model, or one with random weights, written to `folder` and loaded from it."""
    if kind == "bundled":
        return BundledModelSettings.model_validate({"precision": precision}).build(device)
    write_pipeline(kind, folder)
    return StableDiffusionSettings.model_validate({"directory": str(folder), "precision": precision}).build(device)


def write_pipeline(kind: str, folder: Path) -> None:
    """Write a pipeline of diffusers: `sd15` and `ldm` of full size, `small` for a CPU, or one of the bundled size.

    A folder that holds one already stays as it is.
    """
    if (folder / "model_index.json").exists():
        return
    if kind == "bundled":
        _write_bundled(folder)
        return
    from diffusers import (  # noqa: PLC0415 - seconds to import
        AutoencoderKL,
        AutoencoderTiny,
        DDIMScheduler,
        LDMTextToImagePipeline,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )

    wide, small = kind == "ldm", kind == "small"
    # A GPU draws a billion random numbers in no time.
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    unet = UNet2DConditionModel(
        sample_size=64 if kind == "sd15" else 32,
        cross_attention_dim={"ldm": 1280, "sd15": 768, "small": 128}[kind],
        attention_head_dim=8,
        **(_SMALL_UNET if small else {}),
    )
    autoencoder = (
        AutoencoderTiny(encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4)
        if small
        else AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    if wide:
        from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (  # noqa: PLC0415
            LDMBertConfig,
            LDMBertModel,
        )
        from transformers import BertTokenizer  # noqa: PLC0415

        letters = [prefix + chr(code) for prefix in ("", "##") for code in range(ord("a"), ord("z") + 1)]
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, "photo", "of", "the", "defect"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_text("\n".join(words))
        pipeline = LDMTextToImagePipeline(
            vqvae=autoencoder,
            bert=LDMBertModel(LDMBertConfig()),
            tokenizer=BertTokenizer(str(folder / "vocab.txt")),
            unet=unet,
            scheduler=scheduler,
        )
    else:
        from transformers import CLIPTextConfig, CLIPTextModel  # noqa: PLC0415

        tokenizer = BundledModelSettings().build(torch.device("cpu"))._tokenizer  # noqa: SLF001
        tokenizer.model_max_length = 77
        text = CLIPTextConfig(
            hidden_size=128 if small else 768,
            intermediate_size=512 if small else 3072,
            num_hidden_layers=4 if small else 12,
            num_attention_heads=4 if small else 12,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        pipeline = StableDiffusionPipeline(
            vae=autoencoder,
            unet=unet,
            text_encoder=CLIPTextModel(text),
            tokenizer=tokenizer,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    torch.set_default_device("cpu")
    pipeline.save_pretrained(folder)


def _write_bundled(folder: Path) -> None:
    """Write the bundled networks as a text-to-image pipeline; its UNet is random, as it is not shown the photo."""
    from diffusers import DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel  # noqa: PLC0415

    parts = DiffusionPipeline.from_pretrained(str(BUNDLED), local_files_only=True, low_cpu_mem_usage=False).components
    channels = parts["vae"].config.latent_channels
    pipeline = StableDiffusionPipeline(
        unet=UNet2DConditionModel.from_config({**parts["unet"].config, "in_channels": channels}),
        **{name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "scheduler")},
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)


def matmul_rate(device: torch.device, size: int = 8192, count: int = 20) -> float:
    """Return the bf16 FLOP/s of a large matrix product."""
    a, b = torch.randn(2, size, size, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(count):
        a @ b
    torch.cuda.synchronize()
    return 2 * size**3 * count / (time.perf_counter() - started)
