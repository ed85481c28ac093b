"""DRAEM (Zavrtanik et al., ICCV 2021) with box-aware weak supervision (AnoGen, stage 3).

A reconstructive network repairs the photo, a discriminative one compares photo and reconstruction. With width 128 and
64, 256 px, batch 16 and 700 epochs it is the paper's detector; small widths train on a CPU.
"""

from typing import Literal, final

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from anogen_core.arrays import ImageBatch
from anogen_core.detectors.detector import BatchSettings, Detector, Share, TrainingBatch, order_channels_last
from anogen_core.detectors.draem_networks import DiscriminativeNetwork, ReconstructiveNetwork, initialise_weights
from anogen_core.detectors.losses import focal_loss, ssim_loss, supervised_pixels

_PAPER_SIZE = 256
_PAPER_WINDOW = 21


class DraemSettings(BatchSettings):
    """How to build and train DRAEM."""

    kind: Literal["draem"] = "draem"
    reconstructive_width: PositiveInt = 128
    """Channels of the reconstructive network's first stage; the paper's value is 128 (69,048,579 parameters)."""
    discriminative_width: PositiveInt = 64
    """Channels of the discriminative network's first stage; the paper's value is 64 (28,374,146 parameters)."""
    learning_rate: PositiveFloat = 1e-4
    """Adam's initial learning rate for both networks; short schedules of small networks stand ten times more."""
    decay_at: tuple[Share, ...] = (4 / 7, 6 / 7)
    """Shares of the steps after which the learning rate drops to a tenth (epochs 400 and 600 of 700)."""

    def build(self) -> "Draem":
        """Return the detector these settings describe, with PyTorch's default weights."""
        return Draem(self)


@final
class Draem(Detector):
    """Reconstruct, compare, segment."""

    def __init__(self, settings: DraemSettings) -> None:
        super().__init__()
        self.settings = settings
        self.reconstructive = ReconstructiveNetwork(settings.reconstructive_width)
        self.discriminative = DiscriminativeNetwork(settings.discriminative_width)
        order_channels_last(self)

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the weights as the authors do."""
        initialise_weights(self, generator)

    def optimizer(self) -> torch.optim.Optimizer:
        """Return Adam for both networks."""
        return torch.optim.Adam(self.parameters(), lr=self.settings.learning_rate)

    def learning_rates(self, step: int) -> list[float]:
        """Return the rate of the one parameter group: a tenth after each share of `decay_at`."""
        passed = sum(step >= share * self.settings.steps for share in self.settings.decay_at)
        return [self.settings.learning_rate * 0.1**passed]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the L2, SSIM and focal terms; weak supervision applies to the focal term only."""
        reconstruction, probability = self._forward(batch.images)
        target = torch.where(batch.target_known > 0, batch.target, reconstruction.detach())
        weights = supervised_pixels(probability, batch.mask, self.settings.box_threshold)
        weights = torch.where(batch.weakly_labelled > 0, weights, 1.0)
        return {
            "l2": torch.nn.functional.mse_loss(reconstruction, target),
            "ssim": ssim_loss(reconstruction, target),
            "focal": focal_loss(probability, batch.mask, weights=weights),
        }

    def anomaly_map(self, images: ImageBatch) -> Tensor:
        """Return P(anomalous), (B, 1, H, W)."""
        return self._forward(images)[1]

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the largest mean over a window: 21 px at 256 px, in proportion (and odd) at other sizes."""
        window = 2 * round(_PAPER_WINDOW * maps.shape[-1] / _PAPER_SIZE / 2 - 0.5) + 1
        return torch.nn.functional.avg_pool2d(maps, window, stride=1, padding=window // 2).amax(dim=(1, 2, 3))

    def _forward(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        images = images.contiguous(memory_format=torch.channels_last)
        with self.settings.arithmetic(images.device, learning=self.training):
            reconstruction = self.reconstructive(images)
            logits = self.discriminative(reconstruction, images)
        return reconstruction.float(), logits.float().softmax(dim=1)[:, 1:]
