"""Training: resuming, stopping, learning; trained detectors as files."""

import logging

import numpy as np
import pytest
import safetensors.torch
import torch

from anogen_core.detectors.draem import DraemSettings
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.detectors.training import train_detector
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import CorruptDatasetError, TrainingError

TINY = DraemSettings(
    reconstructive_width=2, discriminative_width=2, image_size=32, steps=7, batch_size=2, checkpoint_every=2
)


class Kept:
    """A checkpoint in memory that counts how often it was saved."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.saves = 0

    def load(self) -> bytes | None:
        """Return what was saved last."""
        return self.data

    def save(self, data: bytes) -> None:
        """Keep the bytes."""
        self.data = data
        self.saves += 1


class KilledError(Exception):
    """Stands for a kill."""


def _data(*, generated: bool = True) -> TrainingSet:
    rng = np.random.default_rng(0)
    normals = rng.integers(90, 110, (6, 32, 32, 3), dtype=np.uint8)
    if not generated:
        return TrainingSet(normals)
    defective, masks = normals.copy(), np.zeros((6, 32, 32), bool)
    defective[:, 12:18, 12:18] = 10
    masks[:, 10:20, 10:20] = True
    return TrainingSet(normals, defective, masks, np.arange(6))


def _die_at(step: int) -> object:
    def on_progress(done: int, total: int, losses: dict[str, float]) -> None:
        del total, losses
        if done == step:
            raise KilledError

    return on_progress


@pytest.mark.parametrize("killed_at", [1, 2, 5])
def test_killed_and_resumed_training_gives_the_same_bytes(killed_at: int) -> None:
    """A training that dies before, at or after a checkpoint and is run again ends with the same file."""
    undisturbed = train_detector(TINY, _data(), seed=1).to_bytes()
    checkpoint = Kept()

    with pytest.raises(KilledError):
        train_detector(TINY, _data(), seed=1, checkpoint=checkpoint, on_progress=_die_at(killed_at))  # type: ignore[arg-type]
    steps: list[int] = []
    resumed = train_detector(
        TINY, _data(), seed=1, checkpoint=checkpoint, on_progress=lambda step, *_: steps.append(step)
    )

    assert resumed.to_bytes() == undisturbed
    assert steps[0] == 2 * ((killed_at - 1) // 2) + 1
    assert steps[-1] == 7


def test_seed_and_data_decide_the_result() -> None:
    """The same seed repeats; another seed, or no generated data, gives other weights and the same number of steps."""
    first, again = (train_detector(TINY, _data(), seed=1) for _ in range(2))
    other, control = train_detector(TINY, _data(), seed=2), train_detector(TINY, _data(generated=False), seed=1)

    assert first.to_bytes() == again.to_bytes()
    assert len({detector.to_bytes() for detector in (first, other, control)}) == 3
    assert [len(detector.losses["focal"]) for detector in (first, other, control)] == [7, 7, 7]


@pytest.mark.parametrize("broken", [True, False])
def test_an_unusable_checkpoint_is_left_aside(broken: bool, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001
    """Broken bytes, or the state of another training, warn and cost time, never the result."""
    checkpoint = Kept()
    train_detector(TINY, _data(), seed=2, checkpoint=checkpoint)
    assert checkpoint.data is not None
    checkpoint.data = checkpoint.data[:500] if broken else checkpoint.data

    with caplog.at_level(logging.WARNING):
        resumed = train_detector(TINY, _data(), seed=1, checkpoint=checkpoint)

    assert "starts from its beginning" in caplog.text
    assert resumed.to_bytes() == train_detector(TINY, _data(), seed=1).to_bytes()


def test_a_loss_that_is_not_a_number_stops_the_training() -> None:
    """The error names the step, the term and what to do."""
    settings = TINY.model_copy(update={"learning_rate": 1e30})

    with pytest.raises(TrainingError, match=r"l2.* loss of step 2 .*learning_rate"):
        train_detector(settings, _data(), seed=1)


def test_a_last_step_that_breaks_the_weights_stops_the_training() -> None:
    """No loss shows it any more: the detector would be stored and fail on every photo."""
    settings = TINY.model_copy(update={"learning_rate": 1e30, "steps": 1})

    with pytest.raises(TrainingError, match=r"After step 1 the answer .*learning_rate"):
        train_detector(settings, _data(), seed=1)


def test_a_short_training_finds_a_defect() -> None:
    """After a few seconds on flat photos, dark squares score above every normal photo and where they are."""
    settings = DraemSettings(
        reconstructive_width=4, discriminative_width=8, image_size=32, steps=80, batch_size=8, learning_rate=3e-3
    )
    rng = np.random.default_rng(1)
    photos = rng.integers(90, 110, (8, 32, 32, 3), dtype=np.uint8)
    photos[:4, 4:10, 20:26] = 10

    scores, maps = train_detector(settings, _data(), seed=0).predict(photos)

    assert scores[:4].min() > scores[4:].max()
    assert maps[:4, 5:9, 21:25].mean() > 3 * maps[:4, 16:].mean()


def test_predictions_have_the_size_of_the_photos() -> None:
    """Photos of any size and number give one score each and float32 maps of their own size in [0, 1]."""
    trained = train_detector(TINY, _data(), seed=1)
    photos = np.random.default_rng(0).integers(0, 255, (9, 40, 56, 3), dtype=np.uint8)

    scores, maps = trained.predict(photos)
    alone, _ = trained.predict(photos[8:])

    assert scores.shape == (9,)
    assert maps.shape == (9, 40, 56)
    assert maps.dtype == np.float32
    assert 0 <= maps.min() <= maps.max() <= 1
    assert alone[0] == pytest.approx(scores[8], abs=1e-6)


def test_a_file_gives_the_same_detector() -> None:
    """`from_bytes` restores settings, weights, predictions and the loss curve."""
    trained = train_detector(TINY, _data(), seed=1)
    photos = _data().normals

    loaded = TrainedDetector.from_bytes(trained.to_bytes())

    assert loaded.settings == trained.settings
    assert np.array_equal(loaded.predict(photos)[1], trained.predict(photos)[1])
    assert np.array_equal(loaded.losses["ssim"], trained.losses["ssim"])
    assert loaded.to_bytes() == trained.to_bytes()


def test_a_broken_file_is_refused() -> None:
    """Truncated bytes, other files, a missing weight and an additional one are errors, never a quiet wrong detector."""
    data = train_detector(TINY, _data(), seed=1).to_bytes()
    header = data[8 : 8 + int.from_bytes(data[:8], "little")].decode()
    metadata = {"anogen": header.split('"anogen":"')[1].split('"},')[0].replace('\\"', '"')}
    tensors = safetensors.torch.load(data)
    weights = sorted(name for name in tensors if name.startswith("weights/"))
    more = {**tensors, "weights/extra": torch.zeros(1)}

    counter = next(name for name in weights if name.endswith("num_batches_tracked"))
    for a_weight in (weights[0], counter):
        fewer = {name: tensor for name, tensor in tensors.items() if name != a_weight}
        with pytest.raises(CorruptDatasetError, match="not a trained detector"):
            TrainedDetector.from_bytes(safetensors.torch.save(fewer, metadata))
    for bad in (
        b"",
        data[:1000],
        data[:-10],
        b"PK\x03\x04" * 100,
        safetensors.torch.save(more, metadata),
        safetensors.torch.save(tensors),
    ):
        with pytest.raises(CorruptDatasetError, match="not a trained detector"):
            TrainedDetector.from_bytes(bad)
