"""Whom do the gates stop? Real defects that nobody showed them, copies of the support, and the run's own images.

python benchmarks/gates.py RUN.yaml [--held-out N]

For each defect of a run file: how many held-out real photos pass the gates that its support photos calibrate (their own
surface guessed by inpainting), how many copies of support defects are found when these are pasted on other normal
photos at the same place, and the reasons for what is stopped.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig, load_config
from anogen_core.data.frame import load_image, load_mask
from anogen_core.quality.contrast import restore
from anogen_core.quality.gates import Gates
from anogen_core.stages.catalogue import Category, read_catalogue
from anogen_core.stages.embedding import load_support


def main() -> None:
    """Print two lines for each defect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--held-out", type=int, default=40)
    given = parser.parse_args()
    config = load_config(given.run)
    for category in read_catalogue(config):
        for support in category.supports:
            photos = load_support(support, config)
            gates = Gates.calibrate(photos, config.quality)
            if gates is None:
                print(f"{category.name} {support.defect}: the support photos show no surface to calibrate gates on")
                continue
            real = _held_out(config, category, support.defect, given.held_out)
            copies = [c for photo, mask in photos for c in _copies(config, category, photo, mask)]
            _report(f"{category.name} {support.defect}: held-out real", gates, real)
            _report(f"{category.name} {support.defect}: copies of the support", gates, copies)


def _report(title: str, gates: Gates, cases: list[tuple[Image, Image, Mask]]) -> None:
    found = Counter((gates.judge(*case).reason or "pass").split(":")[0] for case in cases)
    print(f"{title} ({len(cases)}):", ", ".join(f"{count} {reason}" for reason, count in found.most_common()))


def _held_out(config: RunConfig, category: Category, defect: str, count: int) -> list[tuple[Image, Image, Mask]]:
    samples = [s for s in category.evaluated[0] if s.defect == defect]
    chosen = [samples[i * len(samples) // count] for i in range(min(count, len(samples)))]
    white = config.frame.white_level
    pairs = [(load_image(s, category.frame, white_level=white), load_mask(s, category.frame)) for s in chosen]
    return [(restore(photo, mask), photo, mask) for photo, mask in pairs if mask.any()]


def _copies(config: RunConfig, category: Category, photo: Image, mask: Mask) -> list[tuple[Image, Image, Mask]]:
    """Return a support defect's change laid on a few normal photos, as a model that memorised it would."""
    change = photo.astype(np.int16) - restore(photo, mask)
    cases = []
    for sample in category.normals[:: max(1, len(category.normals) // 5)][:5]:
        normal = load_image(sample, category.frame, white_level=config.frame.white_level)
        copied = np.where(mask[..., None], normal + change, normal).clip(0, 255).astype(np.uint8)
        cases.append((normal, copied, mask))
    return cases


if __name__ == "__main__":
    main()
