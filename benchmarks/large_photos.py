"""What photos of many megapixels cost: seconds for an image and the memory that a shard or an evaluation takes.

python benchmarks/large_photos.py WIDTH HEIGHT [--images 64] [--normals 12]
python benchmarks/large_photos.py WIDTH HEIGHT --evaluate 100

Draws grainy plates and scratches three of them (or as many as are to be evaluated, and three). The first command learns
the scratch for ten steps, and plans and makes one shard of the bundled model in this process; the second trains the
default detector for a step on Perlin noise and evaluates it. Memory is the peak of the process; what it takes before is
printed beside it.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from anogen_core.arrays import Image
from anogen_core.config import RunConfig, parse_config
from anogen_core.evaluation import Trial
from anogen_core.stages import detection, embedding, generation
from anogen_core.stages.catalogue import read_category
from anogen_core.storage.artifacts import ArtifactStore


def main() -> None:
    """Print one line for each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("width", type=int)
    parser.add_argument("height", type=int)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--normals", type=int, default=12)
    parser.add_argument("--evaluate", type=int, default=0, metavar="PHOTOS")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        _draw(Path(place, "plate"), given.width, given.height, given.normals, 3 + given.evaluate)
        config = parse_config(
            {
                "output": f"{place}/out",
                "reader": {"kind": "mvtec", "root": place, "categories": ["plate"]},
                "inversion": {"steps": 10},
                "generation": {"images_per_defect": given.images},
                "storage": {"shard_size": given.images},
                "detector": {"steps": 1},
            },
            source="benchmark",
        )
        if given.evaluate:
            _evaluate(config)
            return
        learned = embedding.learn(read_category(config, "plate").supports, config)
        started = time.perf_counter()
        planned, (shard,) = generation.plan_dataset(config, "plate", learned)
        print(f"planned {given.images} in {time.perf_counter() - started:.1f} s")
        before, started = _peak(), time.perf_counter()
        generation.make_shard(shard, planned, config)
        seconds = (time.perf_counter() - started) / given.images
        print(f"made {given.images} of {given.width}x{given.height} px: {seconds:.2f} s an image")
        print(f"peak memory {_peak():.1f} GB, {before:.1f} GB before the shard")


def _evaluate(config: RunConfig) -> None:
    trial = Trial(arm="perlin", seed=0)
    checkpoint = detection.train(config, "plate", trial, None)
    before, started = _peak(), time.perf_counter()
    said = detection.evaluate(trial, checkpoint, config)
    seconds = time.perf_counter() - started
    compared = detection.compare([said], config)
    print(f"evaluated {compared.num_images} photos: {seconds / compared.num_images:.2f} s each")
    print(f"compared in {time.perf_counter() - started - seconds:.1f} s")
    stored = ArtifactStore.of_run(config.output).read(str(said.predictions), "predictions.npz")
    print(f"{len(stored) / 1e6:.1f} MB stored; peak memory {_peak():.1f} GB, {before:.1f} GB before")


def _draw(root: Path, width: int, height: int, normals: int, defective: int) -> None:
    rng = np.random.default_rng(0)
    counts = {"ground_truth/scratch": 0, "train/good": normals, "test/good": 1, "test/scratch": defective}
    for part, count in counts.items():
        (root / part).mkdir(parents=True)
        for number in range(count):
            plate = _plate(rng, width, height)
            if part == "test/scratch":
                mask = np.zeros((height, width), np.uint8)
                x, y = int(rng.integers(width // 4, width // 2)), int(rng.integers(height // 4, height // 2))
                cv2.line(mask, (x, y), (x + width // 8, y + height // 16), 255, max(3, width // 200))
                plate[mask > 0] //= 2
                cv2.imwrite(str(root / f"ground_truth/scratch/{number}_mask.png"), mask)
            cv2.imwrite(str(root / part / f"{number}.png"), plate)


def _plate(rng: np.random.Generator, width: int, height: int) -> Image:
    coarse = cv2.resize(rng.normal(120, 8, (height // 4, width // 4)), (width, height))
    grain = coarse + rng.normal(0, 4, (height, width))
    return np.repeat(grain.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
