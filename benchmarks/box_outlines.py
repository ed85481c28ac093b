"""How close are the outlines found inside boxes to those that people drew?

python benchmarks/box_outlines.py RUN.yaml [--slack 0.15] [--photos 40] [--doubts]

For each defect of a run file whose photos have masks: boxes are put around the regions of the masks (regions less than
seven pixels apart count as one), each side further out by up to `slack` of the region's size. Printed is the mean
intersection over union with the mask of the boxes, of what GrabCut (Rother et al., 2004) finds in them, and of what
`anogen_core.masks.box_outline` does.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.config import load_config
from anogen_core.data.frame import fill_boxes, load_image, load_mask
from anogen_core.diffusion.crop import bounding_box
from anogen_core.masks.box_outline import as_clear, outline_boxes
from anogen_core.masks.product import spread_out
from anogen_core.records import Box
from anogen_core.stages.catalogue import read_catalogue
from anogen_core.stages.support_doubts import DOUBTFUL, NORMALS


def main() -> None:
    """Print one line for each defect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--slack", type=float, default=0.15)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--doubts", action="store_true", help="compare with good photos")
    given = parser.parse_args()
    config = load_config(given.run)
    for category in read_catalogue(config):
        for support in category.supports:
            samples = [s for s in category.samples if s.defect == support.defect and s.mask_uri is not None]
            shares, doubted = [], []
            normals = [category.load(s) for s in spread_out(category.normals, NORMALS)] if given.doubts else []
            for i in np.random.default_rng(0).permutation(len(samples))[: given.photos]:
                photo = load_image(samples[i], category.frame, white_level=config.frame.white_level)
                mask = load_mask(samples[i], category.frame)
                boxes = fill_boxes(boxes_around(mask, given.slack, np.random.default_rng(i)), category.frame)
                doubted.append(as_clear(photo, boxes, normals) > DOUBTFUL * len(normals))
                shares.append([_overlap(mask, m) for m in (boxes, _cut(photo, boxes), outline_boxes(photo, boxes))])
            box, cut, found = np.mean(shares, axis=0)
            name = f"{category.name} {support.defect} ({len(shares)})"
            print(
                f"{name}: IoU of boxes {box:.2f}, of GrabCut in them {cut:.2f}, of outlines found in them {found:.2f}"
            )
            if given.doubts:
                poor = [share[2] < 0.4 for share in shares]
                told = sum(p and d for p, d in zip(poor, doubted, strict=True))
                print(f"  doubtful: {sum(doubted)}, of which {told} of the {sum(poor)} with an IoU below 0.4")


def boxes_around(mask: Mask, slack: float, rng: np.random.Generator) -> list[Box]:
    """Return boxes around the regions of a mask, drawn as carelessly as a person in a hurry would."""
    boxes = []
    count, labels = cv2.connectedComponents(cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)))
    for label in range(1, count):
        box = bounding_box((labels == label) & mask)
        up, left, down, right = (
            round(rng.uniform(0, slack) * side) for side in (box.height, box.width, box.height, box.width)
        )
        x, y = max(0, box.x - left), max(0, box.y - up)
        end = (min(mask.shape[1], box.x + box.width + right), min(mask.shape[0], box.y + box.height + down))
        boxes.append(Box(x=x, y=y, width=end[0] - x, height=end[1] - y))
    return boxes


def _cut(photo: Image, boxes: Mask) -> Mask:
    labels = np.where(boxes, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(photo, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    found: Mask = labels == cv2.GC_PR_FGD
    return found if found.any() else boxes


def _overlap(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


if __name__ == "__main__":
    main()
