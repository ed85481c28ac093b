"""What can a base model learn from three photos of a real defect?

python benchmarks/base_model.py DATA [DATA ...] [--model DIRECTORY] [--steps N] [--held-out N]

DATA is a category in the MVTec layout with a `fewshot_splits.json` (supports named by hand). For each defect an
embedding is learned from its supports; printed is the masked loss on photos of other leakage groups (`index.csv`), with
that embedding, with the initializer, with the best defect word, and with the best embedding of another defect; then the
autoencoder's peak signal-to-noise ratio on normal photos at 256 px. Lower losses are better.
"""

import argparse
import csv
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from anogen_core.data.frame import read_mask, read_photo, resize_mask
from anogen_core.diffusion import BundledModelSettings, StableDiffusionSettings
from anogen_core.diffusion.crop import CropSettings
from anogen_core.diffusion.inversion import (
    Concept,
    InversionSettings,
    LearnedEmbedding,
    learn_embeddings,
    validation_loss,
)
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.views import Views, encode_views
from anogen_core.procedural.scene import DEFECTS

FRAME = (256, 256)


def main() -> None:
    """Print one line per defect and one per category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--held-out", type=int, default=16)
    given = parser.parse_args()
    settings = BundledModelSettings() if given.model is None else StableDiffusionSettings(directory=str(given.model))
    model = settings.build(torch.device("cpu"))
    inversion = InversionSettings(steps=given.steps)
    concepts: list[Concept] = []
    held_out: dict[tuple[str, ...], Views] = {}
    for root in given.data:
        for defect, split in json.loads((root / "fewshot_splits.json").read_text())["seed0"].items():
            supports = list(zip(split["support_images"], split["support_masks"], strict=True))
            views = _views([(root / image, root / mask) for image, mask in supports], model, inversion)
            concepts.append(Concept(f"{root.name}/{defect}", views, seed=0))
            others = _others(root, defect, split, count=given.held_out)
            held_out[root.name, defect] = _views(others, model, inversion)
    learned = {
        tuple(concept.name.split("/")): ended.vectors
        for concept, ended in learn_embeddings(concepts, model, inversion)
        if isinstance(ended, LearnedEmbedding)
    }
    print("category | defect | learned | initializer | best word | best other defect")
    for key, views in held_out.items():
        words: dict[tuple[str, ...], torch.Tensor] = {
            (word,): model.word_vector(word.split()[-1])[None] for word in (*DEFECTS, "defect")
        }
        candidates = {**words, **learned}
        losses = {
            name: validation_loss(views, model, vectors, inversion, seed=1) for name, vectors in candidates.items()
        }
        word = min(words, key=lambda name: losses[name])
        other = min((name for name in learned if name != key), key=lambda name: losses[name], default=key)
        print(
            f"{key[0]} | {key[1]} | {losses[key]:.4f} | {losses['defect',]:.4f} | {losses[word]:.4f} ({word[0]}) | "
            f"{losses[other]:.4f} ({other[1]})"
        )
    for root in given.data:
        print(f"{root.name}: autoencoder {_psnr(root, model):.1f} dB")


def _views(files: list[tuple[Path, Path]], model: DiffusionModel, settings: InversionSettings) -> Views:
    pairs = [(_framed(read_photo(image)), resize_mask(read_mask(mask), FRAME)) for image, mask in files]
    return encode_views(pairs, model, zooms=settings.zooms[:1], crop=CropSettings())


def _framed(photo: np.ndarray) -> np.ndarray:
    return cv2.resize(photo, FRAME[::-1], interpolation=cv2.INTER_AREA)


def _others(root: Path, defect: str, split: dict[str, list[str]], *, count: int) -> list[tuple[Path, Path]]:
    """Return photos of the defect that share no leakage group with a support photo."""
    with (root / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == defect and row["mask"]]
    group = next(name for name in rows[0] if name.endswith("_group"))
    used = {row[group] for row in rows if row["image"] in split["support_images"]}
    found = [(root / row["image"], root / row["mask"]) for row in rows if row[group] not in used]
    return [found[i * len(found) // count] for i in range(min(count, len(found)))]


@torch.no_grad()
def _psnr(root: Path, model: DiffusionModel, *, count: int = 12) -> float:
    values = []
    for path in sorted((root / "train" / "good").iterdir())[:count]:
        image = torch.from_numpy(_framed(read_photo(path))).permute(2, 0, 1)[None] / 127.5 - 1
        error = (model.decode(model.encode(image)).cpu() - image).square().mean()
        values.append(10 * np.log10(4 / float(error)))
    return float(np.mean(values))


if __name__ == "__main__":
    main()
