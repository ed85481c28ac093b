"""Masked textual inversion: the loss of the paper, learning, and resuming."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anogen_core.diffusion.crop import CropSettings
from anogen_core.diffusion.inversion import InversionSettings, learn_embedding, masked_loss
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.views import Views, encode_views
from anogen_core.seeding import torch_generator

SETTINGS = InversionSettings(steps=12, validate_every=4, validation_points=2, batch_size=2, learning_rate=0.05)


class MemorySlot:
    """A checkpoint slot that can stop a run after a number of saves."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.state: bytes | None = None
        self._left = stop_after

    def load(self) -> bytes | None:
        return self.state

    def save(self, state: bytes) -> None:
        self.state = state
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt


@pytest.fixture(scope="module")
def views(tiny_model: DiffusionModel) -> Views:
    rng = np.random.Generator(np.random.PCG64(0))
    photos = [rng.integers(0, 256, (48, 60, 3), dtype=np.uint8) for _ in range(3)]
    mask = np.zeros((48, 60), bool)
    mask[20:30, 25:33] = True
    return encode_views(
        [(photo, mask) for photo in photos],
        tiny_model,
        zooms=(1.0,),
        crop=CropSettings(),
    )


@given(st.integers(0, 2**32 - 1))
def test_masked_loss_is_the_paper_formula_per_active_value(seed: int) -> None:
    """The loss equals a direct evaluation: squared error on active cells, divided by each sample's active values."""
    generator = torch_generator(seed)
    noise, predicted = torch.randn(3, 4, 6, 5, generator=generator), torch.randn(3, 4, 6, 5, generator=generator)
    mask = (torch.rand(3, 1, 6, 5, generator=generator) < 0.3).float()
    mask[:, :, 0, 0] = 1

    total = 0.0
    for b in range(3):
        active = [(i, j) for i in range(6) for j in range(5) if mask[b, 0, i, j] == 1]
        errors = [(noise[b, c, i, j] - predicted[b, c, i, j]).item() ** 2 for c in range(4) for i, j in active]
        total += sum(errors) / len(errors)

    assert masked_loss(noise, predicted, mask).item() == pytest.approx(total / 3, rel=1e-5)


def test_masked_loss_rejects_a_mask_without_channel_axis() -> None:
    """A (B, h, w) mask would broadcast to (B, B, h, w) and mix samples; it is refused."""
    noise = torch.zeros(2, 4, 8, 8)
    with pytest.raises(ValueError, match=r"mask \(B,1,h,w\)"):
        masked_loss(noise, noise, torch.ones(2, 8, 8))


def test_views_hold_every_photo_and_its_flip(views: Views) -> None:
    """Three photos give six views; a flip is the mirror image of its mask."""
    assert views.latents.shape == (6, 4, 16, 16)
    assert torch.equal(views.masks[1], views.masks[0].flip(-1))


def test_a_defect_longer_than_any_square_is_learned_from_its_middle(tiny_model: DiffusionModel) -> None:
    """A crack across a wide photo still gives a view with active cells."""
    photo = np.zeros((40, 120, 3), np.uint8)
    mask = np.zeros((40, 120), bool)
    mask[18:22] = True

    found = encode_views([(photo, mask)], tiny_model, zooms=(1.0,), crop=CropSettings())

    assert found.masks.sum(dim=(1, 2, 3)).min() > 0


def test_learning_lowers_the_validation_loss_and_moves_only_the_embedding(
    tiny_model: DiffusionModel, views: Views
) -> None:
    """The best validation loss beats the first one, and no weight of the base model changes."""
    before = {k: v.clone() for k, v in tiny_model._unet.state_dict().items()}  # type: ignore[attr-defined]

    learned = learn_embedding(views, tiny_model, SETTINGS.model_copy(update={"steps": 40}), seed=1)

    assert min(loss for _, loss in learned.curve) < learned.curve[0][1]
    assert learned.vectors.shape == (1, 24)
    assert all(torch.equal(before[k], v) for k, v in tiny_model._unet.state_dict().items())  # type: ignore[attr-defined]


def test_interrupted_learning_resumes_to_the_same_embedding(tiny_model: DiffusionModel, views: Views) -> None:
    """Stopped after any checkpoint and started again, the embedding is bit-identical to an undisturbed one."""
    undisturbed = learn_embedding(views, tiny_model, SETTINGS, seed=7)
    slot = MemorySlot(stop_after=2)

    with pytest.raises(KeyboardInterrupt):
        learn_embedding(views, tiny_model, SETTINGS, seed=7, checkpoint=slot)
    resumed = learn_embedding(views, tiny_model, SETTINGS, seed=7, checkpoint=slot)

    assert torch.equal(resumed.vectors, undisturbed.vectors)
    assert resumed.curve == undisturbed.curve
