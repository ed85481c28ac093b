"""Where memory is short a batch goes through in portions, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from anogen_core.diffusion import StableDiffusionSettings
from anogen_core.diffusion.memory import Portions, is_short_of_memory
from anogen_core.diffusion.stable_diffusion import StableDiffusionModel
from anogen_core.seeding import torch_generator


def _no_device_memory() -> None:
    raise torch.OutOfMemoryError


def _no_main_memory() -> None:
    torch.empty(2**57, dtype=torch.uint8)


@pytest.fixture
def model(tiny_directory: Path) -> StableDiffusionModel:
    """Return a model of its own: one that has been short of memory stays careful."""
    return StableDiffusionSettings(directory=str(tiny_directory)).build(torch.device("cpu"))


@pytest.mark.parametrize("exhaust", [_no_device_memory, _no_main_memory])
def test_a_batch_is_halved_until_it_fits(exhaust: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    """Each sample is worked on once, later batches begin with the size that fitted, and the log says it once a size."""
    portions, limit = Portions("the oven"), 3
    done: list[tuple[int, int]] = []

    def work(start: int, stop: int) -> None:
        if stop - start > limit:
            exhaust()
        done.append((start, stop))

    portions.run(3, work)
    portions.run(12, work)
    portions.run(5, work)

    assert done == [(0, 3), (0, 3), (3, 6), (6, 9), (9, 12), (0, 3), (3, 5)]
    assert [record.getMessage() for record in caplog.records] == [
        f"Memory is short: the oven takes at most {size} at once from here on." for size in (6, 3)
    ]


def test_what_is_no_shortage_or_one_sample_too_large_is_an_error() -> None:
    """Neither is tried again."""
    sizes: list[int] = []

    def work(start: int, stop: int) -> None:
        sizes.append(stop - start)
        if stop - start == 1:
            _no_main_memory()
        raise RuntimeError("another fault") if stop - start == 3 else torch.OutOfMemoryError

    with pytest.raises(RuntimeError, match="another fault"):
        Portions("").run(3, work)
    with pytest.raises(RuntimeError, match="allocate memory"):
        Portions("").run(2, work)
    assert sizes == [3, 2, 1]


@pytest.mark.parametrize("limit", [3, 1])
def test_a_model_that_is_short_of_memory_says_the_same(model: StableDiffusionModel, limit: int) -> None:
    """Its encoder, decoder and noise predictor, down to one sample at a time; one it has no memory for is an error."""
    photos = torch.rand((7, 3, 32, 32), generator=torch_generator(3)) * 2 - 1
    latents, steps = model.encode(photos), torch.arange(7) * 100
    with torch.no_grad():
        text = model.condition(["a photo of a crack"] * 7)
        said, decoded = model.predict(latents, steps, text), model.decode(latents)
    allowed, largest = limit, 0

    def little_memory(_network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal largest
        if len(inputs[0]) > allowed:
            _no_device_memory()
        largest = max(largest, len(inputs[0]))

    for network in (model._unet, model._vae.encoder, model._vae.decoder):
        network.register_forward_pre_hook(little_memory)
    with torch.no_grad():
        torch.testing.assert_close(model.predict(latents, steps, text), said, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.encode(photos), latents, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.decode(latents), decoded, atol=1e-5, rtol=1e-5)
    assert largest == limit

    allowed = 0
    with pytest.raises(torch.OutOfMemoryError):
        model.encode(photos)


def test_short_memory_is_told_from_other_errors() -> None:
    """That of a device, of PyTorch and NumPy in main memory, and of oneDNN's kernels; no other error is tried again."""
    found: list[Exception] = [torch.OutOfMemoryError(), RuntimeError("could not create a primitive")]
    for allocate in (lambda: torch.empty(2**57, dtype=torch.uint8), lambda: np.empty(2**57, np.uint8)):
        with pytest.raises((RuntimeError, MemoryError)) as raised:
            allocate()
        found.append(raised.value)
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) @ torch.ones(3)

    assert all(is_short_of_memory(error) for error in found)
    assert not is_short_of_memory(other.value)
    assert not is_short_of_memory(RuntimeError("could not create a primitive descriptor for a convolution"))
