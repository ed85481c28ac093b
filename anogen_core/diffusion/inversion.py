"""Masked textual inversion: learn one defect as an embedding on a frozen base model (AnoGen, ECCV 2024, stage 1).

    v* = argmin_v  E_{I, eps, t} || (eps - eps_theta(z_t, t, c(prompt(v)))) * m ||^2
    z_t = sqrt(alpha_bar_t) E(I) + sqrt(1 - alpha_bar_t) eps

with m = 1 on latent cells under any anomalous pixel. Each sample's error is divided by its number of active cells, so a
small defect teaches as much as a large one.
"""

import io
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from anogen_core.arrays import LatentMask, Latents
from anogen_core.checkpoints import CheckpointSlot
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.views import Views
from anogen_core.errors import TrainingError
from anogen_core.seeding import derive_seed, torch_generator
from anogen_core.settings import Settings

INVERSION_VERSION = 3
"""Raised by hand when a change here changes the learned embedding."""

log = logging.getLogger(__name__)

TEMPLATES = (
    "a photo of a {}",
    "a rendering of a {}",
    "a cropped photo of the {}",
    "the photo of a {}",
    "a close-up photo of a {}",
    "a photo of the {}",
    "a good photo of a {}",
    "a photo of one {}",
    "a dark photo of the {}",
    "a bright photo of the {}",
    "{}",
)
"""Prompts of textual inversion (Gal et al., 2022), and the bare concept that generation uses."""


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


@dataclass(frozen=True)
class LearnedEmbedding:
    """The result of an inversion."""

    vectors: torch.Tensor
    """(V, D), float32, on the CPU."""
    curve: list[tuple[int, float]]
    """(step, validation loss)."""
    best_step: int
    steps: int


@dataclass
class _State:
    step: int
    vectors: torch.Tensor
    best: torch.Tensor
    best_loss: float
    best_step: int
    curve: list[tuple[int, float]]


def masked_loss(noise: Latents, predicted: Latents, mask: LatentMask) -> torch.Tensor:
    """Return the mean over samples of the squared error per active latent value.

    Args:
        noise: (B, C, h, w) true noise.
        predicted: (B, C, h, w).
        mask: (B, 1, h, w), 1 where anomalous, at least one cell per sample.

    Raises:
        ValueError: the shapes do not fit; broadcasting a (B, h, w) mask would silently mix samples.
    """
    if noise.shape != predicted.shape or mask.shape != (noise.shape[0], 1, *noise.shape[2:]):
        raise ValueError(
            f"Expected noise, prediction (B,C,h,w), mask (B,1,h,w); got {noise.shape}, {predicted.shape}, {mask.shape}."
        )
    error = ((noise - predicted) * mask).square().sum(dim=(1, 2, 3))
    return (error / (mask.sum(dim=(1, 2, 3)) * noise.shape[1])).mean()


def learn_embedding(
    views: Views,
    model: DiffusionModel,
    settings: InversionSettings,
    *,
    seed: int,
    checkpoint: CheckpointSlot | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> LearnedEmbedding:
    """Return the embedding with the lowest validation loss.

    Every random choice of step i depends on (seed, i) alone, so a resumed run equals an undisturbed one.

    Raises:
        TrainingError: the loss is not a finite number.
    """
    state, optimizer = _start(model, settings, checkpoint)
    grid = _validation_grid(views, model, settings, seed=seed)
    while state.step < settings.steps and not _is_flat(state, settings):
        _optimise(state, optimizer, views, model, settings, seed=seed)
        if state.step % settings.validate_every == 0 or state.step == settings.steps:
            _validate(state, grid, model, settings)
            if checkpoint is not None:
                checkpoint.save(_dump(state, optimizer))
        if on_step is not None:
            on_step(state.step, settings.steps)
    log.info("embedding learned: step %d of %d, validation loss %.4f", state.best_step, state.step, state.best_loss)
    return LearnedEmbedding(state.best, state.curve, state.best_step, state.step)


@torch.no_grad()
def validation_loss(
    views: Views, model: DiffusionModel, vectors: torch.Tensor, settings: InversionSettings, *, seed: int
) -> float:
    """Return the masked loss of an embedding (V, D) on a fixed grid of timesteps and noise."""
    return _mean_loss(_validation_grid(views, model, settings, seed=seed), model, vectors)


def _noised(latents: Latents, noise: Latents, alpha_bar: torch.Tensor) -> Latents:
    return alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise


def _loss(model: DiffusionModel, vectors: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
    alpha_bar = model.alpha_bar[batch["timesteps"]].reshape(-1, 1, 1, 1).to(model.device)
    noise = batch["noise"].to(model.device)
    repeated = vectors[None].expand(len(batch["prompts"]), -1, -1)
    conditioning = model.condition(batch["prompts"], repeated)
    noised = _noised(batch["latents"], noise, alpha_bar)
    predicted = model.predict_noise(noised, batch["timesteps"].to(model.device), conditioning, batch["surroundings"])
    return masked_loss(noise, predicted, batch["masks"])


def _optimise(
    state: _State,
    optimizer: torch.optim.Optimizer,
    views: Views,
    model: DiffusionModel,
    settings: InversionSettings,
    *,
    seed: int,
) -> None:
    generator = torch_generator(derive_seed(seed, "step", state.step))
    pick = torch.randint(len(views.latents), (settings.batch_size,), generator=generator)
    words = torch.randint(len(TEMPLATES), (settings.batch_size,), generator=generator)
    batch = {
        "latents": views.latents[pick],
        "masks": views.masks[pick],
        "surroundings": None if views.surroundings is None else views.surroundings[pick],
        "timesteps": torch.randint(len(model.alpha_bar), (settings.batch_size,), generator=generator),
        "noise": torch.randn((settings.batch_size, *views.latents.shape[1:]), generator=generator),
        "prompts": [TEMPLATES[i] for i in words.tolist()],
    }
    loss = _loss(model, state.vectors, batch)
    if not math.isfinite(loss.item()):
        raise TrainingError(f"Inversion loss is {loss.item()} at step {state.step}. Lower `inversion.learning_rate`.")
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    state.step += 1


def _validation_grid(
    views: Views, model: DiffusionModel, settings: InversionSettings, *, seed: int
) -> list[dict[str, Any]]:
    """Return one batch per timestep of a fixed, evenly spaced grid; the noise is fixed too."""
    count, horizon = len(views.latents), len(model.alpha_bar)
    batches = []
    for point in range(settings.validation_points):
        timestep = int((point + 0.5) * horizon / settings.validation_points)
        noise = torch.randn(views.latents.shape, generator=torch_generator(derive_seed(seed, "validation", point)))
        batches.append(
            {
                "latents": views.latents,
                "masks": views.masks,
                "surroundings": views.surroundings,
                "timesteps": torch.full((count,), timestep),
                "noise": noise,
                "prompts": [TEMPLATES[0]] * count,
            }
        )
    return batches


def _mean_loss(grid: list[dict[str, Any]], model: DiffusionModel, vectors: torch.Tensor) -> float:
    return sum(_loss(model, vectors, batch).item() for batch in grid) / len(grid)


@torch.no_grad()
def _validate(state: _State, grid: list[dict[str, Any]], model: DiffusionModel, settings: InversionSettings) -> None:
    loss = _mean_loss(grid, model, state.vectors)
    state.curve.append((state.step, loss))
    if loss < state.best_loss * (1 - settings.min_improvement):
        state.best, state.best_loss, state.best_step = state.vectors.detach().clone(), loss, state.step


def _is_flat(state: _State, settings: InversionSettings) -> bool:
    return state.step - state.best_step >= settings.patience * settings.validate_every


def _start(
    model: DiffusionModel, settings: InversionSettings, checkpoint: CheckpointSlot | None
) -> tuple[_State, torch.optim.Optimizer]:
    vectors = model.word_vector(settings.initializer)[None].repeat(settings.num_vectors, 1).cpu().requires_grad_()
    state = _State(0, vectors, vectors.detach().clone(), math.inf, 0, [])
    saved = checkpoint.load() if checkpoint is not None else None
    loaded = torch.load(io.BytesIO(saved), weights_only=True) if saved is not None else None
    if loaded is not None:
        vectors.data.copy_(loaded["vectors"])
        state = _State(
            loaded["step"],
            vectors,
            loaded["best"],
            loaded["best_loss"],
            loaded["best_step"],
            [(s, v) for s, v in loaded["curve"]],
        )
    optimizer = torch.optim.Adam([vectors], lr=settings.learning_rate)
    if loaded is not None:
        optimizer.load_state_dict(loaded["optimizer"])
    return state, optimizer


def _dump(state: _State, optimizer: torch.optim.Optimizer) -> bytes:
    buffer = io.BytesIO()
    torch.save({**vars(state), "vectors": state.vectors.detach(), "optimizer": optimizer.state_dict()}, buffer)
    return buffer.getvalue()
