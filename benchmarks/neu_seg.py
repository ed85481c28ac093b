"""Squares of NEU-Seg (hot-rolled steel strip; Dong et al., 2020) in the layout of MVTec AD, as docs/results.md has it.

python benchmarks/neu_seg.py NEU_SEG ROOT

NEU_SEG holds images/training/NNN.jpg and annotations/training/NNN.png, whose values number the kinds of defects; all
photos are defective. ROOT/steel is written, one square of 128 px of each photo that shows one kind: a good one where
the photo has a square without defects, up to 140 of a kind, 100 of them to learn on; else the one with most defect, up
to 80 of a kind. Which photos share a strip is not known.
"""

import argparse
import random
from collections import Counter
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from anogen_core.arrays import Mask

_SIDE: Final = 128
_STEP: Final = 8
_KINDS: Final = {1: "inclusion", 2: "patches", 3: "scratches"}
_GOOD, _LEARNED, _DEFECTIVE = 140, 100, 80
_AREA: Final = (0.01, 0.4)
"""Share of a square that its defect covers."""


def main() -> None:
    """Write the squares and their masks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("root", type=Path)
    asked = parser.parse_args()
    target = asked.root / "steel"
    truths = sorted(asked.source.glob("annotations/training/*.png"))
    if not truths:
        raise SystemExit(f"{asked.source}: no annotations/training/*.png; expected NEU-Seg as it is downloaded.")
    random.Random(3).shuffle(truths)
    good, defective = Counter[str](), Counter[str]()
    for truth in truths:
        values = cv2.imread(str(truth), cv2.IMREAD_UNCHANGED)
        photo = cv2.imread(str(asked.source / "images/training" / f"{truth.stem}.jpg"), cv2.IMREAD_GRAYSCALE)
        kinds = sorted(set(np.unique(values)) - {0})
        if len(kinds) != 1:
            continue
        kind, shown = _KINDS[kinds[0]], values > 0
        free, most = _squares(shown)
        if free is not None and good[kind] < _GOOD:
            split = "train" if good[kind] < _LEARNED else "test"
            _write(target / split / "good" / truth.name, photo[free])
            good[kind] += 1
        elif free is None and defective[kind] < _DEFECTIVE and _AREA[0] < shown[most].mean() < _AREA[1]:
            _write(target / "test" / kind / truth.name, photo[most])
            mask = np.where(shown[most], 255, 0).astype(np.uint8)
            _write(target / "ground_truth" / kind / f"{truth.stem}_mask.png", mask)
            defective[kind] += 1


def _squares(shown: Mask) -> tuple[tuple[slice, slice] | None, tuple[slice, slice]]:
    """Return the first square without a defect in or near it, and the one with most of it."""
    near = cv2.dilate(shown.astype(np.uint8), np.ones((17, 17)))
    places = [
        (slice(y, y + _SIDE), slice(x, x + _SIDE))
        for y in range(0, shown.shape[0] - _SIDE + 1, _STEP)
        for x in range(0, shown.shape[1] - _SIDE + 1, _STEP)
    ]
    return next((p for p in places if not near[p].any()), None), max(places, key=lambda place: shown[place].sum())


def _write(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), pixels)


if __name__ == "__main__":
    main()
