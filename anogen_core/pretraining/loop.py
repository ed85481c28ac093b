"""The loop that both trainings share: resume, step, log, checkpoint, stop at a number of steps or at a time."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from anogen_core.errors import InputError, TrainingError
from anogen_core.pretraining.parallel import agree, rank, wait_for_all

log = logging.getLogger(__name__)

LOG_EVERY = 100
"""Steps between two log lines."""


class Trainer(Protocol):
    """What the loop needs.

    A step draws its randomness from its own number, so a resumed run equals an undisturbed one.
    """

    name: str

    def train_step(self, step: int) -> Float[Tensor, ""]:
        """Take optimisation step number `step` and return its loss, which may still be under way on a device."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""


def run_training(
    trainer: Trainer,
    work: Path,
    *,
    steps: int,
    minutes: float = math.inf,
    checkpoint_minutes: float = 10,
    on_checkpoint: Callable[[int], None] = lambda _: None,
) -> int:
    """Train up to step `steps` or for `minutes`, whichever comes first, and return the step that was reached.

    Raises:
        TrainingError: the loss is not a finite number.
        InputError: the checkpoint in `work` is of another training.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{trainer.name}.pt"
    step = _resume(trainer, path)
    start = saved = time.monotonic()
    first, losses = step, []
    while agree(step < steps and time.monotonic() - start < 60 * minutes):
        losses.append(trainer.train_step(step))
        step += 1
        if step % LOG_EVERY == 0 or step == steps:
            loss = _mean(losses, trainer.name, step, path)
            rate = (step - first) / (time.monotonic() - start)
            log.info("%s step %d/%d loss %.4f, %.2f steps/s", trainer.name, step, steps, loss, rate)
            losses.clear()
        if rank() == 0 and time.monotonic() - saved > 60 * checkpoint_minutes:
            _mean(losses, trainer.name, step, path)
            _save(trainer, path, step)
            on_checkpoint(step)
            saved = time.monotonic()
    _mean(losses, trainer.name, step, path)
    if rank() == 0:
        _save(trainer, path, step)
        on_checkpoint(step)
    wait_for_all()
    return step


def _mean(losses: Sequence[Tensor], name: str, step: int, path: Path) -> float:
    """Return the mean of the last losses: only here does the training wait for them.

    Raises:
        TrainingError: one of them is not a finite number.
    """
    values = torch.stack(list(losses)).tolist() if losses else []
    for place, value in enumerate(values):
        if not math.isfinite(value):
            raise TrainingError(
                f"{name}: loss is {value} at step {step - len(values) + place + 1}. "
                f"Lower the learning rate and resume from {path}."
            )
    return sum(values) / max(1, len(values))


def learning_rate_factor(step: int, steps: int, *, warmup: int = 100) -> float:
    """Return a linear warm-up followed by half a cosine down to 5 % at `steps`."""
    progress = min(1.0, step / max(steps, 1))
    return min(1.0, (step + 1) / warmup) * (0.05 + 0.95 * (1 + math.cos(math.pi * progress)) / 2)


def _resume(trainer: Trainer, path: Path) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        trainer.load_state_dict(state["trainer"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}: is the checkpoint of a training with other settings or of an earlier version, and this one "
            "cannot go on from it. Use another `--work`, or move the file away to begin anew."
        ) from error
    log.info("%s resumes at step %d", trainer.name, state["step"])
    return int(state["step"])


def _save(trainer: Trainer, path: Path, step: int) -> None:
    """Write the checkpoint whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save({"step": step, "trainer": trainer.state_dict()}, partial)
    partial.replace(path)
