"""A rendered corpus of scenes on disk."""

import json
import logging
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, final

import cv2
import numpy as np
from jaxtyping import UInt8
from pydantic import Field, NonNegativeInt, PositiveInt

from anogen_core.arrays import Image
from anogen_core.data.frame import read_photo
from anogen_core.data.problems import UnusableFileError, unreadable
from anogen_core.diffusion.crop import fill_photo
from anogen_core.digests import digest_files
from anogen_core.pretraining.checkpoint import Identity, identify
from anogen_core.pretraining.deadline import NEVER, is_over, minutes_left
from anogen_core.pretraining.photos import cut_square, list_photos
from anogen_core.procedural.scene import Scene, damage_photo, render_scene
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.settings import Settings, fingerprint

log = logging.getLogger(__name__)

LARGEST_CROP: Final = 128
"""Side in pixels of the largest crops that are learned from."""
_KEEP_EVERY: Final = 1000
"""Scenes that a killed rendering loses at most."""


class CorpusSettings(Settings):
    """Which scenes the base model learns from."""

    num_scenes: PositiveInt = 8000
    """Number of rendered scenes."""
    scene_size: Annotated[int, Field(ge=LARGEST_CROP)] = 192
    """Side of a scene in pixels; it holds the largest crop."""
    photos: str | None = None
    """Directory of normal photos, searched recursively, that join the rendered scenes."""
    num_photo_scenes: PositiveInt = 6000
    """Number of squares cut out of the photos, mostly with a rendered defect on them."""
    seed: NonNegativeInt = 0
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


@final
class CorpusFiles:
    """The corpus of some settings in a directory, as far as it is rendered.

    Raises:
        InputError: the directory of photos holds none, or one of them cannot be used.
    """

    def __init__(self, work: Path, settings: CorpusSettings) -> None:
        self._settings = settings
        self._photos = list_photos(Path(settings.photos)) if settings.photos else []
        # Other photos under the same names are another corpus, the same ones elsewhere are not.
        content = digest_files(Path(settings.photos), self._photos)[:16] if settings.photos else None
        self._directory = work / f"scenes-{fingerprint(settings.model_dump(mode='json') | {'photos': content})}"
        self._labels_file = self._directory / "scenes.json"
        self._count = settings.num_scenes + (settings.num_photo_scenes if self._photos else 0)
        self.identity: Identity = identify("corpus", settings) | {"corpus.photos": content}
        """All that decides the scenes."""

    def render(self, deadline: float = NEVER) -> bool:
        """Render the scenes that are missing, on all cores, and return whether all are there.

        Those that are there when the deadline comes, in seconds of `time.monotonic()`, are kept: the next call goes on.
        A damaged file is noticed by its form; all scenes are rendered anew then.

        Raises:
            InputError: a photo cannot be used, or a file of the corpus cannot be read.
        """
        damaged = self._damaged()
        if damaged is not None:
            log.warning("%s: is damaged or missing; all scenes are rendered anew", damaged)
            self._labels_file.unlink()
        labels = self._labels()
        first = done = len(labels["materials"])
        if done == self._count:
            return True
        arrays = self._open(begun=done > 0)
        start = time.monotonic()
        pool = ProcessPoolExecutor(os.cpu_count(), initializer=cv2.setNumThreads, initargs=(0,))
        try:
            render = partial(_render, settings=self._settings, photos=self._photos)
            for scene, filled in pool.map(render, range(first, self._count), chunksize=8):
                arrays["images"][done], arrays["flawless"][done] = scene.image, scene.flawless
                arrays["filled"][done], arrays["masks"][done] = filled, scene.mask
                labels["materials"].append(scene.material)
                labels["defects"].append(scene.defect)
                done += 1
                if done % _KEEP_EVERY == 0:
                    self._keep(arrays, labels)
                    left = minutes_left(self._count - done, (done - first) / (time.monotonic() - start), deadline)
                    log.info("rendered %d of %d scenes, %.1f min left", done, self._count, left)
                if is_over(deadline):
                    break
        finally:
            pool.shutdown(cancel_futures=True)
        self._keep(arrays, labels)
        if done < self._count:
            log.info("rendering: the time is up at %d of %d scenes; running again goes on", done, self._count)
        return done == self._count

    def load(self) -> Corpus:
        """Return the scenes, which `render` has completed; pixels are read when they are asked for."""
        arrays = {name: np.load(self._directory / f"{name}.npy", mmap_mode="c") for name in self._shapes()}
        return Corpus(**arrays, **self._labels())

    def _labels(self) -> dict[str, Any]:
        """Return materials and defects of the scenes that are kept."""
        kept = self._labels_file
        return json.loads(kept.read_text()) if kept.exists() else {"materials": [], "defects": []}

    def _damaged(self) -> Path | None:
        """Return the first file that cannot be what was kept in it, by its form and not by its pixels."""
        if not self._labels_file.exists():
            return None
        path = self._labels_file
        try:
            labels = self._labels()
            if not len(labels["materials"]) == len(labels["defects"]) <= self._count:
                return path
            for name, shape in self._shapes().items():
                path = self._directory / f"{name}.npy"
                array = np.lib.format.open_memmap(path, "r")
                if array.shape != shape or array.dtype != np.uint8:
                    return path
        except FileNotFoundError:
            return path
        except OSError as failure:
            raise UnusableFileError(unreadable(path, failure)) from failure
        except Exception:  # noqa: BLE001 - readers of JSON and of NumPy's headers raise almost any type
            return path
        return None

    def _open(self, *, begun: bool) -> dict[str, np.memmap[Any, Any]]:
        """Return the arrays on disk."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return {
            name: np.lib.format.open_memmap(self._directory / f"{name}.npy", "r+" if begun else "w+", np.uint8, shape)
            for name, shape in self._shapes().items()
        }

    def _keep(self, arrays: dict[str, np.memmap[Any, Any]], labels: dict[str, Any]) -> None:
        """Write pixels, then the labels, which say how many scenes are complete."""
        for array in arrays.values():
            array.flush()
        partial_file = self._directory / "scenes.partial"
        partial_file.write_text(json.dumps(labels))
        partial_file.replace(self._labels_file)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        count, side = self._count, self._settings.scene_size
        photos = dict.fromkeys(("images", "flawless", "filled"), (count, side, side, 3))
        return {**photos, "masks": (count, side, side)}


def _render(index: int, settings: CorpusSettings, photos: list[Path]) -> tuple[Scene, Image]:
    """Return a scene, and its photo with the defect filled in."""
    rng = numpy_generator(derive_seed(settings.seed, "scene", index))
    if index < settings.num_scenes:
        scene = render_scene(rng, size=settings.scene_size)
    else:
        photo = photos[(index - settings.num_scenes) % len(photos)]
        scene = damage_photo(rng, cut_square(read_photo(photo), rng, size=settings.scene_size))
    return scene, fill_photo(scene.image, scene.mask)
