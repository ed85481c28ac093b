"""Training of any detector: resumable to the same bits, and stopped at once when a loss is not a number."""

import io
import logging
import time
from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from anogen_core.checkpoints import CheckpointSlot, load_state
from anogen_core.detectors import DetectorSettings
from anogen_core.detectors.batches import BatchSampler
from anogen_core.detectors.trained import TrainedDetector, allocate
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import TrainingError
from anogen_core.seeding import derive_seed, torch_generator
from anogen_core.settings import fingerprint

log = logging.getLogger(__name__)

OnProgress = Callable[[int, int, dict[str, float]], None]
"""Called after every step with the steps done, the total and the terms of the loss."""


def train_detector(
    settings: DetectorSettings,
    data: TrainingSet,
    *,
    seed: int,
    checkpoint: CheckpointSlot | None = None,
    on_progress: OnProgress | None = None,
    device: torch.device | None = None,
) -> TrainedDetector:
    """Return the detector trained on the data: the same bits whether or not it was killed and resumed on the way.

    All randomness of a step is a function of the seed and the step. The same seed without generated data is the
    control arm: same initial weights, same photos, same painted anomalies, same number of steps.

    Args:
        settings: which detector and how to train it.
        data: photos and labels; resized once, before the first step.
        seed: of the initial weights and of every batch.
        checkpoint: asked once for a state to resume from, then given one every `checkpoint_every` steps.
        on_progress: called after every step.
        device: where to train; the CPU when None.

    Raises:
        TrainingError: a term of the loss, or the last answer, is NaN or infinite.
    """
    device = device or torch.device("cpu")
    identity = fingerprint([settings.model_dump(mode="json"), data.digest(), seed])
    training = _Training(settings, seed=seed, device=device)
    if checkpoint is not None:
        training.resume(load_state(checkpoint, settings.kind, device), identity)
    sampler = BatchSampler(settings, data, seed=seed, device=device)
    first, started = training.step, time.monotonic()
    while training.step < settings.steps:
        terms = training.advance(sampler)
        if on_progress is not None:
            on_progress(training.step, settings.steps, terms)
        if checkpoint is not None and training.step % settings.checkpoint_every == 0:
            checkpoint.save(training.state(identity))
    log.info("trained %s for %d steps in %.1f s", settings.kind, settings.steps - first, time.monotonic() - started)
    trained = TrainedDetector(settings, training.detector.eval(), training.losses())
    # The last step may break the weights, which no loss shows.
    if not all(np.isfinite(said).all() for said in trained.predict_coarse(data.normals[:1])):
        raise training.diverged(f"After step {training.step} the answer to a photo is not a finite number.")
    return trained


@final
class _Training:
    """The changing state of a training: weights, optimiser, step and loss curve."""

    def __init__(self, settings: DetectorSettings, *, seed: int, device: torch.device) -> None:
        self.settings = settings
        self.detector = allocate(settings, device)
        self.detector.initialise(torch_generator(derive_seed(seed, "weights")))
        self.detector.train()
        self.optimizer = self.detector.optimizer()
        self.curve: list[dict[str, float]] = []

    @property
    def step(self) -> int:
        """The number of steps done."""
        return len(self.curve)

    def advance(self, sampler: BatchSampler) -> dict[str, float]:
        """Do one step and return the terms of its loss."""
        for group, rate in zip(self.optimizer.param_groups, self.detector.learning_rates(self.step), strict=True):
            group["lr"] = rate
        losses = self.detector.losses(sampler.batch(self.step))
        terms = {name: loss.item() for name, loss in losses.items()}
        self._require_finite(terms)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([loss for loss in losses.values() if loss.requires_grad])
        self.optimizer.step()
        self.curve.append(terms)
        return terms

    def losses(self) -> dict[str, NDArray[np.float32]]:
        """Return the loss curve, (steps,) per term."""
        return {name: np.array([terms[name] for terms in self.curve], np.float32) for name in self.curve[0]}

    def state(self, identity: str) -> bytes:
        """Return everything that the next step depends on."""
        buffer = io.BytesIO()
        weights, optimizer = self.detector.state_dict(), self.optimizer.state_dict()
        torch.save({"identity": identity, "weights": weights, "optimizer": optimizer, "curve": self.curve}, buffer)
        return buffer.getvalue()

    def resume(self, state: dict[str, Any] | None, identity: str) -> None:
        """Take over a saved state; one that belongs to another training is left aside."""
        if state is None:
            return
        if state.get("identity") != identity:
            log.warning("the checkpoint is of another training; this one starts from its beginning")
            return
        self.detector.load_state_dict(state["weights"], strict=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = state["curve"]
        log.info("resumed after step %d", self.step)

    def _require_finite(self, terms: dict[str, float]) -> None:
        bad = [name for name, value in terms.items() if not np.isfinite(value)]
        if bad:
            raise self.diverged(f"The {' and '.join(bad)} loss of step {self.step + 1} is not a finite number.")

    def diverged(self, what: str) -> TrainingError:
        """Return the error of a training whose numbers grew beyond all bounds, with what to do."""
        rates = " or ".join(f"detector.{n}" for n in type(self.settings).model_fields if "learning_rate" in n)
        used = ", ".join(f"{group['lr']:g}" for group in self.optimizer.param_groups)
        return TrainingError(f"{what} Lower {rates} (used: {used}).")
