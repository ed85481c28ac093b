"""A feature pyramid on a pretrained backbone that segments defects (Lin et al., 2017; Kirillov et al., 2019).

DRAEM and DeSTSeg learn what is normal and were made for anomalies that nobody has seen. Where a few hundred labelled
defects are at hand, a pretrained network that is taught to segment them learns faster and sees more; it is the smallest
strong student of generated data, and trains on a CPU in minutes. With box labels it is supervised weakly as the others.

The backbone is MobileNetV2 (Sandler et al., 2018). Without `backbone_directory` all of it starts from weights that come
with AnoGen: a feature pyramid that has learned to segment drawn defects on drawn surfaces
(`anogen_core/pretraining/segmenter.py`).
"""

import math
from pathlib import Path
from typing import Annotated, Literal, final

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field, PositiveFloat, PositiveInt, StrictBool, model_validator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anogen_core.arrays import ImageBatch
from anogen_core.detectors.destseg_networks import fill_weights
from anogen_core.detectors.detector import (
    BatchSettings,
    Detector,
    Share,
    Side,
    TrainingBatch,
    order_channels_last,
    strongest_mean,
)
from anogen_core.detectors.losses import dice_loss, focal_loss, supervised_pixels
from anogen_core.errors import InputError
from anogen_core.pretrained import UNREADABLE, load_network

_GROUPS = 4
_NEWEST_BATCH = 0.02
_BUNDLED_WIDTH = 32

BUNDLED = Path(__file__).parent / "bundled" / "fpn.safetensors"
"""Weights of a feature pyramid of that width."""


class FpnSettings(BatchSettings):
    """How to build and train the feature pyramid: without a word more it learns on a CPU in minutes."""

    kind: Literal["fpn"] = "fpn"
    steps: PositiveInt = 800
    """Optimiser steps; 300 are enough with a `backbone_directory`."""
    batch_size: Annotated[int, Field(ge=2)] = 8
    """Samples per step."""
    crop_size: Side | None = 128
    """Learn from random squares of this side of the resized photos, at an anomaly where there is one. Detection looks
    at whole photos; so does learning with `null`, and where photos are no larger."""
    wide_share: Share = 0.25
    """Share of the steps that look at fewer and larger squares: at two of 256 px instead of eight of 128 px."""
    supervision: Literal["box", "mask"] = "mask"
    """What the labels of generated samples are: pixel masks, or boxes, supervised weakly inside."""
    box_threshold: Share = 0.3
    """P(anomalous) above which a pixel inside a box is supervised (tau)."""
    backbone_directory: str | None = None
    """Directory of a MobileNetV2 that transformers loads (config.json and model.safetensors of
    google/mobilenet_v2_1.0_224); the pyramid then starts from random weights."""
    pretrained: StrictBool = True
    """Without `backbone_directory`: start from the weights that come with AnoGen, which know drawn defects on drawn
    surfaces, rather than from random ones. They fit a `width` of 32."""
    width: Annotated[int, Field(ge=_GROUPS, multiple_of=_GROUPS)] = _BUNDLED_WIDTH
    """Channels of the pyramid."""
    learning_rate: PositiveFloat = 1e-3
    """AdamW's highest learning rate of the pyramid."""
    backbone_learning_rate: PositiveFloat | None = None
    """AdamW's highest learning rate of the backbone; default: `learning_rate`."""
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the rates rise; after it they fall to zero as a cosine does."""

    @model_validator(mode="after")
    def _check_width(self) -> "FpnSettings":
        if self.backbone_directory is None and self.pretrained and self.width != _BUNDLED_WIDTH:
            raise ValueError(
                f"width: the weights that come with AnoGen have {_BUNDLED_WIDTH}; "
                "set pretrained: false for another width"
            )
        return self

    def shipped_files(self) -> tuple[Path, ...]:
        """Return the weights that come with AnoGen, where the pyramid starts from them."""
        return (BUNDLED,) if self.pretrained and self.backbone_directory is None else ()

    def build(self) -> "Fpn":
        """Return the detector these settings describe, without values."""
        return Fpn(self)


@final
class Fpn(Detector):
    """Look at five scales, add them up, segment."""

    def __init__(self, settings: FpnSettings) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = _Backbone()
        self.pyramid = _Pyramid(self.backbone.channels, settings.width)
        order_channels_last(self)

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the network by He's rule, then what there are learned weights of with these.

        Raises:
            InputError: `backbone_directory` holds no such MobileNetV2.
        """
        fill_weights(self.pyramid, generator)
        fill_weights(self.backbone, generator)
        if self.settings.backbone_directory is not None:
            self.backbone.load_state_dict(_read_backbone(self.settings.backbone_directory), strict=True)
        elif self.settings.pretrained:
            self.load_state_dict({name: value.float() for name, value in load_file(BUNDLED).items()}, strict=True)

    def optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW for pyramid and backbone."""
        parts = (self.pyramid, self.backbone)
        groups = [
            {"params": list(part.parameters()), "lr": rate}
            for part, rate in zip(parts, self.learning_rates(0), strict=True)
        ]
        return torch.optim.AdamW(groups, weight_decay=1e-2)

    def learning_rates(self, step: int) -> list[float]:
        """Return the rates of pyramid and backbone: a linear rise, then half a cosine."""
        settings = self.settings
        rise = max(1, round(settings.warm_up * settings.steps))
        left = max(1, settings.steps - rise)
        share = (step + 1) / rise if step < rise else (1 + math.cos(math.pi * (step - rise) / left)) / 2
        return [share * (rate or settings.learning_rate) for rate in (None, settings.backbone_learning_rate)]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the focal and Dice terms; weak supervision applies to both."""
        # The statistics of many photos stay: those of a small batch are worse.
        self.backbone.train(self.settings.backbone_directory is None)
        self.backbone.weigh_newest_batch(max(_NEWEST_BATCH, 1 / (1 + batch.step)))
        probability = self.anomaly_map(batch.images)
        weights = supervised_pixels(probability, batch.mask, self.settings.box_threshold)
        weights = torch.where(batch.weakly_labelled > 0, weights, 1.0)
        return {
            "focal": focal_loss(probability, batch.mask, weights=weights),
            "dice": dice_loss(probability, batch.mask, weights=weights),
        }

    def anomaly_map(self, images: ImageBatch) -> Tensor:
        """Return P(anomalous), (B, 1, H, W)."""
        images = images.contiguous(memory_format=torch.channels_last)
        with self.settings.arithmetic(images.device, learning=self.training):
            logits = self.pyramid(self.backbone(images * 2 - 1))
        return to_map(logits, images.shape[2:])

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the mean of the greatest values: 100 at 256 px, in proportion to the area at other sizes."""
        return strongest_mean(maps)


@final
class _Backbone(nn.Module):
    """The layers of transformers' MobileNetV2, without the last convolution, which only a classifier needs."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import MobileNetV2Config, MobileNetV2Model  # noqa: PLC0415 - seconds to import

        model = MobileNetV2Model(MobileNetV2Config(), add_pooling_layer=False)
        self.conv_stem = model.conv_stem
        self.layer = model.layer
        self.channels = [self.conv_stem.reduce_1x1.convolution.out_channels]
        for layer in self.layer:
            if layer.conv_3x3.convolution.stride[0] == 2:
                self.channels.append(0)
            self.channels[-1] = layer.reduce_1x1.convolution.out_channels
        self.weigh_newest_batch(_NEWEST_BATCH)

    def weigh_newest_batch(self, momentum: float) -> None:
        """Set what share the newest batch has in the statistics that detection normalises by.

        Transformers' share is 0.997, TensorFlow's decay: detection then saw photos as the last batch of the training
        happened to be.
        """
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the last features of each scale, 1/2 to 1/32 of the resolution, of images in [-1, 1]."""
        features = self.conv_stem(images)
        found = [features]
        for layer in self.layer:
            features = layer(features)
            if features.shape[2] < found[-1].shape[2]:
                found.append(features)
            found[-1] = features
        return found


@final
class _Pyramid(nn.Module):
    """Features of five scales, the coarser ones added to the finer ones, and what all of them say of each pixel."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, width, kernel_size=1) for count in channels])
        self.smooth = nn.ModuleList([_block(width) for _ in channels])
        self.head = nn.Sequential(_block(width), nn.Conv2d(width, 1, kernel_size=1))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits (B, 1, h, w) at the resolution of the finest features; these come first."""
        return self.head(self.merge(features))

    def merge(self, features: list[Tensor]) -> Tensor:
        """Return what all scales say (B, width, h, w), at the resolution of the finest."""
        *finer, (lateral, smooth, own) = zip(self.lateral, self.smooth, features, strict=True)
        above = lateral(own)
        total = smooth(above)
        for lateral, smooth, own in reversed(finer):
            above = lateral(own) + _resized(above, own)
            total = smooth(above) + _resized(total, own)
        return total


def to_map(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return P(anomalous), (B, 1, H, W), of logits (B, 1, h, w) at the resolution (H, W)."""
    return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False).sigmoid()


def save_weights(detector: Fpn, target: Path) -> None:
    """Write a detector's weights in half precision, as those that come with AnoGen are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    halved = {
        name: value.half() if value.is_floating_point() else value for name, value in detector.state_dict().items()
    }
    save_file({name: value.contiguous() for name, value in halved.items()}, target)


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False), nn.GroupNorm(_GROUPS, width), nn.ReLU()
    )


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False)


def _read_backbone(directory: str) -> dict[str, Tensor]:
    expected = "Expected config.json and model.safetensors of a MobileNetV2, such as google/mobilenet_v2_1.0_224"
    if not Path(directory, "config.json").is_file():
        raise InputError(f"detector.backbone_directory: {directory} has no config.json. {expected}; or leave it out.")
    from transformers import MobileNetV2Model  # noqa: PLC0415 - seconds to import

    try:
        model = load_network(MobileNetV2Model, Path(directory), add_pooling_layer=False)
    except UNREADABLE as error:
        raise InputError(f"detector.backbone_directory: {directory} cannot be loaded ({error}). {expected}.") from error
    found = model.config
    if found.depth_multiplier != 1 or found.output_stride != 32:
        raise InputError(
            f"detector.backbone_directory: {directory} holds a MobileNetV2 of depth multiplier "
            f"{found.depth_multiplier} and output stride {found.output_stride}; expected 1 and 32. {expected}."
        )
    return {name: value for name, value in model.state_dict().items() if not name.startswith("conv_1x1.")}
