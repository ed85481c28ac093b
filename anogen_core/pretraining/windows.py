"""Windows of scenes as a camera may see them, with what is anomalous in them."""

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor

from anogen_core.arrays import ImageBatch
from anogen_core.detectors.detector import Share
from anogen_core.pretraining.corpus import LARGEST_CROP, Corpus
from anogen_core.settings import Settings

_LONGEST_BLUR = 1.2
"""Standard deviation in pixels."""
_STRONGEST_NOISE = 0.03


class WindowSettings(Settings):
    """What windows show."""

    batch_size: PositiveInt = 24
    """Windows of scenes per step."""
    size: Annotated[int, Field(ge=32)] = 96
    """Side in pixels that a window is shown at."""
    smallest_window: Annotated[PositiveInt, Field(le=LARGEST_CROP)] = 64
    """Side of the smallest window in pixels of a scene; the largest is the scene."""
    flawless_share: Share = 0.4
    """Share of windows that show the scene without its defect."""


@dataclass(frozen=True)
class Windows:
    """A batch of windows as a camera may see them."""

    images: ImageBatch
    """In [0, 1]."""
    masks: Float[Tensor, "B 1 H W"]
    """1 where anomalous."""
    scenes: list[int]
    """Which scene of the corpus each one shows."""

    def to(self, device: torch.device) -> "Windows":
        """Return them on a device."""
        return Windows(self.images.to(device), self.masks.to(device), self.scenes)


def window_batch(corpus: Corpus, rng: np.random.Generator, settings: WindowSettings) -> Windows:
    """Return random windows."""
    scenes = [int(rng.integers(len(corpus.masks))) for _ in range(settings.batch_size)]
    windows = [_window(corpus, index, rng, settings) for index in scenes]
    images = torch.from_numpy(np.stack([image for image, _ in windows])).permute(0, 3, 1, 2).contiguous()
    return Windows(images, torch.from_numpy(np.stack([mask for _, mask in windows]))[:, None], scenes)


def _window(
    corpus: Corpus, index: int, rng: np.random.Generator, settings: WindowSettings
) -> tuple[Float[np.ndarray, "s s 3"], Float[np.ndarray, "s s"]]:
    flawless = rng.random() < settings.flawless_share
    photo, mask = (corpus.flawless if flawless else corpus.images)[index], corpus.masks[index]
    side = int(np.exp(rng.uniform(np.log(settings.smallest_window), np.log(len(mask)))))
    top, left = rng.integers(0, len(mask) - side + 1, 2)
    window, size = np.s_[top : top + side, left : left + side], (settings.size, settings.size)
    image = cv2.resize(np.ascontiguousarray(photo[window]), size, interpolation=cv2.INTER_LINEAR)
    shown = _relight(image.astype(np.float32) / 255, rng)
    if rng.random() < 0.4:
        shown = cv2.GaussianBlur(shown, (0, 0), float(rng.uniform(0.3, _LONGEST_BLUR)))
    if rng.random() < 0.5:
        shown = shown + rng.normal(0, rng.uniform(0, _STRONGEST_NOISE), shown.shape).astype(np.float32)
    covered = np.zeros(size, np.float32)
    if not flawless:
        small = cv2.resize(np.ascontiguousarray(mask[window]).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        covered = (small >= 0.5).astype(np.float32)
    turns = int(rng.integers(8))
    return _turn(np.clip(shown, 0, 1), turns), _turn(covered, turns)


def _relight(image: Float[np.ndarray, "s s 3"], rng: np.random.Generator) -> Float[np.ndarray, "s s 3"]:
    """Vary colour, exposure and contrast as cameras do; some photos turn grey."""
    if rng.random() < 0.2:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    elif rng.random() < 0.5:
        image = image * rng.uniform(0.6, 1.3, 3)
    mean = image.mean()
    image = (image - mean) * rng.uniform(0.75, 1.2) + mean + rng.uniform(-0.08, 0.08)
    return np.clip(image, 0, 1).astype(np.float32) ** np.float32(rng.uniform(0.8, 1.25))


def _turn(image: np.ndarray, turns: int) -> np.ndarray:
    """Return the image after one of the eight symmetries of a square."""
    turned = np.rot90(image, turns % 4)
    return np.ascontiguousarray(turned[:, ::-1] if turns >= 4 else turned)
