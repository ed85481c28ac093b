"""How long does a training step of full-width DRAEM take, beside the authors' code?

python benchmarks/detector_speed.py CHECKOUT [--batch B] [--steps N] [--size S] [--synthesis R] [--device cuda]

CHECKOUT is VitjanZ/DRAEM. Its networks, losses and Adam, ours, and ours with `precision: bf16` begin with the same
weights and take the same batches in turns; the first step warms up and is not timed. Printed are the median and the
fastest seconds of a step, and how far the losses of ours are from the authors' at every step. Seconds on a CPU are
processor time of one thread, which other work on the machine does not lengthen by its share; on a GPU they are the
clock's.

`--synthesis R` (needs `pip install imgaug scikit-image`) times R batches of painted anomalies too: the authors' data
set image by image from files of 900 px, as MVTec AD has them, and our sampler from memory, both in this one process.
imgaug 0.4 asks for a name that NumPy 2 dropped and for what Pillow no longer takes; both are given to it here.
"""

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.ImageOps
import torch
from detector_parity import imported_draem, official_draem, official_ssim
from torch import Tensor

from anogen_core.baselines.perlin_texture import PerlinTextureSettings
from anogen_core.detectors import DraemSettings
from anogen_core.detectors.batches import BatchSampler
from anogen_core.detectors.detector import TrainingBatch
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.procedural.scene import render_scene
from anogen_core.seeding import derive_seed, numpy_generator

RATE, PHOTOS, FILE_SIZE = 1e-4, 12, 900
Step = Callable[[TrainingBatch], dict[str, float]]


def main() -> None:
    """Print one line for each way, then the differences of the losses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--synthesis", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"batch {given.batch}, {given.size} px, {device}, PyTorch {torch.__version__}")
    with tempfile.TemporaryDirectory() as directory:
        sampler = _sampler(Path(directory), batch_size=given.batch, size=given.size, device=device)
        if given.synthesis:
            _time_synthesis(Path(directory), sampler, given.checkout, repetitions=given.synthesis)
        _time_steps(given.checkout, sampler, steps=given.steps)


def _time_steps(checkout: Path, sampler: BatchSampler, *, steps: int) -> None:
    ways = _ways(checkout, sampler.device)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    curves: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for step in range(steps + 1):
        batch = sampler.batch(step)
        for name, advance in ways.items():
            started = _now(sampler.device)
            curves[name].append(advance(batch))
            seconds[name].append(_now(sampler.device) - started)
    authors, *others = ways
    expected = float(np.median(seconds[authors][1:]))
    for name, times in seconds.items():
        median = float(np.median(times[1:]))
        print(f"{name:24} {median:7.2f} s, fastest {min(times[1:]):7.2f} s, {expected / median:5.2f} x")
    print(f"losses of {authors} at each step, and how far the others are from them")
    for step, terms in enumerate(curves[authors], 1):
        far = [
            f"{name} " + " ".join(f"{curves[name][step - 1][term] - value:+.1e}" for term, value in terms.items())
            for name in others
        ]
        said = " ".join(f"{term} {value:.5f}" for term, value in terms.items())
        print(f"  {step}: {said} | {' | '.join(far)}")


def _ways(checkout: Path, device: torch.device) -> dict[str, Step]:
    repair, segment, losses = official_draem(checkout)
    ours, mixed = (imported_draem(repair, segment).to(device) for _ in range(2))
    repair, segment = repair.to(device), segment.to(device)
    mixed.settings = mixed.settings.model_copy(update={"precision": "bf16"})
    optimizer = torch.optim.Adam([{"params": n.parameters(), "lr": RATE} for n in (repair, segment)])
    ssim, focal = official_ssim(losses), losses.FocalLoss()

    def authors(batch: TrainingBatch) -> dict[str, float]:
        # The authors read photos with OpenCV: blue first.
        shown, target = batch.images.flip(1), batch.target.flip(1)
        repaired = repair(shown)
        said = torch.softmax(segment(torch.cat((repaired, shown), dim=1)), dim=1)
        terms = {
            "l2": torch.nn.functional.mse_loss(repaired, target),
            "ssim": ssim(repaired, target),
            "focal": focal(said, batch.mask),
        }
        return _descend(terms, optimizer)

    def own(detector: Any) -> Step:
        detector.train()
        adam = detector.optimizer()
        return lambda batch: _descend(detector.losses(batch), adam)

    return {"authors": authors, "AnoGen": own(ours), "AnoGen, precision: bf16": own(mixed)}


def _descend(terms: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, float]:
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward([*terms.values()])
    optimizer.step()
    return {name: term.item() for name, term in terms.items()}


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _sampler(directory: Path, *, batch_size: int, size: int, device: torch.device) -> BatchSampler:
    """Write photos and textures as files, as the authors' code wants them; return our sampler of the same."""
    photos = [_photo(index, directory) for index in range(2 * PHOTOS)]
    settings = DraemSettings(
        steps=1,
        batch_size=batch_size,
        image_size=size,
        synthesis=PerlinTextureSettings(texture_directory=str(directory / "textures")),
    )
    return BatchSampler(settings, TrainingSet(np.stack(photos[:PHOTOS])), seed=0, device=device)


def _photo(index: int, directory: Path) -> np.ndarray:
    small = render_scene(numpy_generator(derive_seed(2026, "detector-speed", index)), size=192).flawless
    photo = cv2.resize(small, (FILE_SIZE, FILE_SIZE), interpolation=cv2.INTER_CUBIC)
    file = directory / (f"good/{index:03}.png" if index < PHOTOS else f"textures/rendered/{index:03}.jpg")
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    return photo


def _time_synthesis(directory: Path, sampler: BatchSampler, checkout: Path, *, repetitions: int) -> None:
    count, size = sampler.settings.batch_size, sampler.settings.image_size
    dataset = _official_dataset(checkout)(
        str(directory / "good"), str(directory / "textures"), resize_shape=[size, size]
    )
    np.random.seed(0)  # noqa: NPY002 - the authors' code draws from it
    loader = torch.utils.data.default_collate
    ways: dict[str, Callable[[int], object]] = {
        "authors": lambda _step: loader([dataset[0] for _ in range(count)]),
        "AnoGen": sampler.batch,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for step in range(repetitions + 1):
        for name, make in ways.items():
            started = _now(sampler.device)
            make(step)
            seconds[name].append(_now(sampler.device) - started)
    for name, times in seconds.items():
        print(f"{name + ', a batch of samples':24} {np.median(times[1:]):7.3f} s, fastest {min(times[1:]):7.3f} s")


def _official_dataset(checkout: Path) -> Any:
    kinds = {"int": np.signedinteger, "uint": np.unsignedinteger, "float": np.floating}
    vars(np)["sctypes"] = {name: kind.__subclasses__() for name, kind in kinds.items()}
    autocontrast = PIL.ImageOps.autocontrast
    PIL.ImageOps.autocontrast = lambda image, cutoff=0, ignore=None: autocontrast(
        image, float(np.ravel(cutoff)[0]), ignore
    )
    sys.path.insert(0, str(checkout))
    return importlib.import_module("data_loader").MVTecDRAEMTrainDataset


if __name__ == "__main__":
    main()
