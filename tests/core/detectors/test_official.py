"""The authors' checkpoints are read; the files here are written in their layout, at small width."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from anogen_core.detectors import DestsegSettings, DraemSettings
from anogen_core.detectors.official import read_destseg, read_draem
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.errors import InputError

State = dict[str, Tensor]


class _Layout:
    """Random values under the names of a state dict."""

    def __init__(self) -> None:
        self.state: State = {}
        self._generator = torch.Generator().manual_seed(0)

    def convolution(self, name: str, shape: tuple[int, ...], *, bias: bool) -> None:
        self.state[f"{name}.weight"] = 0.2 * torch.randn(shape, generator=self._generator)
        if bias:
            self.state[f"{name}.bias"] = 0.2 * torch.randn(shape[:1], generator=self._generator)

    def norm(self, name: str, channels: int) -> None:
        for value in ("weight", "bias", "running_mean", "running_var"):
            self.state[f"{name}.{value}"] = torch.rand(channels, generator=self._generator) + 0.1
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def pairs(self, name: str, channels: list[int], *, first: int = 0) -> None:
        """Convolution, norm, activation, over and over: the numbers of a sequence."""
        for number, (before, after) in enumerate(pairwise(channels)):
            self.convolution(f"{name}.{first + 3 * number}", (after, before, 3, 3), bias=True)
            self.norm(f"{name}.{first + 3 * number + 1}", after)

    def block(self, name: str, before: int, after: int) -> None:
        """A basic block of a ResNet."""
        for number, width in ((1, before), (2, after)):
            self.convolution(f"{name}.conv{number}", (after, width, 3, 3), bias=False)
            self.norm(f"{name}.bn{number}", after)
        if before != after:
            self.convolution(f"{name}.downsample.0", (after, before, 1, 1), bias=False)
            self.norm(f"{name}.downsample.1", after)


def _draem(width: int, segment: int) -> tuple[State, State]:
    repair, other = _Layout(), _Layout()
    for number, (before, after) in enumerate(((3, 1), (1, 2), (2, 4), (4, 8), (8, 8)), 1):
        repair.pairs(
            f"encoder.block{number}", [before if number == 1 else before * width, after * width, after * width]
        )
    for number, (before, after) in enumerate(((8, 4), (4, 2), (2, 1), (1, 1)), 1):
        repair.pairs(f"decoder.up{number}", [before * width, before * width], first=1)
        repair.pairs(f"decoder.db{number}", [before * width, before * width, after * width])
    repair.convolution("decoder.fin_out.0", (3, width, 3, 3), bias=True)
    for number, (before, after) in enumerate(((6, 1), (1, 2), (2, 4), (4, 8), (8, 8), (8, 8)), 1):
        first = before if number == 1 else before * segment
        other.pairs(f"encoder_segment.block{number}", [first, after * segment, after * segment])
    for name, before, after, skip in (("_b", 8, 8, 8), ("1", 8, 4, 8), ("2", 4, 2, 4), ("3", 2, 1, 2), ("4", 1, 1, 1)):
        other.pairs(f"decoder_segment.up{name}", [before * segment, after * segment], first=1)
        other.pairs(f"decoder_segment.db{name}", [(after + skip) * segment, after * segment, after * segment])
    other.convolution("decoder_segment.fin_out.0", (2, segment, 3, 3), bias=True)
    return repair.state, other.state


def _destseg(width: int) -> State:
    layout, wide = _Layout(), 4 * width
    for encoder, stages in (("teacher_net.encoder", 3), ("student_net.encoder", 4)):
        layout.convolution(f"{encoder}.conv1", (width, 3, 7, 7), bias=False)
        layout.norm(f"{encoder}.bn1", width)
        for stage in range(stages):
            after = width << stage
            layout.block(f"{encoder}.layer{stage + 1}.0", after // 2 if stage else after, after)
            layout.block(f"{encoder}.layer{stage + 1}.1", after, after)
    for number, (before, after) in {4: (8, 8), 3: (8, 4), 2: (4, 2), 1: (2, 1)}.items():
        layout.block(f"student_net.decoder_layer{number}.0", before * width, after * width)
        layout.block(f"student_net.decoder_layer{number}.1", after * width, after * width)
    layout.block("segmentation_net.res.0", 7 * width, wide)
    layout.block("segmentation_net.res.1", wide, wide)
    pyramid = "segmentation_net.head.0"
    for name, shape in (
        ("aspp_feature_extractors.0.1", (wide, wide, 1, 1)),
        *((f"aspp_feature_extractors.{number}", (wide, wide, 3, 3)) for number in (1, 2, 3)),
        ("aspp_fusion_layer", (wide, 4 * wide, 3, 3)),
    ):
        layout.convolution(f"{pyramid}.{name}.conv", shape, bias=False)
        layout.norm(f"{pyramid}.{name}.norm", wide)
    layout.convolution("segmentation_net.head.1", (wide, wide, 3, 3), bias=False)
    layout.norm("segmentation_net.head.2", wide)
    layout.convolution("segmentation_net.head.4", (1, wide, 1, 1), bias=True)
    return layout.state


def _saved(directory: Path, name: str, state: object) -> Path:
    torch.save(state, directory / name)
    return directory / name


def test_a_draem_pair_is_read_at_its_width_with_colours_turned(tmp_path: Path) -> None:
    """Every value arrives, in its place; what reads or writes colours is turned from blue first to red first."""
    repair, segment = _draem(3, 2)

    trained = read_draem(_saved(tmp_path, "x.pckl", repair), _saved(tmp_path, "x_seg.pckl", segment))

    assert trained.settings == DraemSettings(reconstructive_width=3, discriminative_width=2, steps=1)
    assert not trained.detector.training
    found = trained.detector.state_dict()
    assert len(found) == len(repair) + len(segment)
    for ours, theirs in {
        "reconstructive.encoder.4.3.weight": repair["encoder.block5.3.weight"],
        "reconstructive.encoder.1.4.running_var": repair["encoder.block2.4.running_var"],
        "reconstructive.decoder.2.0.1.bias": repair["decoder.up3.1.bias"],
        "reconstructive.decoder.0.1.3.weight": repair["decoder.db1.3.weight"],
        "discriminative.encoder.5.0.weight": segment["encoder_segment.block6.0.weight"],
        "discriminative.upsamplings.0.1.weight": segment["decoder_segment.up_b.1.weight"],
        "discriminative.upsamplings.4.1.weight": segment["decoder_segment.up4.1.weight"],
        "discriminative.decoder.0.0.weight": segment["decoder_segment.db_b.0.weight"],
        "discriminative.decoder.3.3.weight": segment["decoder_segment.db3.3.weight"],
        "discriminative.output.bias": segment["decoder_segment.fin_out.0.bias"],
        "reconstructive.output.bias": repair["decoder.fin_out.0.bias"][[2, 1, 0]],
        "reconstructive.encoder.0.0.weight": repair["encoder.block1.0.weight"][:, [2, 1, 0]],
        "discriminative.encoder.0.0.weight": segment["encoder_segment.block1.0.weight"][:, [2, 1, 0, 5, 4, 3]],
    }.items():
        assert torch.equal(found[ours], theirs), ours


def test_a_destseg_is_read_at_its_width_with_its_teacher(tmp_path: Path) -> None:
    """Every value arrives, in its place, and the detector can be stored, read and asked."""
    state = _destseg(2)

    trained = read_destseg(_saved(tmp_path, "DeSTSeg_MVTec_5000_bolt.pckl", state))

    assert trained.settings == DestsegSettings(width=2, steps=1)
    found = trained.detector.state_dict()
    assert len(found) == len(state)
    for ours, theirs in {
        "teacher.encoder.embedder.embedder.convolution.weight": "teacher_net.encoder.conv1.weight",
        "teacher.encoder.encoder.stages.2.layers.1.layer.1.normalization.bias": "teacher_net.encoder.layer3.1.bn2.bias",
        "student.encoder.encoder.stages.3.layers.0.shortcut.convolution.weight": (
            "student_net.encoder.layer4.0.downsample.0.weight"
        ),
        "student.decoder.0.0.layer.0.convolution.weight": "student_net.decoder_layer4.0.conv1.weight",
        "student.decoder.3.1.layer.1.convolution.weight": "student_net.decoder_layer1.1.conv2.weight",
        "segmentation.head.0.mean.2.weight": "segmentation_net.head.0.aspp_feature_extractors.0.1.norm.weight",
        "segmentation.head.0.dilated.0.0.weight": "segmentation_net.head.0.aspp_feature_extractors.1.conv.weight",
        "segmentation.head.0.dilated.2.1.bias": "segmentation_net.head.0.aspp_feature_extractors.3.norm.bias",
        "segmentation.head.4.bias": "segmentation_net.head.4.bias",
    }.items():
        assert torch.equal(found[ours], state[theirs]), ours
    photos = torch.randint(256, (1, 40, 40, 3), generator=torch.Generator().manual_seed(0)).byte().numpy()
    again = TrainedDetector.from_bytes(trained.to_bytes())
    assert (again.predict(photos)[1] == trained.predict(photos)[1]).all()


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """No weights, weights of something else, a pair the wrong way round and a lost or misshapen value are errors."""
    repair, segment = _draem(2, 2)
    first, second = _saved(tmp_path, "x.pckl", repair), _saved(tmp_path, "x_seg.pckl", segment)
    text = tmp_path / "text.pckl"
    text.write_text("no weights")

    with pytest.raises(InputError, match=r"text\.pckl: cannot be read"):
        read_draem(text, second)
    with pytest.raises(InputError, match=r"missing\.pckl: cannot be read"):
        read_destseg(tmp_path / "missing.pckl")
    with pytest.raises(InputError, match=r"list\.pckl: holds no state dict"):
        read_destseg(_saved(tmp_path, "list.pckl", [1, 2]))
    with pytest.raises(InputError, match=r"x_seg\.pckl: expected weights .* reconstructive"):
        read_draem(second, first)
    with pytest.raises(InputError, match=r"x\.pckl: expected weights .* student"):
        read_destseg(first)
    lost = {name: value for name, value in segment.items() if name != "decoder_segment.db2.0.bias"}
    with pytest.raises(InputError, match=r"1 are missing.* discriminative\.decoder\.2\.0\.bias"):
        read_draem(first, _saved(tmp_path, "lost_seg.pckl", lost))
    with pytest.raises(InputError, match=r"1 are missing.* reconstructive\.output\.bias"):
        read_draem(_saved(tmp_path, "long.pckl", repair | {"decoder.fin_out.0.bias": torch.ones(4)}), second)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    """A whole pickled network, which could run anything on loading, is refused."""
    whole = _saved(tmp_path, "whole.pckl", torch.nn.Linear(2, 2))

    with pytest.raises(InputError, match="cannot be read"):
        read_draem(whole, whole)
