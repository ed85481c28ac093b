"""The trained networks as one directory in diffusers' layout."""

import json
import tempfile
from copy import deepcopy
from pathlib import Path

from diffusers import AutoencoderTiny, StableDiffusionInstructPix2PixPipeline
from transformers import CLIPTokenizer

from anogen_core.pretraining.networks import Denoiser, build_scheduler


def assemble_pipeline(
    denoiser: Denoiser, autoencoder: AutoencoderTiny, tokenizer: CLIPTokenizer
) -> StableDiffusionInstructPix2PixPipeline:
    """Return the networks as a pipeline that edits photos, without safety checker."""
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=autoencoder,
        text_encoder=denoiser.text_encoder,
        tokenizer=tokenizer,
        unet=denoiser.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def export_pipeline(
    denoiser: Denoiser, autoencoder: AutoencoderTiny, tokenizer: CLIPTokenizer, *, directory: Path
) -> None:
    """Write the pipeline in half precision; each file is replaced whole, others (the model card) stay."""
    directory.mkdir(parents=True, exist_ok=True)
    halves = deepcopy(denoiser).cpu().half(), deepcopy(autoencoder).cpu().half()
    pipeline = assemble_pipeline(*halves, tokenizer)
    with tempfile.TemporaryDirectory(dir=directory.parent) as name:
        staging = Path(name)
        pipeline.save_pretrained(staging, safe_serialization=True)
        _write_float32(staging / "text_encoder" / "config.json")
        _drop_derived(staging / "vae" / "config.json")
        for file in sorted(path for path in staging.rglob("*") if path.is_file()):
            target = directory / file.relative_to(staging)
            target.parent.mkdir(exist_ok=True)
            file.chmod(0o644)
            file.replace(target)


def _write_float32(config: Path) -> None:
    """Make transformers load the half-precision weights as float32, as diffusers does with the other networks."""
    values = json.loads(config.read_text()) | {"dtype": "float32"}
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _drop_derived(config: Path) -> None:
    """Leave out the one value that `AutoencoderTiny` writes yet warns of when it reads it."""
    values = json.loads(config.read_text())
    del values["block_out_channels"]
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
