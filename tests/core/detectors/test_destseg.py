"""DeSTSeg: sizes, phases, teachers and training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from transformers import ResNetConfig, ResNetModel

from anogen_core.detectors import DestsegSettings, DetectorSettings
from anogen_core.detectors.destseg import Destseg
from anogen_core.detectors.detector import TrainingBatch
from anogen_core.detectors.losses import focal_loss
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.detectors.training import train_detector
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import InputError

TINY = DestsegSettings(width=4, image_size=64, steps=10, batch_size=2)


def _built(settings: DestsegSettings = TINY, seed: int = 0) -> Destseg:
    detector = settings.build()
    detector.initialise(torch.Generator().manual_seed(seed))
    return detector


def _batch(**changes: torch.Tensor) -> TrainingBatch:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, 8:40, 8:40] = 1
    values: dict[str, Any] = {
        "images": torch.rand(2, 3, 64, 64, generator=generator),
        "target": torch.rand(2, 3, 64, 64, generator=generator),
        "target_known": torch.ones_like(mask),
        "mask": mask,
        "weakly_labelled": torch.zeros(2, 1, 1, 1),
    }
    return TrainingBatch(**(values | changes))


def test_full_width_has_the_parameters_of_the_paper() -> None:
    """At width 64 student and segmentation network are as large as the authors'."""
    with torch.device("meta"):
        detector = DestsegSettings(steps=1).build()

    parts = (detector.teacher, detector.student, detector.segmentation)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [2_782_784, 24_665_024, 7_706_369]


def test_map_and_score_have_the_photo_s_size() -> None:
    """Maps lie in [0, 1] at the photo's size; a score is the mean of the greatest values, 100 of them at 256 px."""
    detector = _built().eval()
    one = torch.zeros(1, 1, 256, 256)
    one[0, 0, 3, :50] = 1

    maps = detector.anomaly_map(torch.rand(2, 3, 64, 96))

    assert maps.shape == (2, 1, 64, 96)
    assert ((maps >= 0) & (maps <= 1)).all()
    assert detector.image_scores(one).item() == pytest.approx(0.5)


def test_phases_train_one_network_each_and_the_teacher_never() -> None:
    """In the first fifth of the steps only the student has a gradient, then only the segmentation network."""
    detector = _built()
    for step, learns, rests in (
        (1, detector.student, detector.segmentation),
        (2, detector.segmentation, detector.student),
    ):
        detector.zero_grad(set_to_none=True)
        losses = detector.losses(replace(_batch(), step=step))
        torch.autograd.backward([loss for loss in losses.values() if loss.requires_grad])

        assert set(losses) == {"cosine", "focal", "l1"}
        assert all(p.grad is not None for p in learns.parameters())
        assert all(p.grad is None for p in [*rests.parameters(), *detector.teacher.parameters()])


def test_unknown_targets_teach_the_student_nothing() -> None:
    """Where no photo tells what was there before the defect, the cosine term is 0."""
    losses = _built().losses(_batch(target_known=torch.zeros(2, 1, 64, 64)))

    assert losses["cosine"].item() == 0


def test_weak_supervision_changes_the_focal_term_only() -> None:
    """A box label leaves pixels out that are not believed anomalous; L1 stays."""
    detector = _built(TINY.model_copy(update={"box_threshold": 0.99}))

    exact = detector.losses(replace(_batch(), step=5))
    weak = detector.losses(replace(_batch(weakly_labelled=torch.ones(2, 1, 1, 1)), step=5))

    assert weak["focal"] < exact["focal"]
    assert weak["l1"] == exact["l1"]


def test_focal_loss_without_smoothing_is_the_definition() -> None:
    """With gamma 4 it is (1 - p_t)^4 times the cross entropy, and finite with a finite slope at 0 and 1."""
    probability = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    target = (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    certain = torch.tensor([[[[0.0, 1.0]]]], requires_grad=True)

    loss = focal_loss(probability, target, gamma=4.0, smooth=0.0)
    wrong = focal_loss(certain, 1 - certain.detach(), gamma=4.0, smooth=0.0)
    torch.autograd.backward(wrong)

    p_true = torch.where(target > 0, probability, 1 - probability)
    entropy = torch.nn.functional.binary_cross_entropy(probability, target, reduction="none")
    torch.testing.assert_close(loss, ((1 - p_true) ** 4 * entropy).mean())
    assert wrong.isfinite()
    assert certain.grad is not None
    assert certain.grad.isfinite().all()


def test_teacher_is_read_from_its_directory_and_travels_with_the_detector(tmp_path: Path) -> None:
    """The first three stages of the directory's ResNet-18 are the teacher's, also after storing and reading."""
    source = ResNetModel(
        ResNetConfig(embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2] * 4, layer_type="basic")
    )
    source.save_pretrained(tmp_path)
    settings = TINY.model_copy(update={"teacher_directory": str(tmp_path)})
    detector = _built(settings)

    again = TrainedDetector.from_bytes(TrainedDetector(settings, detector, {}).to_bytes()).detector

    images = torch.rand(1, 3, 64, 64)
    assert isinstance(again, Destseg)
    expected = source.eval()(images, output_hidden_states=True).hidden_states[1:4]
    for found, wanted in zip(again.teacher(images), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_directory_without_a_resnet_18_is_named(tmp_path: Path) -> None:
    """A missing model and a model of another shape are errors that name the field and the directory."""
    settings = TINY.model_copy(update={"teacher_directory": str(tmp_path)})

    with pytest.raises(InputError, match=r"teacher_directory: .* no config.json"):
        _built(settings)
    ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"depths \[1, 1\]"):
        _built(settings)


def test_a_teacher_that_lacks_values_is_refused(tmp_path: Path) -> None:
    """Transformers would fill in random numbers, and the teacher would know nothing."""
    ResNetModel(
        ResNetConfig(embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2] * 4, layer_type="basic")
    ).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "stages.1" not in name}

    counted = {name: value for name, value in weights.items() if "num_batches_tracked" not in name}
    save_file(counted, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert len(counted) < len(weights)
    _built(TINY.model_copy(update={"teacher_directory": str(tmp_path)}))
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"teacher_directory: .*lack \d+ of ResNetModel's tensors: encoder.stages.1"):
        _built(TINY.model_copy(update={"teacher_directory": str(tmp_path)}))


def test_random_teacher_is_the_same_for_every_seed() -> None:
    """Arms and seeds share the teacher; student and segmentation network follow the seed."""
    first, second = _built(seed=1).state_dict(), _built(seed=2).state_dict()

    assert all(torch.equal(first[k], second[k]) for k in first if k.startswith("teacher."))
    assert not torch.equal(first["student.encoder.embedder.embedder.convolution.weight"],
                           second["student.encoder.embedder.embedder.convolution.weight"])  # fmt: skip
    assert all(v.isfinite().all() for v in first.values())


class _Slot:
    def __init__(self) -> None:
        self.states: list[bytes] = []

    def load(self) -> bytes | None:
        return self.states[0] if self.states else None

    def save(self, state: bytes) -> None:
        self.states.append(state)

    def clear(self) -> None:
        self.states.clear()


def test_training_runs_through_both_phases_and_resumes_to_the_same_bits() -> None:
    """Every term is finite, each phase's term is 0 in the other, and a resumed training ends in the same weights."""
    rng = np.random.default_rng(0)
    normals = rng.integers(60, 140, (5, 64, 64, 3), dtype=np.uint8)
    settings = TypeAdapter[DetectorSettings](DetectorSettings).validate_python(
        {"kind": "destseg", "width": 4, "image_size": 64, "steps": 6, "batch_size": 2, "student_share": 0.5,
         "checkpoint_every": 4}
    )  # fmt: skip
    slot = _Slot()

    whole = train_detector(settings, TrainingSet(normals), seed=0, checkpoint=slot)
    resumed = train_detector(settings, TrainingSet(normals), seed=0, checkpoint=slot)

    assert (whole.losses["cosine"][:3] > 0).all()
    assert (whole.losses["cosine"][3:] == 0).all()
    assert (whole.losses["focal"][3:] > 0).all()
    assert len(slot.states) == 1
    assert whole.to_bytes() == resumed.to_bytes()


@pytest.mark.slow
def test_a_short_training_finds_a_defect() -> None:
    """With random teacher features, photos with a dark square score above every normal photo.

    Where it is found after so few steps differs between processors, whose sums round differently.
    """
    rng = np.random.default_rng(0)
    normals = rng.integers(90, 110, (6, 64, 64, 3), dtype=np.uint8)
    defective, masks = normals.copy(), np.zeros((6, 64, 64), bool)
    defective[:, 24:36, 24:36], masks[:, 20:40, 20:40] = 10, True
    photos = rng.integers(90, 110, (8, 64, 64, 3), dtype=np.uint8)
    photos[:4, 8:20, 40:52] = 10
    settings = DestsegSettings(width=8, image_size=64, steps=100, batch_size=4, student_share=0.3)

    trained = train_detector(settings, TrainingSet(normals, defective, masks, np.arange(6)), seed=0)

    scores, _ = trained.predict(photos)
    assert scores[:4].min() > scores[4:].max()
