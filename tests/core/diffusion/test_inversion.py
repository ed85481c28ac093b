"""Masked textual inversion: the loss of the paper, learning alone and together, and resuming."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anogen_core.diffusion import StableDiffusionSettings
from anogen_core.diffusion.crop import CropSettings
from anogen_core.diffusion.denoising import NoisedViews, masked_loss, shared_losses
from anogen_core.diffusion.inversion import Concept, InversionSettings, LearnedEmbedding, learn_embeddings
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.views import Views, encode_views
from anogen_core.errors import TrainingError
from anogen_core.seeding import torch_generator

SETTINGS = InversionSettings(steps=12, validate_every=4, validation_points=2, batch_size=2, learning_rate=0.05)
GROUPED = SETTINGS.model_copy(
    update={"steps": 6, "validate_every": 2, "validation_points": 1, "patience": 1, "min_improvement": 4e-4}
)


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
    return _views(tiny_model)


def _views(model: DiffusionModel) -> Views:
    rng = np.random.Generator(np.random.PCG64(0))
    photos = [rng.integers(0, 256, (48, 60, 3), dtype=np.uint8) for _ in range(3)]
    mask = np.zeros((48, 60), bool)
    mask[20:30, 25:33] = True
    return encode_views(
        [(photo, mask) for photo in photos],
        model,
        zooms=(1.0,),
        crop=CropSettings(),
    )


@pytest.fixture(scope="module")
def concepts(views: Views) -> list[Concept]:
    """Four concepts with other seeds and other numbers of views."""
    return [
        Concept("three photos", views, seed=1),
        Concept("two photos", _part(views, slice(0, 4)), seed=2),
        Concept("the same photos", views, seed=3),
        Concept("one photo", _part(views, slice(4, 6)), seed=4),
    ]


@pytest.fixture(scope="module")
def alone(concepts: list[Concept], tiny_model: DiffusionModel) -> dict[str, LearnedEmbedding]:
    """Each concept, learned alone."""
    return {c.name: _learn([c], tiny_model, GROUPED)[c.name] for c in concepts}


def _part(views: Views, part: slice) -> Views:
    return Views(views.latents[part], views.masks[part], None)


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


def test_loss_and_gradient_equal_the_formula_on_a_new_token(tiny_model: DiffusionModel, tiny_directory: Path) -> None:
    """As classical textual inversion has it, in double precision: a token, every value's loss, its row's slope."""
    from diffusers import StableDiffusionPipeline

    generator, size = torch_generator(8), (3, 4, 16, 16)
    clean, noise = torch.randn(size, generator=generator), torch.randn(size, generator=generator)
    masks = (torch.rand(3, 1, 16, 16, generator=generator) < 0.2).float()
    timesteps, prompts = torch.tensor([20, 400, 900]), ("a photo of a {}", "{}", "a dark photo of the {}")
    vector = torch.randn((1, 24), generator=generator).requires_grad_()
    alpha_bar = tiny_model.alpha_bar[timesteps].reshape(-1, 1, 1, 1)
    noised = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise

    (loss,) = shared_losses(tiny_model, [vector], [NoisedViews(noised, noise, timesteps, masks, None, prompts)])
    torch.autograd.backward(loss)

    pipeline = StableDiffusionPipeline.from_pretrained(str(tiny_directory), local_files_only=True)
    text_encoder, unet = pipeline.text_encoder.double(), pipeline.unet.double()
    pipeline.tokenizer.add_tokens(["<new>"])
    text_encoder.resize_token_embeddings(len(pipeline.tokenizer))
    row, weight = pipeline.tokenizer.convert_tokens_to_ids("<new>"), text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        weight[row] = vector[0].double()
    total = torch.zeros((), dtype=torch.float64)
    for b, prompt in enumerate(prompts):
        ids = pipeline.tokenizer(
            prompt.format("<new>"), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        said = unet(noised[b : b + 1].double(), timesteps[b], text_encoder(ids)[0]).sample[0]
        active = masks[b, 0] == 1
        errors = [(noise[b, c].double() - said[c])[active] ** 2 for c in range(4)]
        total = total + torch.cat(errors).mean() / len(prompts)
    torch.autograd.backward(total)

    assert loss.item() == pytest.approx(total.item(), rel=1e-4)
    assert vector.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(vector.grad[0].double(), weight.grad[row], rtol=1e-3, atol=1e-6)
    assert weight.grad[row].abs().max() > 1e-4


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


def test_defects_at_the_ends_of_a_long_photo_are_learned_from_the_larger(tiny_model: DiffusionModel) -> None:
    """No square holds both, and between them is nothing to learn from: a loss over no cell is no number."""
    photo = np.random.default_rng(0).integers(0, 255, (96, 48, 3), dtype=np.uint8)
    mask = np.zeros((96, 48), bool)
    mask[2:8, 10:20], mask[86:94, 20:40] = True, True

    views = encode_views([(photo, mask)], tiny_model, zooms=(1.0, 1.35), crop=CropSettings())

    assert views.masks.flatten(1).any(dim=1).all()
    ((_, learned),) = learn_embeddings([Concept("crack", views, seed=0)], tiny_model, GROUPED)
    assert isinstance(learned, LearnedEmbedding)


def test_learning_lowers_the_validation_loss_and_moves_only_the_embedding(
    tiny_model: DiffusionModel, views: Views
) -> None:
    """The best validation loss beats the first one, and no weight of the base model changes or gets a gradient."""
    unet = tiny_model._unet  # type: ignore[attr-defined]
    before = {k: v.clone() for k, v in unet.state_dict().items()}

    learned = _learn([Concept("a", views, seed=1)], tiny_model, SETTINGS.model_copy(update={"steps": 40}))["a"]

    assert min(loss for _, loss in learned.curve) < learned.curve[0][1]
    assert learned.vectors.shape == (1, 24)
    assert all(torch.equal(before[k], v) for k, v in unet.state_dict().items())
    assert not any(weight.requires_grad or weight.grad is not None for weight in unet.parameters())


def test_interrupted_learning_resumes_to_the_same_embedding(tiny_model: DiffusionModel, views: Views) -> None:
    """Stopped after any checkpoint and started again, the embedding is bit-identical to an undisturbed one."""
    undisturbed = _learn([Concept("a", views, seed=7)], tiny_model, SETTINGS)["a"]
    slot = MemorySlot(stop_after=2)

    with pytest.raises(KeyboardInterrupt):
        _learn([Concept("a", views, seed=7, checkpoint=slot)], tiny_model, SETTINGS)
    resumed = _learn([Concept("a", views, seed=7, checkpoint=slot)], tiny_model, SETTINGS)["a"]

    assert torch.equal(resumed.vectors, undisturbed.vectors)
    assert resumed.curve == undisturbed.curve


def test_a_damaged_checkpoint_is_left_aside(
    tiny_model: DiffusionModel,
    concepts: list[Concept],
    alone: dict[str, LearnedEmbedding],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It costs time and a warning that names the defect, never the embedding."""
    slot = MemorySlot()
    slot.state = b"not a checkpoint"

    learned = _learn([dataclasses.replace(concepts[3], checkpoint=slot)], tiny_model, GROUPED)["one photo"]

    assert "one photo: the checkpoint cannot be read" in caplog.text
    assert torch.equal(learned.vectors, alone["one photo"].vectors)


@pytest.mark.parametrize("at_once", [1, 3])
def test_concepts_learned_together_equal_each_alone(
    tiny_model: DiffusionModel, concepts: list[Concept], alone: dict[str, LearnedEmbedding], at_once: int
) -> None:
    """Whatever the number of views, the seed, an early end, and when it is a concept's turn; to the bit, one by one."""
    together = _learn(concepts, tiny_model, GROUPED, at_once=at_once)

    assert len({learned.steps for learned in alone.values()}) > 1  # some stop early
    _assert_same(together, alone)
    assert at_once > 1 or all(torch.equal(together[name].vectors, alone[name].vectors) for name in alone)


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_killed_group_resumes_in_other_groups(
    tiny_model: DiffusionModel, concepts: list[Concept], alone: dict[str, LearnedEmbedding], stop_after: int
) -> None:
    """Each concept goes on from its own checkpoint, beside others than before; some have a checkpoint more."""
    slots = [MemorySlot(stop_after if c.name == "two photos" else None) for c in concepts]
    kept = [dataclasses.replace(c, checkpoint=slot) for c, slot in zip(concepts, slots, strict=True)]

    with pytest.raises(KeyboardInterrupt):
        _learn(kept, tiny_model, GROUPED, at_once=3)
    assert any(slot.state for slot in slots)
    resumed = _learn(kept[::2], tiny_model, GROUPED, at_once=2) | _learn(kept[1::2], tiny_model, GROUPED)

    _assert_same(resumed, alone)


def test_a_loss_that_is_no_number_fails_its_concept_alone(
    tiny_model: DiffusionModel, concepts: list[Concept], alone: dict[str, LearnedEmbedding]
) -> None:
    """The error names the concept; the others come out as if it were not there."""
    views = concepts[1].views
    broken = dataclasses.replace(concepts[1], views=dataclasses.replace(views, latents=views.latents * torch.nan))

    ended = _ended([concepts[0], broken, *concepts[2:]], tiny_model, GROUPED, at_once=4)

    failure = ended.pop(broken.name)
    assert isinstance(failure, TrainingError)
    assert str(failure) == "two photos: inversion loss is nan at step 0. Lower `inversion.learning_rate`."
    _assert_same(
        {name: learned for name, learned in ended.items() if isinstance(learned, LearnedEmbedding)},
        {name: learned for name, learned in alone.items() if name != broken.name},
    )


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("limit", [5, 1])
def test_short_memory_divides_what_is_learned(
    tiny_directory: Path,
    concepts: list[Concept],
    alone: dict[str, LearnedEmbedding],
    limit: int,
    at_once: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Steps and validations that do not fit are done in parts, down to one view at a time, to the same embeddings."""
    model = StableDiffusionSettings(directory=str(tiny_directory)).build(torch.device("cpu"))
    allowed = limit

    def with_little_memory(_network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > allowed:
            torch.empty(2**57, dtype=torch.uint8)

    model._unet.register_forward_pre_hook(with_little_memory)
    _assert_same(_learn(concepts, model, GROUPED, at_once=at_once), alone)
    assert "Memory is short: the noise predictor takes" in caplog.text
    assert ("Memory is short: a step of learning takes" in caplog.text) == (at_once * GROUPED.batch_size > limit)

    allowed = 0
    with pytest.raises(RuntimeError, match="allocate memory"):
        _learn(concepts, model, GROUPED, at_once=at_once)


def test_views_are_encoded_one_at_a_time_where_memory_is_short(tiny_directory: Path, views: Views) -> None:
    """They are those of a machine with enough of it."""
    model = StableDiffusionSettings(directory=str(tiny_directory)).build(torch.device("cpu"))

    def with_little_memory(_network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > 1:
            raise torch.OutOfMemoryError

    model._vae.encoder.register_forward_pre_hook(with_little_memory)
    torch.testing.assert_close(_views(model).latents, views.latents, atol=1e-5, rtol=1e-5)


def test_company_is_no_part_of_an_embeddings_identity() -> None:
    """What was stored before there was the setting is found, whatever its value."""
    before = {
        "steps": 6000, "learning_rate": 5e-3, "batch_size": 4, "num_vectors": 1, "initializer": "defect",
        "zooms": [1.0, 1.35], "validate_every": 50, "validation_points": 8, "patience": 8, "min_improvement": 0.001,
    }  # fmt: skip

    assert InversionSettings(concepts_at_once=5).identity() == InversionSettings().identity() == before


def _ended(
    concepts: Sequence[Concept], model: DiffusionModel, settings: InversionSettings, *, at_once: int
) -> dict[str, LearnedEmbedding | TrainingError]:
    settings = settings.model_copy(update={"concepts_at_once": at_once})
    return {concept.name: ended for concept, ended in learn_embeddings(concepts, model, settings)}


def _learn(
    concepts: Sequence[Concept], model: DiffusionModel, settings: InversionSettings, *, at_once: int = 1
) -> dict[str, LearnedEmbedding]:
    ended = _ended(concepts, model, settings, at_once=at_once)
    return {name: learned for name, learned in ended.items() if isinstance(learned, LearnedEmbedding)}


def _assert_same(found: dict[str, LearnedEmbedding], expected: dict[str, LearnedEmbedding]) -> None:
    """In company kernels may round differently; learning must not."""
    assert found.keys() == expected.keys()
    for name, learned in found.items():
        assert (learned.steps, learned.best_step) == (expected[name].steps, expected[name].best_step)
        torch.testing.assert_close(learned.vectors, expected[name].vectors, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(learned.curve, expected[name].curve, rtol=1e-5)
