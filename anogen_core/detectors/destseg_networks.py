"""The three networks of DeSTSeg (Zhang et al., CVPR 2023), with the width as a parameter.

Teacher and student encoder are transformers' ResNet-18; decoder and segmentation network use its basic block. Features
of stage i (1 to 3) have 2^(i-1) times the width and 1 / 2^(i+1) of the image's resolution.
"""

import math
from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import ResNetModel

RESNET_WIDTH = 64
_MATCHED_STAGES = 3
_DILATIONS = (6, 12, 18)


@final
class Teacher(nn.Module):
    """The first three stages of a ResNet-18; frozen, always in evaluation mode."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = _resnet(width, stages=_MATCHED_STAGES)
        self.requires_grad_(requires_grad=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features of three stages for normalised images."""
        self.eval()
        with torch.no_grad():
            return _features(self.encoder, images)


@final
class Student(nn.Module):
    """Encoder and decoder that answer to a damaged photo with the teacher's features of the photo without damage."""

    def __init__(self, width: int, teacher_width: int) -> None:
        super().__init__()
        self.encoder = _resnet(width, stages=4)
        sizes = [8 * width, 4 * width, 2 * width, width]
        self.decoder = nn.ModuleList(
            [_layer(before, after) for before, after in zip([sizes[0], *sizes], sizes, strict=False)]
        )
        # The original has none: its student is as wide as its teacher.
        self.projections = nn.ModuleList(
            [
                nn.Identity() if width == teacher_width else nn.Conv2d(width << i, teacher_width << i, 1, bias=False)
                for i in range(_MATCHED_STAGES)
            ]
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features of three stages in the shapes of the teacher's."""
        encoded = _features(self.encoder, images)
        features = self.decoder[0](encoded[-1])
        decoded = []
        for layer, like in zip(list(self.decoder)[1:], encoded[-2::-1], strict=True):
            features = layer(F.interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False))
            decoded.append(features)
        return [project(f) for project, f in zip(self.projections, reversed(decoded), strict=True)]


@final
class SegmentationNetwork(nn.Module):
    """Two residual blocks and dilated convolutions in parallel (ASPP) that turn feature differences into a map."""

    def __init__(self, width: int, teacher_width: int) -> None:
        super().__init__()
        inner = 4 * width
        self.residual = _layer((2**_MATCHED_STAGES - 1) * teacher_width, inner)
        self.head = nn.Sequential(_Pyramid(inner), *_convolution(inner, inner), nn.Conv2d(inner, 1, kernel_size=1))

    def forward(self, differences: Tensor) -> Tensor:
        """Return P(anomalous), (B, 1, h, w), at the resolution of the first stage."""
        return self.head(self.residual(differences)).float().sigmoid()


@final
class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: the mean of the image and three dilations, fused."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_convolution(channels, channels, kernel=1))
        self.dilated = nn.ModuleList(
            [nn.Sequential(*_convolution(channels, channels, dilation=dilation)) for dilation in _DILATIONS]
        )
        self.fuse = nn.Sequential(*_convolution((1 + len(_DILATIONS)) * channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        mean = self.mean(features).expand(-1, -1, *features.shape[2:])
        return self.fuse(torch.cat([mean, *(branch(features) for branch in self.dilated)], dim=1))


def normalised(features: list[Tensor]) -> list[Tensor]:
    """Return features of length 1 at every place."""
    return [f / (f.square().sum(dim=1, keepdim=True).sqrt() + 1e-12) for f in features]


def fill_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fill all weights and buffers: convolutions by He's rule (fan out), norms as the identity.

    Numbers are drawn on the CPU, so that the device does not change them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight.shape[0] * module.kernel_size[0] * module.kernel_size[1]
            deviation = math.sqrt(2 / fan_out)
            with torch.no_grad():
                module.weight.copy_(torch.empty(module.weight.shape).normal_(0.0, deviation, generator=generator))
                if module.bias is not None:
                    limit = module.weight[0].numel() ** -0.5
                    module.bias.copy_(torch.empty(module.bias.shape).uniform_(-limit, limit, generator=generator))
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            module.reset_parameters()


def close_residuals(network: nn.Module) -> None:
    """Let every residual block begin as its shortcut: the last scale of each is 0 (as timm builds the student)."""
    from transformers.models.resnet.modeling_resnet import ResNetBasicLayer  # noqa: PLC0415 - seconds to import

    for module in network.modules():
        if isinstance(module, ResNetBasicLayer):
            nn.init.zeros_(module.layer[-1].normalization.weight)


def _resnet(width: int, *, stages: int) -> "ResNetModel":
    from transformers import ResNetConfig, ResNetModel  # noqa: PLC0415 - seconds to import

    return ResNetModel(
        ResNetConfig(
            embedding_size=width,
            hidden_sizes=[width << i for i in range(stages)],
            depths=[2] * stages,
            layer_type="basic",
        )
    )


def _features(encoder: "ResNetModel", images: Tensor) -> list[Tensor]:
    return list(encoder(images, output_hidden_states=True).hidden_states[1:])


def _layer(before: int, after: int) -> nn.Sequential:
    from transformers.models.resnet.modeling_resnet import ResNetBasicLayer  # noqa: PLC0415 - seconds to import

    return nn.Sequential(ResNetBasicLayer(before, after), ResNetBasicLayer(after, after))


def _convolution(before: int, after: int, *, kernel: int = 3, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(before, after, kernel, padding=padding, dilation=dilation, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
