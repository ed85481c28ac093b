"""The loop that all trainings share: resume, step, log, checkpoint, stop at a number of steps or at a time."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from anogen_core.errors import TrainingError
from anogen_core.pretraining.checkpoint import Identity, Trainer, checkpoint_path, load_checkpoint, save_checkpoint
from anogen_core.pretraining.deadline import NEVER, is_over, minutes_left
from anogen_core.pretraining.parallel import agree, rank, wait_for_all

log = logging.getLogger(__name__)

LOG_EVERY = 100
"""Steps between two log lines."""


def run_training(
    trainer: Trainer,
    work: Path,
    *,
    identity: Identity,
    steps: int,
    deadline: float = NEVER,
    checkpoint_minutes: float = 10,
    on_checkpoint: Callable[[int], None] = lambda _: None,
) -> int:
    """Train up to step `steps` or to the deadline, whichever comes first, and return the step that was reached.

    Args:
        trainer: What trains.
        work: Directory of its checkpoint.
        identity: All that decides the training, but for what may change when it resumes.
        steps: Where it ends.
        deadline: In seconds of `time.monotonic()`.
        checkpoint_minutes: Time between two checkpoints; the first comes after a minute.
        on_checkpoint: Called with the step after each one, in process 0 alone.

    Raises:
        TrainingError: the loss is not a finite number.
        InputError: the checkpoint in `work` is damaged or of another training.
    """
    work.mkdir(parents=True, exist_ok=True)
    step = first = load_checkpoint(trainer, work, identity)
    if step > 0:
        log.info("%s resumes at step %d", trainer.name, step)
    start = time.monotonic()
    due, losses = start + 60 * min(1, checkpoint_minutes), []
    while agree(step < steps and not is_over(deadline)):
        losses.append(trainer.train_step(step))
        step += 1
        saves = rank() == 0 and is_over(due)
        if saves or step % LOG_EVERY == 0 or step == steps:
            loss = _mean(losses, trainer.name, step, work)
            rate = (step - first) / (time.monotonic() - start)
            left = minutes_left(steps - step, rate, deadline)
            log.info(
                "%s step %d/%d loss %.4f, %.2f steps/s, %.1f min left", trainer.name, step, steps, loss, rate, left
            )
            losses.clear()
        if saves:
            save_checkpoint(trainer, work, identity, step)
            on_checkpoint(step)
            due = time.monotonic() + 60 * checkpoint_minutes
    _mean(losses, trainer.name, step, work)
    if rank() == 0 and step > 0:
        save_checkpoint(trainer, work, identity, step)
        on_checkpoint(step)
    if step < steps:
        log.info("%s: the time is up at step %d of %d; running again goes on", trainer.name, step, steps)
    wait_for_all()
    return step


def _mean(losses: Sequence[Tensor], name: str, step: int, work: Path) -> float:
    """Return the mean of the last losses: only here does the training wait for them.

    Raises:
        TrainingError: one of them is not a finite number.
    """
    values = torch.stack(list(losses)).tolist() if losses else []
    for place, value in enumerate(values):
        if not math.isfinite(value):
            path = checkpoint_path(work, name)
            goes_on = f"it goes on from {path}" if path.exists() else "it begins anew, there is no checkpoint yet"
            raise TrainingError(
                f"{name}: loss is {value} at step {step - len(values) + place + 1}. "
                f"Lower its learning rate and run again: {goes_on}."
            )
    return sum(values) / max(1, len(values))


def learning_rate_factor(step: int, steps: int, *, warmup: int = 100) -> float:
    """Return a linear warm-up followed by half a cosine down to 5 % at `steps`."""
    progress = min(1.0, step / max(steps, 1))
    return min(1.0, (step + 1) / warmup) * (0.05 + 0.95 * (1 + math.cos(math.pi * progress)) / 2)
