"""Does a faster sampler make other images? Distance to those of the reference, beside what another seed changes.

python benchmarks/samplers.py RUN.yaml WEIGHTS [--images N] [--reference ddim:50] [--ways ddim:20 dpm_solver:20 ...]

WEIGHTS as in `likeness.py`. The first N planned images of each defect are made with the reference (ddim:50), with the
reference and other noise, and with each way (`kind:steps`), everything else as the run file says. Printed: seconds per
image on the device, and the mean cosine distance between MobileNetV2 features of the square around the defect of the
same request. A way whose distance is far below that of another seed gives images as good as the reference's.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from likeness import features, load_weights

from anogen_core.arrays import Image
from anogen_core.config import RunConfig, load_config
from anogen_core.diffusion.sampling import SamplerSettings
from anogen_core.generation import GenerationSettings, Job, generate
from anogen_core.stages.catalogue import Category, read_catalogue
from anogen_core.stages.embedding import learn
from anogen_core.stages.generation import plan_category, product_of
from anogen_core.stages.runtime import base_model
from anogen_core.stages.shard_work import ShardWork

WAYS = ("ddim:20", "dpm_solver:20", "dpm_solver:10", "unipc:20", "unipc:10")


def main() -> None:
    """Print one line for each defect and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--reference", default="ddim:50")
    parser.add_argument("--ways", nargs="+", default=WAYS)
    given = parser.parse_args()
    config, weights = load_config(given.run), load_weights(given.weights)
    reference = _with(given.reference, config.generation)
    print("| category | defect | images | way | s per image | distance to the reference |\n|---|---|---|---|---|---|")
    for category in read_catalogue(config):
        for defect, jobs in _jobs(config, category, given.images):
            first = generate(jobs, base_model(config), reference)
            ways = {"another seed": ([replace(job, seed=job.seed + 1) for job in jobs], reference)}
            for way in given.ways:
                ways[way] = (jobs, _with(way, reference))
            for way, (varied, settings) in ways.items():
                started = time.perf_counter()
                images = generate(varied, base_model(config), settings)
                seconds = (time.perf_counter() - started) / len(jobs)
                distance = np.mean([_distance(*pair, weights) for pair in zip(jobs, first, images, strict=True)])
                cells = [category.name, defect, len(jobs), way, f"{seconds:.2f}", f"{distance:.4f}"]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _jobs(config: RunConfig, category: Category, count: int) -> Iterator[tuple[str, list[Job]]]:
    product = product_of(config, category)
    work = ShardWork(category.supports, category.frame, learn(category.supports, config), config, product)
    requests = plan_category(config, category, product)
    for support in category.supports:
        planned = [r for r in requests if r.defect == support.defect and r.instances][:count]
        yield support.defect, [job for request in planned for job in work.jobs(request)]


def _with(way: str, settings: GenerationSettings) -> GenerationSettings:
    kind, steps = way.split(":")
    changed = {**settings.sampler.model_dump(), "kind": kind, "num_inference_steps": int(steps)}
    return settings.model_copy(update={"sampler": SamplerSettings.model_validate(changed)})


def _distance(job: Job, first: Image, second: Image, weights: dict[str, np.ndarray]) -> float:
    """Return the cosine distance between features of two images of one job."""
    seen = features([(image, job.mask) for image in (first, second)], weights, job.crop.width)
    unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    return float(1 - unit[0] @ unit[1])


if __name__ == "__main__":
    main()
