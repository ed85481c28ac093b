"""Generating images: the background is kept byte for byte, and a job's image does not depend on its batch."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Semaphore
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from anogen_core.diffusion import BundledModelSettings
from anogen_core.diffusion.crop import CropSettings, bounding_box, choose_crop, to_canvas
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.sampling import SamplerSettings
from anogen_core.errors import InputError
from anogen_core.generation import GenerationSettings, Job, generate

SETTINGS = GenerationSettings(batch_size=2, sampler=SamplerSettings(num_inference_steps=2))


ON_ANOTHER_PROCESSOR = """
import sys
import numpy as np
import torch
from tests.core.test_generation import IMAGES, _job
from anogen_core.diffusion import BundledModelSettings
from anogen_core.generation import generate

assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"
model = BundledModelSettings().build(torch.device("cpu"))
np.save(sys.argv[1], np.stack(list(generate([_job(model, seed) for seed in range(4)], model, IMAGES))))
"""
IMAGES = GenerationSettings(sampler=SamplerSettings(num_inference_steps=12))


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    return BundledModelSettings().build(torch.device("cpu"))


def _job(model: DiffusionModel, seed: int, size: tuple[int, int] = (90, 120)) -> Job:
    rng = np.random.Generator(np.random.PCG64(seed))
    mask = np.zeros(size, bool)
    y, x = int(rng.integers(0, size[0] - 20)), int(rng.integers(0, size[1] - 30))
    mask[y : y + 20, x : x + 30] = True
    cells = model.resolution // model.factor
    crop = choose_crop(bounding_box(mask), size, cells, model.resolution, CropSettings())
    normal = rng.integers(90, 150, (*size, 3), dtype=np.uint8)
    return Job(normal, mask, crop, model.word_vector("scratch")[None], seed=seed)


@pytest.mark.parametrize("keep_detail", [True, False])
def test_background_is_byte_equal_and_the_inside_changes(model: DiffusionModel, keep_detail: bool) -> None:  # noqa: FBT001
    """Law 6 on the whole path: outside the mask nothing changes; inside something does."""
    jobs = [_job(model, seed) for seed in range(2)]

    images = generate(jobs, model, SETTINGS.model_copy(update={"keep_detail": keep_detail}))

    for job, image in zip(jobs, images, strict=True):
        assert np.array_equal(image[~job.mask], job.normal[~job.mask])
        assert not np.array_equal(image[job.mask], job.normal[job.mask])


def _power(grey: np.ndarray) -> list[float]:
    """Return the mean power of a square between 0.15 and 0.3, 0.3 and 0.6, and 0.6 and 1 of the finest frequency."""
    side = len(grey)
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = np.abs(np.fft.fftshift(np.fft.fft2((grey - grey.mean()) * window))) ** 2
    rows, columns = np.indices(power.shape) - side // 2
    radius = np.hypot(rows, columns) / (side / 2)
    return [float(power[(radius >= low) & (radius < high)].mean()) for low, high in ((0.15, 0.3), (0.3, 0.6), (0.6, 1))]


@pytest.mark.parametrize("side", [1024, 4096])
def test_large_photos_keep_their_resolution_inside_the_defect(model: DiffusionModel, side: int) -> None:
    """What is painted is as sharp as the photo around it, at a zoom of 4 or 9 of the canvas, and no seam is outside."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (side, side)).astype(np.float32)
    grain = 130 + 25 * cv2.GaussianBlur(noise, (0, 0), 0.8)
    normal = np.repeat(grain.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    radius, middle = side // 14, side // 2
    mask = cv2.circle(np.zeros((side, side), np.uint8), (middle, middle), radius, 1, -1) > 0
    crop = choose_crop(
        bounding_box(mask), mask.shape, model.resolution // model.factor, model.resolution, CropSettings()
    )
    assert crop.width > 3 * model.resolution

    (image,) = generate([Job(normal, mask, crop, model.word_vector("stain")[None], seed=1)], model, SETTINGS)

    assert np.array_equal(image[~mask], normal[~mask])
    assert np.abs(image[mask].astype(int) - normal[mask]).mean() > 2
    inside = slice(middle - radius * 2 // 3, middle + radius * 2 // 3)
    painted, before = _power(image[inside, inside, 0].astype(float)), _power(normal[inside, inside, 0].astype(float))
    assert np.array(painted) == pytest.approx(np.array(before), rel=0.15)


def test_an_image_does_not_depend_on_its_neighbours(model: DiffusionModel) -> None:
    """Law 1: alone, first or last in a batch, in any order: a job gives the same bytes."""
    jobs = [_job(model, seed) for seed in range(3)]

    together = generate(jobs, model, SETTINGS)
    reversed_order = generate(jobs[::-1], model, SETTINGS)[::-1]
    alone = [generate([job], model, SETTINGS)[0] for job in jobs]

    for one, two, three in zip(together, reversed_order, alone, strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)


def test_batch_size_changes_rounding_at_most(model: DiffusionModel) -> None:
    """Another batch size is the same sample: no pixel moves by more than one grey level."""
    jobs = [_job(model, seed) for seed in range(2)]

    small = generate(jobs, model, SETTINGS.model_copy(update={"batch_size": 1}))
    large = generate(jobs, model, SETTINGS.model_copy(update={"batch_size": 2}))

    for one, two in zip(small, large, strict=True):
        assert np.abs(one.astype(int) - two).max() <= 1


def test_concepts_and_photos_are_encoded_once(model: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text encoder is run for the empty prompt and each concept, the image encoder once for a batch of photos."""
    calls = Counter[str]()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: calls.update([name]) or function(*given)

    for name in ("condition", "encode"):
        monkeypatch.setattr(model, name, counted(name, getattr(model, name)))
    jobs = [_job(model, seed) for seed in range(6)]
    other = model.word_vector("hole")[None]
    generate([*jobs[:5], replace(jobs[5], vectors=other)], model, SETTINGS)

    assert calls == {"condition": 3, "encode": 3}


def test_squares_of_the_next_batch_are_cut_while_one_is_made(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model does not wait for photos but at the beginning."""
    cuts, predict, seen = Semaphore(0), model.predict, list[bool]()

    def cut(*given: Any) -> torch.Tensor:
        cuts.release()
        return to_canvas(*given)

    def watched(*given: Any, static: bool) -> torch.Tensor:
        if not seen:
            seen.extend(cuts.acquire(timeout=5) for _ in range(4))
        return predict(*given, static=static)

    monkeypatch.setattr("anogen_core.generation.to_canvas", cut)
    monkeypatch.setattr(model, "predict", watched)
    generate([_job(model, seed) for seed in range(5)], model, SETTINGS)

    assert seen == [True] * 4


@pytest.mark.parametrize("batch_size", [8, 1])
def test_short_memory_divides_the_batch(
    batch_size: int, model: DiffusionModel, caplog: pytest.LogCaptureFixture
) -> None:
    """Every job is made, each once, by a model that holds one sample; guidance shows it two of each, even of one."""
    guided = SETTINGS.model_copy(
        update={"batch_size": batch_size, "sampler": SETTINGS.sampler.model_copy(update={"guidance_scale": 3.0})}
    )
    jobs, told = [_job(model, seed) for seed in range(3)], list[int]()
    expected = generate(jobs, model, guided)
    small = BundledModelSettings().build(torch.device("cpu"))

    def with_little_memory(_network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > 1:
            raise torch.OutOfMemoryError

    for network in (small._unet, small._vae.encoder, small._vae.decoder):
        network.register_forward_pre_hook(with_little_memory)
    images = generate(jobs, small, guided, on_job=lambda job: told.append(job.seed))

    assert np.abs(np.stack(images).astype(np.int16) - np.stack(expected)).max() <= 1
    assert told == [0, 1, 2]
    assert "Memory is short: the noise predictor takes at most 1 at once" in caplog.text


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="this processor has no vectors")
def test_another_class_of_processor_makes_the_same_image(model: DiffusionModel, tmp_path: Path) -> None:
    """One held down to SSE 4.1 adds in another order; nearly all pixels are equal, none is two grey levels away."""
    limits = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    command = [sys.executable, "-c", ON_ANOTHER_PROCESSOR, str(tmp_path / "images.npy")]
    subprocess.run(command, check=True, env=os.environ | limits, cwd=Path(__file__).parents[2])

    here = np.stack(list(generate([_job(model, seed) for seed in range(4)], model, IMAGES)))

    difference = np.abs(np.load(tmp_path / "images.npy").astype(np.int16) - here)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_values_that_are_not_finite_are_an_error(model: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """As half precision gives where an autoencoder overflows: no image is painted with them."""
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda latents: decode(latents) * float("nan"))

    with pytest.raises(InputError, match=r"base_model: .* no finite numbers.*precision: fp32"):
        generate([_job(model, 0)], model, SETTINGS)
