"""Masked textual inversion: learn defects as embeddings on a frozen base model (AnoGen, ECCV 2024, stage 1).

    v* = argmin_v  E_{I, eps, t} || (eps - eps_theta(z_t, t, c(prompt(v)))) * m ||^2
    z_t = sqrt(alpha_bar_t) E(I) + sqrt(1 - alpha_bar_t) eps

with m = 1 on latent cells under any anomalous pixel. Each sample's error is divided by its number of active cells, so a
small defect teaches as much as a large one.

The model is frozen, so one batch may hold samples of many concepts: each is learned as if alone.
"""

import io
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from anogen_core.checkpoints import CheckpointSlot, load_state
from anogen_core.diffusion.denoising import NoisedViews, draw_views, shared_losses, validation_grid
from anogen_core.diffusion.memory import Portions
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.views import Views
from anogen_core.errors import TrainingError
from anogen_core.seeding import derive_seed, torch_generator
from anogen_core.settings import Settings

INVERSION_VERSION = 5
"""Raised by hand when a change here changes the learned embedding."""

ON_GPU: Final = 16
"""Concepts at once on a GPU unless the settings say."""

log = logging.getLogger(__name__)


class InversionSettings(Settings):
    """How a defect is learned."""

    steps: PositiveInt = 6000
    """Optimiser steps at most; learning stops earlier when the validation loss is flat."""
    learning_rate: PositiveFloat = 5e-3
    """Step size of Adam."""
    batch_size: PositiveInt = 4
    """Noised views per step."""
    num_vectors: Annotated[int, Field(ge=1, le=16)] = 1
    """Vectors per concept."""
    initializer: str = "defect"
    """Word whose embedding is the starting point; one token of the base model."""
    zooms: tuple[PositiveFloat, ...] = (1.0, 1.35)
    """Each support photo is shown at these crop sizes, relative to the crop that generation would use."""
    validate_every: PositiveInt = 50
    """Steps between two validations."""
    validation_points: PositiveInt = 8
    """(timestep, noise) pairs per view in the fixed validation grid."""
    patience: PositiveInt = 8
    """Validations without improvement after which learning stops."""
    min_improvement: NonNegativeFloat = 0.001
    """Relative drop of the validation loss that counts as improvement."""
    concepts_at_once: PositiveInt | None = None
    """Defects that share each pass through the model, so that it holds this many times `batch_size` views where memory
    allows; default: 16 on a GPU, 1 on a CPU. An embedding depends on its company by rounding alone, and with 1 not at
    all."""

    def identity(self) -> dict[str, Any]:
        """Return as plain JSON what decides an embedding: everything but the company it is learned in."""
        return self.model_dump(mode="json", exclude={"concepts_at_once"})


@dataclass(frozen=True)
class Concept:
    """One defect to learn."""

    name: str
    """For messages."""
    views: Views
    seed: int
    checkpoint: CheckpointSlot | None = None


@dataclass(frozen=True)
class LearnedEmbedding:
    """The result of an inversion."""

    vectors: torch.Tensor
    """(V, D), float32, on the CPU."""
    curve: list[tuple[int, float]]
    """(step, validation loss)."""
    best_step: int
    steps: int


def learn_embeddings(
    concepts: Iterable[Concept],
    model: DiffusionModel,
    settings: InversionSettings,
    *,
    on_step: Callable[[str, int, int], None] | None = None,
) -> Iterator[tuple[Concept, LearnedEmbedding | TrainingError]]:
    """Yield each concept when it has ended: with the embedding of lowest validation loss, or with why there is none.

    Concepts share each pass through the model. One that has ended makes room for the next, which begins at a step 0 of
    its own. Every random choice of step i of a concept depends on (its seed, i) alone and its gradient on its own
    samples: company changes an embedding by the rounding of kernels alone. A resumed concept equals an undisturbed one.

    Args:
        concepts: Taken one by one, as there is room.
        model: The frozen base model.
        settings: The same for all concepts.
        on_step: Called with (name, step, steps) after each step of each concept.
    """
    waiting = iter(concepts)
    at_once = settings.concepts_at_once or (ON_GPU if model.device.type == "cuda" else 1)
    portions = Portions("a step of learning")
    learning = [_Learner(c, model, settings) for c in itertools.islice(waiting, at_once)]
    while learning:
        ended = next((learner for learner in learning if learner.has_ended), None)
        if ended is not None:
            learning.remove(ended)
            yield ended.concept, ended.result()
            learning += [_Learner(c, model, settings) for c in itertools.islice(waiting, 1)]
            continue
        due = [learner for learner in learning if learner.is_due]
        if due:
            _validate(due, model)
            continue
        _step(learning, model, portions)
        if on_step is not None:
            for learner in learning:
                on_step(learner.concept.name, learner.step, learner.steps)


@torch.no_grad()
def validation_loss(
    views: Views, model: DiffusionModel, vectors: torch.Tensor, settings: InversionSettings, *, seed: int
) -> float:
    """Return the masked loss of an embedding (V, D) on a fixed grid of timesteps and noise."""
    grid = validation_grid(views, model, points=settings.validation_points, seed=seed)
    (loss,) = _mean_losses(model, [vectors], [grid])
    return loss


class _Learner:
    """One concept that is being learned."""

    def __init__(self, concept: Concept, model: DiffusionModel, settings: InversionSettings) -> None:
        self.concept = concept
        self.steps = settings.steps
        self._settings = settings
        self._failure: TrainingError | None = None
        self.grid = validation_grid(concept.views, model, points=settings.validation_points, seed=concept.seed)
        word = model.word_vector(settings.initializer)
        self.vectors = word[None].repeat(settings.num_vectors, 1).cpu().requires_grad_()
        self._optimizer = torch.optim.Adam([self.vectors], lr=settings.learning_rate)
        self._loss = 0.0
        self.step, self._best_step, self._best_loss = 0, 0, math.inf
        self._best = self.vectors.detach().clone()
        self._curve: list[tuple[int, float]] = []
        slot = concept.checkpoint
        saved = None if slot is None else load_state(slot, concept.name, self.vectors.device)
        if saved is not None:
            self._resume(saved)

    @property
    def is_due(self) -> bool:
        """Return whether it has to be validated before its next step."""
        measured = self._curve[-1][0] if self._curve else 0
        return self.step > measured and (self.step % self._settings.validate_every == 0 or self.step == self.steps)

    @property
    def has_ended(self) -> bool:
        """Return whether it has failed, done all its steps, or become flat."""
        flat = self.step - self._best_step >= self._settings.patience * self._settings.validate_every
        return self._failure is not None or (not self.is_due and (flat or self.step >= self.steps))

    def result(self) -> LearnedEmbedding | TrainingError:
        """Return what it has come to."""
        if self._failure is not None:
            return self._failure
        best = (self._best_step, self.step, self._best_loss)
        log.info("%s: learned: step %d of %d, validation loss %.4f", self.concept.name, *best)
        return LearnedEmbedding(self._best, self._curve, self._best_step, self.step)

    def draw(self, model: DiffusionModel) -> NoisedViews:
        """Return the samples of its next step."""
        generator = torch_generator(derive_seed(self.concept.seed, "step", self.step))
        return draw_views(self.concept.views, model, count=self._settings.batch_size, generator=generator)

    def is_sound(self, loss: float) -> bool:
        """Return whether a loss is a number; if not, the concept has failed."""
        if not math.isfinite(loss):
            self._failure = TrainingError(
                f"{self.concept.name}: inversion loss is {loss} at step {self.step}. Lower `inversion.learning_rate`."
            )
        return self._failure is None

    def share(self, samples: NoisedViews) -> float:
        """Return the weight of some samples' mean loss in the loss of the step."""
        return len(samples) / self._settings.batch_size

    def add(self, loss: float, gradient: torch.Tensor | None) -> None:
        """Count in what some samples add to the loss of a step and its gradient (V, D); None where it has none."""
        self._loss += loss
        if gradient is not None:
            self.vectors.grad = gradient if self.vectors.grad is None else self.vectors.grad + gradient

    def move(self) -> None:
        """Take one step of the optimiser along the gradient of all samples, or fail if their loss is no number."""
        if self.is_sound(self._loss):
            self._optimizer.step()
            self.step += 1
        self._loss, self.vectors.grad = 0.0, None

    def measured(self, loss: float) -> None:
        """Note a validation loss, keep the embedding if it is the best so far, and write a checkpoint."""
        self._curve.append((self.step, loss))
        if loss < self._best_loss * (1 - self._settings.min_improvement):
            self._best, self._best_loss, self._best_step = self.vectors.detach().clone(), loss, self.step
        if self.concept.checkpoint is not None:
            buffer = io.BytesIO()
            torch.save(
                {
                    "step": self.step,
                    "vectors": self.vectors.detach(),
                    "best": self._best,
                    "best_loss": self._best_loss,
                    "best_step": self._best_step,
                    "curve": self._curve,
                    "optimizer": self._optimizer.state_dict(),
                },
                buffer,
            )
            self.concept.checkpoint.save(buffer.getvalue())

    def _resume(self, saved: dict[str, Any]) -> None:
        self.vectors.data.copy_(saved["vectors"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self.step, self._best_step, self._best_loss = saved["step"], saved["best_step"], saved["best_loss"]
        self._best, self._curve = saved["best"], [(step, loss) for step, loss in saved["curve"]]


def _step(learners: Sequence[_Learner], model: DiffusionModel, portions: Portions) -> None:
    samples = [learner.draw(model) for learner in learners]
    firsts = list(itertools.accumulate(map(len, samples), initial=0))

    def learn(start: int, stop: int) -> None:
        parts = [s[max(0, start - first) : max(0, stop - first)] for s, first in zip(samples, firsts, strict=False)]
        _learn([(one, part) for one, part in zip(learners, parts, strict=True) if len(part)], model)

    portions.run(firsts[-1], learn)
    for learner in learners:
        learner.move()


def _learn(parts: Sequence[tuple[_Learner, NoisedViews]], model: DiffusionModel) -> None:
    """Give concepts the gradients of some samples of a step; when memory runs out, none has got any."""
    losses = shared_losses(model, [one.vectors for one, _ in parts], [part for _, part in parts])
    shares = [loss * one.share(part) for loss, (one, part) in zip(losses, parts, strict=True)]
    values = torch.stack(shares).tolist()
    sound = [i for i, value in enumerate(values) if math.isfinite(value)]
    gradients: dict[int, torch.Tensor] = {}
    if sound:
        # Of the sum of the losses: no concept's loss depends on the vectors of another.
        found = torch.autograd.grad([shares[i] for i in sound], [parts[i][0].vectors for i in sound])
        gradients = dict(zip(sound, found, strict=True))
    for i, (learner, _) in enumerate(parts):
        learner.add(values[i], gradients.get(i))


@torch.no_grad()
def _validate(learners: Sequence[_Learner], model: DiffusionModel) -> None:
    losses = _mean_losses(model, [one.vectors for one in learners], [one.grid for one in learners])
    for learner, loss in zip(learners, losses, strict=True):
        if learner.is_sound(loss):
            learner.measured(loss)


def _mean_losses(
    model: DiffusionModel, vectors: Sequence[torch.Tensor], grids: Sequence[list[NoisedViews]]
) -> list[float]:
    """Return for each concept the mean loss over its grid."""
    points = [torch.stack(shared_losses(model, vectors, samples)).tolist() for samples in zip(*grids, strict=True)]
    return [sum(losses) / len(losses) for losses in zip(*points, strict=True)]
