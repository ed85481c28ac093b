"""The two U-shaped networks of DRAEM (Zavrtanik et al., ICCV 2021, section 3), with the width as a parameter.

Both halve the resolution by max pooling and double it by bilinear interpolation (corners aligned). A stage is two 3x3
convolutions, each followed by batch normalisation and ReLU. At width 128 the reconstructive network has 69,048,579
parameters, at width 64 the discriminative one has 28,374,146.
"""

from typing import final

import torch
from torch import Tensor, nn


@final
class ReconstructiveNetwork(nn.Module):
    """Autoencoder without skip connections: paints what a normal photo would look like (paper, section 3.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            [
                _stage(3, width),
                _stage(width, 2 * width),
                _stage(2 * width, 4 * width),
                _stage(4 * width, 8 * width),
                _stage(8 * width, 8 * width),
            ]
        )
        self.decoder = nn.ModuleList(
            [
                nn.Sequential(_upsample(8 * width, 8 * width), _stage(8 * width, 4 * width, inner=8 * width)),
                nn.Sequential(_upsample(4 * width, 4 * width), _stage(4 * width, 2 * width, inner=4 * width)),
                nn.Sequential(_upsample(2 * width, 2 * width), _stage(2 * width, width, inner=2 * width)),
                nn.Sequential(_upsample(width, width), _stage(width, width)),
            ]
        )
        self.output = nn.Conv2d(width, 3, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstruction (B, 3, H, W) of images in [0, 1]; H and W are multiples of 16."""
        features = self.encoder[0](images)
        for stage in self.encoder[1:]:
            features = stage(self.pool(features))
        for stage in self.decoder:
            features = stage(features)
        return self.output(features)


@final
class DiscriminativeNetwork(nn.Module):
    """U-Net that compares a photo with its reconstruction and segments the anomaly (paper, section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width]
        self.encoder = nn.ModuleList(
            [_stage(before, after) for before, after in zip([6, *channels[:-1]], channels, strict=True)]
        )
        rising = channels[::-1]
        raised = [8 * width, 4 * width, 2 * width, width, width]
        self.upsamplings = nn.ModuleList(
            [_upsample(before, after) for before, after in zip([rising[0], *raised[:-1]], raised, strict=True)]
        )
        self.decoder = nn.ModuleList(
            [_stage(after + skip, after) for after, skip in zip(raised, rising[1:], strict=True)]
        )
        self.output = nn.Conv2d(width, 2, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the logits (B, 2, H, W) of normal and anomalous; H and W are multiples of 32."""
        skips = [self.encoder[0](torch.cat((reconstruction, images), dim=1))]
        for stage in self.encoder[1:]:
            skips.append(stage(self.pool(skips[-1])))
        features = skips.pop()
        for upsampling, stage in zip(self.upsamplings, self.decoder, strict=True):
            features = stage(torch.cat((upsampling(features), skips.pop()), dim=1))
        return self.output(features)


def initialise_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fill all weights as the authors do: convolutions N(0, 0.02), batch-norm scales N(1, 0.02), batch-norm biases 0.

    The biases of convolutions keep PyTorch's default range. Numbers are drawn on the CPU, so that the device does not
    change them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            _fill(module.weight, torch.empty(module.weight.shape).normal_(0.0, 0.02, generator=generator))
            if module.bias is not None:
                limit = module.weight[0].numel() ** -0.5
                _fill(module.bias, torch.empty(module.bias.shape).uniform_(-limit, limit, generator=generator))
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            _fill(module.weight, torch.empty(module.weight.shape).normal_(1.0, 0.02, generator=generator))


def _fill(parameter: Tensor, values: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(values)


def _convolution(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel_size=3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]


def _stage(before: int, after: int, *, inner: int | None = None) -> nn.Sequential:
    middle = after if inner is None else inner
    return nn.Sequential(*_convolution(before, middle), *_convolution(middle, after))


def _upsample(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), *_convolution(before, after))
