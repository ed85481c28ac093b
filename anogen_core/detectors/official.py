"""The authors' own checkpoints as detectors: DRAEM (VitjanZ/DRAEM) and DeSTSeg (apple/ml-destseg).

Widths are read from the files. They hold weights alone: all other settings are defaults, and `steps` is 1 for want of a
number. No pickled code is run.

The authors' DRAEM is shown photos in OpenCV's order, blue first. Here photos are RGB, so the weights that read or write
colours are turned round once, and the answers are the same.
"""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from anogen_core.detectors import DestsegSettings, DetectorSettings, DraemSettings
from anogen_core.detectors.trained import TrainedDetector, allocate
from anogen_core.errors import InputError
from anogen_core.torch_files import load_torch_file

_Renaming = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

_RECONSTRUCTIVE: _Renaming = (
    (r"^encoder\.block(\d)\.", lambda m: f"reconstructive.encoder.{int(m[1]) - 1}."),
    (r"^decoder\.up(\d)\.", lambda m: f"reconstructive.decoder.{int(m[1]) - 1}.0."),
    (r"^decoder\.db(\d)\.", lambda m: f"reconstructive.decoder.{int(m[1]) - 1}.1."),
    (r"^decoder\.fin_out\.0\.", "reconstructive.output."),
)
_DISCRIMINATIVE: _Renaming = (
    (r"^encoder_segment\.block(\d)\.", lambda m: f"discriminative.encoder.{int(m[1]) - 1}."),
    (r"^decoder_segment\.up_b\.", "discriminative.upsamplings.0."),
    (r"^decoder_segment\.up(\d)\.", r"discriminative.upsamplings.\1."),
    (r"^decoder_segment\.db_b\.", "discriminative.decoder.0."),
    (r"^decoder_segment\.db(\d)\.", r"discriminative.decoder.\1."),
    (r"^decoder_segment\.fin_out\.0\.", "discriminative.output."),
)
_DESTSEG: _Renaming = (
    (r"^teacher_net\.", "teacher."),
    (r"^student_net\.decoder_layer(\d)\.", lambda m: f"student.decoder.{4 - int(m[1])}."),
    (r"^student_net\.", "student."),
    (r"^segmentation_net\.res\.", "segmentation.residual."),
    (r"^segmentation_net\.", "segmentation."),
    # The pyramid of dilations.
    (r"\.aspp_feature_extractors\.0\.1\.conv\.", ".mean.1."),
    (r"\.aspp_feature_extractors\.0\.1\.norm\.", ".mean.2."),
    (r"\.aspp_feature_extractors\.(\d)\.conv\.", lambda m: f".dilated.{int(m[1]) - 1}.0."),
    (r"\.aspp_feature_extractors\.(\d)\.norm\.", lambda m: f".dilated.{int(m[1]) - 1}.1."),
    (r"\.aspp_fusion_layer\.conv\.", ".fuse.0."),
    (r"\.aspp_fusion_layer\.norm\.", ".fuse.1."),
    # The stem and the blocks of ResNet-18.
    (r"\.encoder\.conv1\.", ".encoder.embedder.embedder.convolution."),
    (r"\.encoder\.bn1\.", ".encoder.embedder.embedder.normalization."),
    (r"\.encoder\.layer(\d)\.", lambda m: f".encoder.encoder.stages.{int(m[1]) - 1}.layers."),
    (r"\.conv(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.convolution."),
    (r"\.bn(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.normalization."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
)


def read_draem(reconstructive: Path, discriminative: Path) -> TrainedDetector:
    """Return the detector of a pair of the authors' files, `NAME.pckl` and `NAME_seg.pckl`.

    Raises:
        InputError: a file cannot be read, or is not the state dict of that network.
    """
    repair = _read(reconstructive, _RECONSTRUCTIVE)
    segment = _read(discriminative, _DISCRIMINATIVE)
    settings = DraemSettings(
        reconstructive_width=_width(repair, "reconstructive.encoder.0.0.weight", reconstructive),
        discriminative_width=_width(segment, "discriminative.encoder.0.0.weight", discriminative),
        steps=1,
    )
    return _detector(settings, _rgb(repair | segment), f"{reconstructive} and {discriminative}")


def read_destseg(file: Path) -> TrainedDetector:
    """Return the detector of one of the authors' files, `DeSTSeg_MVTec_5000_NAME.pckl`; its teacher comes with it.

    Raises:
        InputError: the file cannot be read, or is not the state dict of a DeSTSeg.
    """
    weights = _read(file, _DESTSEG)
    width = _width(weights, "student.encoder.embedder.embedder.convolution.weight", file)
    return _detector(DestsegSettings(width=width, steps=1), weights, str(file))


def _read(file: Path, renaming: _Renaming) -> dict[str, Tensor]:
    """Return a state dict under our names; names that no rule knows stay as they are."""
    try:
        state = load_torch_file(file)
    except Exception as error:  # torch.load names no errors
        raise InputError(
            f"{file}: cannot be read as PyTorch weights ({error}). Expected a checkpoint that the authors' code wrote."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{file}: holds no state dict. Expected a file that the authors' code wrote.")
    return {_renamed(name, renaming): value for name, value in state.items()}


def _renamed(name: str, renaming: _Renaming) -> str:
    for pattern, replacement in renaming:
        name = re.sub(pattern, replacement, name)
    return name


def _width(weights: dict[str, Tensor], first: str, file: Path) -> int:
    """Return the number of channels that the first convolution gives."""
    if first not in weights:
        network = first.partition(".")[0]
        raise InputError(
            f"{file}: expected weights of the authors' {network} network, found {', '.join([*weights][:2])}. Give the "
            "files in the order of the arguments, of an unchanged network."
        )
    return len(weights[first])


def _rgb(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a DRAEM that was shown blue first, for photos that are red first."""
    turned = dict(weights)
    # What writes colours has them first; what reads them second, the discriminative network those of two photos.
    for name, axis in (
        ("reconstructive.output.weight", 0),
        ("reconstructive.output.bias", 0),
        ("reconstructive.encoder.0.0.weight", 1),
        ("discriminative.encoder.0.0.weight", 1),
    ):
        if name in weights:
            photos = torch.split(weights[name], 3, dim=axis)
            turned[name] = torch.cat([photo.flip(axis) for photo in photos], dim=axis)
    return turned


def _detector(settings: DetectorSettings, weights: dict[str, Tensor], source: str) -> TrainedDetector:
    detector = allocate(settings, torch.device("cpu"))
    expected = detector.state_dict()
    wrong = sorted(expected.keys() ^ weights.keys()) or [
        name for name, value in expected.items() if value.shape != weights[name].shape
    ]
    if wrong:
        raise InputError(
            f"{source}: not the weights of the authors' {settings.kind}. {len(wrong)} are missing, unknown or of "
            f"another shape, the first is {wrong[0]}."
        )
    detector.load_state_dict(weights, strict=True)
    return TrainedDetector(settings, detector.eval(), {})
