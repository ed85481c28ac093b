"""What every detector is: a network that learns from batches of photos and answers with anomaly maps."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anogen_core.arrays import ImageBatch


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """One step's samples. All tensors are on one device; images lie in [0, 1], masks hold 0 and 1."""

    shown: ImageBatch
    """What the detector sees: a normal photo, one with a painted anomaly, or a generated one."""
    target: ImageBatch
    """The same photos without the anomaly."""
    target_known: Tensor
    """(B, 1, H, W): 0 where no photo tells what was there without the anomaly."""
    mask: Tensor
    """(B, 1, H, W): 1 where anomalous, or inside the box of a weakly labelled sample."""
    weakly_labelled: Tensor
    """(B, 1, 1, 1): 1 where the mask is a box, 0 where it is exact."""


class Detector(nn.Module, ABC):
    """A trainable detector.

    Example:
        A detector for grey squares would return `{"l1": (self(batch.shown) - batch.mask).abs().mean()}` from `losses`,
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
        """Return the named terms whose sum is minimised, scalars."""

    @abstractmethod
    def anomaly_map(self, images: ImageBatch) -> Tensor:
        """Return P(anomalous) of every pixel, (B, 1, H, W), of images in [0, 1] at the detector's size."""

    @abstractmethod
    def image_scores(self, maps: Tensor) -> Tensor:
        """Return one score per anomaly map (B, 1, H, W); a greater one is more anomalous."""
