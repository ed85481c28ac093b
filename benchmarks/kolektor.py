"""KolektorSDD (vicos.si, CC BY-NC-SA 4.0; Tabernik et al., 2020) in the layout of MVTec AD, as docs/results.md has it.

python benchmarks/kolektor.py KOLEKTORSDD ROOT

KOLEKTORSDD holds kos01 to kos50, each with Part0.jpg and Part0_label.bmp and so on. ROOT/commutator is written: the
good photos of odd items to learn on, those of even items and all cracks to test on, index.csv with the item of each
photo. Photos with the pixels of an earlier one are left out (items 26 and 34 are copies of 1 and 27).
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from anogen_core.arrays import array_digest


def main() -> None:
    """Write the photos, masks and groups."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("root", type=Path)
    asked = parser.parse_args()
    target, seen, rows = asked.root / "commutator", set[str](), []
    for file in sorted(asked.source.glob("kos*/Part*.jpg")):
        photo, label = _read(file, cv2.IMREAD_COLOR), _read(file.with_name(f"{file.stem}_label.bmp"))
        digest, item = array_digest(photo), file.parent.name
        if digest in seen:
            continue
        seen.add(digest)
        defective = bool((label > 0).any())
        name = f"{item}_{file.stem}"
        split = "test/crack" if defective else "train/good" if int(item[3:]) % 2 else "test/good"
        _write(target / split / f"{name}.png", photo)
        if defective:
            _write(target / f"ground_truth/crack/{name}_mask.png", np.where(label > 0, 255, 0).astype(np.uint8))
        rows.append((f"{split}/{name}.png", item))
    with (target / "index.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("image", "item_group"), *rows])


def _read(file: Path, flags: int = cv2.IMREAD_GRAYSCALE) -> np.ndarray:
    pixels = cv2.imread(str(file), flags)
    if pixels is None:
        raise SystemExit(f"{file}: no image; expected KolektorSDD as it is downloaded.")
    return pixels


def _write(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), pixels)


if __name__ == "__main__":
    main()
