"""How many defects are learned in an hour, each alone and many in shared batches?

python benchmarks/inversion.py [bundled|sd15|ldm] [--at-once 1 2 4 8] [--steps N] [--turns N] [--device cpu|cuda]
    [--weights DIR] [--precision fp32|bf16]

`sd15` and `ldm` have the size of Stable Diffusion 1.5 at 512 px and of the LDM of the paper at 256 px, with random
weights (5 GB of disk for a while). All numbers of concepts at once take turns in one run; each turn learns as many
concepts of three made-up photos as share a pass, for a few steps and one validation. Concepts per hour count 6000
steps, no early stop, and the validations between them. FLOPs are those of one step; on CUDA their rate is compared
with that of a large bf16 matmul. Medians over the turns; seconds on a CPU are CPU time, which other work disturbs less.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from random_models import build, matmul_rate
from torch.utils.flop_counter import FlopCounterMode

from anogen_core.diffusion.crop import CropSettings
from anogen_core.diffusion.inversion import Concept, InversionSettings, learn_embeddings
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.views import encode_views

FULL = InversionSettings()
SHOTS = 3


@dataclass(frozen=True)
class Turn:
    """One measurement, of all concepts that share a pass."""

    step: float
    """Seconds."""
    validation: float
    """Seconds."""
    memory: float
    """GiB at most; 0 on a CPU."""


def main() -> None:
    """Print one line for each number of concepts at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", choices=["bundled", "sd15", "ldm"], default="bundled")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--weights", type=Path, help="keep the random weights in this directory, or take them from it")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    with tempfile.TemporaryDirectory() as folder:
        model = build(given.model, given.weights or Path(folder) / "pipeline", device, given.precision)
    concepts = [_concept(number, model) for number in range(max(given.at_once))]
    for at_once in given.at_once:
        _learn(concepts[:at_once], model, at_once, steps=1, points=1)
    turns: dict[int, list[Turn]] = {at_once: [] for at_once in given.at_once}
    for _ in range(given.turns):
        for at_once, done in turns.items():
            done.append(_learn(concepts[:at_once], model, at_once, steps=given.steps, points=FULL.validation_points))
    rate = matmul_rate(device) if device.type == "cuda" else None
    where = torch.cuda.get_device_name() if rate else f"{torch.get_num_threads()} CPU thread(s)"
    print(f"{given.model} in {given.precision} on {where}")
    if rate:
        print(f"bf16 matmul: {rate / 1e12:.0f} TFLOP/s")
    print("| concepts at once | concepts per hour | s per step | s per validation | TFLOP per step | TFLOP/s |", end="")
    print(" of bf16 matmul | GiB |" if rate else "")
    print("|---|---|---|---|---|---|" + ("---|---|" if rate else ""))
    for at_once, done in turns.items():
        step, validation = statistics.median(t.step for t in done), statistics.median(t.validation for t in done)
        per_hour = 3600 * at_once / (FULL.steps * step + FULL.steps / FULL.validate_every * validation)
        flops = _flops(concepts[:at_once], model, at_once)
        print(f"| {at_once} | {per_hour:.2f} | {step:.3f} | {validation:.3f} | {flops / 1e12:.3f} ", end="")
        print(f"| {flops / step / 1e12:.3f} |", end="")
        print(f" {flops / step / rate:.1%} | {max(t.memory for t in done):.1f} |" if rate else "")


def _concept(number: int, model: DiffusionModel) -> Concept:
    rng = np.random.Generator(np.random.PCG64(number))
    mask = np.zeros((256, 256), bool)
    mask[100:150, 110:170] = True
    photos = [(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), mask) for _ in range(SHOTS)]
    return Concept(str(number), encode_views(photos, model, zooms=FULL.zooms, crop=CropSettings()), seed=number)


def _learn(concepts: Sequence[Concept], model: DiffusionModel, at_once: int, *, steps: int, points: int) -> Turn:
    """Learn concepts for a few steps with one validation at the end."""
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    changes = {"steps": steps, "validate_every": steps, "validation_points": points, "concepts_at_once": at_once}
    clock = time.perf_counter if model.device.type == "cuda" else time.process_time
    moments: list[float] = []
    for _ in learn_embeddings(
        concepts, model, FULL.model_copy(update=changes), on_step=lambda *_: moments.append(clock())
    ):
        pass
    ended = clock()
    # Each step reads its loss on the CPU, so no work of it is still under way.
    steps_ended = moments[at_once - 1 :: at_once]
    memory = torch.cuda.max_memory_allocated() / 2**30 if model.device.type == "cuda" else 0.0
    return Turn((steps_ended[-1] - steps_ended[0]) / max(1, steps - 1), ended - steps_ended[-1], memory)


def _flops(concepts: Sequence[Concept], model: DiffusionModel, at_once: int) -> int:
    """Return the floating-point operations of one step: those of two steps less those of one."""
    totals = []
    for steps in (1, 2):
        with FlopCounterMode(display=False) as counter:
            _learn(concepts, model, at_once, steps=steps, points=1)
        totals.append(counter.get_total_flops())
    return totals[1] - totals[0]


if __name__ == "__main__":
    main()
