"""Do generated defects look like real ones that nobody showed the model?

python benchmarks/likeness.py OUTPUT WEIGHTS [--replicates N]

OUTPUT is a finished run on real photos, WEIGHTS the safetensors file of MobileNetV2's convolutions with folded batch
normalisation (`NN.{conv,dw}.{weight,bias}`). Crops around defects of held-out real photos are compared with crops
around generated ones, CutPaste of the support defects at the same places, and Perlin noise with texture (DRAEM) on the
same normal photos; all crops of a defect are of one size, so that zoom makes no difference. Printed for each defect:
KID x 1000 (Binkowski et al., 2018; unbiased, cubic kernel; mean and 95 % interval over random halves) to the real
crops, lower is closer, and the mean cosine distance between crops of one kind, higher is more diverse.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from anogen_core.arrays import Image, Mask
from anogen_core.baselines.perlin_texture import PerlinTextureSettings
from anogen_core.config import RunConfig, stored_config
from anogen_core.data.frame import load_image, load_mask
from anogen_core.diffusion.crop import bounding_box
from anogen_core.quality.likeness import diversity, kernel_distance
from anogen_core.records import DatasetRef
from anogen_core.seeding import numpy_generator, torch_generator
from anogen_core.stages import arms
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.result import read_result
from anogen_core.storage import Dataset

SIDE, CONTEXT, SMALLEST = 128, 1.6, 32
STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
"""Of the 17 inverted residual blocks (Sandler et al., 2018)."""


def main() -> None:
    """Print one line for each defect and kind of image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--replicates", type=int, default=200)
    given = parser.parse_args()
    weights = load_weights(given.weights)
    result = read_result(given.output)
    config = stored_config(result.settings, output=given.output, source=given.output)
    print("category | defect | images | count | KID x 1000 [95 %] | diversity")
    for made in result.categories:
        category = read_category(config, made.category)
        kinds = _kinds(config, category, made.dataset)
        for defect in sorted({s.defect for s in category.supports}):
            crops = {kind: pairs[defect] for kind, pairs in kinds.items()}
            side = _common_side([mask for _, mask in crops["real"]])
            seen = {kind: features(pairs, weights, side) for kind, pairs in crops.items()}
            for kind, found in seen.items():
                mean, low, high = _kid(found, seen["real"], given.replicates)
                distance = "" if kind == "real" else f"{mean:.1f} [{low:.1f}, {high:.1f}]"
                print(f"{category.name} | {defect} | {kind} | {len(found)} | {distance} | {diversity(found):.3f}")


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return MobileNetV2's convolutions."""
    return {name: value.float() for name, value in load_file(path).items()}


def _kinds(config: RunConfig, category: Category, ref: DatasetRef) -> dict[str, dict[str, list[tuple[Image, Mask]]]]:
    """Return (photo, mask) pairs by kind and defect."""
    defects = [s.defect for s in category.supports]
    white = config.frame.white_level
    real = [
        (s.defect, (load_image(s, category.frame, white_level=white), load_mask(s, category.frame)))
        for s in category.evaluated[0]
        if s.defect in defects
    ]
    samples = list(Dataset(ref.uri))
    names = [sample.row.defect for sample in samples]
    generated = [(sample.image, sample.mask > 0) for sample in samples]
    pasted = arms.training_set(config, category, "cutpaste", ref)
    if pasted.generated is None or pasted.masks is None or pasted.origins is None:
        raise SystemExit("The run made no image.")
    cut_paste = list(zip(pasted.generated, pasted.masks > 0, strict=True))
    perlin = _perlin(pasted.normals[pasted.origins], pasted.normals)
    return {
        "real": _by_defect(real),
        "generated": _by_defect(zip(names, generated, strict=True)),
        "CutPaste": _by_defect(zip(names, cut_paste, strict=True)),
        "Perlin": _by_defect(zip(names, perlin, strict=True)),
    }


def _by_defect(pairs: Iterable[tuple[str, tuple[Image, Mask]]]) -> dict[str, list[tuple[Image, Mask]]]:
    found: dict[str, list[tuple[Image, Mask]]] = {}
    for defect, (photo, mask) in pairs:
        if mask.any():
            found.setdefault(defect, []).append((photo, mask))
    return found


def _perlin(photos: np.ndarray, textures: np.ndarray) -> list[tuple[Image, Mask]]:
    """Return every photo with one Perlin + texture anomaly, the largest region of what DRAEM paints."""
    generator, rng = torch_generator(0), numpy_generator(0)
    painter = PerlinTextureSettings().build()
    pairs = []
    for photo in photos:
        texture = textures[int(rng.integers(len(textures)))]
        mask = np.zeros(photo.shape[:2], bool)
        while not mask.any():
            shown, drawn = painter.paint(_tensor(photo), _tensor(texture), generator=generator)
            count, labels, stats, _ = cv2.connectedComponentsWithStats(drawn[0, 0].numpy().astype(np.uint8))
            if count > 1:
                mask = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        image = (shown[0].permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8)
        pairs.append((image, mask))
    return pairs


def _tensor(photo: Image) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None].float() / 255


def _common_side(masks: list[Mask]) -> int:
    """Return the side of every crop of a defect: what shows the median real one with what lies around it."""
    boxes = [bounding_box(mask) for mask in masks]
    side = round(CONTEXT * float(np.median([max(box.width, box.height) for box in boxes])))
    return min(*masks[0].shape, max(SMALLEST, side))


def features(pairs: list[tuple[Image, Mask]], weights: dict[str, torch.Tensor], side: int) -> np.ndarray:
    """Return (N, 1280) features of the squares around the masks."""
    squares = np.stack([_square(photo, mask, side) for photo, mask in pairs]).astype(np.float32)
    images = torch.from_numpy(squares).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        return np.concatenate([_mobilenet(part, weights).numpy() for part in images.split(32)]).astype(np.float64)


def _square(photo: Image, mask: Mask, side: int) -> Image:
    box = bounding_box(mask)
    top = int(np.clip(box.y + box.height / 2 - side / 2, 0, mask.shape[0] - side))
    left = int(np.clip(box.x + box.width / 2 - side / 2, 0, mask.shape[1] - side))
    square = photo[top : top + side, left : left + side]
    return np.asarray(
        cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC)
    )


def _mobilenet(images: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean of MobileNetV2's last feature map, (B, 1280)."""
    number = 0

    def layer(x: torch.Tensor, kind: str, *, stride: int = 1, rectified: bool = True) -> torch.Tensor:
        nonlocal number
        weight, bias = weights[f"{number:02d}.{kind}.weight"], weights[f"{number:02d}.{kind}.bias"]
        number += 1
        # TensorFlow's "SAME": what is missing on both sides, the odd pixel last.
        missing = max(weight.shape[-1] - stride, 0)
        x = functional.pad(x, (missing // 2, missing - missing // 2) * 2)
        x = functional.conv2d(x, weight, bias, stride, groups=x.shape[1] if kind == "dw" else 1)
        return x.clamp(0, 6) if rectified else x

    x = layer(images, "conv", stride=2)
    for block, stride in enumerate(STRIDES):
        wide = x if block == 0 else layer(x, "conv")
        narrow = layer(layer(wide, "dw", stride=stride), "conv", rectified=False)
        x = x + narrow if narrow.shape == x.shape else narrow
    return layer(x, "conv").mean((2, 3))


def _kid(found: np.ndarray, real: np.ndarray, replicates: int) -> tuple[float, float, float]:
    """Return the mean KID x 1000 over random halves of both sets, and its 95 % interval."""
    rng = numpy_generator(1)
    values = []
    for _ in range(replicates):
        x, y = (rows[rng.permutation(len(rows))[: max(2, len(rows) // 2)]] for rows in (found, real))
        values.append(kernel_distance(x, y))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(np.mean(values)), float(low), float(high)


if __name__ == "__main__":
    main()
