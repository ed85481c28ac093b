"""How fast, how exact and how large in memory are the pixel metrics, against anomalib's and scikit-learn's?

python benchmarks/metric_speed.py ANOMALIB [--images N] [--size S] [--repetitions R] [--skip-anomalib]

ANOMALIB is a checkout of openvinotoolkit/anomalib (needs `pip install torchmetrics`, nothing else of it). Its AUPRO
class and its connected components are loaded as they are; only what plots, reads batches or labels on a GPU is left
out. The evaluation code that MVTec publishes lies in anomalib's tests and is measured too: it takes a threshold at each
of so many false-positive rates. All ways get the same float32 maps and masks, in turns, anomalib's AUPRO once; printed
are seconds of processor time (one thread; other work on the machine does not count), the peak memory beyond the arrays,
and the values. First all AUPROs are compared on a small case with one that goes through every threshold and region.
"""

import argparse
import ctypes
import gc
import importlib
import importlib.util
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from sklearn.metrics import average_precision_score

from anogen_core.metrics.detection import PixelEvaluation, evaluate_scores
from anogen_core.metrics.histograms import count_pixels, pixel_metrics, to_levels
from anogen_core.seeding import derive_seed, numpy_generator

LIMIT = 0.3
SLOW = "AUPRO, anomalib"
MVTEC_THRESHOLDS = (100, 10_000)
Way = Callable[[np.ndarray, np.ndarray], float]


def main() -> None:
    """Print one line for each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("anomalib", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--skip-anomalib", action="store_true", help="leave out the way that takes minutes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ways = _ways(given.anomalib)
    maps, masks = _made_up(6, 48)
    exact = _by_definition(maps, masks)
    print(f"6 images of 48 px: AUPRO by definition {exact:.9f}")
    for name in ways:
        if "AP," not in name:
            print(f"  {name:44} differs by {abs(ways[name](maps, masks) - exact):.1e}")
    if given.skip_anomalib:
        ways = {name: way for name, way in ways.items() if name != SLOW}
    maps, masks = _made_up(given.images, given.size)
    regions = sum(ndimage.label(mask, structure=np.ones((3, 3)))[1] for mask in masks)
    print(f"{given.images} images of {given.size} px, {regions} regions, {masks.mean():.2%} anomalous pixels")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory, value = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    for repetition in range(given.repetitions):
        for name, way in ways.items():
            if name == SLOW and repetition:
                continue
            started, before = time.process_time(), _reset_peak()
            value[name] = way(maps, masks)
            seconds[name].append(time.process_time() - started)
            memory[name] = max(memory[name], _peak() - before)
    print(f"  {'':44}    median   fastest    memory  value")
    for name, times in seconds.items():
        print(f"  {name:44} {np.median(times):8.3f}s {min(times):8.3f}s {memory[name]:7.0f}MB  {value[name]:.9f}")


def _ways(anomalib: Path) -> dict[str, Way]:
    """Return every way to an AUPRO or a pixel AP."""
    metric = _anomalib_aupro(anomalib)
    reference = _load("reference", anomalib / "tests/unit/metrics/aupro/aupro_reference.py")

    def theirs(maps: np.ndarray, masks: np.ndarray) -> float:
        evaluation = metric(fpr_limit=LIMIT)
        evaluation.update(torch.from_numpy(maps), torch.from_numpy(masks).int())
        return float(evaluation.compute())

    def mvtec(maps: np.ndarray, masks: np.ndarray, *, thresholds: int) -> float:
        return float(reference.calculate_au_pro(list(masks), list(maps), LIMIT, thresholds)[0])

    def ours(maps: np.ndarray, masks: np.ndarray) -> float:
        evaluation = PixelEvaluation()
        for rows in range(0, len(maps), 16):
            evaluation.add(maps[rows : rows + 16], masks[rows : rows + 16])
        return float(evaluation.metrics().aupro or 0)

    def histograms(maps: np.ndarray, masks: np.ndarray) -> float:
        counts = sum(count_pixels(to_levels(m), mask) for m, mask in zip(maps, masks, strict=True))
        return float(pixel_metrics(np.asarray(counts)).aupro or 0)

    def ap(maps: np.ndarray, masks: np.ndarray) -> float:
        return float(evaluate_scores(maps, masks).ap or 0)

    return {
        SLOW: theirs,
        **{f"AUPRO, MVTec's code, {n:,} thresholds": partial(mvtec, thresholds=n) for n in MVTEC_THRESHOLDS},
        "AUPRO and all other metrics, AnoGen": ours,
        "the same in 65,536 levels, AnoGen": histograms,
        "pixel AP, scikit-learn": lambda maps, masks: float(average_precision_score(masks.ravel(), maps.ravel())),
        "pixel AP, AUROC and F1, AnoGen": ap,
    }


def _made_up(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return maps (N, S, S) in [0, 1] and masks: a third of the photos good, the others with one to three blobs."""
    rng = numpy_generator(derive_seed(2026, "metric-speed", count, size))
    maps, masks = np.empty((count, size, size), np.float32), np.zeros((count, size, size), bool)
    for index in range(count):
        for _ in range(int(rng.integers(1, 4)) if index % 3 else 0):
            centre, radius = rng.uniform(0.15, 0.85, 2) * size, rng.uniform(0.02, 0.09) * size
            away = np.hypot(*(np.indices((size, size)) - centre[:, None, None]))
            masks[index] |= away < radius * (1 + 0.6 * _noise(rng, size, radius / 2))
        belief = ndimage.gaussian_filter(masks[index].astype(np.float32), 0.012 * size)
        doubt = 0.7 * _noise(rng, size, 0.03 * size) + 0.3 * _noise(rng, size, 1.0)
        maps[index] = 1 / (1 + np.exp(3 - 4 * belief - 1.2 * doubt))
    return maps, masks


def _noise(rng: np.random.Generator, size: int, sigma: float) -> np.ndarray:
    smooth = ndimage.gaussian_filter(rng.standard_normal((size, size), np.float32), sigma, mode="wrap")
    return np.asarray(smooth / smooth.std())


def _by_definition(maps: np.ndarray, masks: np.ndarray) -> float:
    """Return the AUPRO by lowering the threshold through every score: overlap of each region, rate of the rest."""
    regions = []
    for row, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [np.sort(maps[row][labels == number].astype(np.float64)) for number in range(1, count + 1)]
    normal = np.sort(maps[~masks].astype(np.float64))
    thresholds = np.unique(maps)[::-1].astype(np.float64)
    rate = np.append(0, [1 - np.searchsorted(normal, t) / len(normal) for t in thresholds])
    overlap = np.append(0, [np.mean([1 - np.searchsorted(r, t) / len(r) for r in regions]) for t in thresholds])
    end = np.interp(LIMIT, rate, overlap)
    inside = rate < LIMIT
    return float(np.trapezoid(np.append(overlap[inside], end), np.append(rate[inside], LIMIT)) / LIMIT)


def _anomalib_aupro(checkout: Path) -> Any:
    """Return anomalib's class, without the parts of anomalib that it does not need for a number."""
    # Before the stand-ins: torchmetrics itself looks for matplotlib.
    importlib.import_module("torchmetrics")
    source = checkout / "src/anomalib"
    for name in ("anomalib", "anomalib.metrics", "anomalib.utils", "kornia", "matplotlib"):
        _stand_in(name)
    _stand_in("kornia.contrib", connected_components=None)
    _stand_in("matplotlib.figure", Figure=object)
    _stand_in("anomalib.metrics.base", AnomalibMetric=type("AnomalibMetric", (), {}))
    _stand_in("anomalib.metrics.plotting_utils", plot_figure=None)
    components = _load("anomalib.utils.cv", source / "utils/cv/connected_components.py")
    _stand_in("anomalib.metrics.pro", **{n: getattr(components, n) for n in dir(components) if n.startswith("conn")})
    _load("anomalib.metrics.binning", source / "metrics/binning.py")
    # The class below AUPRO: what AUPRO adds is reading fields of anomalib's batches.
    return _load("anomalib.metrics.aupro", source / "metrics/aupro.py")._AUPRO  # noqa: SLF001


def _stand_in(name: str, **members: object) -> None:
    module = types.ModuleType(name)
    module.__path__ = []
    module.__dict__.update(members)
    sys.modules[name] = module


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"{path}: not found. Expected a checkout of openvinotoolkit/anomalib.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _reset_peak() -> float:
    """Let Linux forget the peak of this process; return the memory in use now, MB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    main()
