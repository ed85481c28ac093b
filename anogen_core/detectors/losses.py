"""The losses of DRAEM and DeSTSeg, and the weak supervision by boxes (AnoGen, stage 3).

Notation, papers on the right:
    probability      P(anomalous) of a pixel              p
    tau              box_threshold                        tau
    p_true           probability of the pixel's label     p_t in the focal loss (Lin et al., 2017)
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from anogen_core.errors import InputError

DRAEM_SMOOTH = 1e-5
_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5
_SSIM_C1 = 0.01**2
_SSIM_C2 = 0.03**2


def supervised_pixels(probability: Tensor, box: Tensor, tau: float) -> Tensor:
    """Return the weight of every pixel's loss: 1 outside the box or where P(anomalous) > tau, else 0 (AnoGen, w_p).

    A box holds normal pixels too; inside it only pixels that the detector already believes anomalous are supervised.
    No gradient flows through the weights.

    Args:
        probability: P(anomalous), (B, 1, H, W).
        box: 1 inside the box, 0 outside, the same shape.
        tau: the belief from which a pixel inside the box is supervised.

    Raises:
        InputError: a shape is not (B, 1, H, W) or the shapes differ; broadcasting would mix the samples of a batch.
    """
    if probability.ndim != 4 or probability.shape[1] != 1 or probability.shape != box.shape:
        raise InputError(
            f"supervised_pixels expects probability and box of one shape (B, 1, H, W), "
            f"found {tuple(probability.shape)} and {tuple(box.shape)}. Add the channel axis to the mask."
        )
    return ((box == 0) | (probability.detach() > tau)).to(probability.dtype)


def focal_loss(
    probability: Tensor,
    target: Tensor,
    *,
    weights: Tensor | None = None,
    gamma: float = 2.0,
    smooth: float = DRAEM_SMOOTH,
) -> Tensor:
    """Return the mean of -(1 - p_true)^gamma log(p_true) over all pixels, each multiplied by its weight.

    Args:
        probability: P(anomalous), (B, 1, H, W).
        target: 1 where anomalous, 0 elsewhere, the same shape.
        weights: the result of `supervised_pixels`; all pixels count when None.
        gamma: focusing exponent.
        smooth: added to labels and p_true: 1e-5 in DRAEM, so that its logarithm is finite; 0 in DeSTSeg.
    """
    if target.shape != probability.shape or (weights is not None and weights.shape != probability.shape):
        raise InputError(
            f"focal_loss expects one shape (B, 1, H, W), found probability {tuple(probability.shape)}, "
            f"target {tuple(target.shape)}, weights {None if weights is None else tuple(weights.shape)}."
        )
    label = target.clamp(smooth, 1.0 - smooth)
    p_true = label * probability + (1.0 - label) * (1.0 - probability) + smooth
    # PyTorch's cross entropy stays finite, with its slope, where a sigmoid has saturated.
    entropy = -p_true.log() if smooth else F.binary_cross_entropy(probability, target, reduction="none")
    loss = (1.0 - p_true) ** gamma * entropy
    return (loss if weights is None else loss * weights).mean()


def dice_loss(probability: Tensor, target: Tensor, *, weights: Tensor) -> Tensor:
    """Return 1 - the soft Dice coefficient of a whole batch (Milletari et al., 2016), each pixel times its weight.

    Over the batch, because most samples are normal and have no pixel to overlap with.

    Args:
        probability: P(anomalous), (B, 1, H, W).
        target: 1 where anomalous, 0 elsewhere, the same shape.
        weights: the same shape.
    """
    overlap = (weights * probability * target).sum()
    return 1 - (2 * overlap + 1) / ((weights * probability).sum() + (weights * target).sum() + 1)


def ssim_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return 1 - mean SSIM of two batches (B, C, H, W) with values in [0, 1] (Wang et al., 2004).

    Gaussian window of 11 pixels, sigma 1.5, zero padding. All five moments share one pass.
    """
    batch = prediction.shape[0]
    moments = torch.cat((prediction, target, prediction**2, target**2, prediction * target))
    mean_p, mean_t, square_p, square_t, product = _blur(moments).reshape(5, batch, *prediction.shape[1:])
    variance_p = square_p - mean_p**2
    variance_t = square_t - mean_t**2
    covariance = product - mean_p * mean_t
    luminance = (2 * mean_p * mean_t + _SSIM_C1) / (mean_p**2 + mean_t**2 + _SSIM_C1)
    structure = (2 * covariance + _SSIM_C2) / (variance_p + variance_t + _SSIM_C2)
    return 1.0 - (luminance * structure).mean()


def _blur(images: Tensor) -> Tensor:
    """Return the Gaussian mean of every window: two products with banded matrices, far faster than convolutions."""
    rows = _gaussian_band(images.shape[-2]).to(images)
    columns = _gaussian_band(images.shape[-1]).to(images)
    return rows @ images @ columns


@lru_cache(maxsize=8)
def _gaussian_band(size: int) -> Tensor:
    """Return the symmetric (size, size) matrix that replaces a signal by its Gaussian mean, zero outside the signal."""
    offsets = torch.arange(size, dtype=torch.float64)
    distance = (offsets[:, None] - offsets[None, :]).abs()
    radius = _SSIM_WINDOW // 2
    total = sum(math.exp(-(i**2) / (2 * _SSIM_SIGMA**2)) for i in range(-radius, radius + 1))
    weights = torch.exp(-(distance**2) / (2 * _SSIM_SIGMA**2)) / total
    return torch.where(distance <= radius, weights, 0.0).float()
