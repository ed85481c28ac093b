"""How well do refined masks outline defects whose true mask is known?

python benchmarks/refined_masks.py [number of scenes]

Scenes are rendered twice, without and with a defect. The second passes the base model's autoencoder with noise on its
latents, as generation leaves it, and is pasted into a box around the defect. Printed: mean IoU with the true mask of
the box, of Otsu's threshold on the grey difference, and of the refined mask, for three strengths of that noise.
"""

import sys

import cv2
import numpy as np
import torch

from anogen_core.diffusion import BundledModelSettings
from anogen_core.diffusion.crop import bounding_box, paste
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.masks.refinement import RefinementSettings, refine_mask
from anogen_core.procedural.scene import DEFECTS, Scene, render_scene
from anogen_core.records import Box
from anogen_core.seeding import derive_seed, numpy_generator, torch_generator

SIDE, PADDING, FEATHER = 96, 0.15, 0.35


def main() -> None:
    """Print one line for each strength of the noise."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 140
    model = BundledModelSettings().build(torch.device("cpu"))
    print("latent noise | box | Otsu | refined")
    for strength in (0.0, 0.1, 0.25):
        rows = []
        for index in range(count):
            seed = derive_seed(2026, "refined-masks", index)
            pair = render_scene(numpy_generator(seed), size=SIDE, defect=DEFECTS[index % len(DEFECTS)])
            box = _box(pair.mask)
            image = _repaint(pair, box, model, strength=strength, seed=seed)
            found = (
                box,
                _otsu(pair.flawless, image, box),
                refine_mask(pair.flawless, image, box, RefinementSettings()).mask,
            )
            rows.append([_iou(mask, pair.mask) for mask in found])
        print(f"{strength:.2f} | " + " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0)))


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
