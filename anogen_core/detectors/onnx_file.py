"""A trained detector as one ONNX file, checked against PyTorch: for machines at the line that run no Python of ours."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anogen_core.detectors.detector import Detector
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.errors import AnogenError, InputError

METADATA = "anogen"
"""Key of the JSON text in the file's metadata."""
TOLERANCE = 1e-3
"""Largest difference of a map or a score from PyTorch's that is put down to rounding."""

_OPSET = 18


class _Deployed(nn.Module):
    """uint8 RGB photos (N, S, S, 3) in, scores (N,) and maps (N, S, S) out."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.detector.anomaly_map(photo.permute(0, 3, 1, 2).float() / 255)
        return self.detector.image_scores(maps), maps[:, 0]


def to_onnx(trained: TrainedDetector, about: Mapping[str, Any]) -> bytes:
    """Return a detector as an ONNX file.

    Input `photo`: uint8 RGB (N, S, S, 3), S the detector's size, N free. Outputs: `score` (N,) and `anomaly_map`
    (N, S, S) in [0, 1], float32.

    Args:
        trained: The detector.
        about: JSON values that are kept in the file's metadata under `anogen`: threshold, category and the like.

    Raises:
        InputError: the packages of the `onnx` extra are not installed.
    """
    onnx = _require("onnx")
    _require("onnxscript")
    side = trained.settings.image_size
    example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    module = _Deployed(trained.detector.cpu()).eval()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _quiet("torch.onnx", "onnxscript"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["photo"],
            output_names=["score", "anomaly_map"],
            dynamic_shapes={"photo": {0: torch.export.Dim("batch", min=1)}},
            opset_version=_OPSET,
            dynamo=True,
        )
    if program is None:
        raise AnogenError("PyTorch made no ONNX program of this detector.")
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA, json.dumps(dict(about), sort_keys=True)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def compare_onnx(
    data: bytes, squares: NDArray[np.uint8], expected: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> float:
    """Return the largest difference between the answers of an ONNX file and of the detector it was made of.

    Args:
        data: What `to_onnx` returned.
        squares: uint8 RGB (N, S, S, 3).
        expected: The detector's scores (N,) and maps (N, S, S).

    Raises:
        InputError: onnxruntime is not installed.
    """
    runtime = _require("onnxruntime")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    scores, maps = session.run(["score", "anomaly_map"], {"photo": squares})
    return float(max(np.abs(scores - expected[0]).max(), np.abs(maps - expected[1]).max()))


def _require(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise InputError(f"{name} is not installed; expected the `onnx` extra: pip install 'anogen[onnx]'.") from error


@contextlib.contextmanager
def _quiet(*names: str) -> Any:
    """Keep the exporter's progress out of the answer."""
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
