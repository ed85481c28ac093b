"""A trained detector: its answer to photos, and its one file format (safetensors with the settings as JSON)."""

import json
import struct
from dataclasses import dataclass
from typing import Any, final

import cv2
import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from anogen_core.detectors import DetectorSettings
from anogen_core.detectors.detector import Detector
from anogen_core.detectors.training_set import resize_photos
from anogen_core.errors import CorruptDatasetError, InputError

FORMAT = "anogen-detector-1"

_PREDICTION_BATCH = 8
_WEIGHTS = "weights/"
_LOSSES = "losses/"


@final
@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """A detector in evaluation mode, with how it was made."""

    settings: DetectorSettings
    detector: Detector
    losses: dict[str, NDArray[np.float32]]
    """The terms of the loss at every training step, (steps,) each."""

    def predict(self, photos: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return one score per photo (N,) and anomaly maps (N, H, W) in [0, 1], at the size of the photos.

        Args:
            photos: uint8 RGB (N, H, W, 3).
        """
        scores, coarse = self.predict_coarse(photos)
        maps = np.empty(photos.shape[:3], np.float32)
        for row, anomaly_map in enumerate(coarse):
            maps[row] = cv2.resize(anomaly_map, maps.shape[:0:-1], interpolation=cv2.INTER_LINEAR)
        return scores, maps

    def predict_coarse(self, photos: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return one score per photo (N,) and anomaly maps (N, S, S) in [0, 1], at the detector's own size.

        A greater score is more anomalous.

        Args:
            photos: uint8 RGB (N, H, W, 3).
        """
        if photos.ndim != 4 or photos.shape[3] != 3 or photos.dtype != np.uint8:
            raise InputError(f"predict takes uint8 RGB photos (N, H, W, 3); found {photos.dtype} {photos.shape}.")
        side = self.settings.image_size
        scores, maps = np.empty(len(photos), np.float32), np.empty((len(photos), side, side), np.float32)
        for start in range(0, len(photos), _PREDICTION_BATCH):
            rows = slice(start, start + _PREDICTION_BATCH)
            scores[rows], maps[rows] = self._predict_batch(photos[rows])
        return scores, maps

    def to_bytes(self) -> bytes:
        """Return the detector as one safetensors file."""
        tensors = {f"{_WEIGHTS}{name}": tensor for name, tensor in self.detector.state_dict().items()}
        tensors |= {f"{_LOSSES}{name}": torch.from_numpy(values) for name, values in self.losses.items()}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        description = {"format": FORMAT, "settings": self.settings.model_dump(mode="json")}
        return safetensors.torch.save(tensors, metadata={"anogen": json.dumps(description, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes, *, device: torch.device | None = None) -> "TrainedDetector":
        """Return the detector of a file that `to_bytes` made; every weight must be there and no other.

        Raises:
            CorruptDatasetError: the bytes are not such a file.
        """
        try:
            description = _metadata(data)
            tensors = safetensors.torch.load(data)
            settings = TypeAdapter[DetectorSettings](DetectorSettings).validate_python(description["settings"])
            detector = allocate(settings, device or torch.device("cpu"))
            weights = {k.removeprefix(_WEIGHTS): v for k, v in tensors.items() if k.startswith(_WEIGHTS)}
            _require_all(detector, weights)
            detector.load_state_dict(weights, strict=True)
        except (
            KeyError,
            ValueError,
            struct.error,
            ValidationError,
            RuntimeError,
            safetensors.SafetensorError,
        ) as error:
            raise CorruptDatasetError(
                f"These bytes are not a trained detector ({FORMAT}): {error}. Train the detector again."
            ) from error
        losses = {k.removeprefix(_LOSSES): v.numpy() for k, v in tensors.items() if k.startswith(_LOSSES)}
        return cls(settings, detector.eval(), losses)

    def _predict_batch(self, photos: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        device = next(self.detector.parameters()).device
        squares = torch.from_numpy(resize_photos(photos, self.settings.image_size)).to(device)
        with torch.inference_mode():
            maps = self.detector.anomaly_map(squares.permute(0, 3, 1, 2).contiguous().float() / 255)
            scores = self.detector.image_scores(maps)
        return scores.cpu().numpy(), maps[:, 0].cpu().numpy()


def allocate(settings: DetectorSettings, device: torch.device) -> Detector:
    """Return the detector with memory but without values; no random number is drawn for weights soon replaced."""
    with torch.device("meta"):
        detector = settings.build()
    return detector.to_empty(device=device)


def _require_all(detector: Detector, weights: dict[str, torch.Tensor]) -> None:
    """Raise ValueError when a value is missing; a strict load alone fills in the counters of batch normalisations."""
    missing = detector.state_dict().keys() - weights.keys()
    if missing:
        raise ValueError(f"{', '.join(sorted(missing))} is missing")


def _metadata(data: bytes) -> dict[str, Any]:
    """Return the JSON description in the header of a safetensors file."""
    (length,) = struct.unpack("<Q", data[:8])
    description = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["anogen"])
    if description["format"] != FORMAT:
        raise ValueError(f"the format is {description['format']!r}")
    return dict(description)
