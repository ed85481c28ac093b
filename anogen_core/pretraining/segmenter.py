"""Training of the weights that the feature pyramid starts from: it segments drawn defects on drawn surfaces.

python -m anogen_core.pretraining.segmenter --work WORK --out DIRECTORY [--minutes N] [--steps N] [--photos DIRECTORY]
"""

import argparse
import logging
import math
from pathlib import Path
from typing import Any, final

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anogen_core.arrays import ImageBatch
from anogen_core.detectors.detector import TrainingBatch
from anogen_core.detectors.fpn import Fpn, FpnSettings, save_weights
from anogen_core.pretraining.corpus import Corpus, CorpusSettings, render_corpus
from anogen_core.pretraining.loop import learning_rate_factor, run_training
from anogen_core.seeding import derive_seed, numpy_generator, torch_generator
from anogen_core.settings import Settings

_LONGEST_BLUR = 1.2
"""Standard deviation in pixels."""
_STRONGEST_NOISE = 0.03


class SegmenterTraining(Settings):
    """How the weights are trained; the defaults made those that ship."""

    steps: int = 5000
    """Optimisation steps."""
    batch_size: int = 12
    """Windows of scenes per step."""
    size: int = 128
    """Side in pixels that a window is shown at."""
    smallest_window: int = 80
    """Side of the smallest window in pixels of a scene; the largest is the scene."""
    flawless_share: float = 0.4
    """Share of windows that show the scene without its defect."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW."""
    seed: int = 0
    """Seed of weights, windows and noise."""


@final
class SegmenterTrainer:
    """Trains a feature pyramid on windows of a corpus."""

    name = "segmenter"

    def __init__(self, corpus: Corpus, settings: SegmenterTraining) -> None:
        self.detector = FpnSettings(pretrained=False, steps=settings.steps).build()
        self.detector.initialise(torch_generator(derive_seed(settings.seed, "segmenter")))
        self.detector.train()
        self._corpus, self._settings = corpus, settings
        self._optimizer = torch.optim.AdamW(self.detector.parameters(), lr=settings.learning_rate, weight_decay=1e-2)

    def train_step(self, step: int) -> Float[Tensor, ""]:
        """Take one step and return its loss."""
        settings = self._settings
        rng = numpy_generator(derive_seed(settings.seed, self.name, step))
        images, masks = window_batch(self._corpus, rng, settings)
        everywhere = torch.ones_like(masks)
        batch = TrainingBatch(images, images, everywhere, masks, torch.zeros(len(images), 1, 1, 1))
        loss = torch.stack(list(self.detector.losses(batch).values())).sum()
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(step, settings.steps)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.detector.parameters(), 1.0)
        self._optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser state."""
        return {"detector": self.detector.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back weights and optimiser state."""
        self.detector.load_state_dict(state["detector"])
        self._optimizer.load_state_dict(state["optimizer"])


def window_batch(
    corpus: Corpus, rng: np.random.Generator, settings: SegmenterTraining
) -> tuple[ImageBatch, Float[Tensor, "B 1 H W"]]:
    """Return random windows in [0, 1] as a camera may see them, and the masks of their defects."""
    windows = [_window(corpus, int(rng.integers(len(corpus.masks))), rng, settings) for _ in range(settings.batch_size)]
    images = torch.from_numpy(np.stack([image for image, _ in windows])).permute(0, 3, 1, 2).contiguous()
    return images, torch.from_numpy(np.stack([mask for _, mask in windows]))[:, None]


def _window(
    corpus: Corpus, index: int, rng: np.random.Generator, settings: SegmenterTraining
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


def train_segmenter(
    work: Path,
    out: Path,
    *,
    settings: SegmenterTraining,
    corpus: CorpusSettings,
    minutes: float = math.inf,
    stop_at: int | None = None,
) -> Fpn:
    """Train, resuming what `work` holds, and write the weights in half precision to `out`.

    Args:
        work: Corpus and checkpoint.
        out: A safetensors file.
        settings: Of the training.
        corpus: Scenes to learn from.
        minutes: It stops after this time; running again goes on.
        stop_at: It stops at this step; running again goes on.
    """
    work.mkdir(parents=True, exist_ok=True)
    trainer = SegmenterTrainer(render_corpus(work, corpus), settings)

    def publish(_step: int) -> None:
        save_weights(trainer.detector, out)

    run_training(trainer, work, steps=stop_at or settings.steps, minutes=minutes, on_checkpoint=publish)
    return trainer.detector


def main() -> None:
    """Parse the arguments of `python -m anogen_core.pretraining.segmenter`."""
    parser = argparse.ArgumentParser(description="Train the weights that the feature pyramid starts from.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--steps", type=int, default=SegmenterTraining().steps)
    parser.add_argument("--photos", type=Path)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    train_segmenter(
        given.work,
        given.out,
        settings=SegmenterTraining(steps=given.steps),
        corpus=CorpusSettings(photos=None if given.photos is None else str(given.photos.resolve())),
        minutes=given.minutes,
    )


if __name__ == "__main__":
    main()
