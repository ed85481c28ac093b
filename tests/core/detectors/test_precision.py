"""Mixed precision: off unless it is set, near fp32, and never part of what was trained before it."""

import pytest
import torch
from pydantic import TypeAdapter

from anogen_core.detectors import DestsegSettings, DetectorSettings, DraemSettings
from anogen_core.detectors.detector import Detector, TrainingBatch
from anogen_core.run_file import _lines

DRAEM = DraemSettings(reconstructive_width=8, discriminative_width=8, image_size=64, steps=5, batch_size=2)
DESTSEG = DestsegSettings(width=8, image_size=64, steps=5, batch_size=2)


def _built(settings: DetectorSettings, precision: str) -> Detector:
    detector = settings.model_copy(update={"precision": precision}).build()
    detector.initialise(torch.Generator().manual_seed(0))
    return detector.train()


def _batch(step: int) -> TrainingBatch:
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, 8:40, 8:40] = 1
    shown, target = torch.rand(2, 2, 3, 64, 64, generator=generator)
    return TrainingBatch(shown, target, torch.ones_like(mask), mask, torch.zeros(2, 1, 1, 1), step)


@pytest.mark.parametrize("settings", [DraemSettings(steps=100), DestsegSettings(steps=100)], ids=lambda s: s.kind)
def test_detectors_trained_before_there_was_a_choice_are_found(settings: DetectorSettings) -> None:
    """The default leaves the identity of settings as it was; bf16 is another identity and survives storing."""
    reading = TypeAdapter[DetectorSettings](DetectorSettings)
    mixed = settings.model_copy(update={"precision": "bf16"})

    assert settings.fingerprint() == {"draem": "e5eff146f24f0b77", "destseg": "ed54b5d9a982789a"}[settings.kind]
    assert mixed.fingerprint() != settings.fingerprint()
    assert reading.validate_python(settings.model_dump(mode="json")) == settings
    assert reading.validate_python(mixed.model_dump(mode="json")) == mixed


def test_a_written_run_file_offers_the_choice() -> None:
    """`anogen init` writes the field, although its default is no part of a dump."""
    assert "precision: fp32" in _lines(DRAEM, 0)


@pytest.mark.parametrize(("settings", "step"), [(DRAEM, 0), (DESTSEG, 0), (DESTSEG, 4)])
def test_bf16_losses_are_near_fp32(settings: DetectorSettings, step: int) -> None:
    """Every term is fp32 and within 2 % of the reference; gradients and weights are fp32."""
    reference, mixed = (_built(settings, precision) for precision in ("fp32", "bf16"))

    expected, found = reference.losses(_batch(step)), mixed.losses(_batch(step))
    torch.autograd.backward([loss for loss in found.values() if loss.requires_grad])

    assert any(not torch.equal(found[name], expected[name]) for name in found)
    for name, loss in found.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(expected[name].item(), rel=0.02)
    assert {p.grad.dtype for p in mixed.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.parametrize("settings", [DRAEM, DESTSEG], ids=lambda s: s.kind)
def test_predictions_are_fp32(settings: DetectorSettings) -> None:
    """A trained detector answers the same bits, whatever it was trained with."""
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))

    with torch.inference_mode():
        expected, found = (_built(settings, precision).eval().anomaly_map(images) for precision in ("fp32", "bf16"))

    assert torch.equal(expected, found)
