"""Families of base models through one interface: loaded from disk, equal to diffusers' own pipelines, never fetched."""

import json
import logging
import pickle
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from anogen_core.diffusion import HubModelSettings, StableDiffusionSettings
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.sampling import SamplerSettings, sample_blended
from anogen_core.diffusion.stable_diffusion import BUNDLED
from anogen_core.errors import InputError
from anogen_core.seeding import torch_generator

CPU = torch.device("cpu")
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module", params=["kl", "vq"])
def ldm_directory(request: pytest.FixtureRequest, tiny_ldm: Callable[..., Path]) -> Path:
    return tiny_ldm(vector_quantized=request.param == "vq")


@pytest.fixture(scope="module")
def ldm(ldm_directory: Path) -> DiffusionModel:
    return StableDiffusionSettings(directory=str(ldm_directory)).build(CPU)


def _sampled(
    model: DiffusionModel,
    noise: torch.Tensor,
    prompts: list[str],
    *,
    kind: Literal["ddim", "dpm_solver", "unipc"] = "ddim",
) -> torch.Tensor:
    return sample_blended(
        model,
        torch.zeros_like(noise),
        torch.ones(len(noise), 1, *noise.shape[2:]),
        noise=noise,
        conditioning=(model.condition([""] * len(noise)), model.condition(prompts)),
        settings=SamplerSettings(kind=kind, num_inference_steps=5, guidance_scale=4.0),
    )


def test_ldm_equals_its_own_pipeline(ldm: DiffusionModel, ldm_directory: Path) -> None:
    """With the mask all ones, images are those of diffusers' LDM pipeline for the same noise and prompts."""
    from diffusers import LDMTextToImagePipeline

    pipeline = LDMTextToImagePipeline.from_pretrained(str(ldm_directory), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    noise, prompts = torch.randn((2, 4, 16, 16), generator=torch_generator(3)), ["a photo of the scratch", "defect"]
    # This pipeline counts 8 pixels to a latent cell, whatever its autoencoder does.
    size = {"height": 16 * 8, "width": 16 * 8}
    expected = pipeline(
        prompts, latents=noise.clone(), num_inference_steps=5, guidance_scale=4.0, output_type="pt", **size
    ).images

    ours = ldm.decode(_sampled(ldm, noise, prompts)) / 2 + 0.5

    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_ldm_takes_a_concept_where_the_word_would_stand(ldm: DiffusionModel) -> None:
    """A word's own vector in the placeholder gives the encoding of the word; another one moves it, with a gradient."""
    vectors = ldm.word_vector("defect").repeat(2, 1, 1).requires_grad_()
    prompts = ["a photo of the {}", "{}"]

    found = ldm.condition(prompts, vectors)

    torch.testing.assert_close(found, ldm.condition([p.format("defect") for p in prompts]))
    assert (ldm.width, ldm.resolution, found.shape) == (24, 32, (2, 77, 24))
    torch.autograd.backward(found[:, 0].square().sum())
    assert vectors.grad is not None
    assert (vectors.grad.abs().sum(dim=(1, 2)) > 0).all()
    with pytest.raises(InputError, match="'crack' is 5 tokens"):
        ldm.word_vector("crack")


def test_ldm_encodes_and_decodes(ldm: DiffusionModel) -> None:
    """Latents have one cell for each two pixels here, without a random part; images come back in their size."""
    images = torch.rand((2, 3, 32, 32), generator=torch_generator(4)) * 2 - 1

    latents = ldm.encode(images)

    assert latents.shape == (2, 4, 16, 16)
    assert torch.equal(latents, ldm.encode(images))
    assert ldm.decode(latents).shape == images.shape
    assert ldm.surroundings(images, torch.ones(2, 1, 16, 16)) is None


ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@pytest.mark.parametrize("kind", ["ddim", "dpm_solver", "unipc"])
@pytest.mark.parametrize("schedule", [{"prediction_type": "v_prediction"}, ZERO_SNR, {"prediction_type": "sample"}])
def test_what_a_network_predicts_equals_its_own_pipeline(
    schedule: dict[str, Any], kind: Literal["ddim", "dpm_solver", "unipc"], tiny_directory: Path, tmp_path: Path
) -> None:
    """Velocities (Stable Diffusion 2), also on a schedule that ends in noise alone, and samples."""
    import diffusers

    classes = {"ddim": "DDIM", "dpm_solver": "DPMSolverMultistep", "unipc": "UniPCMultistep"}
    _change(tiny_directory, tmp_path / "v", "scheduler/scheduler_config.json", schedule)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(str(tmp_path / "v"), local_files_only=True)
    pipeline.scheduler = getattr(diffusers, f"{classes[kind]}Scheduler").from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    noise, prompts = torch.randn((2, 4, 16, 16), generator=torch_generator(3)), ["a photo of a scratch"] * 2
    expected = pipeline(
        prompts, latents=noise.clone(), num_inference_steps=5, guidance_scale=4.0, output_type="latent"
    ).images

    model = StableDiffusionSettings(directory=str(tmp_path / "v")).build(CPU)
    ours = _sampled(model, noise, prompts, kind=kind)

    assert ours.isfinite().all()
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    predicted = model.predict_noise(noise, torch.tensor([500, 500]), model.condition(prompts))
    said = model.predict(noise, torch.tensor([500, 500]), model.condition(prompts))
    clean = (noise - (1 - model.alpha_bar[500]).sqrt() * predicted) / model.alpha_bar[500].sqrt()
    velocity = model.alpha_bar[500].sqrt() * predicted - (1 - model.alpha_bar[500]).sqrt() * clean
    expected_kind = clean if schedule["prediction_type"] == "sample" else velocity
    torch.testing.assert_close(said, expected_kind, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("saved", ["EulerDiscreteScheduler", "PNDMScheduler"])
def test_latents_are_not_clipped_unless_the_pipeline_says_so(saved: str, tiny_directory: Path, tmp_path: Path) -> None:
    """Schedulers that never clip store nothing of it, and DDIM's own default would clip latents at 1."""
    import diffusers

    _with_scheduler(tiny_directory, tmp_path / "saved", saved)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(str(tmp_path / "saved"), local_files_only=True)
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    noise, prompts = torch.randn((2, 4, 16, 16), generator=torch_generator(3)), ["a photo of a scratch"] * 2
    expected = pipeline(
        prompts, latents=noise.clone(), num_inference_steps=5, guidance_scale=4.0, output_type="latent"
    ).images

    ours = _sampled(StableDiffusionSettings(directory=str(tmp_path / "saved")).build(CPU), noise, prompts)

    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert ours.abs().max() > 1


SAVED: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIM", {}),
    "ddpm": ("DDPM", {}),
    "pndm": ("PNDM", {"skip_prk_steps": True}),
    "euler": ("EulerDiscrete", {}),
    "euler_ancestral": ("EulerAncestralDiscrete", {}),
    "dpm_sde_karras": ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}),
    "dpm_sde_old": ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}),
    "dpm_single": ("DPMSolverSinglestep", {"use_karras_sigmas": True}),
    "deis": ("DEISMultistep", {}),
    "unipc": ("UniPCMultistep", {}),
    "unipc_noise": ("UniPCMultistep", {"predict_x0": False}),
    "lms": ("LMSDiscrete", {}),
    "heun": ("HeunDiscrete", {}),
}
KINDS: tuple[Literal["ddim", "dpm_solver", "unipc"], ...] = ("ddim", "dpm_solver", "unipc")


@pytest.mark.filterwarnings("ignore:.*algorithm_type")
@pytest.mark.parametrize("saved", SAVED)
def test_every_sampler_is_deterministic_with_every_scheduler(saved: str, tiny_directory: Path, tmp_path: Path) -> None:
    """Whatever solver a folder was saved with, the same noise gives the same finite bytes, and none is drawn."""
    name, values = SAVED[saved]
    _with_scheduler(tiny_directory, tmp_path / "saved", f"{name}Scheduler", **values)
    model = StableDiffusionSettings(directory=str(tmp_path / "saved")).build(CPU)
    noise, before = torch.randn((1, 4, 16, 16), generator=torch_generator(3)), torch.get_rng_state()

    for kind in KINDS:
        first, second = (_sampled(model, noise, ["defect"], kind=kind) for _ in range(2))

        assert torch.equal(first, second), kind
        assert first.isfinite().all(), kind
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("saved", ["dpm_sde_karras", "deis"])
def test_a_solver_that_is_not_ours_gives_its_schedule_alone(saved: str, tiny_directory: Path, tmp_path: Path) -> None:
    """The sampler equals diffusers' deterministic DPM-Solver++ on the betas and spacing of such a folder."""
    import diffusers

    name, values = SAVED[saved]
    _with_scheduler(tiny_directory, tmp_path / "saved", f"{name}Scheduler", **values)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(str(tmp_path / "saved"), local_files_only=True)
    pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    noise, prompts = torch.randn((2, 4, 16, 16), generator=torch_generator(3)), ["a photo of a scratch"] * 2
    expected = pipeline(
        prompts, latents=noise.clone(), num_inference_steps=5, guidance_scale=4.0, output_type="latent"
    ).images

    ours = _sampled(
        StableDiffusionSettings(directory=str(tmp_path / "saved")).build(CPU), noise, prompts, kind="dpm_solver"
    )

    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def _with_scheduler(source: Path, copy: Path, name: str, **values: Any) -> None:
    """Copy a pipeline and save another scheduler of diffusers in it, with Stable Diffusion's betas."""
    import diffusers

    _change(source, copy, "model_index.json", {"scheduler": ["diffusers", name]})
    (copy / "scheduler" / "scheduler_config.json").unlink()
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    getattr(diffusers, name)(**betas, **values).save_pretrained(copy / "scheduler")


def _change(source: Path, copy: Path, file: str, values: dict[str, Any]) -> None:
    """Copy a pipeline and change values of one of its JSON files."""
    shutil.copytree(source, copy)
    path = copy / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("file", "values", "expected"),
    [
        ("unet/config.json", {"in_channels": 8}, "takes 8 channels; expected 4 .* or 9"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "'flow'; expected one of: epsilon, sample"),
        ("unet/config.json", {"out_channels": 8}, r"unet/config\.json sets out_channels: 8; expected 4"),
        ("unet/config.json", {"num_class_embeds": 4}, "sets num_class_embeds: 4; expected null.*Use a pipeline of"),
        ("unet/config.json", {"class_embed_type": "timestep"}, "sets class_embed_type: timestep; expected null"),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "sets addition_embed_type: text_time; expected"),
        ("unet/config.json", {"encoder_hid_dim_type": "image_proj"}, "sets encoder_hid_dim_type: image_proj; exp"),
        ("unet/config.json", {"time_cond_proj_dim": 8}, r"sets time_cond_proj_dim: 8; expected null.*distilled \(LCM"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, "'sigmoid'; expected one of: linear, sca"),
    ],
)
def test_networks_of_another_kind_are_refused(
    file: str, values: dict[str, Any], expected: str, tiny_directory: Path, tmp_path: Path
) -> None:
    """One that edits by 8 channels, has to be told more than a text, or predicts a flow, is named before loading."""
    _change(tiny_directory, tmp_path / "other", file, values)

    with pytest.raises(InputError, match=expected):
        StableDiffusionSettings(directory=str(tmp_path / "other")).describe()


@pytest.mark.parametrize("name", ["EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_schedules_without_betas_are_refused(name: str, tiny_directory: Path, tmp_path: Path) -> None:
    """Models of other noise schedules cannot be sampled with ours; the message says which can."""
    import diffusers

    shutil.copytree(tiny_directory, tmp_path / "other")
    (tmp_path / "other" / "scheduler" / "scheduler_config.json").unlink()
    getattr(diffusers, name)().save_pretrained(tmp_path / "other" / "scheduler")

    with pytest.raises(
        InputError, match=rf"scheduler_config\.json \({name}\) names the beta_schedule None; expected one of.*Use a "
    ):
        StableDiffusionSettings(directory=str(tmp_path / "other")).describe()


@pytest.mark.parametrize(
    ("part", "keep", "expected"),
    [
        ("unet", 0.5, r"unet: its weights lack \d+ of UNet2DConditionModel's tensors: conv_in"),
        ("vae", 0.0, "vae: its weights lack"),
        ("text_encoder", 0.9, "text_encoder: its weights lack"),
        ("text_encoder", None, "does not load"),
    ],
)
def test_weights_that_lack_values_are_refused(
    part: str, keep: float | None, expected: str, tiny_directory: Path, tmp_path: Path
) -> None:
    """The libraries would fill in random numbers; a file that was cut off is told alike."""
    shutil.copytree(tiny_directory, tmp_path / "half")
    (file,) = (tmp_path / "half" / part).glob("*.safetensors")
    if keep is None:
        file.write_bytes(file.read_bytes()[:1000])
    else:
        weights = load_file(file)
        names = sorted(weights)[-int(keep * len(weights)) :] if keep else []
        save_file({name: weights[name] for name in names} or {"other": torch.zeros(3)}, file, metadata={"format": "pt"})

    with pytest.raises(InputError, match=expected):
        StableDiffusionSettings(directory=str(tmp_path / "half")).build(CPU)


def test_weights_of_a_variant_alone_are_loaded(
    tiny_directory: Path, tiny_model: DiffusionModel, tmp_path: Path
) -> None:
    """A folder that holds `*.fp16.safetensors` and no others needs no setting."""
    shutil.copytree(tiny_directory, tmp_path / "fp16")
    for weights in (tmp_path / "fp16").rglob("*.safetensors"):
        weights.rename(weights.with_name(f"{weights.stem}.fp16.safetensors"))
    noise = torch.randn((1, 4, 16, 16), generator=torch_generator(3))

    ours = _sampled(StableDiffusionSettings(directory=str(tmp_path / "fp16")).build(CPU), noise, ["defect"])

    assert torch.equal(ours, _sampled(tiny_model, noise, ["defect"]))


def test_a_variant_beside_weights_in_bin_files_is_left_alone(pickled: Path, tiny_directory: Path) -> None:
    """What is loaded is the file without a variant, also where it is the only one of its kind."""
    for part in ("unet", "vae", "text_encoder"):
        for weights in (tiny_directory / part).glob("*.safetensors"):
            other = {name: value + 1 for name, value in load_file(weights).items()}
            save_file(other, pickled / part / f"{weights.stem}.fp16.safetensors", metadata={"format": "pt"})
    noise = torch.randn((1, 4, 16, 16), generator=torch_generator(3))
    expected = _sampled(StableDiffusionSettings(directory=str(tiny_directory)).build(CPU), noise, ["defect"])

    assert torch.equal(
        _sampled(StableDiffusionSettings(directory=str(pickled)).build(CPU), noise, ["defect"]), expected
    )


def test_a_safety_checker_is_not_loaded(tiny_directory: Path, tmp_path: Path) -> None:
    """As Stable Diffusion 1 names one: it paints nothing, and its folder need not even be there."""
    named = {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "requires_safety_checker": True,
    }
    _change(tiny_directory, tmp_path / "checked", "model_index.json", named)
    noise = torch.randn((1, 4, 16, 16), generator=torch_generator(3))
    expected = _sampled(StableDiffusionSettings(directory=str(tiny_directory)).build(CPU), noise, ["defect"])

    ours = _sampled(StableDiffusionSettings(directory=str(tmp_path / "checked")).build(CPU), noise, ["defect"])

    assert torch.equal(ours, expected)


def test_folders_that_are_links_are_fingerprinted(tiny_directory: Path, tmp_path: Path) -> None:
    """Other weights behind a link have another fingerprint; the same ones that of the pipeline itself."""
    shutil.copytree(tiny_directory / "unet", tmp_path / "unet")
    (tmp_path / "linked").mkdir()
    for path in tiny_directory.iterdir():
        target = tmp_path / "unet" if path.name == "unet" else path
        (tmp_path / "linked" / path.name).symlink_to(target)
    settings = StableDiffusionSettings(directory=str(tmp_path / "linked"))
    before = settings.describe().fingerprint
    assert before == StableDiffusionSettings(directory=str(tiny_directory)).describe().fingerprint

    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: value + 1 for name, value in load_file(file).items()}, file, metadata={"format": "pt"})

    assert settings.describe().fingerprint != before


def _shard(pipeline: Path, part: str, suffix: str = "") -> list[Path]:
    """Split the weights of one part into files that an index names; return these."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    network: Any = {"unet": UNet2DConditionModel, "text_encoder": CLIPTextModel}[part]
    loaded = network.from_pretrained(pipeline / part)
    shutil.rmtree(pipeline / part)
    loaded.save_pretrained(pipeline / part, max_shard_size="20KB", variant=suffix or None)
    return sorted((pipeline / part).glob("*.safetensors"))


@pytest.mark.parametrize("variant", ["", "fp16"])
def test_shards_that_an_index_names_and_that_are_missing_are_named(
    variant: str, tiny_directory: Path, tiny_model: DiffusionModel, tmp_path: Path
) -> None:
    """All of them, of every part, at once; complete shards are loaded, and an index of other weights is left alone."""
    shutil.copytree(tiny_directory, tmp_path / "split")
    shards = {part: _shard(tmp_path / "split", part, variant) for part in ("text_encoder", "unet")}
    other = {"metadata": {}, "weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00002.bin"}}
    (tmp_path / "split" / "unet" / "diffusion_pytorch_model.bin.index.json").write_text(json.dumps(other))
    settings = StableDiffusionSettings(directory=str(tmp_path / "split"))
    noise = torch.randn((1, 4, 16, 16), generator=torch_generator(3))
    assert torch.equal(_sampled(settings.build(CPU), noise, ["defect"]), _sampled(tiny_model, noise, ["defect"]))

    gone = [*shards["text_encoder"], *shards["unet"][1:3]]
    for shard in gone:
        shard.unlink()

    named = ", ".join(str(shard.relative_to(tmp_path / "split")) for shard in gone)
    with pytest.raises(InputError, match=rf"lacks {re.escape(named)}\. Copy"):
        settings.describe()


def test_a_vocabulary_needs_its_merges(tiny_directory: Path, tmp_path: Path) -> None:
    """Without `tokenizer.json`, `vocab.json` alone is half a tokenizer."""
    shutil.copytree(tiny_directory, tmp_path / "model")
    tokenizer = tmp_path / "model" / "tokenizer"
    whole = json.loads((tokenizer / "tokenizer.json").read_text())["model"]
    (tokenizer / "tokenizer.json").unlink()
    (tokenizer / "vocab.json").write_text(json.dumps(whole["vocab"]))
    settings = StableDiffusionSettings(directory=str(tmp_path / "model"))

    with pytest.raises(InputError, match=r"lacks tokenizer/merges\.txt\. Copy"):
        settings.describe()
    merges = (" ".join(pair) for pair in whole["merges"])
    (tokenizer / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    expected = StableDiffusionSettings(directory=str(tiny_directory)).build(CPU).condition(["a defect"])
    assert torch.equal(settings.build(CPU).condition(["a defect"]), expected)


def test_a_weight_file_of_another_name_is_told_once(
    tiny_directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Our error alone, without the line that diffusers logs before its own."""
    shutil.copytree(tiny_directory, tmp_path / "model")
    (file,) = (tmp_path / "model" / "unet").glob("*.safetensors")
    file.rename(file.with_name("mine.safetensors"))
    loading = logging.getLogger("diffusers.models.modeling_utils")
    loading.addHandler(caplog.handler)

    try:
        with pytest.raises(InputError, match=r"does not load \(.*diffusion_pytorch_model\.safetensors"):
            StableDiffusionSettings(directory=str(tmp_path / "model")).build(CPU)
        assert caplog.messages == []
        loading.error("An error occurred while trying to fetch something else")
        assert caplog.messages
    finally:
        loading.removeHandler(caplog.handler)


@pytest.fixture
def pickled(tiny_directory: Path, tmp_path: Path) -> Path:
    """The tiny pipeline with its weights as `.bin`, as CompVis/ldm-text2im-large-256 is published."""
    shutil.copytree(tiny_directory, tmp_path / "pickled")
    for weights in (tmp_path / "pickled").rglob("*.safetensors"):
        name = "pytorch_model" if weights.stem == "model" else weights.stem
        torch.save(load_file(weights), weights.with_name(f"{name}.bin"))
        weights.unlink()
    return tmp_path / "pickled"


def test_weights_in_bin_files_are_loaded_and_fingerprinted(pickled: Path, tiny_model: DiffusionModel) -> None:
    """The weights are those of the safetensors file, and other weights have another fingerprint."""
    settings = StableDiffusionSettings(directory=str(pickled))
    noise = torch.randn((1, 4, 16, 16), generator=torch_generator(3))

    assert torch.equal(_sampled(settings.build(CPU), noise, ["defect"]), _sampled(tiny_model, noise, ["defect"]))
    before, file = settings.describe().fingerprint, pickled / "unet" / "diffusion_pytorch_model.bin"
    torch.save({name: value + 1 for name, value in torch.load(file).items()}, file)
    assert settings.describe().fingerprint != before


class Touch:
    """A pickle that makes a file when code in it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def test_code_in_weights_or_folders_is_refused(pickled: Path, tmp_path: Path) -> None:
    """A pickle that does more than hold tensors, and a pipeline of classes of its own, are refused and not run."""
    settings, marker = StableDiffusionSettings(directory=str(pickled)), tmp_path / "executed"
    file = pickled / "unet" / "diffusion_pytorch_model.bin"
    weights = torch.load(file)
    torch.save({**weights, "x": Touch(marker)}, file)

    with pytest.raises(InputError, match="does not load"):
        settings.build(CPU)
    assert not marker.exists()
    index = json.loads((pickled / "model_index.json").read_text())
    (pickled / "model_index.json").write_text(json.dumps({**index, "unet": ["my_unet", "UNet"]}))
    with pytest.raises(InputError, match=r"code of its own \(unet\)"):
        settings.build(CPU)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: (d / "model_index.json").unlink(), "no readable model_index.json.*vae|vqvae"),
        (lambda d: (d / "model_index.json").write_text("{"), "model_index.json is damaged"),
        (
            lambda d: shutil.rmtree(d / "unet"),
            r"lacks unet/config\.json, unet/\*\.safetensors or \*\.bin\.",
        ),
        (lambda d: (d / "text_encoder" / "model.safetensors").unlink(), r"lacks text_encoder/\*\.safetensors or"),
        (lambda d: (d / "scheduler" / "scheduler_config.json").unlink(), "lacks scheduler/scheduler_config.json"),
    ],
)
def test_missing_files_are_named_before_loading(
    change: Callable[[Path], object], expected: str, tiny_directory: Path, tmp_path: Path
) -> None:
    """All of them at once, with what to do."""
    shutil.copytree(tiny_directory, tmp_path / "model")
    change(tmp_path / "model")

    with pytest.raises(InputError, match=rf"base_model\.directory: .*{expected}.*save_pretrained"):
        StableDiffusionSettings(directory=str(tmp_path / "model")).describe()


def test_two_text_encoders_are_refused(tiny_directory: Path, tmp_path: Path) -> None:
    """SDXL needs another way to place a concept; one message says which families there are."""
    shutil.copytree(tiny_directory, tmp_path / "xl")
    index = json.loads((tmp_path / "xl" / "model_index.json").read_text())
    changed = {**index, "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}
    (tmp_path / "xl" / "model_index.json").write_text(json.dumps(changed))

    with pytest.raises(InputError, match="with two text encoders, expected one"):
        StableDiffusionSettings(directory=str(tmp_path / "xl")).describe()


@pytest.mark.parametrize("family", ["bundled", "sd", "inpainting", "kl", "vq"])
def test_the_canvas_is_known_without_the_weights(
    family: str,
    tiny_directory: Path,
    tiny_inpainting_directory: Path,
    tiny_ldm: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Of each family it is what the autoencoder makes of an image, and no weight is read for it."""
    directories = {
        "bundled": lambda: BUNDLED,
        "sd": lambda: tiny_directory,
        "inpainting": lambda: tiny_inpainting_directory,
    }
    find: Callable[[], Path] = directories.get(family, lambda: tiny_ldm(vector_quantized=family == "vq"))
    shutil.copytree(source := find(), tmp_path / "hollow")
    for file in (tmp_path / "hollow").rglob("*.safetensors"):
        file.write_bytes(b"")

    side, factor = StableDiffusionSettings(directory=str(tmp_path / "hollow")).canvas()

    model = StableDiffusionSettings(directory=str(source)).build(CPU)
    assert (side, factor) == (model.resolution, model.factor)
    assert model.encode(torch.zeros(1, 3, side, side)).shape[2:] == (side // factor, side // factor)


def test_a_pipeline_that_does_not_say_its_size_is_refused(tiny_directory: Path, tmp_path: Path) -> None:
    """The plan needs it; the message names both files."""
    _change(tiny_directory, tmp_path / "other", "unet/config.json", {"sample_size": None})

    with pytest.raises(InputError, match=r"does not say how large its images are.*`sample_size`, a number, in unet"):
        StableDiffusionSettings(directory=str(tmp_path / "other")).canvas()


@pytest.fixture
def cache(tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache that holds one revision of `acme/tiny`, on a machine without a network."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    shutil.copytree(tiny_directory, tmp_path / "cache" / "models--acme--tiny" / "snapshots" / REVISION)
    return tmp_path / "cache"


def test_a_cached_hub_model_is_the_same_model(cache: Path, tiny_directory: Path, tiny_model: DiffusionModel) -> None:
    """Its fingerprint is that of a directory with the same files, and its name says repository and revision."""
    settings = HubModelSettings(repo="acme/tiny", revision=REVISION, cache=str(cache), licence="CC0-1.0")

    model = settings.build(CPU)

    assert model.info == settings.describe()
    assert settings.canvas() == (model.resolution, model.factor)
    assert model.info.fingerprint == StableDiffusionSettings(directory=str(tiny_directory)).describe().fingerprint
    assert (model.info.name, model.info.licence) == ("acme/tiny@01234567", "CC0-1.0")
    assert torch.equal(model.condition(["a defect"]), tiny_model.condition(["a defect"]))


def test_a_hub_model_that_is_not_cached_says_how_to_fetch_it(cache: Path) -> None:
    """Another revision, another model, a part that was not fetched: one message with the command, and no network."""
    command = r"hf download acme/tiny --revision {} --cache-dir .*cache"
    for repo, revision in (("acme/tiny", "f" * 40), ("acme/other", REVISION)):
        settings = HubModelSettings(repo=repo, revision=revision, cache=str(cache))
        with pytest.raises(
            InputError, match=rf"{repo} at revision {revision} is not in the cache .*hf download {repo}"
        ):
            settings.build(CPU)
    (cache / "models--acme--tiny" / "snapshots" / REVISION / "vae" / "config.json").unlink()
    settings = HubModelSettings(repo="acme/tiny", revision=REVISION, cache=str(cache))
    with pytest.raises(InputError, match=r"lacks vae/config\.json\. .*" + command.format(REVISION)):
        settings.build(CPU)


def test_a_revision_is_a_commit() -> None:
    """A branch or tag would let the weights change under a finished dataset."""
    with pytest.raises(ValidationError, match="revision"):
        HubModelSettings(repo="acme/tiny", revision="main")
