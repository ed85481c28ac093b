"""How the networks of a base model are run: in which precision, compiled or not, all on the device or in turns."""

import functools
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, cast, final

import torch
from torch import nn

from anogen_core.diffusion.memory import Portions
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.pipeline_files import Canvas
from anogen_core.records import BaseModelInfo
from anogen_core.settings import Settings

_TYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_GRADIENT_SCALE: Final = 4096.0
"""Gradients of half precision are kept above its smallest number by this factor on their way through the network."""


class ModelSettings(Settings):
    """What every base model has in common."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the noise predictor, where the time goes; autoencoder, text encoder, schedule and embeddings stay in fp32.
    bf16 is for GPUs since Ampere and CPUs that multiply it (AMX, AVX-512 BF16), fp16 for older GPUs; fp32 is the
    reference."""
    compile: bool = False
    """Compile noise predictor and decoder for generation (`torch.compile`, needs a C++ compiler on a CPU): minutes
    before the first image of each process, then faster."""
    offload: bool = False
    """Keep the autoencoder and the noise predictor on the device in turns, the other one in main memory: for GPUs that
    cannot hold both. Slower, changes no number, and needs `runner.workers: 1` (Dask: `threads_per_worker: 1`)."""

    @abstractmethod
    def build(self, device: torch.device) -> DiffusionModel:
        """Load the model these settings name."""

    @abstractmethod
    def describe(self) -> BaseModelInfo:
        """Return the identity of the weights without loading them."""

    @abstractmethod
    def canvas(self) -> Canvas:
        """Return the canvas of the model without loading its weights."""

    @property
    def identity(self) -> str:
        """Return what decides the model's numbers: the fingerprint of its weights, and how they are run."""
        how = [] if self.precision == "fp32" else [self.precision]
        return " ".join([self.describe().fingerprint, *how, *(["compiled"] if self.compile else [])])


def compilation(device: torch.device) -> dict[str, Any]:
    """Return the arguments of `torch.compile` for a network that always meets the same shapes."""
    # A CPU multiplies weights that were packed for it once; the graph holds a packed copy of them.
    options = {"freezing": True} if device.type == "cpu" else {"conv_1x1_as_mm": True}
    return {"dynamic": False, "options": options}


@final
class NoisePredictor:
    """A frozen UNet that takes and gives fp32, whatever it computes in.

    Args:
        unet: diffusers' network.
        settings: How to run it.
        device: Where it will be run.
    """

    def __init__(self, unet: Any, settings: ModelSettings, device: torch.device) -> None:
        self._dtype = _TYPES[settings.precision]
        # diffusers' own `to` gives advice on stderr that is about other ways of loading.
        self.unet = nn.Module.to(unet, self._dtype)
        if settings.precision != "fp32" and (settings.compile or device.type == "cuda"):
            # Tensor cores, and compiled code on a CPU, take convolutions of half precision in this order.
            self.unet = self.unet.to(memory_format=torch.channels_last)
        how = compilation(device)
        self._static = cast("nn.Module", torch.compile(self.unet, **how) if settings.compile else self.unet)
        self._portions = Portions("the noise predictor")

    def __call__(
        self, latents: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor, *, static: bool
    ) -> torch.Tensor:
        """Return the UNet's output in fp32; `static` promises the same shapes in every such call.

        Where memory is short, a batch is divided, unless it needs a gradient: that keeps all of its portions in memory.
        """
        run = functools.partial(self._run, static=static)
        if torch.is_grad_enabled():
            return run(latents, timestep, text)
        return self._portions.map(run, latents, timestep, text)

    def _run(self, latents: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor, *, static: bool) -> torch.Tensor:
        run = self._static if static else self.unet
        if self._dtype == torch.float32:
            output: torch.Tensor = run(latents, timestep, encoder_hidden_states=text).sample
            return output
        if self._dtype == torch.float16:
            text = scale_gradient(text, 1 / _GRADIENT_SCALE)
        reduced = run(latents.to(self._dtype), timestep, encoder_hidden_states=text.to(self._dtype)).sample.float()
        return scale_gradient(reduced, _GRADIENT_SCALE) if self._dtype == torch.float16 else reduced


@final
class Turns:
    """Lets several networks be on a device: all of them always, or one at a time.

    Args:
        networks: Frozen, in main memory.
        device: Where they are run.
        offload: Whether to keep but one of them there.
    """

    def __init__(self, networks: Sequence[nn.Module], device: torch.device, *, offload: bool) -> None:
        self._networks, self._device, self._offload = networks, device, offload
        self._lock = threading.RLock()
        for network in networks:
            network.to("cpu" if offload else device)

    @contextmanager
    def of(self, network: nn.Module) -> Iterator[None]:
        """Have a network on the device, and nobody take it from there."""
        if not self._offload:
            yield
            return
        with self._lock:
            for other in self._networks:
                if other is not network:
                    other.to("cpu")
            network.to(self._device)
            yield


def scale_gradient(values: torch.Tensor, factor: float) -> torch.Tensor:
    """Return the values as they are; the gradient through them is multiplied by the factor."""
    if not values.requires_grad:
        return values
    return cast("torch.Tensor", _ScaleGradient.apply(values, factor))  # type: ignore[no-untyped-call]


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: torch.Tensor, factor: float) -> torch.Tensor:
        context.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * context.factor, None
