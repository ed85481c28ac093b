"""How fast are images generated, beside diffusers' own pipelines and one process for every two images?

python benchmarks/generation.py [bundled|small|sd15|ldm] [--batch 1 2 4 8 16] [--steps 50] [--turns 3] [--compile]
    [--precisions fp32 bf16] [--batches 2] [--images 32] [--weights DIR]

`sd15` and `ldm` have the size of Stable Diffusion 1.5 at 512 px and of the LDM of the paper at 256 px; `small` is as
wide as the bundled model, at 256 px. Weights are random (5 GB of disk for a while). All ways do `--steps` DDIM steps
with guidance on a whole canvas. Diffusers' pipeline takes a text and gives an image; AnoGen also encodes the photo,
keeps its background and its fine detail, pastes and matches contrast.

`bundled` is the task instead of the step: a defect of 32 px on a photo of 256 px, with networks of the bundled model's
size. Diffusers' text-to-image pipeline makes the whole photo in `--steps` steps (its inpainting pipeline refuses the
bundled UNet's channels); AnoGen does what a run does by default: the square around the defect, from a start, with the
settings' own sampler.

`--stages` then shows where the seconds of one batch of the last way go.

All ways and batch sizes take turns in one run, each with `--batches` batches one after another, as in a shard; the
compiled way makes batches of the largest size only, as compilation takes a minute for each size. Medians over the
turns; seconds on a CPU are CPU time, which other work disturbs less. A "process of 2" starts Python, loads the pipeline
and makes two images, as the paper's released code does.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from random_models import matmul_rate, write_pipeline
from torch.utils.flop_counter import FlopCounterMode

from anogen_core.diffusion import BundledModelSettings, StableDiffusionSettings
from anogen_core.diffusion.crop import bounding_box, choose_crop
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.sampling import SamplerSettings
from anogen_core.generation import GenerationSettings, Job, generate
from anogen_core.seeding import torch_generator

GUIDANCE = 7.5
PHOTO, DEFECT = 256, 32
"""Sides in pixels."""
Make = Callable[[int, int], None]
"""Makes so many images in batches of such a size."""


def main() -> None:
    """Print one line for each way to make images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", choices=["bundled", "small", "sd15", "ldm"], default="small")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batches", type=int, default=2, help="that are timed together")
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--images", type=int, default=32, help="of the comparison with processes of two; 0 skips it")
    parser.add_argument("--weights", type=Path, help="keep the random weights in this directory, or take them from it")
    parser.add_argument("--compile", action="store_true", help="also measure AnoGen's bf16 compiled")
    parser.add_argument("--stages", action="store_true", help="also show where the seconds of a batch go")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    device = torch.device(given.device)
    if given.child is not None:
        way, folder = given.child
        make_images(way, Path(folder), device, given)(given.images, min(given.images, max(given.batch)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = given.weights or Path(name) / "pipeline"
        write_pipeline(given.model, folder)
        compare(given, folder, device)


def compare(given: argparse.Namespace, folder: Path, device: torch.device) -> None:
    """Measure all ways in turns and print them."""
    ways = [f"{who} {precision}" for who in ("diffusers", "AnoGen") for precision in given.precisions]
    sizes = dict.fromkeys(ways, given.batch)
    if given.compile:
        sizes["AnoGen bf16 compiled"] = [max(given.batch)]
    makers = {way: make_images(way, folder, device, given) for way in sizes}
    taken: dict[tuple[str, int], list[float]] = {(way, size): [] for way in makers for size in sizes[way]}
    for way, size in taken:
        makers[way](size, size)
    for _ in range(given.turns):
        for (way, size), seconds in taken.items():
            seconds.append(_timed(makers[way], size, given.batches, device))
    per_image = {(way, size): statistics.median(times) / size / given.batches for (way, size), times in taken.items()}
    _print_table(per_image, _flops(makers[f"AnoGen {given.precisions[0]}"]), device, given)
    if given.stages:
        _print_stages(list(makers)[-1], folder, device, given)
    if given.images:
        _print_processes(given, folder)


def _print_table(
    per_image: dict[tuple[str, int], float], flops: int, device: torch.device, given: argparse.Namespace
) -> None:
    rate = matmul_rate(device) if device.type == "cuda" else None
    print(f"{given.model}, DDIM with {given.steps} steps and guidance, ", end="")
    print(torch.cuda.get_device_name() if rate else f"{torch.get_num_threads()} CPU thread(s)")
    if rate:
        memory = torch.cuda.max_memory_allocated() / 2**30
        print(f"bf16 matmul: {rate / 1e12:.0f} TFLOP/s; peak memory {memory:.1f} GiB")
    print(f"{flops / 1e12:.3f} TFLOP per image of AnoGen")
    heads = "".join(f" s per image, batch {size} |" for size in given.batch)
    print(f"| way |{heads} images/s at best | TFLOP/s |\n|---|{'---|' * (len(given.batch) + 2)}")
    best = {way: min(s for (other, _), s in per_image.items() if other == way) for way, _ in per_image}
    for way, seconds in best.items():
        cells = "".join(f" {per_image[way, size]:.3f} |" if (way, size) in per_image else " |" for size in given.batch)
        share = f" ({flops / seconds / rate:.0%} of bf16 matmul)" if rate else ""
        print(f"| {way} |{cells} {1 / seconds:.2f} | {flops / seconds / 1e12:.3f}{share} |")
    for precision in given.precisions:
        theirs, ours = best[f"diffusers {precision}"], best[f"AnoGen {precision}"]
        print(f"{precision}: {theirs / ours:.2f}x diffusers at its best batch", end="")
        print(f", {per_image[f'diffusers {precision}', given.batch[0]] / ours:.2f}x at batch {given.batch[0]}")
    if given.compile:
        fastest = min(best[f"diffusers {precision}"] for precision in given.precisions)
        print(f"bf16 compiled: {fastest / best['AnoGen bf16 compiled']:.2f}x the best of diffusers")


def make_images(
    way: str, folder: Path, device: torch.device, given: argparse.Namespace, *, model: DiffusionModel | None = None
) -> Make:
    """Return what makes images in one of the ways, with its model loaded."""
    steps = given.steps
    if way.startswith("diffusers"):
        return _diffusers(folder, device, torch.bfloat16 if way.endswith("bf16") else torch.float32, given)
    bundled = given.model == "bundled"
    model = model or _model(way, folder, device, given)
    sampler = SamplerSettings() if bundled else SamplerSettings(num_inference_steps=steps, guidance_scale=GUIDANCE)

    def make(count: int, batch: int) -> None:
        jobs = [_small_defect(model, seed) if bundled else _job(model, seed) for seed in range(count)]
        generate(jobs, model, GenerationSettings(batch_size=batch, sampler=sampler))

    return make


def _model(way: str, folder: Path, device: torch.device, given: argparse.Namespace) -> DiffusionModel:
    how = {"precision": "bf16" if "bf16" in way else "fp32", "compile": way.endswith("compiled")}
    if given.model == "bundled":
        return BundledModelSettings.model_validate(how).build(device)
    return StableDiffusionSettings.model_validate({"directory": str(folder), **how}).build(device)


def _diffusers(folder: Path, device: torch.device, dtype: torch.dtype, given: argparse.Namespace) -> Make:
    from diffusers import DiffusionPipeline  # noqa: PLC0415 - seconds to import

    pipeline: Any = DiffusionPipeline.from_pretrained(str(folder), dtype=dtype, local_files_only=True).to(device)
    pipeline.set_progress_bar_config(disable=True)
    if given.model == "ldm":
        # Its pipeline cannot turn half precision into NumPy.
        decode = pipeline.vqvae.decode
        pipeline.vqvae.decode = lambda latents: SimpleNamespace(sample=decode(latents).sample.float())
    side = PHOTO if given.model == "bundled" else pipeline.unet.config.sample_size * 8

    def make(count: int, batch: int) -> None:
        for _ in range(0, count, batch):
            pipeline(
                ["a photo of the defect"] * batch,
                height=side,
                width=side,
                num_inference_steps=given.steps,
                guidance_scale=GUIDANCE,
                output_type="np",
            )

    return make


def _job(model: DiffusionModel, seed: int) -> Job:
    side = model.resolution
    rng = np.random.Generator(np.random.PCG64(seed))
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    cells = side // model.factor
    settings = GenerationSettings().crop
    crop = choose_crop(bounding_box(mask), mask.shape, cells, side, settings)
    normal = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Job(normal=normal, mask=mask, crop=crop, vectors=_concept(model), seed=seed, contrast=0.5)


def _small_defect(model: DiffusionModel, seed: int) -> Job:
    rng = np.random.Generator(np.random.PCG64(seed))
    normal = rng.integers(0, 256, (PHOTO, PHOTO, 3), dtype=np.uint8)
    mask = np.zeros((PHOTO, PHOTO), bool)
    top, left = rng.integers(0, PHOTO - DEFECT, 2)
    mask[top : top + DEFECT, left : left + DEFECT] = True
    side = model.resolution
    crop = choose_crop(bounding_box(mask), mask.shape, side // model.factor, side, GenerationSettings().crop)
    return Job(
        normal=normal, mask=mask, crop=crop, vectors=_concept(model), seed=seed, contrast=0.5, start=255 - normal
    )


def _concept(model: DiffusionModel) -> torch.Tensor:
    """Return the embedding of all jobs: a shard shows one kind of defect."""
    return torch.randn((1, model.width), generator=torch_generator(0))


def _timed(make: Make, size: int, batches: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        started = time.perf_counter()
        make(size * batches, size)
        torch.cuda.synchronize()
        return time.perf_counter() - started
    started = time.process_time()
    make(size * batches, size)
    return time.process_time() - started


def _flops(make: Make) -> int:
    """Return the floating-point operations of one image: those of two less those of one."""
    totals = []
    for count in (1, 2):
        with FlopCounterMode(display=False) as counter:
            make(count, count)
        totals.append(counter.get_total_flops())
    return totals[1] - totals[0]


def _print_stages(way: str, folder: Path, device: torch.device, given: argparse.Namespace) -> None:
    """Print the seconds that the parts of the model take of one batch, each waited for, and what is left."""
    model: Any = _model(way, folder, device, given)
    spent: dict[str, list[float]] = {}
    for name in ("condition", "encode", "predict", "decode"):
        setattr(model, name, _watched(getattr(model, name), spent.setdefault(name, []), device))
    make, size = make_images(way, folder, device, given, model=model), max(given.batch)
    make(size, size)
    for moments in spent.values():
        moments.clear()
    total = _timed(make, size, 1, device)
    parts = {name: sum(moments) for name, moments in spent.items()}
    parts["everything else"] = total - sum(parts.values())
    said = "; ".join(f"{name} {seconds:.3f} s ({len(spent.get(name, [0]))}x)" for name, seconds in parts.items())
    print(f"{way}, a batch of {size}: {total:.3f} s: {said}")


def _watched(function: Callable[..., Any], moments: list[float], device: torch.device) -> Callable[..., Any]:
    """Return the function; each call, until its work on the device is done, adds its seconds to a list."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time

    def watched(*positional: Any, **named: Any) -> Any:
        started = clock()
        result = function(*positional, **named)
        if device.type == "cuda":
            torch.cuda.synchronize()
        moments.append(clock() - started)
        return result

    return watched


def _print_processes(given: argparse.Namespace, folder: Path) -> None:
    """Print what as many images cost in processes of two, and in one process of ours, starts and loading included."""
    pairs = [_child(given, f"diffusers {given.precisions[0]}", folder, images=2) for _ in range(given.turns)]
    ways = [f"AnoGen {precision}" for precision in given.precisions]
    ours = {way: _child(given, way, folder, images=given.images) for way in ways}
    total = statistics.median(seconds for seconds, _ in pairs) * given.images / 2
    print(f"{given.images} images: {total:.0f} s in processes of 2 (from {len(pairs)} of them)", end="")
    for way, (seconds, memory) in ours.items():
        print(f"; {way} {seconds:.1f} s, {total / seconds:.1f}x, {memory:.1f} GiB", end="")
    print()


def _child(given: argparse.Namespace, way: str, folder: Path, *, images: int) -> tuple[float, float]:
    """Return (seconds, GiB) of a process that loads and makes images: wall time with a GPU, else CPU time."""
    command = [sys.executable, __file__, given.model, "--child", way, str(folder), "--images", str(images)]
    command += ["--steps", str(given.steps), "--device", given.device, "--batch", *map(str, given.batch)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)  # noqa: S603
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (wall if given.device == "cuda" else used), after.ru_maxrss / 2**20


if __name__ == "__main__":
    main()
