"""Does an accelerator wait while squares are cut out of, and pasted into, photos of many megapixels?

python benchmarks/large_squares.py SIDE [--images 32] [--turns 3]

`generate` alone, for defects of SIDE pixels on photos of 3000x2000 px, beside a device that takes 50 ms for an image:
its calls sleep, so that the cores are free for the photos. Printed are the seconds of each turn and the share of them
in which the device was busy.
"""

import argparse
import time

import numpy as np
import torch
from torch.nn import functional

from anogen_core.diffusion import BundledModelSettings
from anogen_core.diffusion.crop import CropSettings, bounding_box, choose_crop
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.generation import GenerationSettings, Job, generate

SECONDS_PER_IMAGE, STEPS = 0.05, 12
FRAME = (2000, 3000)


class Device:
    """Sleeps as long as a device would work, and knows for how long."""

    busy = 0.0

    def predict(self, latents: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        """Take the time of one step of a batch."""
        seconds = SECONDS_PER_IMAGE * len(latents) / STEPS
        time.sleep(seconds)
        self.busy += seconds
        return torch.zeros_like(latents)


def main() -> None:
    """Print one line for each turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", type=int)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    model, device = BundledModelSettings().build(torch.device("cpu")), Device()
    for name, replacement in {
        "predict": device.predict,
        "encode": lambda images: functional.avg_pool2d(images, model.factor).repeat(1, 3, 1, 1)[:, :4],
        "decode": lambda latents: functional.interpolate(latents[:, :3], scale_factor=float(model.factor)),
    }.items():
        setattr(model, name, replacement)
    jobs = _jobs(model, given.side, given.images)
    for _ in range(given.turns):
        device.busy, started = 0.0, time.perf_counter()
        generate(jobs, model, GenerationSettings())
        seconds = time.perf_counter() - started
        print(f"{given.images} defects of {given.side} px: {seconds:.2f} s, device busy {device.busy / seconds:.0%}")


def _jobs(model: DiffusionModel, side: int, count: int) -> list[Job]:
    rng = np.random.default_rng(0)
    photos = [rng.integers(90, 150, (*FRAME, 3), dtype=np.uint8) for _ in range(2)]
    jobs = []
    for seed in range(count):
        mask = np.zeros(FRAME, bool)
        y, x = rng.integers(0, FRAME[0] - side, 2)
        mask[y : y + side, x : x + side] = True
        crop = choose_crop(
            bounding_box(mask), FRAME, model.resolution // model.factor, model.resolution, CropSettings()
        )
        vectors = model.word_vector("hole")[None]
        jobs.append(Job(photos[seed % 2], mask, crop, vectors, seed=seed, start=photos[1 - seed % 2]))
    return jobs


if __name__ == "__main__":
    main()
