"""How well do refined masks outline defects whose true mask is known, and is their confidence a probability?

python benchmarks/refined_masks.py [number of scenes] [folder in the layout of MVTec AD]

Scenes are rendered twice, without and with a defect. With a folder, real defects of its test photos are cut out along
their masks and pasted on its good photos instead (CutPaste). The image with the defect passes the base model's
autoencoder with noise on its latents, as generation leaves it, and is pasted into a box around the defect. Printed for
three strengths of that noise: mean IoU with the true mask of the box, of Otsu's threshold on the grey difference, and
of the refined mask; then what share of the pixels is truly defective in five classes of confidence.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from anogen_core.baselines.cut_paste import paste_defect
from anogen_core.data.frame import load_image, load_mask
from anogen_core.data.mvtec import MvtecReaderSettings
from anogen_core.diffusion import BundledModelSettings
from anogen_core.diffusion.crop import bounding_box, paste
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.masks.refinement import RefinementSettings, refine_mask
from anogen_core.procedural.scene import DEFECTS, Scene, render_scene
from anogen_core.records import Box
from anogen_core.seeding import derive_seed, numpy_generator, torch_generator

SIDE, PADDING, FEATHER, FRAME = 96, 0.15, 0.35, (256, 256)


def main() -> None:
    """Print one line for each strength of the noise."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 140
    pairs = _pasted(Path(sys.argv[2]), count) if len(sys.argv) > 2 else _rendered(count)
    model = BundledModelSettings().build(torch.device("cpu"))
    print("latent noise | box | Otsu | refined | truly defective of confidence 0-0.2, 0.2-0.4, ... 0.8-1")
    for strength in (0.0, 0.1, 0.25):
        rows, said, true = [], [], []
        for index, pair in enumerate(pairs):
            seed = derive_seed(2026, "refined-masks", index)
            box = _box(pair.mask)
            image = _repaint(pair, box, model, strength=strength, seed=seed)
            refined = refine_mask(pair.flawless, image, box, RefinementSettings())
            found = (box, _otsu(pair.flawless, image, box), refined.mask)
            rows.append([_iou(mask, pair.mask) for mask in found])
            said.append(refined.confidence[box] / 255)
            true.append(pair.mask[box])
        classes = np.minimum((5 * np.concatenate(said)).astype(int), 4)
        shares = [np.concatenate(true)[classes == c].mean() for c in range(5)]
        print(
            f"{strength:.2f} | "
            + " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0))
            + " | "
            + " ".join(f"{share:.2f}" for share in shares)
        )


def _rendered(count: int) -> list[Scene]:
    seeds = [derive_seed(2026, "refined-masks", index) for index in range(count)]
    return [
        render_scene(numpy_generator(seed), size=SIDE, defect=DEFECTS[index % len(DEFECTS)])
        for index, seed in enumerate(seeds)
    ]


def _pasted(root: Path, count: int) -> list[Scene]:
    """Return real defects on real good photos, cut to a square around them."""
    samples = MvtecReaderSettings(root=str(root)).build().read()
    good = [s for s in samples if s.split == "train"]
    bad = [s for s in samples if s.split == "test" and s.mask_uri is not None]
    pairs: list[Scene] = []
    for index in range(10 * count):
        rng = numpy_generator(derive_seed(2026, "pasted", index))
        normal, flawed = good[rng.integers(len(good))], bad[rng.integers(len(bad))]
        photo, mask = load_image(flawed, FRAME), load_mask(flawed, FRAME)
        scene = load_image(normal, FRAME)
        image, where = paste_defect(scene, bounding_box(mask), photo, mask, rng=rng)
        around = bounding_box(where)
        if max(around.width, around.height) > SIDE - 16 or where.sum() < 12:
            continue
        top, left = (
            int(np.clip(start + length // 2 - SIDE // 2, 0, side - SIDE))
            for start, length, side in zip((around.y, around.x), (around.height, around.width), FRAME, strict=True)
        )
        square = np.s_[top : top + SIDE, left : left + SIDE]
        pairs.append(
            Scene(
                image=image[square], mask=where[square], flawless=scene[square], material="photo", defect=flawed.defect
            )
        )
        if len(pairs) == count:
            break
    return pairs


def _box(mask: np.ndarray) -> np.ndarray:
    around = bounding_box(mask)
    x, y = (int(max(2, PADDING * length)) for length in (around.width, around.height))
    box = np.zeros_like(mask)
    box[max(0, around.y - y) : around.y + around.height + y, max(0, around.x - x) : around.x + around.width + x] = True
    return box


@torch.no_grad()
def _repaint(pair: Scene, box: np.ndarray, model: DiffusionModel, *, strength: float, seed: int) -> np.ndarray:
    flawless, flawed = (torch.from_numpy(x).permute(2, 0, 1)[None] / 127.5 - 1 for x in (pair.flawless, pair.image))
    latents = model.encode(flawed)
    latents = latents + strength * torch.randn(latents.shape, generator=torch_generator(seed))
    change = model.decode(latents) - model.decode(model.encode(flawless))
    generated = pair.flawless + (change[0].permute(1, 2, 0).numpy() * 127.5)
    return paste(pair.flawless, generated, Box(x=0, y=0, width=SIDE, height=SIDE), box, FEATHER)


def _otsu(normal: np.ndarray, image: np.ndarray, box: np.ndarray) -> np.ndarray:
    before, after = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (normal, image))
    change = cv2.absdiff(before, after)
    threshold, _ = cv2.threshold(change[box].reshape(-1, 1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return (change > threshold) & box


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max(1, (found | truth).sum()))


if __name__ == "__main__":
    main()
