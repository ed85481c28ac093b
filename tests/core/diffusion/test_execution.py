"""Precision and compilation change how a model is run, and nothing else."""

import shutil
from pathlib import Path

import pytest
import torch

from anogen_core.diffusion import BundledModelSettings, StableDiffusionSettings
from anogen_core.diffusion.execution import NoisePredictor, Turns, scale_gradient
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.seeding import torch_generator

CPU = torch.device("cpu")


def _predict(model: DiffusionModel, *, static: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a prediction and the gradient of its mean square with respect to a concept's embedding."""
    latents = torch.randn((2, 4, 16, 16), generator=torch_generator(1))
    vectors = torch.randn((2, 1, 24), generator=torch_generator(2)).requires_grad_()
    predicted = model.predict(
        latents, torch.tensor([10, 700]), model.condition(["a photo of a {}"] * 2, vectors), static=static
    )
    predicted.square().mean().backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    return predicted.detach(), vectors.grad


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_the_reference(tiny_directory: Path, tiny_model: DiffusionModel, precision: str) -> None:
    """Predictions and gradients come in fp32 and are the reference's up to the rounding of the precision."""
    settings = StableDiffusionSettings.model_validate({"directory": str(tiny_directory), "precision": precision})
    expected, slope = _predict(tiny_model, static=False)

    predicted, gradient = _predict(settings.build(CPU), static=False)

    assert predicted.dtype == gradient.dtype == torch.float32
    assert not torch.equal(predicted, expected)
    rounding = {"bf16": 0.02, "fp16": 0.003}[precision]
    assert (predicted - expected).norm() < rounding * expected.norm()
    assert (gradient - slope).norm() < 3 * rounding * slope.norm()


def test_gradients_that_half_precision_cannot_hold_survive_it() -> None:
    """Scaled up on the way back through fp16, and down again behind it."""

    def gradient(factor: float) -> float:
        value = torch.ones(1, requires_grad=True)
        halved = scale_gradient(value, 1 / factor).half()
        (scale_gradient(halved.float(), factor) * 1e-9).sum().backward()  # type: ignore[no-untyped-call]
        assert value.grad is not None
        return value.grad.item()

    assert gradient(1.0) == 0
    assert gradient(4096.0) == pytest.approx(1e-9, rel=0.05)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_predictor_predicts_the_same() -> None:
    """Where shapes are promised to stay; elsewhere it is not compiled at all."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(4,), norm_num_groups=2, layers_per_block=1, cross_attention_dim=4, mid_block_type=None,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    ).eval()  # fmt: skip
    predictor = NoisePredictor(unet, BundledModelSettings(compile=True), CPU)
    latents, steps = torch.randn((2, 4, 8, 8), generator=torch_generator(1)), torch.tensor([10, 700])
    text = torch.randn((2, 3, 4), generator=torch_generator(2))

    with torch.no_grad():
        expected = unet(latents, steps, encoder_hidden_states=text).sample
        torch.testing.assert_close(predictor(latents, steps, text, static=True), expected)
        with torch.compiler.set_stance("fail_on_recompile"):
            torch.testing.assert_close(predictor(latents[:1], steps[:1], text[:1], static=False), expected[:1])
            with pytest.raises(RuntimeError):
                predictor(latents[:1], steps[:1], text[:1], static=True)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_decoder_decodes_the_same(tiny_directory: Path, tiny_model: DiffusionModel) -> None:
    """And it is the compiled one: latents of another shape would have to be compiled for."""
    settings = StableDiffusionSettings.model_validate({"directory": str(tiny_directory), "compile": True})
    compiled = settings.build(CPU)
    latents = torch.randn((1, 4, 8, 8), generator=torch_generator(3))

    torch.testing.assert_close(compiled.decode(latents), tiny_model.decode(latents), atol=1e-4, rtol=1e-4)
    with torch.compiler.set_stance("fail_on_recompile"), pytest.raises(RuntimeError):
        compiled.decode(latents.repeat(2, 1, 1, 1))


class _Traveller(torch.nn.Module):
    """A network that says where it was last sent."""

    place = "nowhere"

    def to(self, place: object) -> "_Traveller":  # type: ignore[override]
        self.place = str(place)
        return self


def test_networks_take_turns_on_a_small_device() -> None:
    """One is there while it is used and until another is needed; without `offload` all stay there."""
    first, second = _Traveller(), _Traveller()
    turns = Turns([first, second], torch.device("cuda"), offload=True)
    assert [first.place, second.place] == ["cpu", "cpu"]

    with turns.of(first):
        assert [first.place, second.place] == ["cuda", "cpu"]
    with turns.of(second):
        assert [first.place, second.place] == ["cpu", "cuda"]

    Turns([first, second], torch.device("cuda"), offload=False)
    assert [first.place, second.place] == ["cuda", "cuda"]


def test_offloading_changes_no_number(tiny_directory: Path, tiny_model: DiffusionModel) -> None:
    """Nor the identity of what is made with it."""
    settings = StableDiffusionSettings(directory=str(tiny_directory), offload=True)
    model, photo = settings.build(CPU), torch.rand((1, 3, 32, 32), generator=torch_generator(3)) * 2 - 1

    assert settings.identity == settings.model_copy(update={"offload": False}).identity
    assert torch.equal(model.decode(model.encode(photo)), tiny_model.decode(tiny_model.encode(photo)))
    for ours, theirs in zip(_predict(model, static=False), _predict(tiny_model, static=False), strict=True):
        assert torch.equal(ours, theirs)


def test_how_a_model_is_run_is_part_of_its_identity() -> None:
    """The reference has the fingerprint alone: what was stored before there were settings for it is found."""
    reference = BundledModelSettings()
    ways = [
        reference,
        reference.model_copy(update={"precision": "bf16"}),
        reference.model_copy(update={"compile": True}),
    ]

    assert reference.identity == reference.describe().fingerprint
    assert len({settings.identity for settings in ways}) == 3
    assert {settings.describe().fingerprint for settings in ways} == {reference.identity}
