"""DeSTSeg (Zhang et al., CVPR 2023) with box-aware weak supervision (AnoGen, stage 3).

A student learns to answer to a damaged photo as a frozen teacher answers to the photo without damage; then a small
network learns to segment where the two differ. With width 64, 256 px, batch 32, 5000 steps and an ImageNet teacher it
is the paper's detector.

The teacher decides what can be seen. Without `teacher_directory` it is a ResNet-18 with random weights from a fixed
seed: its features tell edges, spots and local contrast apart, but know no objects. Expect it to find strong local
defects, not missing parts, misplaced prints or slight changes of texture; its numbers say nothing about the paper's. It
keeps runs and tests possible where no ImageNet weights are at hand.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, final

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from anogen_core.arrays import ImageBatch
from anogen_core.detectors.destseg_networks import (
    RESNET_WIDTH,
    SegmentationNetwork,
    Student,
    Teacher,
    close_residuals,
    fill_weights,
    normalised,
)
from anogen_core.detectors.detector import BatchSettings, Detector, Share, TrainingBatch, strongest_mean
from anogen_core.detectors.losses import focal_loss, supervised_pixels
from anogen_core.errors import InputError
from anogen_core.pretrained import UNREADABLE, load_network
from anogen_core.seeding import torch_generator

_TEACHER_SEED = 0
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class DestsegSettings(BatchSettings):
    """How to build and train DeSTSeg."""

    kind: Literal["destseg"] = "destseg"
    width: PositiveInt = RESNET_WIDTH
    """Channels of the student's first stage; the paper's value is 64, the width of ResNet-18."""
    teacher_directory: str | None = None
    """Directory of a ResNet-18 that transformers loads (config.json and model.safetensors of microsoft/resnet-18).
    None takes random features, which are far weaker."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Samples per step."""
    student_share: Share = 0.2
    """Share of the steps in which the student learns; in the others the segmentation network does (1000 of 5000)."""
    student_learning_rate: PositiveFloat = 0.4
    """Learning rate of the student."""
    residual_learning_rate: PositiveFloat = 0.1
    """Learning rate of the segmentation network's residual blocks."""
    head_learning_rate: PositiveFloat = 0.01
    """Learning rate of the rest of the segmentation network."""
    gamma: NonNegativeFloat = 4.0
    """Focusing exponent of the focal loss."""

    def build(self) -> "Destseg":
        """Return the detector these settings describe, without values."""
        return Destseg(self)


@final
class Destseg(Detector):
    """Compare teacher and student, segment the difference."""

    def __init__(self, settings: DestsegSettings) -> None:
        super().__init__()
        self.settings = settings
        teacher_width = settings.width if settings.teacher_directory is None else RESNET_WIDTH
        self.teacher = Teacher(teacher_width)
        self.student = Student(settings.width, teacher_width)
        self.segmentation = SegmentationNetwork(settings.width, teacher_width)

    def initialise(self, generator: torch.Generator) -> None:
        """Fill student and segmentation network as the authors do; the teacher from its directory or its fixed seed.

        Raises:
            InputError: `teacher_directory` holds no ResNet-18.
        """
        fill_weights(self.student, generator)
        close_residuals(self.student.encoder)
        fill_weights(self.segmentation, generator)
        if self.settings.teacher_directory is None:
            fill_weights(self.teacher, torch_generator(_TEACHER_SEED))
        else:
            self.teacher.encoder.load_state_dict(_read_teacher(self.settings.teacher_directory), strict=True)

    def optimizer(self) -> torch.optim.Optimizer:
        """Return SGD with momentum 0.9 for student, residual blocks and head; the teacher never learns."""
        parts = (self.student, self.segmentation.residual, self.segmentation.head)
        groups: list[dict[str, Any]] = [
            {"params": list(part.parameters()), "lr": rate}
            for part, rate in zip(parts, self.learning_rates(0), strict=True)
        ]
        return torch.optim.SGD(groups, momentum=0.9, weight_decay=1e-4)

    def learning_rates(self, step: int) -> list[float]:
        """Return the rates of student, residual blocks and head: the same at every step."""
        del step
        return [
            self.settings.student_learning_rate,
            self.settings.residual_learning_rate,
            self.settings.head_learning_rate,
        ]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the cosine term in the student's steps, the focal and L1 terms in the others; the rest is 0.

        Weak supervision applies to the focal term only.
        """
        student_learns = batch.step < self.settings.student_share * self.settings.steps
        self.student.train(student_learns)
        self.segmentation.train(not student_learns)
        none = torch.zeros((), device=batch.images.device)
        if student_learns:
            return {"cosine": self._cosine_loss(batch), "focal": none, "l1": none}
        with torch.no_grad():
            differences = self._differences(batch.images)
        probability = self._segment(differences)
        mask = F.interpolate(batch.mask, size=probability.shape[2:], mode="bilinear", align_corners=False)
        mask = (mask >= 0.5).to(probability.dtype)
        weights = supervised_pixels(probability, mask, self.settings.box_threshold)
        weights = torch.where(batch.weakly_labelled > 0, weights, 1.0)
        return {
            "cosine": none,
            "focal": focal_loss(probability, mask, weights=weights, gamma=self.settings.gamma, smooth=0.0),
            "l1": F.l1_loss(probability, mask),
        }

    def anomaly_map(self, images: ImageBatch) -> Tensor:
        """Return P(anomalous), (B, 1, H, W)."""
        probability = self._segment(self._differences(images))
        return F.interpolate(probability, size=images.shape[2:], mode="bilinear", align_corners=False)

    def image_scores(self, maps: Tensor) -> Tensor:
        """Return the mean of the greatest values: 100 at 256 px, in proportion to the area at other sizes."""
        return strongest_mean(maps)

    def _cosine_loss(self, batch: TrainingBatch) -> Tensor:
        """Return 1 - cosine between student (of the image) and teacher (of the target), where that is known.

        The mean over places, summed over stages and samples as the authors do.
        """
        student = self._features(self.student, _standardise(batch.images))
        teacher = self._features(self.teacher, _standardise(batch.target))
        loss = torch.zeros((), device=batch.images.device)
        for own, wanted in zip(student, teacher, strict=True):
            known = 1 - F.adaptive_max_pool2d(1 - batch.target_known, own.shape[2:])
            distance = (1 - (own * wanted).sum(dim=1, keepdim=True)) * known
            loss = loss + distance.mean(dim=(1, 2, 3)).sum()
        return loss

    def _differences(self, images: ImageBatch) -> Tensor:
        """Return minus the products of the teacher's and the student's features, at the size of the first stage."""
        standardised = _standardise(images)
        student, teacher = (self._features(network, standardised) for network in (self.student, self.teacher))
        size = student[0].shape[2:]
        products = [-t * s for t, s in zip(teacher, student, strict=True)]
        return torch.cat([F.interpolate(p, size=size, mode="bilinear", align_corners=False) for p in products], dim=1)

    def _features(self, network: nn.Module, standardised: Tensor) -> list[Tensor]:
        """Return the features of three stages, of length 1 at every place."""
        with self.settings.arithmetic(standardised.device, learning=self.training):
            features = network(standardised)
        return normalised([f.float() for f in features])

    def _segment(self, differences: Tensor) -> Tensor:
        """Return P(anomalous), (B, 1, h, w), at the resolution of the first stage."""
        with self.settings.arithmetic(differences.device, learning=self.training):
            return self.segmentation(differences)


def _standardise(images: ImageBatch) -> Tensor:
    """Return images with ImageNet's mean and deviation taken out."""
    mean = torch.tensor(_MEAN, device=images.device).view(3, 1, 1)
    deviation = torch.tensor(_DEVIATION, device=images.device).view(3, 1, 1)
    return (images - mean) / deviation


def _read_teacher(directory: str) -> dict[str, Tensor]:
    """Return the weights of the first three stages of a ResNet-18."""
    expected = "Expected config.json and model.safetensors of a ResNet-18, such as microsoft/resnet-18"
    if not Path(directory, "config.json").is_file():
        raise InputError(f"detector.teacher_directory: {directory} has no config.json. {expected}; or leave it out.")
    from transformers import ResNetModel  # noqa: PLC0415 - seconds to import

    try:
        model = load_network(ResNetModel, Path(directory))
    except UNREADABLE as error:
        raise InputError(f"detector.teacher_directory: {directory} cannot be loaded ({error}). {expected}.") from error
    found = model.config
    if found.layer_type != "basic" or list(found.depths) != [2, 2, 2, 2] or found.embedding_size != RESNET_WIDTH:
        raise InputError(
            f"detector.teacher_directory: {directory} holds a ResNet of {found.layer_type} layers, depths "
            f"{list(found.depths)} and width {found.embedding_size}. {expected}."
        )
    return {name: value for name, value in model.state_dict().items() if not name.startswith("encoder.stages.3.")}
