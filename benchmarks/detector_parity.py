"""Do our detectors compute what the authors' code computes, with the same weights and the same photos?

python benchmarks/detector_parity.py draem CHECKOUT [--batch B] [--size S] [--double]
python benchmarks/detector_parity.py destseg CHECKOUT [--batch B] [--size S]

CHECKOUT is VitjanZ/DRAEM or apple/ml-destseg; the latter needs `pip install timm`. The authors' networks are built at
full width with random weights and batch statistics, written as they write their checkpoints, and read by
`anogen_core.detectors.official`. Printed are the parameters of each network, then the greatest difference of maps in
evaluation mode, and the relative difference of every loss and of the gradients in training mode. Ends with 1 when one
is above the tolerance. The batch normalisations of an untrained DRAEM magnify rounding: `--double` computes in fp64
(losses in fp32) and shows whether more than rounding differs. timm's ResNet-18 uses nothing of torchvision; where that
is not installed a stand-in lets timm be imported. Nothing is downloaded: the teacher is as random as the rest.
"""

import argparse
import importlib
import importlib.util
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anogen_core.detectors.destseg import Destseg
from anogen_core.detectors.detector import Detector, TrainingBatch
from anogen_core.detectors.draem import Draem
from anogen_core.detectors.official import read_destseg, read_draem

TOLERANCES = {torch.float32: 1e-2, torch.float64: 1e-5}
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Compared = Iterator[tuple[str, float]]


def main() -> None:
    """Print one line for each comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("detector", choices=("draem", "destseg"))
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--double", action="store_true")
    given = parser.parse_args()
    if given.double and given.detector != "draem":
        parser.error("--double: DeSTSeg's features are fp32")
    torch.manual_seed(0)
    dtype = torch.float64 if given.double else torch.float32
    compare: Callable[[Path, TrainingBatch], Compared] = {"draem": _draem, "destseg": _destseg}[given.detector]
    worst = 0.0
    for what, difference in compare(given.checkout, _batch(given.batch, given.size, dtype)):
        print(f"  {what:48} {difference:.1e}")
        worst = max(worst, difference)
    print(f"greatest difference {worst:.1e}, tolerance {TOLERANCES[dtype]:.0e}")
    raise SystemExit(int(not worst <= TOLERANCES[dtype]))


def official_draem(checkout: Path) -> tuple[nn.Module, nn.Module, Any]:
    """Return the authors' two networks, filled as they fill them, and their module of losses."""
    sys.path.insert(0, str(checkout))
    networks, losses = importlib.import_module("model_unet"), importlib.import_module("loss")
    repair, segment = networks.ReconstructiveSubNetwork(), networks.DiscriminativeSubNetwork(6, 2)
    for module in (*repair.modules(), *segment.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return repair, segment, losses


def official_ssim(losses: Any, *, value_range: float | None = 1.0) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the authors' SSIM loss without the class whose constructor asks for a GPU.

    Args:
        losses: the authors' module.
        value_range: of the images. None leaves it to the authors: 2 when a value of the reconstruction is below -0.5.
    """
    window = losses.create_window(11, 3)
    return lambda repaired, target: (
        1 - losses.ssim(repaired, target, window=window.to(target), val_range=value_range)[0]
    )


def imported_draem(repair: nn.Module, segment: nn.Module) -> Draem:
    """Return our detector with the weights of the authors' networks, through their files."""
    with tempfile.TemporaryDirectory() as directory:
        files = Path(directory, "x.pckl"), Path(directory, "x_seg.pckl")
        for file, network in zip(files, (repair, segment), strict=True):
            torch.save(network.state_dict(), file)
        detector = read_draem(*files).detector
    if not isinstance(detector, Draem):
        raise TypeError(detector)
    return detector


def _draem(checkout: Path, batch: TrainingBatch) -> Compared:
    repair, segment, losses = official_draem(checkout)
    _move_statistics(repair, segment)
    ours = imported_draem(repair, segment)
    for network in (repair, segment, ours):
        network.to(batch.images.dtype)
    _say_parameters((repair, ours.reconstructive), (segment, ours.discriminative))
    # The authors read photos with OpenCV: blue first.
    shown, target = batch.images.flip(1), batch.target.flip(1)
    with torch.no_grad():
        repaired = repair.eval()(shown)
        logits = segment.eval()(torch.cat((repaired, shown), dim=1))
        found = ours.reconstructive(batch.images)
        yield "reconstruction, greatest difference", _far(found, repaired.flip(1))
        yield "anomaly map, greatest difference", _far(ours.anomaly_map(batch.images), logits.softmax(1)[:, 1:])
    repaired = repair.train()(shown)
    probability = segment.train()(torch.cat((repaired, shown), dim=1)).softmax(dim=1)
    unscaled = official_ssim(losses, value_range=None)(repaired, target).item()
    print(f"  SSIM loss with the range that the authors' code guesses: {unscaled:.6f}; compared is that of range 1")
    theirs = {
        "l2": F.mse_loss(repaired, target),
        "ssim": official_ssim(losses)(repaired, target),
        "focal": losses.FocalLoss()(probability, batch.mask),
    }
    yield from _losses_and_gradients(ours, batch, theirs, {"repair": repair, "segment": segment})


def _destseg(checkout: Path, batch: TrainingBatch) -> Compared:
    model, losses = _official_destseg(checkout)
    _move_statistics(model)
    with tempfile.TemporaryDirectory() as directory:
        torch.save(model.state_dict(), Path(directory, "x.pckl"))
        ours = read_destseg(Path(directory, "x.pckl")).detector
    if not isinstance(ours, Destseg):
        raise TypeError(ours)
    _say_parameters(
        (model.teacher_net, ours.teacher),
        (model.student_net, ours.student),
        (model.segmentation_net, ours.segmentation),
    )
    shown, target = _standardised(batch.images), _standardised(batch.target)
    with torch.no_grad():
        small = model.eval()(shown)[0]
        whole = F.interpolate(small, size=shown.shape[2:], mode="bilinear", align_corners=False)
        yield "anomaly map, greatest difference", _far(ours.anomaly_map(batch.images), whole)
    model.student_net.train()
    theirs = {"cosine": losses.cosine_similarity_loss(model(shown, target)[2])}
    yield from _losses_and_gradients(ours, batch, theirs, {"student": model.student_net})
    model.student_net.eval()
    model.segmentation_net.train()
    said = model(shown, target)[0]
    mask = (F.interpolate(batch.mask, size=said.shape[2:], mode="bilinear", align_corners=False) >= 0.5).to(said.dtype)
    theirs = {"focal": losses.focal_loss(said, mask, gamma=4), "l1": losses.l1_loss(said, mask)}
    late = TrainingBatch(batch.images, batch.target, batch.target_known, batch.mask, batch.weakly_labelled, step=1)
    yield from _losses_and_gradients(ours, late, theirs, {"segmentation": model.segmentation_net})


def _official_destseg(checkout: Path) -> tuple[Any, Any]:
    if importlib.util.find_spec("torchvision") is None:
        for part in ("", ".transforms", ".transforms.functional", ".ops", ".ops.misc", ".datasets"):
            sys.modules[f"torchvision{part}"] = MagicMock()
    timm = importlib.import_module("timm")
    create = timm.create_model
    timm.create_model = lambda name, *, pretrained, **rest: create(name, pretrained=bool(pretrained * 0), **rest)
    # The package without its own imports: its metrics want an anomalib of 2023.
    package = types.ModuleType("model")
    package.__path__ = [str(checkout / "model")]
    sys.modules["model"] = package
    return importlib.import_module("model.destseg").DeSTSeg(), importlib.import_module("model.losses")


def _losses_and_gradients(
    ours: Detector, batch: TrainingBatch, theirs: dict[str, Tensor], networks: dict[str, nn.Module]
) -> Compared:
    """Compare the terms, then the length of all gradients of each of the authors' networks and of ours."""
    ours.train()
    ours.zero_grad(set_to_none=True)
    found = ours.losses(batch)
    for name, loss in theirs.items():
        yield f"{name} loss {loss.item():.6f}, relative", abs(found[name].item() / loss.item() - 1)
    torch.autograd.backward([*theirs.values()])
    torch.autograd.backward([loss for loss in found.values() if loss.requires_grad])
    expected = _length([p for network in networks.values() for p in network.parameters()])
    length = _length(ours.parameters())
    yield f"length of the gradient {expected:.6f}, relative", abs(length / expected - 1)


def _batch(size: int, side: int, dtype: torch.dtype) -> TrainingBatch:
    generator = torch.Generator().manual_seed(1)
    target = F.interpolate(torch.rand(size, 3, side // 8, side // 8, generator=generator), scale_factor=8.0)
    mask = torch.zeros(size, 1, side, side)
    mask[:, :, side // 4 : side // 2, side // 3 : side // 2] = 1
    shown = torch.where(mask > 0, torch.rand(target.shape, generator=generator), target)
    tensors = (shown, target, torch.ones_like(mask), mask, torch.zeros(size, 1, 1, 1))
    return TrainingBatch(*(tensor.to(dtype) for tensor in tensors))


def _move_statistics(*networks: nn.Module) -> None:
    """Give every batch normalisation statistics of its own, so that exchanged ones would show."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.normal_(0.0, 0.1)
                module.running_var.uniform_(0.5, 1.5)


def _say_parameters(*pairs: tuple[nn.Module, nn.Module]) -> None:
    for theirs, ours in pairs:
        counts = [sum(p.numel() for p in network.parameters()) for network in (theirs, ours)]
        print(f"  parameters of {type(ours).__name__:34} authors {counts[0]:,}, AnoGen {counts[1]:,}")


def _standardised(images: Tensor) -> Tensor:
    mean, deviation = torch.tensor((_MEAN, _DEVIATION)).view(2, 1, 3, 1, 1)
    return (images - mean) / deviation


def _far(first: Tensor, second: Tensor) -> float:
    return (first - second).abs().max().item()


def _length(parameters: Sequence[Tensor] | Iterator[nn.Parameter]) -> float:
    return sum(p.grad.double().square().sum().item() for p in parameters if p.grad is not None) ** 0.5


if __name__ == "__main__":
    main()
