"""How does a run scale from 1 to 512 GPUs? A simulation of shards, failures and the one process that hands them out.

python benchmarks/scale_simulation.py [images]

The defects of all categories are learned first. Then every GPU takes the next shard as soon as it is free. A shard
takes as long as its images, a little more or less, and sometimes dies half-way and is made again. One flow process
submits and collects shards one after another, at the cost that `orchestration.py overhead` measures. Several categories
are in work at a time: while one is sealed or trains its detectors, the GPUs make the shards of the others.
"""

import functools
import heapq
import random
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Plant:
    """What a run works with; times in seconds."""

    gpus: int
    images: int = 10_000_000
    categories: int = 15
    defects: int = 5
    """Of each category; those of all categories are learned first."""
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
    at_once: int = 4
    """Categories in work at the same time in one run."""
    runs: int = 1
    """Runs at the same time, each with its share of the categories, the GPUs and a flow process of its own."""


def simulate(plant: Plant) -> tuple[float, float]:
    """Return the hours of a run (of several at a time: of the longest) and the share of GPU time that images get."""
    gpus, categories = max(1, plant.gpus // plant.runs), -(-plant.categories // plant.runs)
    seconds = _Run(replace(plant, gpus=gpus, categories=categories), -(-plant.images // plant.categories)).seconds()
    return seconds / 3600, plant.images * plant.image / (seconds * plant.gpus)


class _Run:
    """One run, event by event: GPUs take what waits in order; one flow process hands shards out and seals."""

    def __init__(self, plant: Plant, images: int) -> None:
        self._plant = plant
        self._shards = -(-images // plant.shard_size)
        self._rng = random.Random(0)
        self._now = 0.0
        self._handed = 0.0
        self._free = plant.gpus
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._begun = 0

    def seconds(self) -> float:
        """Return when the last category has ended."""
        self._all(self._plant.categories * self._plant.defects, self._plant.learning, self._learned)
        while self._events:
            self._now, _, happens = heapq.heappop(self._events)
            happens()
        return self._now

    def _learned(self) -> None:
        for _ in range(min(self._plant.at_once, self._plant.categories)):
            self._begin()

    def _begin(self) -> None:
        if self._begun < self._plant.categories:
            self._begun += 1
            self._generate()

    def _generate(self) -> None:
        after = _Countdown(self._shards, self._seal)
        for _ in range(self._shards):
            # One after another: the flow process submits and collects the shards of all categories.
            self._handed = max(self._handed, self._now) + self._plant.handing
            self._at(self._handed, lambda: self._shard(after))

    def _shard(self, after: Callable[[], None]) -> None:
        seconds = self._plant.on_worker + self._plant.shard_size * self._plant.image * self._rng.lognormvariate(
            0.0, 0.1
        )
        if self._rng.random() < self._plant.failures:
            self._on_gpu(seconds / 2, lambda: self._shard(after))
        else:
            self._on_gpu(seconds, after)

    def _seal(self) -> None:
        seconds = self._plant.sealing * self._shards * self._plant.shard_size
        self._at(self._now + seconds, lambda: self._all(self._plant.detectors, self._plant.training, self._begin))

    def _all(self, tasks: int, seconds: float, then: Callable[[], None]) -> None:
        after = _Countdown(tasks, then)
        for _ in range(tasks):
            self._on_gpu(seconds, after)

    def _on_gpu(self, seconds: float, then: Callable[[], None]) -> None:
        self._waiting.append((seconds, then))
        self._take()

    def _take(self) -> None:
        while self._free and self._waiting:
            seconds, then = self._waiting.popleft()
            self._free -= 1
            self._at(self._now + seconds, functools.partial(self._end, then))

    def _end(self, then: Callable[[], None]) -> None:
        self._free += 1
        then()
        self._take()

    def _at(self, when: float, happens: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, happens))


class _Countdown:
    """Does something when it has been called a number of times."""

    def __init__(self, count: int, then: Callable[[], None]) -> None:
        self._count, self._then = count, then

    def __call__(self) -> None:
        self._count -= 1
        if not self._count:
            self._then()


def main() -> None:
    """Print a table for 1 to 512 GPUs, as it is by default and with what docs/scale.md advises."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    choices: dict[str, dict[str, float]] = {
        "shards of 64, one category at a time": {"at_once": 1},
        "shards of 64, 4 at a time (default)": {},
        "shards of 64, 15 at a time": {"at_once": 15},
        "shards of 256, 15 at a time": {"at_once": 15, "shard_size": 256},
        "busy flow process (1 s), shards of 64, 4 at a time": {"handing": 1.0},
        "busy flow process (1 s), shards of 256, 15 at a time": {"handing": 1.0, "shard_size": 256, "at_once": 15},
        "busy flow processes, shards of 256, 15 runs": {"handing": 1.0, "shard_size": 256, "runs": 15, "at_once": 1},
    }
    sizes = (1, 8, 64, 256, 512)
    print("| hours (GPUs busy with images) | " + " | ".join(f"{gpus} GPUs" for gpus in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for title, changes in choices.items():
        plants = [replace(Plant(gpus=gpus, images=images), **changes) for gpus in sizes]
        told = [simulate(plant) if plant.gpus >= plant.runs else None for plant in plants]
        cells = [f"{one[0]:.1f} ({100 * one[1]:.0f} %)" if one else "" for one in told]
        print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
