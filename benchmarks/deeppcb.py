"""DeepPCB (github.com/tangsanli5201/DeepPCB, MIT; Tang et al., 2019) as a plain folder, as docs/results.md has it.

python benchmarks/deeppcb.py PCBDATA ROOT

PCBDATA holds group00041 and so on. Of the boards, drawn at random, ROOT/images takes 80 without defects (templates)
and 100 others with all their defects. Where a board differs from its template inside a labelled box is the outline of
that defect, in ROOT/annotations.json (COCO, run lengths).
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anogen_core.outline import encode_outline

_DEFECTS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
_GOOD, _BAD = 80, 100
_DIFFERENT = 100
"""Grey values between board and template."""
_LEAST = 6
"""Pixels of an outline."""


def main() -> None:
    """Write the photos and the labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("root", type=Path)
    asked = parser.parse_args()
    (asked.root / "images").mkdir(parents=True, exist_ok=True)
    templates = sorted(asked.source.glob("*/*/*_temp.jpg"))
    random.Random(0).shuffle(templates)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, file in enumerate(templates[: _GOOD + _BAD]):
        name = file.name.removesuffix("_temp.jpg")
        template = _read(file)
        if number < _GOOD:
            cv2.imwrite(str(asked.root / f"images/{name}_good.png"), template)
            continue
        board = _read(file.with_name(f"{name}_test.jpg"))
        cv2.imwrite(str(asked.root / f"images/{name}.png"), board)
        height, width = board.shape
        images.append({"id": number, "file_name": f"{name}.png", "height": height, "width": width})
        changed: np.ndarray[Any, Any] = (cv2.absdiff(template, board) > _DIFFERENT).astype(np.uint8)
        changed = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        for line in (file.parents[1] / f"{file.parent.name}_not/{name}.txt").read_text().splitlines():
            left, top, right, bottom, kind = map(int, line.split())
            mask = np.zeros(board.shape, bool)
            mask[top:bottom, left:right] = changed[top:bottom, left:right] > 0
            if mask.sum() >= _LEAST:
                segmentation = {"size": [height, width], "counts": list(encode_outline(mask))}
                about = {"id": len(annotations) + 1, "image_id": number, "category_id": kind}
                annotations.append({**about, "segmentation": segmentation})
    categories = [{"id": number, "name": name} for number, name in enumerate(_DEFECTS, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (asked.root / "annotations.json").write_text(json.dumps(document))


def _read(file: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    pixels = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise SystemExit(f"{file}: no image; expected PCBData of DeepPCB as it is downloaded.")
    return pixels.astype(np.uint8)


if __name__ == "__main__":
    main()
