"""The whole making of a base model: render scenes, train the autoencoder, train the denoiser, export."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from pydantic import NonNegativeInt

from anogen_core.diffusion import StableDiffusionSettings
from anogen_core.digests import digest_files
from anogen_core.pretraining.autoencoder import (
    AutoencoderTrainer,
    AutoencoderTraining,
    fit_scaling_factor,
    round_trip_psnr,
)
from anogen_core.pretraining.checkpoint import Identity, check_checkpoints, digest_weights, identify
from anogen_core.pretraining.corpus import CorpusFiles, CorpusSettings
from anogen_core.pretraining.crops import Crops
from anogen_core.pretraining.deadline import NEVER
from anogen_core.pretraining.denoiser import DenoiserTrainer, DenoiserTraining
from anogen_core.pretraining.export import export_pipeline
from anogen_core.pretraining.loop import run_training
from anogen_core.pretraining.networks import NetworkSettings, build_autoencoder, build_denoiser
from anogen_core.pretraining.parallel import agree, rank
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
    seed: NonNegativeInt = 0
    """Seed of the initial weights."""


@dataclass(frozen=True)
class Place:
    """Where a training runs and what it may use."""

    work: Path
    """Corpus, checkpoints and contact sheets."""
    out: Path
    """The exported pipeline."""
    device: torch.device
    deadline: float = NEVER
    """When to stop, in seconds of `time.monotonic()`; running again goes on."""
    start: Path | None = None
    """Pipeline of the same sizes whose weights are the starting point; its autoencoder is taken as it is."""


def pretrain(settings: PretrainingSettings, place: Place) -> Path | None:
    """Make a base model, resuming what `place.work` holds, and return the directory of the exported pipeline.

    None is returned where the deadline came before there was one.

    Raises:
        InputError: the photos or the starting point cannot be used, or `place.work` holds another training or a
            damaged checkpoint.
        TrainingError: the loss is not a finite number.
    """
    place.work.mkdir(parents=True, exist_ok=True)
    corpus = CorpusFiles(place.work, settings.corpus)
    identities = _identities(settings, corpus.identity, place.start)
    check_checkpoints(place.work, identities)
    if not agree(rank() == 0 and corpus.render(place.deadline)):
        return None
    crops = Crops(corpus.load(), place.device)
    if place.start is None:
        autoencoder = _train_autoencoder(settings, crops, place, identities[AutoencoderTrainer.name])
    else:
        autoencoder = load_autoencoder(place.start).to(place.device)
    if autoencoder is None:
        return None
    autoencoder.requires_grad_(requires_grad=False)
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

    reached = run_training(
        trainer,
        place.work,
        identity=identities[trainer.name] | {"autoencoder": digest_weights(autoencoder)},
        steps=settings.denoiser.steps,
        deadline=place.deadline,
        on_checkpoint=publish,
    )
    return place.out if reached > 0 else None


def _identities(settings: PretrainingSettings, corpus: Identity, start: Path | None) -> dict[str, Identity]:
    """Return what decides each training by its name; the denoiser's lacks the weights of the autoencoder."""
    both = {**corpus, **identify("networks", settings.networks), "seed": settings.seed}
    # A longer training would replace the autoencoder whose latents the denoiser has begun to learn.
    denoiser = {**both, **identify("denoiser", settings.denoiser), "autoencoder.steps": settings.autoencoder.steps}
    if start is None:
        autoencoder = {**both, **identify("autoencoder", settings.autoencoder)}
        return {AutoencoderTrainer.name: autoencoder, DenoiserTrainer.name: denoiser | {"start": None}}
    files = (file for part in ("vae", "unet", "text_encoder") for file in (start / part).glob("*"))
    return {DenoiserTrainer.name: denoiser | {"autoencoder.steps": None, "start": digest_files(start, files)[:16]}}


def _train_autoencoder(
    settings: PretrainingSettings, crops: Crops, place: Place, identity: Identity
) -> AutoencoderTiny | None:
    """Return the trained autoencoder with its scaling factor set; None where the deadline came first."""
    with torch_seed(derive_seed(settings.seed, "autoencoder")):
        autoencoder = build_autoencoder(settings.networks).to(place.device)
    steps = settings.autoencoder.steps
    trainer = AutoencoderTrainer(autoencoder, crops, settings.autoencoder)
    if run_training(trainer, place.work, identity=identity, steps=steps, deadline=place.deadline) < steps:
        return None
    factor = fit_scaling_factor(autoencoder, crops)
    images = crops.draw(torch.Generator(place.device).manual_seed(1), count=64, size=64).images
    log.info("autoencoder: %.2f dB on 64 crops, scaling factor %.4f", round_trip_psnr(autoencoder, images), factor)
    return autoencoder


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
