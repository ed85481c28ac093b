"""How fast is a dataset read, against the same images and masks as a folder of PNG files?

python benchmarks/pull_speed.py DATASET.zarr [repetitions]

Printed: images per second, one process, files in the page cache, median of the repetitions taken in turns; and bytes
for each image. `in order` reads everything once; `at random` reads single images in a shuffled order, as a training
loader does. The PNG folder is what `anogen pull` writes (OpenCV, compression 3); it holds image and mask, the dataset
also box mask and confidence map, which are read too in the line `all four arrays`.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from anogen_core.export import pull
from anogen_core.storage import Dataset


def main() -> None:
    """Print one line for each way."""
    uri, repetitions = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    cv2.setNumThreads(1)
    count = len(Dataset(uri))
    shuffled = np.random.default_rng(0).permutation(count).tolist()
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        folder = pull(Dataset(uri), Path(name))
        pulled = time.perf_counter() - started
        images = sorted(p for p in (folder / "test").glob("*/*.png"))
        masks = [folder / "ground_truth" / p.parent.name / f"{p.stem}_mask.png" for p in images]
        ways: dict[str, Callable[[], object]] = {
            "PNG folder, in order": lambda: [_png(images[i], masks[i]) for i in range(count)],
            "dataset, in order, all four arrays": lambda: list(Dataset(uri)),
            "PNG folder, at random": lambda: [_png(images[i], masks[i]) for i in shuffled],
            "dataset, at random": lambda: _at_random(uri, shuffled),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repetitions):
            for way, read in ways.items():
                started = time.perf_counter()
                read()
                seconds[way].append(time.perf_counter() - started)
        png_bytes = sum(p.stat().st_size for p in (*images, *masks)) / count
    stored = Dataset(uri).stored_bytes(Dataset(uri).made()) / count
    for way, times in seconds.items():
        print(f"{way:36} {count / float(np.median(times)):7.0f} images/s")
    print(f"{'pull to the PNG folder':36} {count / pulled:7.0f} images/s")
    print(f"bytes for each image: PNG {png_bytes:.0f} (image and mask), dataset {stored:.0f} (all four arrays)")


def _png(image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    return (
        cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB),
        cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE),
    )


def _at_random(uri: str, order: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    dataset = Dataset(uri)
    return [(dataset.image(i), dataset.mask(i)) for i in order]


if __name__ == "__main__":
    main()
