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
from pathlib import Path
from typing import Any, final

import cv2
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from anogen_core.detectors.destseg_networks import fill_weights
from anogen_core.detectors.fpn import Fpn, FpnSettings, save_weights, to_map
from anogen_core.detectors.losses import dice_loss, focal_loss
from anogen_core.pretraining.checkpoint import check_checkpoints, identify
from anogen_core.pretraining.corpus import Corpus, CorpusFiles, CorpusSettings
from anogen_core.pretraining.deadline import deadline_in
from anogen_core.pretraining.files import read_settings
from anogen_core.pretraining.loop import learning_rate_factor, run_training
from anogen_core.pretraining.windows import Windows, WindowSettings, window_batch
from anogen_core.seeding import derive_seed, numpy_generator, torch_generator
from anogen_core.settings import Settings


class SegmenterTraining(WindowSettings):
    """How the weights are trained."""

    steps: PositiveInt = 10000
    """Optimisation steps."""
    bundled_start: bool = False
    """Go on from the weights that come with AnoGen instead of from random ones."""
    naming: NonNegativeFloat = 0.3
    """Weight of naming surface and defect, beside finding the defect."""
    learning_rate: PositiveFloat = 1.5e-3
    """Peak learning rate of AdamW."""
    seed: NonNegativeInt = 0
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

    def _next(self, step: int) -> Windows:
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
) -> Fpn | None:
    """Train, resuming what `work` holds, and write the weights in half precision to `out`.

    None is returned where the time was up before the first step.

    Args:
        work: Corpus and checkpoint.
        out: A safetensors file.
        settings: Of the training.
        corpus: Scenes to learn from.
        minutes: It stops after this time, whatever it does; running again goes on.
        stop_at: It stops at this step; running again goes on.
        device: Where to train; the CPU when None.
        workers: Processes that cut windows beside the training, for a device that would wait for them; they change no
            window.

    Raises:
        InputError: a photo cannot be used, or `work` holds another training or a damaged checkpoint.
        TrainingError: the loss is not a finite number.
    """
    deadline = deadline_in(minutes)
    work.mkdir(parents=True, exist_ok=True)
    files = CorpusFiles(work, corpus)
    identity = files.identity | identify("training", settings)
    check_checkpoints(work, {SegmenterTrainer.name: identity})
    if not files.render(deadline):
        return None
    trainer = SegmenterTrainer(files.load(), settings, device, workers=workers)

    def publish(_step: int) -> None:
        save_weights(trainer.detector, out)

    reached = run_training(
        trainer,
        work,
        identity=identity,
        steps=stop_at or settings.steps,
        deadline=deadline,
        on_checkpoint=publish,
    )
    return trainer.detector if reached > 0 else None


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
