"""Files that hold concept embeddings, in the layouts other tools write; reading one never runs code that is in it.

learned_embeds.safetensors, .bin    {token: (V, D) or (D,)}, diffusers' textual inversion
embeddings.pt                       {string_to_token, string_to_param: {"*": (V, D)}}, the paper's code and others
"""

from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch.serialization import safe_globals

from anogen_core.errors import InputError
from anogen_core.torch_files import TorchFileError, load_torch_file

LARGEST_FILE: Final = 16 * 2**20
"""Bytes; an embedding has kilobytes."""
MOST_VECTORS: Final = 16
WIDEST: Final = 16384
_NUMBERS: Final = {
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
}


class _Parameters:
    """Stands for torch's ParameterDict while a file is read, so that no module of torch is built from its state."""

    def __init__(self) -> None:
        self.tensors: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.tensors = dict(state.get("_parameters", {})) if isinstance(state, dict) else {}


def read_embedding_file(path: Path, *, token: str | None = None) -> torch.Tensor:
    """Return the (V, D) float32 vectors of an embedding file.

    Args:
        path: A `.safetensors` file, or a PyTorch file of any other suffix, which is read as tensors and never executed.
        token: Which concept, for a file that holds several.

    Raises:
        InputError: the file is missing, damaged, holds code, or holds no embedding.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no regular file. Expected an embedding file.")
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(
                f"{path}: has {size / 2**20:.0f} MiB, expected at most {LARGEST_FILE / 2**20:.0f}: an embedding has "
                "kilobytes. Name the embedding's own file."
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Expected an embedding file.") from error
    concepts = _read_safetensors(path, data) if path.suffix == ".safetensors" else _read_pickled(path)
    if token is None and len(concepts) != 1:
        raise InputError(f"{path}: holds {len(concepts)} concepts ({_names(concepts)}). Choose one with --token.")
    chosen = next(iter(concepts)) if token is None else token
    if chosen not in concepts:
        raise InputError(f"{path}: holds no concept {token!r}, but {_names(concepts)}. Choose one of these.")
    return _checked(path, chosen, concepts[chosen])


def learned_embeds(token: str, vectors: torch.Tensor) -> bytes:
    """Return a `learned_embeds.safetensors` that diffusers' `load_textual_inversion` reads.

    Args:
        token: The placeholder that stands for the concept in prompts.
        vectors: (V, D).
    """
    return save_tensors({token: vectors.contiguous()})


def _read_safetensors(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return dict(load_tensors(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path}: is not a safetensors file ({error}). Copy the file again.") from error


def _read_pickled(path: Path) -> dict[str, Any]:
    try:
        with safe_globals([(_Parameters, "torch.nn.modules.container.ParameterDict")]):
            loaded = load_torch_file(path)
    except Exception as error:  # torch.load names no errors, and a hostile file may break it in any way
        found = str(error) if isinstance(error, TorchFileError) else "holds more than tensors or is damaged"
        raise InputError(
            f"{path}: {found}, and was not loaded; no code in it was run. Expected an embedding as PyTorch or "
            "diffusers save it. Ask its author for a .safetensors file."
        ) from error
    concepts = loaded.get("string_to_param", loaded) if isinstance(loaded, dict) else loaded
    if isinstance(concepts, _Parameters):
        concepts = concepts.tensors
    if not isinstance(concepts, dict):
        raise InputError(f"{path}: holds {type(loaded).__name__}, expected named vectors (`learned_embeds.bin`).")
    return {str(name): value for name, value in concepts.items()}


def _checked(path: Path, token: str, vectors: Any) -> torch.Tensor:
    where = f"{path}: concept {token!r}"
    if not _is_dense(vectors) or vectors.ndim not in (1, 2):
        raise InputError(
            f"{where} is {_described(vectors)}, expected a dense tensor of floating-point numbers of shape "
            "(vectors, width) or (width,). Ask its author for a .safetensors file."
        )
    count, width = (1, len(vectors)) if vectors.ndim == 1 else tuple(vectors.shape)
    if not 1 <= count <= MOST_VECTORS or not 1 <= width <= WIDEST:
        raise InputError(f"{where} has shape {count}x{width}, expected 1 to {MOST_VECTORS} vectors.")
    plain = vectors.detach().reshape(count, width).to(torch.float32, copy=True).contiguous()
    if not torch.isfinite(plain).all():
        raise InputError(f"{where} holds values that are not finite numbers. Learn or copy it again.")
    return plain


def _is_dense(value: Any) -> bool:
    """Return whether a value is a tensor of floating-point numbers that are all there, in one block of memory."""
    return (
        type(value) in (torch.Tensor, torch.nn.Parameter)
        and value.dtype in _NUMBERS
        and value.layout is torch.strided
        and not value.is_nested
        and value.device.type == "cpu"
    )


def _described(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f"of type {type(value).__name__}"
    if value.is_nested:
        return "a nested tensor"
    layout = "dense" if value.layout is torch.strided else str(value.layout).removeprefix("torch.")
    place = "" if value.device.type == "cpu" else f" without values (on the device {value.device.type})"
    return f"a {layout} tensor of {str(value.dtype).removeprefix('torch.')}{place} of shape {tuple(value.shape)}"


def _names(concepts: dict[str, Any]) -> str:
    return ", ".join(map(repr, sorted(concepts)[:8])) or "none"
