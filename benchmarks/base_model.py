"""What can a base model learn from three photos of a real defect?

python benchmarks/base_model.py DATA [DATA ...] [--model DIRECTORY] [--split NAME] [--steps N] [--held-out N]

DATA is a category in the MVTec layout with a `fewshot_splits.json` (supports named by hand). For each defect an
embedding is learned from its supports. Printed is its masked loss on photos of other leakage groups (`index.csv`), and
by how much that of others is higher on the same photos with the same noise, in percent with a 95 % interval over
groups: the initializer, the defect word that is best on the supports, the one that is best on the held-out photos
themselves, and the embedding of another defect that is best on these. Then the autoencoder's peak signal-to-noise
ratio on normal photos at 256 px.
"""

import argparse
import csv
import json
from dataclasses import dataclass
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
REPLICATES = 2000


def main() -> None:
    """Print one line per defect and one per category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--split", default="seed0")
    parser.add_argument("--steps", type=int, default=InversionSettings().steps)
    parser.add_argument("--held-out", type=int, default=48)
    given = parser.parse_args()
    settings = BundledModelSettings() if given.model is None else StableDiffusionSettings(directory=str(given.model))
    model = settings.build(torch.device("cpu"))
    inversion = InversionSettings(steps=given.steps)
    concepts: list[Concept] = []
    held_out: dict[str, list[_HeldOut]] = {}
    for root in given.data:
        for defect, split in json.loads((root / "fewshot_splits.json").read_text())[given.split].items():
            name = f"{root.name}/{defect}"
            supports = list(zip(split["support_images"], split["support_masks"], strict=True))
            concepts.append(
                Concept(name, _views([(root / i, root / m) for i, m in supports], model, inversion), seed=0)
            )
            held_out[name] = _others(root, defect, split, count=given.held_out)
    learned = {
        concept.name: ended.vectors
        for concept, ended in learn_embeddings(concepts, model, inversion)
        if isinstance(ended, LearnedEmbedding)
    }
    words = {word: model.word_vector(word.split()[-1])[None] for word in (*DEFECTS, inversion.initializer)}
    print("defect | photos, groups | learned | initializer | word of the supports | best word | best other defect")
    for concept in concepts:
        on_supports = {w: validation_loss(concept.views, model, v, inversion, seed=1) for w, v in words.items()}
        support_word = min(words, key=on_supports.__getitem__)
        candidates = {**words, **learned}
        print(_line(concept.name, held_out[concept.name], candidates, support_word, model, inversion), flush=True)
    for root in given.data:
        print(f"{root.name}: autoencoder {_psnr(root, model):.1f} dB")


@dataclass(frozen=True)
class _HeldOut:
    image: Path
    mask: Path
    group: str


def _line(
    name: str,
    photos: list[_HeldOut],
    candidates: dict[str, torch.Tensor],
    support_word: str,
    model: DiffusionModel,
    settings: InversionSettings,
) -> str:
    """Return a row of the table."""
    losses = {key: np.zeros(len(photos)) for key in candidates}
    for index, photo in enumerate(photos):
        views = _views([(photo.image, photo.mask)], model, settings)
        for key, vectors in candidates.items():
            losses[key][index] = validation_loss(views, model, vectors, settings, seed=index)
    groups = [photo.group for photo in photos]

    def beside(key: str | None) -> str:
        return "" if key is None else f"{_excess(losses[key], losses[name], groups)} ({key})"

    best_word = min((k for k in candidates if "/" not in k), key=lambda k: losses[k].mean())
    others = [k for k in candidates if "/" in k and k != name]
    other = min(others, key=lambda k: losses[k].mean()) if others else None
    return (
        f"{name} | {len(photos)}, {len(set(groups))} | {losses[name].mean():.4f} | {beside(settings.initializer)} | "
        f"{beside(support_word)} | {beside(best_word)} | {beside(other)}"
    )


def _excess(other: np.ndarray, own: np.ndarray, groups: list[str]) -> str:
    """Return by how many percent losses (P,) are higher on average, with an interval over groups."""
    members = [np.flatnonzero(np.array(groups) == group) for group in sorted(set(groups))]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(REPLICATES):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        drawn.append(other[rows].mean() / own[rows].mean() - 1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{other.mean() / own.mean() - 1:+.1%} [{low:+.1%}, {high:+.1%}]"


def _views(files: list[tuple[Path, Path]], model: DiffusionModel, settings: InversionSettings) -> Views:
    pairs = [(_framed(read_photo(image)), resize_mask(read_mask(mask), FRAME)) for image, mask in files]
    return encode_views(pairs, model, zooms=settings.zooms[:1], crop=CropSettings())


def _framed(photo: np.ndarray) -> np.ndarray:
    return cv2.resize(photo, FRAME[::-1], interpolation=cv2.INTER_AREA)


def _others(root: Path, defect: str, split: dict[str, list[str]], *, count: int) -> list[_HeldOut]:
    """Return photos of the defect that share no leakage group with a support photo."""
    with (root / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == defect and row["mask"]]
    group = next(name for name in rows[0] if name.endswith("_group"))
    used = {row[group] for row in rows if row["image"] in split["support_images"]}
    found = [_HeldOut(root / row["image"], root / row["mask"], row[group]) for row in rows if row[group] not in used]
    return [found[i * len(found) // count] for i in range(count)] if len(found) > count else found


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
