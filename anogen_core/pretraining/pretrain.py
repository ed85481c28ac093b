"""The whole making of a base model: render scenes, train the autoencoder, train the denoiser, export."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny

from anogen_core.diffusion import StableDiffusionSettings
from anogen_core.pretraining.autoencoder import (
    AutoencoderTrainer,
    AutoencoderTraining,
    fit_scaling_factor,
    round_trip_psnr,
)
from anogen_core.pretraining.corpus import CorpusSettings, render_corpus
from anogen_core.pretraining.crops import Crops
from anogen_core.pretraining.denoiser import DenoiserTrainer, DenoiserTraining
from anogen_core.pretraining.export import export_pipeline
from anogen_core.pretraining.loop import run_training
from anogen_core.pretraining.networks import NetworkSettings, build_autoencoder, build_denoiser
from anogen_core.pretraining.parallel import rank, wait_for_all
from anogen_core.pretraining.samples import paint_prompts, save_sheet
from anogen_core.pretraining.vocabulary import build_tokenizer, known_words
from anogen_core.pretraining.warm_start import load_autoencoder, load_weights
from anogen_core.procedural.scene import DEFECTS
from anogen_core.seeding import derive_seed, torch_seed
from anogen_core.settings import Settings

log = logging.getLogger(__name__)


class PretrainingSettings(Settings):
    """All that decides the weights; the defaults suit two CPU cores, `bundled.yaml` made the model that ships."""

    networks: NetworkSettings = NetworkSettings()
    """Sizes."""
    corpus: CorpusSettings = CorpusSettings()
    """Scenes to learn from."""
    autoencoder: AutoencoderTraining = AutoencoderTraining()
    """Training of the autoencoder."""
    denoiser: DenoiserTraining = DenoiserTraining()
    """Training of the UNet and the text encoder."""
    seed: int = 0
    """Seed of the initial weights."""


@dataclass(frozen=True)
class Place:
    """Where a training runs and what it may use."""

    work: Path
    """Corpus, checkpoints and contact sheets."""
    out: Path
    """The exported pipeline."""
    device: torch.device
    minutes: float = math.inf
    """Time for the training of the denoiser; it can be resumed."""
    start: Path | None = None
    """Pipeline of the same sizes whose weights are the starting point; its autoencoder is taken as it is."""


def pretrain(settings: PretrainingSettings, place: Place) -> Path:
    """Make a base model, resuming what `place.work` holds, and return the directory of the exported pipeline."""
    place.work.mkdir(parents=True, exist_ok=True)
    if rank() == 0:
        render_corpus(place.work, settings.corpus)
    wait_for_all()
    crops = Crops(render_corpus(place.work, settings.corpus), place.device)
    autoencoder = _train_autoencoder(settings, crops, place)
    tokenizer = build_tokenizer(known_words())
    with torch_seed(derive_seed(settings.seed, "denoiser")):
        denoiser = build_denoiser(settings.networks, tokenizer).to(place.device)
    if place.start is not None:
        load_weights(place.start, denoiser)
    trainer = DenoiserTrainer(denoiser, tokenizer, autoencoder, crops, settings.denoiser)

    def publish(step: int) -> None:
        export_pipeline(trainer.averaged, autoencoder, tokenizer, directory=place.out)
        draw_sheet(place.out, crops, place.work / "painted.png")
        log.info("exported step %d to %s", step, place.out)

    run_training(trainer, place.work, steps=settings.denoiser.steps, minutes=place.minutes, on_checkpoint=publish)
    return place.out


def _train_autoencoder(settings: PretrainingSettings, crops: Crops, place: Place) -> AutoencoderTiny:
    """Return the trained, frozen autoencoder with its scaling factor set."""
    if place.start is not None:
        return load_autoencoder(place.start).to(place.device).requires_grad_(requires_grad=False)
    with torch_seed(derive_seed(settings.seed, "autoencoder")):
        autoencoder = build_autoencoder(settings.networks).to(place.device)
    run_training(
        AutoencoderTrainer(autoencoder, crops, settings.autoencoder), place.work, steps=settings.autoencoder.steps
    )
    factor = fit_scaling_factor(autoencoder, crops)
    images = crops.draw(torch.Generator(place.device).manual_seed(1), count=64, size=64).images
    log.info("autoencoder: %.2f dB on 64 crops, scaling factor %.4f", round_trip_psnr(autoencoder, images), factor)
    return autoencoder.requires_grad_(requires_grad=False)


def draw_sheet(pipeline: Path, crops: Crops, target: Path) -> None:
    """Write a contact sheet of an exported pipeline: pairs of a normal crop and a defect painted into its middle."""
    model = StableDiffusionSettings(directory=str(pipeline)).build(torch.device("cpu"))
    prompts = [f"a photo of a {defect}" for defect in DEFECTS for _ in range(2)]
    masks = torch.zeros(len(prompts), 1, 64, 64)
    masks[:, :, 16:48, 16:48] = 1
    normal = _normal_crops(crops, len(prompts))
    painted = paint_prompts(model, prompts, normal, masks)
    save_sheet(torch.stack([normal, painted], dim=1).flatten(0, 1), target, columns=14)


def _normal_crops(crops: Crops, count: int) -> torch.Tensor:
    """Return `count` crops (B,3,64,64) as they are without a defect."""
    return crops.draw(torch.Generator(crops.device).manual_seed(2), count=count, size=64).flawless.cpu()
