"""A rendered corpus of scenes on disk."""

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
from jaxtyping import UInt8

from anogen_core.arrays import Image
from anogen_core.data.frame import read_photo
from anogen_core.diffusion.crop import fill_photo
from anogen_core.pretraining.photos import cut_square, list_photos
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
    filled: UInt8[np.ndarray, "N S S 3"]
    """The scenes with their defects filled in from around: all that is known of a photo that was damaged before."""
    masks: UInt8[np.ndarray, "N S S"]
    materials: list[str]
    defects: list[str | None]


def render_corpus(directory: Path, settings: CorpusSettings) -> Corpus:
    """Return the corpus of these settings, rendered on all cores unless `directory` holds it already.

    Raises:
        InputError: the directory of photos holds none, or one of them cannot be used.
    """
    target = directory / f"scenes-{settings.fingerprint()}"
    if not (target / "scenes.json").exists():
        _render_to(target, settings)
    labels = json.loads((target / "scenes.json").read_text())
    return Corpus(
        **{name: np.load(target / f"{name}.npy", mmap_mode="c") for name in _shapes(1, 1)},
        materials=labels["materials"],
        defects=labels["defects"],
    )


def _render_to(target: Path, settings: CorpusSettings) -> None:
    """Render all scenes into memory-mapped arrays; the labels come last and say that the rest is complete."""
    photos = list_photos(Path(settings.photos)) if settings.photos else []
    target.mkdir(parents=True, exist_ok=True)
    side, count = settings.scene_size, settings.num_scenes + (settings.num_photo_scenes if photos else 0)
    arrays = {
        name: np.lib.format.open_memmap(target / f"{name}.npy", "w+", np.uint8, shape)
        for name, shape in _shapes(count, side).items()
    }
    materials, defects = [], []
    with ProcessPoolExecutor(os.cpu_count(), initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        rendered = pool.map(partial(_render, settings=settings, photos=photos), range(count), chunksize=32)
        for index, (scene, filled) in enumerate(rendered):
            arrays["images"][index], arrays["flawless"][index] = scene.image, scene.flawless
            arrays["filled"][index], arrays["masks"][index] = filled, scene.mask
            materials.append(scene.material)
            defects.append(scene.defect)
            if (index + 1) % 1000 == 0:
                log.info("rendered %d of %d scenes", index + 1, count)
    for array in arrays.values():
        array.flush()
    (target / "scenes.json").write_text(json.dumps({"materials": materials, "defects": defects}))


def _shapes(count: int, side: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of `count` scenes."""
    photos = dict.fromkeys(("images", "flawless", "filled"), (count, side, side, 3))
    return {**photos, "masks": (count, side, side)}


def _render(index: int, settings: CorpusSettings, photos: Sequence[Path]) -> tuple[Scene, Image]:
    """Return a scene, and its photo with the defect filled in."""
    rng = numpy_generator(derive_seed(settings.seed, "scene", index))
    if index < settings.num_scenes:
        scene = render_scene(rng, size=settings.scene_size)
    else:
        photo = photos[(index - settings.num_scenes) % len(photos)]
        scene = damage_photo(rng, cut_square(read_photo(photo), rng, size=settings.scene_size))
    return scene, fill_photo(scene.image, scene.mask)
