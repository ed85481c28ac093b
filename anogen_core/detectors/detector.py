"""What every detector is: a network that learns from batches of photos and answers with anomaly maps."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from anogen_core.arrays import ImageBatch
from anogen_core.baselines.perlin_texture import PerlinTextureSettings
from anogen_core.settings import Settings

_SCORE_SIZE = 256
_SCORE_PIXELS = 100
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=32, multiple_of=32)]


class BatchSettings(Settings):
    """What the settings of every detector say: how long it learns, and from what."""

    kind: str
    image_size: Side = 256
    """Side in pixels of the square that every photo is resized to."""
    # Defaults that came later are left out of what identifies the settings of a detector.
    crop_size: Annotated[Side | None, Field(exclude_if=lambda crop_size: crop_size is None)] = None
    """Learn from random squares of this side of the resized photos, at an anomaly where there is one: as sharp as
    `image_size`, as fast as `crop_size`. Detection looks at whole photos; so does learning without it, and where photos
    are no larger."""
    wide_share: Annotated[Share, Field(exclude_if=lambda share: share == 0)] = 0
    """Share of the steps that look at larger squares, and at fewer of them, so that a step takes the same time: at
    two of twice `crop_size` instead of eight, which are whole photos in the default detector. They show what squares do
    not: large defects, and borders as detection meets them."""
    steps: PositiveInt
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=2)] = 16
    """Samples per step."""
    supervision: Literal["box", "mask"] = "box"
    """What the labels of generated samples are: boxes, supervised weakly inside, or pixel masks."""
    box_threshold: Share = 0.1
    """P(anomalous) above which a pixel inside a box is supervised (tau). P starts at a half and falls slowly on normal
    pixels (about 0.15 after some hundred steps): until it is below tau, whole boxes count as anomalous."""
    generated_share: Share = 0.5
    """Share of generated samples among all; the others get Perlin + texture anomalies."""
    normal_share: Share = 0.5
    """Share of samples of either source that are shown as normal."""
    rotate_share: Share = 0.3
    """Share of samples that are rotated by up to 90 degrees."""
    synthesis: PerlinTextureSettings = PerlinTextureSettings()
    """How to paint the Perlin + texture anomalies."""
    checkpoint_every: PositiveInt = 200
    """Steps between two checkpoints of the training."""
    precision: Annotated[Literal["fp32", "bf16"], Field(exclude_if=lambda precision: precision == "fp32")] = "fp32"
    """Arithmetic of the networks in training. bf16 keeps weights, batch statistics, losses and predictions in fp32; it
    is faster on processors that multiply it (AMX, AVX-512 BF16, GPUs since Ampere) and slower on others."""

    def shipped_files(self) -> tuple[Path, ...]:
        """Return which files that come with AnoGen the detector starts from: others make it another detector."""
        return ()

    def arithmetic(self, device: torch.device, *, learning: bool) -> AbstractContextManager[None]:
        """Return the context that networks run in: mixed precision where it is set and the detector is learning."""
        mixed = learning and self.precision == "bf16"
        return torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext()


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """One step's samples. All tensors are on one device; images lie in [0, 1], masks hold 0 and 1."""

    images: ImageBatch
    """What the detector sees: a normal photo, one with a painted anomaly, or a generated one."""
    target: ImageBatch
    """The same photos without the anomaly."""
    target_known: Tensor
    """(B, 1, H, W): 0 where no photo tells what was there without the anomaly."""
    mask: Tensor
    """(B, 1, H, W): 1 where anomalous, or inside the box of a weakly labelled sample."""
    weakly_labelled: Tensor
    """(B, 1, 1, 1): 1 where the mask is a box, 0 where it is exact."""
    step: int = 0
    """Counted from 0; some detectors learn in phases."""


def strongest_mean(maps: Tensor) -> Tensor:
    """Return the mean of the greatest values of each map (B, 1, H, W): 100 at 256 px, in proportion to other areas."""
    area = maps.shape[-2] * maps.shape[-1] / _SCORE_SIZE**2
    return maps.flatten(1).topk(max(1, round(_SCORE_PIXELS * area)), dim=1).values.mean(dim=1)


def order_channels_last(network: nn.Module) -> None:
    """Keep the weights of convolutions in the order of pixels that processors multiply fastest (NHWC)."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


class Detector(nn.Module, ABC):
    """A trainable detector.

    Example:
        A detector for grey squares would return `{"l1": (self(batch.images) - batch.mask).abs().mean()}` from `losses`,
        `self(images)` from `anomaly_map` and the largest value of each map from `image_scores`.
    """

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """Fill all weights and buffers; the result is a function of the generator alone."""

    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser of the weights, at the rates of step 0."""

    @abstractmethod
    def learning_rates(self, step: int) -> list[float]:
        """Return the learning rate of each parameter group of the optimiser at a step, counted from 0."""

    @abstractmethod
    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the named terms whose sum is minimised, scalars; the same names at every step."""

    @abstractmethod
    def anomaly_map(self, images: ImageBatch) -> Tensor:
        """Return P(anomalous) of every pixel, (B, 1, H, W), of images in [0, 1] at the detector's size."""

    @abstractmethod
    def image_scores(self, maps: Tensor) -> Tensor:
        """Return one score per anomaly map (B, 1, H, W); a greater one is more anomalous."""
