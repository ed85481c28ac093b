"""The device of a process, and its one base model, which is kept between units of work."""

import functools
import threading

import torch
from pydantic import TypeAdapter

from anogen_core.config import RunConfig
from anogen_core.diffusion import BaseModelSettings
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.errors import InputError

_LOADING = threading.Lock()


def pick_device(config: RunConfig) -> torch.device:
    """Return the device the run file asks for.

    Raises:
        InputError: it asks for a GPU and there is none.
    """
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"device: cuda, but PyTorch {torch.__version__} sees no GPU. Set `device: auto`, or install a build of "
            "PyTorch for the CUDA version of this machine."
        )
    return torch.device(config.device)


def base_model(config: RunConfig) -> DiffusionModel:
    """Return the run's base model; it is loaded once per process."""
    with _LOADING:
        return _load(config.base_model.model_dump_json(), str(pick_device(config)))


@functools.lru_cache(maxsize=1)
def _load(settings: str, device: str) -> DiffusionModel:
    parsed: BaseModelSettings = TypeAdapter(BaseModelSettings).validate_json(settings)
    return parsed.build(torch.device(device))
