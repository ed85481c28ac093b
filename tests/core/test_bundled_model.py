"""The bundled base model as a user meets it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusers import DiffusionPipeline, StableDiffusionInstructPix2PixPipeline
from torch.nn import functional

import anogen_core
from anogen_core import pretraining
from anogen_core.pretraining.autoencoder import round_trip_psnr
from anogen_core.pretraining.networks import encode, show
from anogen_core.pretraining.pretrain import PretrainingSettings
from anogen_core.pretraining.vocabulary import PROMPT_LENGTH, build_tokenizer, known_words
from anogen_core.procedural.scene import DEFECTS, MATERIALS, render_scene
from anogen_core.seeding import derive_seed, numpy_generator, torch_generator

BUNDLED = Path(anogen_core.__file__).parent / "diffusion" / "bundled"
HELD_OUT_SEED = 987_654_321
"""Scenes of this seed are in no training corpus."""


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionInstructPix2PixPipeline:
    loaded = DiffusionPipeline.from_pretrained(BUNDLED, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@dataclass(frozen=True)
class Scenes:
    """Photos of scenes that no training saw, in [-1, 1], without and with a defect, and its latent cells."""

    flawless: torch.Tensor
    images: torch.Tensor
    cells: torch.Tensor


def render(names: list[str], *, size: int) -> Scenes:
    seeds = [derive_seed(HELD_OUT_SEED, "scene", index) for index in range(len(names))]
    scenes = [
        render_scene(numpy_generator(seed), size=size, defect=name) for seed, name in zip(seeds, names, strict=True)
    ]
    flawless, images = (
        torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 127.5 - 1
        for photos in zip(*((scene.flawless, scene.image) for scene in scenes), strict=True)
    )
    masks = torch.from_numpy(np.stack([scene.mask for scene in scenes])).float()[:, None]
    return Scenes(flawless, images, functional.max_pool2d(masks, 4))


@pytest.fixture(scope="module")
def held_out() -> Scenes:
    """Six scenes of 128 pixels with a defect each."""
    return render(list(DEFECTS[:6]), size=128)


@dataclass(frozen=True)
class Task:
    """Noisy latents of images at one timestep, with a place to paint in each."""

    noisy: torch.Tensor
    around: torch.Tensor
    velocity: torch.Tensor
    timestep: int

    def predict(self, pipeline: StableDiffusionInstructPix2PixPipeline, prompts: list[str]) -> torch.Tensor:
        with torch.no_grad():
            ids = pipeline.tokenizer(
                prompts, padding="max_length", truncation=True, max_length=PROMPT_LENGTH, return_tensors="pt"
            ).input_ids
            text = pipeline.text_encoder(ids)[0]
            return pipeline.unet(torch.cat([self.noisy, self.around], dim=1), self.timestep, text).sample


def set_task(
    pipeline: StableDiffusionInstructPix2PixPipeline, scenes: Scenes, places: torch.Tensor, timestep: int
) -> Task:
    latents, moment = encode(pipeline.vae, scenes.images), torch.tensor([timestep])
    noise = torch.randn(latents.shape, generator=torch_generator(timestep))
    return Task(
        noisy=pipeline.scheduler.add_noise(latents, noise, moment),
        around=show(pipeline.vae, scenes.flawless, places),
        velocity=pipeline.scheduler.get_velocity(latents, noise, moment),
        timestep=timestep,
    )


def middle_boxes(count: int) -> torch.Tensor:
    """Return (count, 1, 32, 32) with the middle quarter to paint."""
    places = torch.zeros(count, 1, 32, 32)
    places[:, :, 8:24, 8:24] = 1
    return places


def test_bundled_directory_loads_as_an_editing_pipeline_in_float32(
    pipeline: StableDiffusionInstructPix2PixPipeline,
) -> None:
    """Diffusers' generic loader gives a complete editing pipeline from local files alone."""
    assert isinstance(pipeline, StableDiffusionInstructPix2PixPipeline)
    assert pipeline.safety_checker is None
    for network in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_bundled_directory_stays_under_forty_megabytes() -> None:
    """The model travels with the package, so it must stay small."""
    assert sum(file.stat().st_size for file in BUNDLED.rglob("*") if file.is_file()) < 40 * 2**20


def test_the_settings_of_the_shipped_model_can_be_used_and_give_its_sizes(
    pipeline: StableDiffusionInstructPix2PixPipeline,
) -> None:
    """The file that the card names is read by the training, and builds networks of the shipped sizes."""
    stated = yaml.safe_load((Path(pretraining.__file__).parent / "bundled.yaml").read_text())

    settings = PretrainingSettings.model_validate(stated)

    assert list(settings.networks.unet_channels) == pipeline.unet.config.block_out_channels
    assert settings.networks.text_width == pipeline.text_encoder.config.hidden_size
    assert settings.networks.latent_channels == pipeline.vae.config.latent_channels


def test_bundled_model_has_a_card() -> None:
    """The card names the licence, the data, the limits and the command that made the weights."""
    card = (BUNDLED / "README.md").read_text()

    for word in ("Apache-2.0", "-m anogen_core.pretraining.train", "Limits", "Data"):
        assert word in card


def test_every_training_word_is_one_token_of_the_shipped_tokenizer(
    pipeline: StableDiffusionInstructPix2PixPipeline,
) -> None:
    """Words of inspection are single tokens, so each is a possible initializer of an embedding."""
    assert len(pipeline.tokenizer.tokenize("defect")) == 1
    for word in (*" ".join((*DEFECTS, *MATERIALS)).split(), "photo", "surface"):
        assert len(pipeline.tokenizer.tokenize(word)) == 1, word


def test_placeholder_token_can_be_added(pipeline: StableDiffusionInstructPix2PixPipeline) -> None:
    """A textual-inversion placeholder becomes one token at its place in the prompt."""
    tokenizer = build_tokenizer(known_words())

    assert tokenizer.add_tokens(["<blowhole>"]) == 1
    assert tokenizer.tokenize("a photo of a <blowhole>")[-1] == "<blowhole>"
    assert len(tokenizer) == len(pipeline.tokenizer) + 1


def test_autoencoder_keeps_colour(pipeline: StableDiffusionInstructPix2PixPipeline) -> None:
    """A plain coloured patch comes back in its own colour, not grey."""
    colours = torch.tensor([[0.6, -0.4, -0.4], [-0.4, 0.5, -0.3], [-0.5, -0.3, 0.6], [0.5, 0.3, -0.5]])
    images = colours[:, :, None, None].expand(-1, -1, 64, 64)

    with torch.no_grad():
        decoded = pipeline.vae.decode(pipeline.vae.encode(images).latents).sample

    assert (decoded.mean((2, 3)) - colours).abs().max() < 0.15


def test_autoencoder_keeps_held_out_scenes(pipeline: StableDiffusionInstructPix2PixPipeline, held_out: Scenes) -> None:
    """Scenes that no training saw survive encoding and decoding."""
    assert round_trip_psnr(pipeline.vae, held_out.images) > 30


def test_latents_have_about_unit_deviation(pipeline: StableDiffusionInstructPix2PixPipeline, held_out: Scenes) -> None:
    """The scaling factor fits, so the noise schedule means what it says (whole scenes are flatter than crops)."""
    latents = encode(pipeline.vae, held_out.images)

    assert latents.shape == (6, pipeline.unet.config.out_channels, 32, 32)
    assert 0.4 < float(latents.std()) < 1.6


@pytest.mark.parametrize("timestep", [300, 600, 900])
def test_the_empty_prompt_keeps_the_photo(
    pipeline: StableDiffusionInstructPix2PixPipeline, held_out: Scenes, timestep: int
) -> None:
    """Flawless is the empty prompt: a quarter of the error of the best multiple of z."""
    scenes = Scenes(held_out.flawless, held_out.flawless, held_out.cells)
    places = middle_boxes(len(scenes.images))
    task = set_task(pipeline, scenes, places, timestep)
    share = float((task.noisy * task.velocity * places).sum() / (task.noisy.square() * places).sum())

    error = ((task.predict(pipeline, [""] * len(places)) - task.velocity) * places).square().sum()

    assert error < 0.25 * ((share * task.noisy - task.velocity) * places).square().sum()


def test_two_defect_words_give_two_predictions(
    pipeline: StableDiffusionInstructPix2PixPipeline, held_out: Scenes
) -> None:
    """The prompt reaches the image: another word changes the prediction by more than half precision rounds."""
    task = set_task(pipeline, held_out, middle_boxes(6), 900)

    hole, stain = (task.predict(pipeline, [f"a photo of a {word}"] * 6) for word in ("hole", "stain"))

    assert float((hole - stain).square().mean().sqrt()) > 0.003


def test_the_right_word_explains_a_defect_better_than_a_wrong_one_or_none(
    pipeline: StableDiffusionInstructPix2PixPipeline,
) -> None:
    """Words carry meaning: over held-out scenes of every defect, its own name gives the lowest masked error."""
    names = [DEFECTS[index % len(DEFECTS)] for index in range(70)]
    scenes = render(names, size=64)
    task = set_task(pipeline, scenes, scenes.cells, 800)

    def masked_error(prompts: list[str]) -> float:
        error = (task.predict(pipeline, prompts) - task.velocity).square() * scenes.cells
        return float((error.sum((1, 2, 3)) / scenes.cells.sum((1, 2, 3)).clamp_min(1)).mean())

    right, shifted, other = (
        masked_error([f"a photo of a {word}" for word in names[by:] + names[:by]]) for by in (0, 5, 9)
    )

    assert right < min(shifted, other)
    assert right < 0.97 * masked_error([""] * len(names))
