"""How does a run scale from 1 to 512 GPUs? A simulation of shards, failures and the one process that hands them out.

python benchmarks/scale_simulation.py [images]

Every GPU takes the next shard as soon as it is free. A shard takes as long as its images, a little more or less, and
sometimes dies half-way and is made again. One flow process submits and collects shards one after another, at the cost
that `orchestration.py overhead` measures; learning, sealing and training come before and after, category by category.
"""

import heapq
import random
import sys
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Plant:
    """What a run works with; times in seconds."""

    gpus: int
    images: int = 10_000_000
    categories: int = 15
    defects: int = 5
    """Of each category: as many embeddings are learned at the same time."""
    shard_size: int = 64
    image: float = 1.0
    """One image on one GPU."""
    handing: float = 0.1
    """Of the flow process for each shard, to submit and to collect it."""
    on_worker: float = 0.1
    """Of the worker for each shard, beside the images."""
    learning: float = 600.0
    training: float = 1800.0
    detectors: int = 2
    """Of each category, trained at the same time."""
    sealing: float = 0.006
    """Of the flow process for each image."""
    failures: float = 0.01
    """Share of shards that die half-way, and are made again."""
    runs: int = 1
    """Runs at the same time, each with its share of the categories, the GPUs and a flow process of its own."""


@dataclass
class Ledger:
    """Where the time went: hours of the whole run."""

    learn: float = 0.0
    generate: float = 0.0
    seal: float = 0.0
    train: float = 0.0
    busy: float = 0.0
    """GPU time spent on images, of the hours that all GPUs were held."""

    @property
    def total(self) -> float:
        """Return the length of the run."""
        return self.learn + self.generate + self.seal + self.train


def simulate(plant: Plant) -> Ledger:
    """Return where the time of a run goes; of several runs at the same time, of the longest."""
    gpus = max(1, plant.gpus // plant.runs)
    categories = -(-plant.categories // plant.runs)
    shards = -(-plant.images // plant.categories // plant.shard_size)
    ledger = Ledger()
    for number in range(categories):
        ledger.learn += plant.learning * -(-plant.defects // gpus) / 3600
        ledger.generate += _generate(replace(plant, gpus=gpus), shards, random.Random(number)) / 3600
        ledger.seal += plant.sealing * shards * plant.shard_size / 3600
        ledger.train += plant.training * -(-plant.detectors // gpus) / 3600
    ledger.busy = plant.images * plant.image / 3600 / (ledger.total * plant.gpus)
    return ledger


def _generate(plant: Plant, shards: int, rng: random.Random) -> float:
    """Return seconds until the last of a category's shards is collected."""
    free = [0.0] * plant.gpus
    # The flow process submits shards one after another; a shard that died waits from then on.
    ready = [plant.handing * (number + 1) for number in range(shards)]
    ended = ready[-1]
    while ready:
        start = max(heapq.heappop(free), heapq.heappop(ready))
        seconds = plant.on_worker + plant.shard_size * plant.image * rng.lognormvariate(0.0, 0.1)
        if rng.random() < plant.failures:
            seconds /= 2
            heapq.heappush(ready, start + seconds)
        else:
            ended = max(ended, start + seconds)
        heapq.heappush(free, start + seconds)
    return ended


def main() -> None:
    """Print a table for 1 to 512 GPUs, as it is by default and with what docs/scale.md advises."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    choices: dict[str, dict[str, float]] = {
        "Shards of 64, one run": {},
        "Shards of 64, one run, a busy flow process (1 s per shard)": {"handing": 1.0},
        "Shards of 256, 15 runs at the same time, busy flow processes": {"handing": 1.0, "shard_size": 256, "runs": 15},
    }
    for title, changes in choices.items():
        print(f"\n{title}\n\n| GPUs | hours | learn | generate | seal | train | GPUs busy with images |")
        print("|---|---|---|---|---|---|---|")
        for gpus in (1, 8, 64, 256, 512):
            plant = replace(Plant(gpus=gpus, images=images), **changes)
            if plant.runs > 1 and gpus < plant.runs:
                continue
            h = simulate(plant)
            parts = " | ".join(f"{value:.1f}" for value in (h.total, h.learn, h.generate, h.seal, h.train))
            print(f"| {gpus} | {parts} | {100 * h.busy:.0f} % |")


if __name__ == "__main__":
    main()
