"""The demo's photos: two made-up categories on disk, laid out like MVTec AD.

    <root>/flange/train/good/000.png             a turned steel part on a mat
    <root>/flange/test/{good,gouge,spatter}/     with masks in ground_truth/{gouge,spatter}/000_mask.png
    <root>/leather/...                           a texture, with burn and scar

Every photo has a seed of its own, made of the demo's seed and its place in the layout.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.procedural.demo_flange import photograph_flange
from anogen_core.procedural.demo_leather import photograph_leather
from anogen_core.records import GOOD
from anogen_core.seeding import derive_seed, numpy_generator

TakePhoto: TypeAlias = Callable[[np.random.Generator, str | None], tuple[Image, Mask]]
"""Returns a photo and the mask of the defect that is asked for, if any."""
CATEGORIES: Mapping[str, tuple[TakePhoto, tuple[str, ...]]] = {
    "flange": (photograph_flange, ("gouge", "spatter")),
    "leather": (photograph_leather, ("burn", "scar")),
}
"""Category to its camera and its defects."""
NUM_TRAIN_GOOD = 200
"""Normal photos to learn from, per category."""
NUM_TEST_GOOD = 30
"""Normal photos to test on, per category."""
NUM_PER_DEFECT = 15
"""Defective photos per defect."""


@dataclass(frozen=True)
class PlannedPhoto:
    """A photo that belongs to the demo, made or not."""

    category: str
    split: str
    label: str
    index: int

    def image_path(self, root: Path) -> Path:
        """Return where the photo is."""
        return root / self.category / self.split / self.label / f"{self.index:03d}.png"

    def mask_path(self, root: Path) -> Path | None:
        """Return where its mask is; None for a normal photo."""
        if self.label == GOOD:
            return None
        return root / self.category / "ground_truth" / self.label / f"{self.index:03d}_mask.png"


def plan_demo_photos() -> Iterator[PlannedPhoto]:
    """Yield every photo of the demo in the order in which they are made."""
    for category, (_, defects) in CATEGORIES.items():
        groups = [("train", GOOD, NUM_TRAIN_GOOD), ("test", GOOD, NUM_TEST_GOOD)]
        groups += [("test", defect, NUM_PER_DEFECT) for defect in defects]
        for split, label, count in groups:
            for index in range(count):
                yield PlannedPhoto(category, split, label, index)


def write_demo_photos(root: Path, *, seed: int, on_image: Callable[[], None] | None = None) -> None:
    """Write the demo's photos and masks below `root`; files that are there already stay as they are.

    Args:
        root: directory of the categories, made when missing.
        seed: decides every byte.
        on_image: called once for each photo, made now or found.
    """
    for planned in plan_demo_photos():
        paths = [path for path in (planned.mask_path(root), planned.image_path(root)) if path is not None]
        if not all(path.exists() for path in paths):
            image, mask = _photograph(planned, seed)
            for path, pixels in zip(reversed(paths), (image, mask.astype(np.uint8) * 255), strict=False):
                _write_png(path, pixels)
        if on_image is not None:
            on_image()


def _photograph(planned: PlannedPhoto, seed: int) -> tuple[Image, Mask]:
    photo_seed = derive_seed(seed, "demo", planned.category, planned.split, planned.label, planned.index)
    take, _ = CATEGORIES[planned.category]
    return take(numpy_generator(photo_seed), None if planned.label == GOOD else planned.label)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG under another name and rename it, so that a file under its own name is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    _, packed = cv2.imencode(".png", order, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(packed.tobytes())
    unfinished.replace(path)
