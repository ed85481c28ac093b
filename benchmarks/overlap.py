"""Does an accelerator wait for the host? A simulated one, real photos, gates, labels, compression and writing.

python benchmarks/overlap.py RUN.yaml [--images 256] [--seconds-per-image 0.05] [--workers 1 2 3]

The networks of the bundled model are replaced by a device that does one thing at a time: a step of the noise predictor
takes its share of the seconds of an image, in which the processor is free, and gives zeros; the autoencoder takes no
time. Everything else is what a run does. Printed for each number of shards in work at a time: seconds, images per
second, and the share of the time in which the device was busy.
"""

import argparse
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from anogen_core.config import RunConfig, load_config
from anogen_core.diffusion.stable_diffusion import StableDiffusionModel
from anogen_core.stages.catalogue import read_catalogue
from anogen_core.stages.embedding import learn
from anogen_core.stages.generation import make_shard, plan_dataset


class Device:
    """Does one thing at a time and takes its time for it."""

    def __init__(self, seconds_per_step: float) -> None:
        self.busy = 0.0
        self._seconds = seconds_per_step
        self._lock = threading.Lock()

    def predict(self, _model: object, latents: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        """Take the time of one step of a batch."""
        with self._lock:
            time.sleep(self._seconds)
            self.busy += self._seconds
        return torch.zeros_like(latents)


def main() -> None:
    """Print one line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--seconds-per-image", type=float, default=0.05)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # One replacement of a filtered request would be filtered again: what the device gives is no defect.
        changes = [f"generation.images_per_defect={given.images}", "quality.replacements=0", "storage.shard_size=32"]
        config = load_config(given.run, [*changes, "inversion.steps=1", f"output={folder}/learned"])
        category = read_catalogue(config)[0]
        embeddings = learn(category.supports, config)
        device = _install(config, given.seconds_per_image)
        print("| shards in work | images | seconds | images/s | device busy |\n|---|---|---|---|---|")
        for workers in given.workers:
            planned, shards = plan_dataset(
                config.model_copy(update={"output": f"{folder}/{workers}"}), category.name, embeddings
            )
            device.busy, started = 0.0, time.perf_counter()
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda shard, planned=planned: make_shard(shard, planned, config), shards))
            seconds, count = time.perf_counter() - started, planned.spec.num_requests
            print(
                f"| {workers} | {count} | {seconds:.1f} | {count / seconds:.1f} | {device.busy / seconds:.0%} |",
                flush=True,
            )


def _install(config: RunConfig, seconds_per_image: float) -> Device:
    """Put the device in the place of the networks."""
    steps, share = config.generation.sampler.schedule(from_photo=True)
    device = Device(seconds_per_image * config.generation.batch_size / round(steps * share))

    def encode(model: Any, images: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.avg_pool2d(images, model.factor)
        return small.repeat(1, 3, 1, 1)[:, : model._vae.config.latent_channels]  # noqa: SLF001

    def decode(model: Any, latents: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(latents[:, :3], scale_factor=float(model.factor)).clamp(-1, 1)

    for name, replacement in {"predict": device.predict, "encode": encode, "decode": decode}.items():
        setattr(StableDiffusionModel, name, lambda self, *a, _do=replacement, **k: _do(self, *a, **k))
    return device


if __name__ == "__main__":
    main()
