"""The losses of DRAEM and the weak supervision by boxes, against their formulas."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from anogen_core.detectors.losses import focal_loss, ssim_loss, supervised_pixels
from anogen_core.errors import InputError


def test_pixels_inside_the_box_need_a_belief_above_tau() -> None:
    """Outside the box every pixel is supervised, inside only those with P(anomalous) > tau; equality is not enough."""
    probability = torch.tensor([[[[0.0, 0.05, 0.1, 0.2], [0.9, 0.0, 0.11, 0.05]]]])
    box = torch.tensor([[[[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]]]])

    weights = supervised_pixels(probability, box, 0.1)

    assert weights.tolist() == [[[[1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]]]


def test_supervised_pixels_rejects_masks_without_channel_axis() -> None:
    """(B, H, W) against (B, 1, H, W) would broadcast to (B, B, H, W) and mix the samples; it is an error."""
    probability = torch.rand(4, 1, 8, 8)

    with pytest.raises(InputError, match="channel axis"):
        supervised_pixels(probability, torch.zeros(4, 8, 8), 0.1)
    with pytest.raises(InputError, match="channel axis"):
        supervised_pixels(torch.rand(4, 2, 8, 8), torch.zeros(4, 2, 8, 8), 0.1)
    with pytest.raises(InputError, match="one shape"):
        focal_loss(probability, torch.zeros(4, 8, 8))
    with pytest.raises(InputError, match="one shape"):
        focal_loss(probability, torch.zeros_like(probability), weights=torch.ones(4, 8, 8))


def test_no_gradient_flows_through_the_weights() -> None:
    """The gradient is that of the loss with the weights held constant; pixels of weight 0 get none."""
    logits = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    box = torch.zeros(2, 1, 6, 6)
    box[..., :3] = 1
    probability = logits.sigmoid()
    weights = supervised_pixels(probability, box, 0.5)

    focal_loss(probability, box, weights=weights).backward()  # type: ignore[no-untyped-call]

    assert not weights.requires_grad
    assert logits.grad is not None
    assert torch.equal(logits.grad != 0, weights > 0)


def test_focal_loss_equals_its_formula() -> None:
    """A pixel of belief p costs (1 - p_true)^2 times -log p_true; the mean is over all pixels."""
    probability = torch.tensor([0.9, 0.2, 0.6, 0.5]).view(1, 1, 2, 2)
    target = torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 1, 2, 2)

    loss = focal_loss(probability, target)

    expected = np.mean([-((1 - p) ** 2) * math.log(p) for p in (0.9, 0.8, 0.4, 0.5)])
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_focal_loss_stays_finite_at_certainty() -> None:
    """A certain and wrong detector has a finite loss and a finite gradient."""
    probability = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).requires_grad_()

    loss = focal_loss(probability, torch.tensor([1.0, 0.0]).view(1, 1, 1, 2))
    loss.backward()  # type: ignore[no-untyped-call]

    assert loss.item() == pytest.approx(-math.log(2e-5), rel=1e-3)
    assert probability.grad is not None
    assert probability.grad.isfinite().all()


def test_ssim_loss_equals_a_direct_convolution() -> None:
    """The product of banded matrices is the 11x11 Gaussian window with zero padding."""
    generator = torch.Generator().manual_seed(1)
    first, second = torch.rand(2, 2, 3, 20, 28, generator=generator, dtype=torch.float64)
    taps = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = (torch.outer(taps, taps) / taps.sum() ** 2).expand(3, 1, 11, 11)

    def blur(images: Tensor) -> Tensor:
        return F.conv2d(images, window, padding=5, groups=3)

    mean_1, mean_2 = blur(first), blur(second)
    variance_1, variance_2 = blur(first**2) - mean_1**2, blur(second**2) - mean_2**2
    covariance = blur(first * second) - mean_1 * mean_2
    ssim = (2 * mean_1 * mean_2 + 1e-4) * (2 * covariance + 9e-4)
    ssim = ssim / ((mean_1**2 + mean_2**2 + 1e-4) * (variance_1 + variance_2 + 9e-4))

    assert ssim_loss(first, second).item() == pytest.approx(1 - ssim.mean().item(), abs=1e-6)
    assert ssim_loss(first, first).item() == pytest.approx(0, abs=1e-6)
