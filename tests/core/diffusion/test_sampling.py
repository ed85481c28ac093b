"""Blended sampling against diffusers' own pipeline and against its definition."""

from pathlib import Path

import pytest
import torch

from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.sampling import SamplerSettings, sample_blended
from anogen_core.seeding import torch_generator


def _noise() -> torch.Tensor:
    return torch.randn((2, 4, 16, 16), generator=torch_generator(3))


@pytest.mark.parametrize("kind", ["ddim", "dpm_solver", "unipc"])
def test_full_mask_equals_the_diffusers_pipeline(kind: str, tiny_model: DiffusionModel, tiny_directory: Path) -> None:
    """With the mask all ones, our sampler is diffusers' pipeline for the same noise, scheduler and prompt."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline, UniPCMultistepScheduler

    pipeline = StableDiffusionPipeline.from_pretrained(str(tiny_directory), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if kind != "ddim":
        classes = {"dpm_solver": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}
        pipeline.scheduler = classes[kind].from_config(pipeline.scheduler.config)
    noise = _noise()
    expected = pipeline(
        ["a photo of a scratch"] * 2,
        latents=noise.clone(),
        num_inference_steps=7,
        guidance_scale=4.0,
        output_type="latent",
    ).images
    texts = (tiny_model.condition([""] * 2), tiny_model.condition(["a photo of a scratch"] * 2))

    ours = sample_blended(
        tiny_model,
        torch.zeros_like(noise),
        torch.ones(2, 1, 16, 16),
        noise=noise,
        conditioning=texts,
        settings=SamplerSettings(kind=kind, num_inference_steps=7, guidance_scale=4.0),
    )

    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("kind", ["ddim", "dpm_solver", "unipc"])
def test_latents_outside_the_mask_are_the_background(kind: str, strength: float, tiny_model: DiffusionModel) -> None:
    """After the last blend, latents outside the mask equal the normal image's latents exactly; inside they differ."""
    noise = _noise()
    background = torch.randn(noise.shape, generator=torch_generator(4))
    mask = torch.zeros(2, 1, 16, 16)
    mask[:, :, 4:9, 5:12] = 1
    texts = (tiny_model.condition([""] * 2), tiny_model.condition(["scratch"] * 2))
    settings = SamplerSettings(kind=kind, num_inference_steps=5, strength=strength)

    latents = sample_blended(tiny_model, background, mask, noise=noise, conditioning=texts, settings=settings)

    outside = (1 - mask).bool().expand_as(latents)
    assert torch.equal(latents[outside], background[outside])
    assert not torch.allclose(latents[~outside], background[~outside], atol=1e-2)
    assert torch.isfinite(latents).all()


def test_placeholder_equals_textual_inversion_of_diffusers(tiny_model: DiffusionModel, tiny_directory: Path) -> None:
    """Injected vectors give the text encoding of a pipeline that loaded them as a textual inversion."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(str(tiny_directory), local_files_only=True)
    vectors = torch.randn((2, 24), generator=torch_generator(5))
    pipeline.load_textual_inversion({"<concept>": vectors}, token="<concept>")  # noqa: S106
    prompt = pipeline.maybe_convert_prompt("a photo of a <concept>", pipeline.tokenizer)
    ids = pipeline.tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = pipeline.text_encoder(ids)[0]
        ours = tiny_model.condition(["a photo of a {}"], vectors[None])

    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
