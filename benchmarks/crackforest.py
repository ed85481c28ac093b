"""Squares of CrackForest (Shi et al., 2016; for research only) in the layout of MVTec AD, as docs/results.md has it.

python benchmarks/crackforest.py CRACKFOREST ROOT

CRACKFOREST holds image/NNN.jpg, and groundTruth/NNN.mat of most. ROOT/road is written, one square of 160 px of each
photo with a truth: a good one where the photo has a square without cracks, three of four to learn on; else the one with
most crack among those that a crack crosses.
"""

import argparse
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from scipy.io import loadmat

from anogen_core.arrays import Mask

_SIDE: Final = 160
_STEP: Final = 16


def main() -> None:
    """Write the squares and their masks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("root", type=Path)
    asked = parser.parse_args()
    target, good = asked.root / "road", 0
    for truth in sorted(asked.source.glob("groundTruth/*.mat")):
        file = asked.source / "image" / f"{truth.stem}.jpg"
        photo = cv2.imread(str(file))
        if photo is None:
            raise SystemExit(f"{file}: no photo; expected CrackForest as it is downloaded.")
        # 1 is road, 2 a crack, 3 road that cracks enclose, 4 a crack apart from the others.
        crack = np.isin(loadmat(str(truth))["groundTruth"]["Segmentation"][0, 0], (2, 4))
        free, crossed = _squares(crack)
        if free is not None:
            _write(target / ("train" if good % 4 else "test") / "good" / f"{file.stem}.png", photo[free])
            good += 1
        elif crossed is not None:
            _write(target / "test" / "crack" / f"{file.stem}.png", photo[crossed])
            mask = np.where(crack[crossed], 255, 0).astype(np.uint8)
            _write(target / "ground_truth" / "crack" / f"{file.stem}_mask.png", mask)


def _squares(crack: Mask) -> tuple[tuple[slice, slice] | None, tuple[slice, slice] | None]:
    """Return the first square without a crack in or near it, and the one with most of those that a crack crosses."""
    near = cv2.dilate(crack.astype(np.uint8), np.ones((9, 9)))
    free, crossed, most = None, None, 0
    for y in range(0, crack.shape[0] - _SIDE + 1, _STEP):
        for x in range(0, crack.shape[1] - _SIDE + 1, _STEP):
            window = slice(y, y + _SIDE), slice(x, x + _SIDE)
            if free is None and not near[window].any():
                free = window
            at = np.argwhere(crack[window])
            if len(at) > most and np.ptp(at, axis=0).max() >= _SIDE - 3:
                crossed, most = window, len(at)
    return free, crossed


def _write(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), pixels)


if __name__ == "__main__":
    main()
