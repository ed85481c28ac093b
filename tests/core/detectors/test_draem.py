"""DRAEM: sizes, outputs and settings."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from anogen_core.detectors import DetectorSettings, DraemSettings
from anogen_core.detectors.detector import TrainingBatch
from anogen_core.detectors.draem_networks import DiscriminativeNetwork, ReconstructiveNetwork

TINY = DraemSettings(reconstructive_width=2, discriminative_width=2, image_size=32, steps=7, batch_size=2)


def _parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_full_width_has_the_parameters_of_the_paper() -> None:
    """Widths 128 and 64 give exactly 69,048,579 and 28,374,146 parameters."""
    with torch.device("meta"):
        detector = DraemSettings(steps=1).build()

    assert _parameters(detector.reconstructive) == 69_048_579
    assert _parameters(detector.discriminative) == 28_374_146


def test_networks_keep_the_resolution() -> None:
    """The reconstruction has three channels, the segmentation two, both at the photo's size."""
    images = torch.rand(2, 3, 64, 96)

    reconstruction = ReconstructiveNetwork(2)(images)
    logits = DiscriminativeNetwork(2)(reconstruction, images)

    assert reconstruction.shape == (2, 3, 64, 96)
    assert logits.shape == (2, 2, 64, 96)


def test_initial_weights_are_those_of_the_authors_and_of_the_seed_alone() -> None:
    """Convolutions are N(0, 0.02), batch-norm scales N(1, 0.02); no global random state is used or changed."""
    first, second = (DraemSettings(reconstructive_width=16, discriminative_width=16, steps=1).build() for _ in range(2))
    state = torch.get_rng_state()
    first.initialise(torch.Generator().manual_seed(3))
    second.initialise(torch.Generator().manual_seed(3))

    weights = first.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[name], value) for name, value in second.state_dict().items())
    assert weights["discriminative.decoder.0.0.weight"].std().item() == pytest.approx(0.02, rel=0.01)
    assert weights["reconstructive.encoder.4.1.weight"].mean().item() == pytest.approx(1, abs=0.01)
    assert weights["reconstructive.encoder.4.1.bias"].abs().max() == 0


@pytest.mark.parametrize(("size", "window"), [(256, 21), (128, 11), (64, 5)])
def test_image_score_is_the_largest_window_mean(size: int, window: int) -> None:
    """One anomalous pixel in the middle scores 1 / window^2; the window is 21 px at 256 px and scales with the size."""
    maps = torch.zeros(1, 1, size, size)
    maps[0, 0, size // 2, size // 2] = 1

    assert TINY.build().image_scores(maps).item() == pytest.approx(1 / window**2)


def test_learning_rate_drops_at_four_and_six_sevenths() -> None:
    """The rate is divided by ten after epochs 400 and 600 of 700, in proportion."""
    detector = TINY.build()

    assert [detector.learning_rates(step)[0] for step in range(7)] == pytest.approx([1e-4] * 4 + [1e-5] * 2 + [1e-6])


def _batch(**changes: torch.Tensor) -> TrainingBatch:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 32, 32)
    mask[:, :, :16] = 1
    values: dict[str, Any] = {
        "images": images,
        "target": images.flip(2),
        "target_known": torch.ones_like(mask),
        "mask": mask,
        "weakly_labelled": torch.zeros(2, 1, 1, 1),
    }
    return TrainingBatch(**(values | changes))


def test_weak_supervision_changes_the_focal_term_only() -> None:
    """A box label lowers the focal term (pixels not believed anomalous are left out), never L2 or SSIM."""
    settings = TINY.model_copy(update={"box_threshold": 0.9})
    detector = settings.build()
    detector.initialise(torch.Generator().manual_seed(0))

    exact = detector.losses(_batch())
    weak = detector.losses(_batch(weakly_labelled=torch.ones(2, 1, 1, 1)))

    assert weak["focal"] < exact["focal"]
    assert weak["l2"] == exact["l2"]
    assert weak["ssim"] == exact["ssim"]


def test_unknown_targets_have_no_reconstruction_loss() -> None:
    """Where no photo tells what was there before the defect, L2 is 0."""
    detector = TINY.build()

    losses = detector.losses(_batch(target_known=torch.zeros(2, 1, 32, 32)))

    assert losses["l2"].item() == 0


def test_settings_name_their_mistakes() -> None:
    """An unknown kind, a size that cannot be halved five times and a misspelt field are refused."""
    settings = TypeAdapter[DetectorSettings](DetectorSettings)

    assert settings.validate_python({"kind": "draem", "steps": 3}).image_size == 256
    with pytest.raises(ValidationError, match="expected tags: 'destseg', 'draem'"):
        settings.validate_python({"kind": "patchcore", "steps": 3})
    with pytest.raises(ValidationError, match="multiple of 32"):
        DraemSettings(steps=3, image_size=100)
    with pytest.raises(ValidationError, match="Extra inputs"):
        settings.validate_python({"kind": "draem", "steps": 3, "treshold": 0.1})
