"""A rendered corpus of scenes on disk, and batches of captioned crops from it."""

import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anogen_core.arrays import ImageBatch
from anogen_core.data.frame import read_photo
from anogen_core.pretraining.looks import describe_looks
from anogen_core.pretraining.photos import cut_square, list_photos
from anogen_core.pretraining.vocabulary import write_caption
from anogen_core.procedural.scene import Scene, damage_photo, render_scene
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.settings import Settings

log = logging.getLogger(__name__)


class CorpusSettings(Settings):
    """Which scenes the base model learns from."""

    num_scenes: int = 8000
    """Number of rendered scenes."""
    scene_size: int = 192
    """Side of a scene in pixels."""
    photos: str | None = None
    """Directory of normal photos, searched recursively, that join the rendered scenes."""
    num_photo_scenes: int = 6000
    """Number of squares cut out of the photos, mostly with a rendered defect on them."""
    seed: int = 0
    """Every scene is rendered from this seed and its index."""


@dataclass(frozen=True)
class Corpus:
    """Scenes as arrays: images (N,S,S,3), masks (N,S,S) with 1 where anomalous, and what each one shows."""

    images: UInt8[np.ndarray, "N S S 3"]
    flawless: UInt8[np.ndarray, "N S S 3"]
    masks: UInt8[np.ndarray, "N S S"]
    materials: list[str]
    defects: list[str | None]


@dataclass(frozen=True)
class CropBatch:
    """Crops in [-1, 1], the same without a defect, the masks of their defects at that size, and a caption each."""

    images: ImageBatch
    flawless: ImageBatch
    masks: Float[Tensor, "B 1 H W"]
    captions: list[str]


def render_corpus(directory: Path, settings: CorpusSettings) -> Corpus:
    """Return the corpus of these settings, rendered on all cores unless `directory` holds it already.

    Raises:
        InputError: the directory of photos holds none, or one of them cannot be used.
    """
    target = directory / f"corpus-{settings.fingerprint()}"
    if not (target / "scenes.json").exists():
        _render_to(target, settings)
    labels = json.loads((target / "scenes.json").read_text())
    return Corpus(
        images=np.load(target / "images.npy", mmap_mode="r"),
        flawless=np.load(target / "flawless.npy", mmap_mode="r"),
        masks=np.load(target / "masks.npy", mmap_mode="r"),
        materials=labels["materials"],
        defects=labels["defects"],
    )


def _render_to(target: Path, settings: CorpusSettings) -> None:
    """Render all scenes into memory-mapped arrays; the labels come last and say that the rest is complete."""
    photos = list_photos(Path(settings.photos)) if settings.photos else []
    target.mkdir(parents=True, exist_ok=True)
    side, count = settings.scene_size, settings.num_scenes + (settings.num_photo_scenes if photos else 0)
    images = np.lib.format.open_memmap(target / "images.npy", "w+", np.uint8, (count, side, side, 3))
    flawless = np.lib.format.open_memmap(target / "flawless.npy", "w+", np.uint8, (count, side, side, 3))
    masks = np.lib.format.open_memmap(target / "masks.npy", "w+", np.uint8, (count, side, side))
    materials, defects = [], []
    with ProcessPoolExecutor(os.cpu_count(), initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        for index, scene in enumerate(
            pool.map(partial(_render, settings=settings, photos=photos), range(count), chunksize=32)
        ):
            images[index], flawless[index], masks[index] = scene.image, scene.flawless, scene.mask
            materials.append(scene.material)
            defects.append(scene.defect)
            if (index + 1) % 1000 == 0:
                log.info("rendered %d of %d scenes", index + 1, count)
    images.flush()
    flawless.flush()
    masks.flush()
    (target / "scenes.json").write_text(json.dumps({"materials": materials, "defects": defects}))


def _render(index: int, settings: CorpusSettings, photos: Sequence[Path]) -> Scene:
    rng = numpy_generator(derive_seed(settings.seed, "scene", index))
    if index < settings.num_scenes:
        return render_scene(rng, size=settings.scene_size)
    photo = photos[(index - settings.num_scenes) % len(photos)]
    return damage_photo(rng, cut_square(read_photo(photo), rng, size=settings.scene_size))


def crop_batch(corpus: Corpus, rng: np.random.Generator, *, count: int, size: int) -> CropBatch:
    """Return `count` random crops of `size` pixels, turned, mirrored, relit and captioned."""
    crops = [_crop(corpus, int(rng.integers(len(corpus.materials))), rng, size=size) for _ in range(count)]
    images, flawless = (
        torch.from_numpy(np.stack([pair[i] for pair, _, _ in crops])).permute(0, 3, 1, 2).contiguous() * 2 - 1
        for i in (0, 1)
    )
    masks = torch.from_numpy(np.stack([mask for _, mask, _ in crops]))[:, None]
    return CropBatch(images, flawless, masks, captions=[caption for _, _, caption in crops])


def _crop(
    corpus: Corpus, index: int, rng: np.random.Generator, *, size: int
) -> tuple[Float[np.ndarray, "2 s s 3"], Float[np.ndarray, "s s"], str]:
    """Return one crop and the same without a defect in [0, 1], its mask in [0, 1] and its caption."""
    mask = corpus.masks[index]
    top, left, side = _choose_window(mask, rng)
    window = np.s_[top : top + side, left : left + side]
    interpolation = cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC
    pair = np.stack(
        [
            cv2.resize(np.ascontiguousarray(photos[index][window]), (size, size), interpolation=interpolation)
            for photos in (corpus.images, corpus.flawless)
        ]
    )
    small_mask = cv2.resize(
        np.ascontiguousarray(mask[window]).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA
    )
    turns = int(rng.integers(8))
    pair = np.stack([turn(image, turns) for image in relight(pair.astype(np.float32) / 255, rng)])
    small_mask = turn(small_mask, turns)
    visible = small_mask.sum() >= 0.004 * size * size
    looks = describe_looks(pair[0], small_mask) if visible else []
    defect = corpus.defects[index] if visible else None
    return pair, small_mask, write_caption(corpus.materials[index], defect, rng, looks=looks)


def _choose_window(mask: UInt8[np.ndarray, "S S"], rng: np.random.Generator) -> tuple[int, int, int]:
    """Return top, left and side of a square: mostly one where the defect fills a good part, else anywhere."""
    size = mask.shape[0]
    rows, columns = np.nonzero(mask)
    if rows.size and rng.random() < 0.85:
        anchor = int(rng.integers(rows.size))
        extent = max(np.ptp(rows), np.ptp(columns)) + 1
        side = int(np.clip(extent * rng.uniform(0.9, 3.2), 32, size))
        centre = np.array([rows[anchor], columns[anchor]]) * 0.4 + np.array([rows.mean(), columns.mean()]) * 0.6
        centre = centre + rng.uniform(-0.2, 0.2, 2) * side
        top, left = np.clip(centre - side / 2, 0, size - side).astype(int)
        return int(top), int(left), side
    side = int(np.exp(rng.uniform(np.log(32), np.log(size))))
    top, left = rng.integers(0, size - side + 1, 2)
    return int(top), int(left), side


def relight(images: Float[np.ndarray, "2 s s 3"], rng: np.random.Generator) -> Float[np.ndarray, "2 s s 3"]:
    """Vary colour, exposure and contrast as cameras do, of both alike; some photos turn grey."""
    if rng.random() < 0.2:
        images = np.repeat(images.mean(axis=3, keepdims=True), 3, axis=3)
    elif rng.random() < 0.5:
        images = images * rng.uniform(0.6, 1.3, 3)
    mean = images[1].mean()
    images = (images - mean) * rng.uniform(0.75, 1.2) + mean + rng.uniform(-0.08, 0.08)
    return np.clip(images, 0, 1).astype(np.float32) ** np.float32(rng.uniform(0.8, 1.25))


def turn(image: np.ndarray, turns: int) -> np.ndarray:
    """Return the image after one of the eight symmetries of a square."""
    turned = np.rot90(image, turns % 4)
    return np.ascontiguousarray(turned[:, ::-1] if turns >= 4 else turned)
