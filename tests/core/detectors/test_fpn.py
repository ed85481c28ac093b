"""The feature pyramid: sizes, rates, backbones, weak supervision and training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import MobileNetV2Config, MobileNetV2Model

from anogen_core.detectors import FpnSettings
from anogen_core.detectors.detector import TrainingBatch
from anogen_core.detectors.fpn import BUNDLED, Fpn
from anogen_core.detectors.losses import dice_loss
from anogen_core.detectors.trained import TrainedDetector, allocate
from anogen_core.detectors.training import train_detector
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import InputError
from anogen_core.seeding import torch_generator

TINY = FpnSettings(pretrained=False, width=8, image_size=64, steps=4, batch_size=2, checkpoint_every=2)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as transformers writes it, with random weights."""
    path = tmp_path_factory.mktemp("backbone")
    MobileNetV2Model(MobileNetV2Config(), add_pooling_layer=False).save_pretrained(path)
    return path


def _detector(settings: FpnSettings) -> Fpn:
    detector = allocate(settings, torch.device("cpu"))
    assert isinstance(detector, Fpn)
    detector.initialise(torch_generator(0))
    return detector


def _batch(*, weak: bool) -> TrainingBatch:
    images = torch.rand((2, 3, 64, 64), generator=torch_generator(1))
    mask = torch.zeros(2, 1, 64, 64)
    mask[0, :, 20:40, 20:40] = 1
    return TrainingBatch(images, images, torch.ones_like(mask), mask, torch.full((2, 1, 1, 1), float(weak)))


def test_maps_and_scores_have_the_photos_size() -> None:
    """Any multiple of 32 is a size; probabilities lie in [0, 1]; one score for each photo."""
    detector = _detector(TINY).eval()

    for side in (32, 96):
        with torch.no_grad():
            maps = detector.anomaly_map(torch.rand(3, 3, side, side))
            scores = detector.image_scores(maps)
        assert maps.shape == (3, 1, side, side)
        assert scores.shape == (3,)
        assert ((maps >= 0) & (maps <= 1)).all()


def test_rates_rise_and_fall() -> None:
    """The rates rise to what the settings say and end near zero; the backbone's keep their ratio."""
    settings = TINY.model_copy(update={"steps": 100, "backbone_learning_rate": 1e-5})
    rates = np.array([_detector(settings).learning_rates(step) for step in (0, 5, 10, 50, 99)])

    assert rates[2] == pytest.approx([settings.learning_rate, settings.backbone_learning_rate])
    assert (np.diff(rates[:3, 0]) > 0).all()
    assert (np.diff(rates[2:, 0]) < 0).all()
    assert rates[-1, 0] < 0.01 * settings.learning_rate


def test_the_backbone_learns_as_fast_as_the_pyramid(backbone: Path) -> None:
    """Whatever it starts from, unless the settings say otherwise."""
    settings = TINY.model_copy(update={"warm_up": 0.0})
    photos = settings.model_copy(update={"backbone_directory": str(backbone)})

    assert _detector(settings).learning_rates(0) == pytest.approx([1e-3, 1e-3])
    assert _detector(photos).learning_rates(0) == pytest.approx([1e-3, 1e-3])


def test_dice_is_the_definition() -> None:
    """1 - 2 |A and B| / (|A| + |B|) with the smoothing one, weights counting pixels in or out."""
    probability, target = torch.tensor([0.5, 1.0, 0.2, 0.9]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0])
    shape = (1, 1, 2, 2)

    loss = dice_loss(probability.reshape(shape), target.reshape(shape), weights=weights.reshape(shape))

    assert loss.item() == pytest.approx(1 - (2 * 1.5 + 1) / (1.7 + 2 + 1))


def test_weak_supervision_leaves_doubtful_pixels_of_a_box_alone() -> None:
    """With tau of 1 nothing inside a box teaches; an exact mask always does."""
    detector = _detector(TINY.model_copy(update={"box_threshold": 1.0}))

    weak, exact = detector.losses(_batch(weak=True)), detector.losses(_batch(weak=False))

    assert weak["focal"] < exact["focal"]
    assert weak["dice"] != exact["dice"]


def test_the_backbone_is_read_from_its_directory_and_travels_with_the_detector(backbone: Path) -> None:
    """Its weights are the directory's, also after storing and reading, and its statistics stay in training."""
    settings = TINY.model_copy(update={"backbone_directory": str(backbone)})
    detector = _detector(settings)
    expected = MobileNetV2Model.from_pretrained(backbone, add_pooling_layer=False).state_dict()

    detector.train()
    torch.autograd.backward(list(detector.losses(_batch(weak=False)).values()))
    again = TrainedDetector.from_bytes(TrainedDetector(settings, detector, {}).to_bytes()).detector

    assert isinstance(again, Fpn)
    for name, value in again.backbone.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert all(p.grad is not None for p in detector.parameters())


def test_detection_normalises_by_what_many_batches_had_in_common(backbone: Path) -> None:
    """Not by the last batch; a backbone that has seen photos keeps theirs."""
    batches = [
        replace(_batch(weak=False), images=torch.full((2, 3, 64, 64), grey), step=i)
        for i, grey in enumerate((0.2, 1.0))
    ]

    def seen(detector: Fpn, batch: TrainingBatch) -> torch.Tensor:
        detector.losses(batch)
        return detector.state_dict()["backbone.conv_stem.first_conv.normalization.running_mean"].clone()

    alone = [seen(_detector(TINY), replace(batch, step=0)) for batch in batches]
    detector = _detector(TINY)
    both = [seen(detector, batch) for batch in batches][-1]
    later = seen(detector, replace(batches[0], step=1000))
    photos = _detector(TINY.model_copy(update={"backbone_directory": str(backbone)}))
    kept = photos.state_dict()["backbone.conv_stem.first_conv.normalization.running_mean"].clone()

    assert not torch.allclose(alone[0], alone[1])
    assert torch.allclose(both, (alone[0] + alone[1]) / 2, atol=1e-6)
    assert torch.allclose(later, 0.98 * both + 0.02 * alone[0], atol=1e-6)
    assert torch.equal(seen(photos, batches[0]), kept)


def test_without_a_directory_it_starts_from_the_weights_that_come_with_anogen() -> None:
    """All of it, whatever the seed; they have one width."""
    settings = FpnSettings(steps=4)
    expected = load_file(BUNDLED)

    detector = _detector(settings)

    for name, value in detector.state_dict().items():
        assert torch.equal(value, expected[name].to(value)), name
    with pytest.raises(ValidationError, match=r"width: .* have 32; set pretrained: false"):
        FpnSettings(steps=4, width=16)


def test_a_directory_without_a_mobilenet_is_named(tmp_path: Path) -> None:
    """An empty directory and another MobileNetV2 are refused with what was expected."""
    with pytest.raises(InputError, match=r"backbone_directory: .* has no config\.json"):
        _detector(TINY.model_copy(update={"backbone_directory": str(tmp_path)}))
    MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.5), add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"depth multiplier 0\.5"):
        _detector(TINY.model_copy(update={"backbone_directory": str(tmp_path)}))


def test_a_short_training_finds_a_defect_and_resumes_to_the_same_bits() -> None:
    """A dark square is told from noise; a training that went on from its checkpoint ends with the same file."""
    rng = np.random.default_rng(0)
    normals = rng.integers(90, 150, (6, 64, 64, 3), dtype=np.uint8)
    defective, masks = normals.copy(), np.zeros((6, 64, 64), bool)
    for i, photo in enumerate(defective):
        photo[10 + 4 * i : 26 + 4 * i, 20:36] = 20
        masks[i, 10 + 4 * i : 26 + 4 * i, 20:36] = True
    settings = TINY.model_copy(
        update={"steps": 40, "batch_size": 4, "learning_rate": 1e-2, "supervision": "mask", "checkpoint_every": 30}
    )
    kept: list[bytes] = []

    class Slot:
        def load(self) -> bytes | None:
            return kept[-1] if kept else None

        def save(self, data: bytes) -> None:
            kept.append(data)

        def clear(self) -> None:
            kept.clear()

    data = TrainingSet(normals, defective, masks, np.arange(6))
    trained = train_detector(settings, data, seed=0, checkpoint=Slot())
    resumed = train_detector(settings, data, seed=0, checkpoint=Slot())

    _, maps = trained.predict(defective)
    assert maps[masks].mean() > 2 * maps[~masks].mean()
    assert trained.to_bytes() == resumed.to_bytes()
