"""Training of the weights that the feature pyramid starts from: it segments drawn defects on drawn surfaces.

python -m anogen_core.pretraining.segmenter --work WORK --out FILE [--settings FILE] [--minutes N] [--photos DIRECTORY]
    [--device cuda] [--workers N]

While it learns it also has to name the surface and the kind of defect, by two layers that are not kept: what tells one
surface from another is what a detector needs on photos.
"""

import argparse
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from anogen_core.arrays import ImageBatch
from anogen_core.detectors.destseg_networks import fill_weights
from anogen_core.detectors.fpn import Fpn, FpnSettings, save_weights, to_map
from anogen_core.detectors.losses import dice_loss, focal_loss
from anogen_core.pretraining.corpus import Corpus, CorpusSettings, render_corpus
from anogen_core.pretraining.files import read_settings
from anogen_core.pretraining.loop import learning_rate_factor, run_training
from anogen_core.seeding import derive_seed, numpy_generator, torch_generator
from anogen_core.settings import Settings

_LONGEST_BLUR = 1.2
"""Standard deviation in pixels."""
_STRONGEST_NOISE = 0.03


class SegmenterTraining(Settings):
    """How the weights are trained."""

    steps: int = 10000
    """Optimisation steps."""
    batch_size: int = 24
    """Windows of scenes per step."""
    size: int = 96
    """Side in pixels that a window is shown at."""
    smallest_window: int = 64
    """Side of the smallest window in pixels of a scene; the largest is the scene."""
    bundled_start: bool = False
    """Go on from the weights that come with AnoGen instead of from random ones."""
    naming: NonNegativeFloat = 0.3
    """Weight of naming surface and defect, beside finding the defect."""
    flawless_share: float = 0.4
    """Share of windows that show the scene without its defect."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW."""
    seed: int = 0
    """Seed of weights, windows and noise."""


class SegmenterPretraining(Settings):
    """All that decides the weights; the defaults suit one CPU core, `segmenter.yaml` made those that ship."""

    training: SegmenterTraining = SegmenterTraining()
    """Of the network."""
    corpus: CorpusSettings = CorpusSettings()
    """Scenes to learn from."""


@final
class SegmenterTrainer:
    """Trains a feature pyramid on windows of a corpus."""

    name = "segmenter"

    def __init__(
        self, corpus: Corpus, settings: SegmenterTraining, device: torch.device | None = None, *, workers: int = 0
    ) -> None:
        self.device = device or torch.device("cpu")
        generator = torch_generator(derive_seed(settings.seed, "segmenter"))
        self.detector = FpnSettings(pretrained=settings.bundled_start, steps=settings.steps).build()
        self.detector.initialise(generator)
        self.detector.train()
        self._batches, self._settings, self._workers = _Batches(corpus, settings), settings, workers
        self._upcoming: Iterator[Windows] | None = None
        self._names = _Names(corpus, deepest=self.detector.backbone.channels[-1], width=self.detector.settings.width)
        fill_weights(self._names, generator)
        # Drawn where every device draws the same.
        self.detector.to(self.device)
        self._names.to(self.device)
        self._parameters = [*self.detector.parameters(), *self._names.parameters()]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=settings.learning_rate, weight_decay=1e-2)

    def train_step(self, step: int) -> Float[Tensor, ""]:
        """Take one step and return its loss."""
        settings = self._settings
        windows = self._next(step).to(self.device)
        features = self.detector.backbone(windows.images * 2 - 1)
        merged = self.detector.pyramid.merge(features)
        probability = to_map(self.detector.pyramid.head(merged), windows.masks.shape[2:])
        loss = focal_loss(probability, windows.masks) + dice_loss(
            probability, windows.masks, weights=torch.ones_like(windows.masks)
        )
        loss = loss + settings.naming * self._names.loss(features[-1], merged, windows)
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(step, settings.steps)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        return loss.detach()

    def _next(self, step: int) -> "Windows":
        """Return the windows of a step, which follows the last one that was asked for."""
        if self._upcoming is None:
            coming = range(step, self._settings.steps)
            loader = DataLoader(
                self._batches, batch_size=None, sampler=coming, num_workers=self._workers, worker_init_fn=_alone
            )
            self._upcoming = iter(loader)
        return next(self._upcoming)

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser state."""
        return {
            "detector": self.detector.state_dict(),
            "names": self._names.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back weights and optimiser state."""
        self.detector.load_state_dict(state["detector"])
        self._names.load_state_dict(state["names"])
        self._optimizer.load_state_dict(state["optimizer"])


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


@final
class _Names(nn.Module):
    """Names the surface of a window from the deepest features, and the defect of each anomalous pixel."""

    def __init__(self, corpus: Corpus, *, deepest: int, width: int) -> None:
        super().__init__()
        materials, defects = sorted(set(corpus.materials)), sorted({d for d in corpus.defects if d is not None})
        self.material = nn.Conv2d(deepest, len(materials), kernel_size=1)
        self.defect = nn.Conv2d(width, max(1, len(defects)), kernel_size=1)
        self._materials = torch.tensor([materials.index(m) for m in corpus.materials])
        self._defects = torch.tensor([0 if d is None else defects.index(d) for d in corpus.defects])

    def loss(self, deepest: Tensor, merged: Tensor, windows: Windows) -> Float[Tensor, ""]:
        """Return the cross-entropies of surface and defect; each window with a defect counts alike.

        Args:
            deepest: Features of the coarsest scale (B, C, h, w).
            merged: Features of the finest (B, W, h, w).
            windows: What they were made from.
        """
        said = self.material(deepest.mean(dim=(2, 3), keepdim=True)).flatten(1)
        surface = F.cross_entropy(said, self._materials[windows.scenes].to(said.device))
        masks = F.interpolate(windows.masks, size=merged.shape[2:], mode="area")
        area = masks.sum(dim=(1, 2, 3))
        labels = self._defects[windows.scenes].to(said.device)[:, None, None].expand(-1, *merged.shape[2:])
        errors = F.cross_entropy(self.defect(merged), labels, reduction="none")[:, None]
        each = (errors * masks).sum(dim=(1, 2, 3)) / area.clamp(min=1)
        return surface + (each * (area >= 1)).sum() / (area >= 1).sum().clamp(min=1)


@final
class _Batches(Dataset[Windows]):
    """The windows of each step, drawn from its number: who draws them, and when, changes nothing."""

    def __init__(self, corpus: Corpus, settings: SegmenterTraining) -> None:
        self._corpus, self._settings = corpus, settings

    def __getitem__(self, step: int) -> Windows:
        rng = numpy_generator(derive_seed(self._settings.seed, SegmenterTrainer.name, step))
        return window_batch(self._corpus, rng, self._settings)


def _alone(_worker: int) -> None:
    """Keep a worker to one core."""
    cv2.setNumThreads(0)


def window_batch(corpus: Corpus, rng: np.random.Generator, settings: SegmenterTraining) -> Windows:
    """Return random windows."""
    scenes = [int(rng.integers(len(corpus.masks))) for _ in range(settings.batch_size)]
    windows = [_window(corpus, index, rng, settings) for index in scenes]
    images = torch.from_numpy(np.stack([image for image, _ in windows])).permute(0, 3, 1, 2).contiguous()
    return Windows(images, torch.from_numpy(np.stack([mask for _, mask in windows]))[:, None], scenes)


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
    device: torch.device | None = None,
    workers: int = 0,
) -> Fpn:
    """Train, resuming what `work` holds, and write the weights in half precision to `out`.

    Args:
        work: Corpus and checkpoint.
        out: A safetensors file.
        settings: Of the training.
        corpus: Scenes to learn from.
        minutes: It stops after this time; running again goes on.
        stop_at: It stops at this step; running again goes on.
        device: Where to train; the CPU when None.
        workers: Processes that cut windows beside the training, for a device that would wait for them; they change no
            window.
    """
    work.mkdir(parents=True, exist_ok=True)
    trainer = SegmenterTrainer(render_corpus(work, corpus), settings, device, workers=workers)

    def publish(_step: int) -> None:
        save_weights(trainer.detector, out)

    run_training(trainer, work, steps=stop_at or settings.steps, minutes=minutes, on_checkpoint=publish)
    return trainer.detector


def main() -> None:
    """Parse the arguments of `python -m anogen_core.pretraining.segmenter`."""
    parser = argparse.ArgumentParser(description="Train the weights that the feature pyramid starts from.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", type=Path, help="YAML with fields of `training` and `corpus`")
    parser.add_argument("--photos", type=Path, help="directory of normal photos that join the drawn scenes")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--device", default="cpu", help="of PyTorch, such as cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that cut windows; 0 cuts between the steps")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    chosen = read_settings(SegmenterPretraining, given.settings, given.photos)
    train_segmenter(
        given.work,
        given.out,
        settings=chosen.training,
        corpus=chosen.corpus,
        minutes=given.minutes,
        device=torch.device(given.device),
        workers=given.workers,
    )


if __name__ == "__main__":
    main()
