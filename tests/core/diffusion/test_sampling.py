"""Blended sampling against diffusers' own pipeline and against its definition."""

import functools
import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from anogen_core.diffusion import BundledModelSettings, StableDiffusionSettings
from anogen_core.diffusion.embedding_file import learned_embeds
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.sampling import SamplerSettings, sample_blended
from anogen_core.seeding import torch_generator

if TYPE_CHECKING:
    from diffusers import StableDiffusionInpaintPipeline


def _noise() -> torch.Tensor:
    return torch.randn((2, 4, 16, 16), generator=torch_generator(3))


def _photos() -> torch.Tensor:
    return torch.rand((2, 3, 32, 32), generator=torch_generator(6)) * 2 - 1


@pytest.mark.parametrize(("kind", "guidance"), [("ddim", 4.0), ("dpm_solver", 4.0), ("unipc", 4.0), ("ddim", 1.0)])
def test_full_mask_equals_the_diffusers_pipeline(
    kind: str, guidance: float, tiny_model: DiffusionModel, tiny_directory: Path
) -> None:
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
        guidance_scale=guidance,
        output_type="latent",
    ).images
    texts = (tiny_model.condition([""] * 2), tiny_model.condition(["a photo of a scratch"] * 2))

    ours = sample_blended(
        tiny_model,
        torch.zeros_like(noise),
        torch.ones(2, 1, 16, 16),
        noise=noise,
        conditioning=texts,
        settings=SamplerSettings(kind=kind, num_inference_steps=7, guidance_scale=guidance),
    )

    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.fixture
def inpainting(
    tiny_inpainting_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[DiffusionModel, "StableDiffusionInpaintPipeline"]:
    """Our model and diffusers' pipeline of one directory.

    Diffusers draws the masked photo's latents from the autoencoder's posterior; ours are its mode, so that a request is
    decided by its noise alone. Here diffusers takes the mode as well.
    """
    from diffusers import StableDiffusionInpaintPipeline
    from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_inpaint as module

    mode = functools.partial(module.retrieve_latents, sample_mode="argmax")
    monkeypatch.setattr(module, "retrieve_latents", mode)
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(str(tiny_inpainting_directory), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    # The layout that ours has on a CPU, so that both round alike.
    pipeline.vae.to(memory_format=torch.channels_last)
    model = StableDiffusionSettings(directory=str(tiny_inpainting_directory)).build(torch.device("cpu"))
    return model, pipeline


@pytest.mark.parametrize("kind", ["ddim", "dpm_solver", "unipc"])
def test_full_mask_equals_the_inpainting_pipeline(
    kind: str, inpainting: tuple[DiffusionModel, "StableDiffusionInpaintPipeline"]
) -> None:
    """With the mask all ones and its surroundings shown, our sampler is diffusers' inpainting pipeline."""
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

    model, pipeline = inpainting
    classes = {"ddim": DDIMScheduler, "dpm_solver": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}
    pipeline.scheduler = classes[kind].from_config(pipeline.scheduler.config)
    noise, photos = _noise(), _photos()
    prompts = ["a photo of a scratch"] * 2
    expected = pipeline(
        prompts,
        image=photos,
        mask_image=torch.ones(2, 1, 32, 32),
        height=32,
        width=32,
        latents=noise.clone(),
        num_inference_steps=7,
        guidance_scale=4.0,
        strength=1.0,
        output_type="latent",
    ).images
    mask = torch.ones(2, 1, 16, 16)

    ours = sample_blended(
        model,
        model.encode(photos),
        mask,
        noise=noise,
        conditioning=(model.condition([""] * 2), model.condition(prompts)),
        settings=SamplerSettings(kind=kind, num_inference_steps=7, guidance_scale=4.0),
        surroundings=model.surroundings(photos, mask),
    )

    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_surroundings_equal_those_of_the_inpainting_pipeline(
    inpainting: tuple[DiffusionModel, "StableDiffusionInpaintPipeline"],
) -> None:
    """For a mask inside the photo: the mask channel and the masked photo's latents that diffusers shows its UNet."""
    model, pipeline = inpainting
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, :, 3:9, 5:12] = 1
    mask[1, :, 0:2] = 1
    pixels = mask.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    photos = _photos()
    with torch.no_grad():
        shown = pipeline.prepare_mask_latents(
            pixels,
            photos * (pixels < 0.5),
            2,
            32,
            32,
            torch.float32,
            torch.device("cpu"),
            None,
            False,  # noqa: FBT003
        )

    ours = model.surroundings(photos, mask)

    assert ours is not None
    torch.testing.assert_close(ours, torch.cat(shown, dim=1), atol=1e-5, rtol=1e-5)


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

    start = None if strength == 1 else background
    latents = sample_blended(
        tiny_model, background, mask, noise=noise, conditioning=texts, settings=settings, start=start
    )

    outside = (1 - mask).bool().expand_as(latents)
    assert torch.equal(latents[outside], background[outside])
    assert not torch.allclose(latents[~outside], background[~outside], atol=1e-2)
    assert torch.isfinite(latents).all()


@pytest.mark.parametrize(("from_photo", "steps"), [(True, 12), (False, 50)])
def test_fewer_steps_are_run_from_a_photo(
    *, from_photo: bool, steps: int, tiny_model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default 60 % of 20 from a photo, and the paper's 50 from noise."""
    noise, seen = _noise(), []
    texts = (tiny_model.condition([""] * 2), tiny_model.condition(["scratch"] * 2))
    predict = tiny_model.predict

    def counted(*given: torch.Tensor | None, static: bool) -> torch.Tensor:
        seen.append(given[1])
        return predict(*given, static=static)  # type: ignore[arg-type]

    monkeypatch.setattr(tiny_model, "predict", counted)

    sample_blended(
        tiny_model, noise, torch.ones(2, 1, 16, 16), noise=noise, conditioning=texts, settings=SamplerSettings(),
        start=noise if from_photo else None,
    )  # fmt: skip

    assert len(seen) == steps


@pytest.mark.parametrize("num_vectors", [1, 3])
def test_placeholder_equals_textual_inversion_of_diffusers(
    num_vectors: int, tiny_model: DiffusionModel, tiny_directory: Path, tmp_path: Path
) -> None:
    """Injected vectors give the text encoding of a pipeline that loaded their file as a textual inversion."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(str(tiny_directory), local_files_only=True)
    vectors = torch.randn((num_vectors, 24), generator=torch_generator(5))
    (tmp_path / "learned_embeds.safetensors").write_bytes(learned_embeds("<bolt-cut>", vectors))
    pipeline.load_textual_inversion(str(tmp_path / "learned_embeds.safetensors"))
    prompts = ["a photo of a {}", "{}", "the {} of a scratch"]
    written = [pipeline.maybe_convert_prompt(p.format("<bolt-cut>"), pipeline.tokenizer) for p in prompts]
    ids = pipeline.tokenizer(written, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = pipeline.text_encoder(ids)[0]
        ours = tiny_model.condition(prompts, vectors[None].expand(3, -1, -1))
        without = tiny_model.condition(prompts, torch.zeros(3, num_vectors, 24))

    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(ours, without, atol=1e-3)


@pytest.mark.parametrize("num_vectors", [1, 3])
def test_a_text_encoder_that_masks_padding_equals_diffusers(
    num_vectors: int, tiny_directory: Path, tmp_path: Path
) -> None:
    """With `use_attention_mask` the encoding is that of StableDiffusionPipeline, also of a learned embedding."""
    from diffusers import StableDiffusionPipeline

    shutil.copytree(tiny_directory, tmp_path / "masked")
    config = tmp_path / "masked" / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_attention_mask": True}))
    pipeline = StableDiffusionPipeline.from_pretrained(str(tmp_path / "masked"), local_files_only=True)
    vectors = torch.randn((num_vectors, 24), generator=torch_generator(5))
    (tmp_path / "learned_embeds.safetensors").write_bytes(learned_embeds("<bolt-cut>", vectors))
    pipeline.load_textual_inversion(str(tmp_path / "learned_embeds.safetensors"))
    prompts = ["a photo of a {}", "{}", " ".join(["the {} of"] + ["a scratch"] * 40)]
    written = [p.format("<bolt-cut>") for p in prompts]
    with torch.no_grad():
        expected, empty = pipeline.encode_prompt(written, "cpu", 1, do_classifier_free_guidance=True)
    model = StableDiffusionSettings(directory=str(tmp_path / "masked")).build(torch.device("cpu"))

    with torch.no_grad():
        ours = model.condition(prompts, vectors[None].expand(3, -1, -1))
        without = model.condition([""] * 3)

    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(without, empty, atol=1e-5, rtol=1e-5)


def test_threads_that_share_a_model_keep_their_concepts_apart(tiny_model: DiffusionModel) -> None:
    """Several shards or groups of defects may be in work at a time; one asks while the other is being encoded."""
    vectors = torch.randn((1, 1, 24), generator=torch_generator(6))
    expected = [tiny_model.condition(["{}"], vectors), tiny_model.condition(["scratch"])]
    with ThreadPoolExecutor(1) as pool:
        asked: list[Future[torch.Tensor]] = []

        def ask(*_: object) -> None:
            if not asked:
                asked.append(pool.submit(tiny_model.condition, ["scratch"]))
                wait(asked, timeout=0.3)

        hook = tiny_model._text_encoder.register_forward_pre_hook(ask)  # type: ignore[attr-defined]
        found = tiny_model.condition(["{}"], vectors)
        hook.remove()

    assert torch.equal(found, expected[0])
    assert torch.equal(asked[0].result(), expected[1])


def test_models_that_edit_photos_need_no_guidance(tiny_model: DiffusionModel) -> None:
    """The bundled model's default is one pass per step, that of a text-to-image model is guided."""
    bundled = BundledModelSettings().build(torch.device("cpu"))

    assert bundled.guidance == 1
    assert tiny_model.guidance == 3


def test_known_latents_serve_models_that_see_the_whole_photo(
    inpainting: tuple[DiffusionModel, "StableDiffusionInpaintPipeline"],
) -> None:
    """They are what an editing model would have made of the photo; an inpainting model must not see what they hold."""
    for model in (BundledModelSettings().build(torch.device("cpu")), inpainting[0]):
        mask = torch.zeros(2, 1, 32 // model.factor, 32 // model.factor)
        mask[:, :, 2:6, 3:7] = 1
        expected = model.surroundings(_photos(), mask)
        assert expected is not None

        found = model.surroundings(_photos(), mask, model.encode(_photos()))

        assert found is not None
        assert torch.equal(found, expected)
