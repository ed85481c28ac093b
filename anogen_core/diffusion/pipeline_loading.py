"""Load a diffusers pipeline from its files, whole or not at all."""

import importlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from anogen_core.diffusion.pipeline_files import choose_weights, find_weights
from anogen_core.errors import InputError
from anogen_core.pretrained import UNREADABLE, load_network

_WITH_WEIGHTS: Final = ("autoencoder", "text encoder", "noise predictor")
_UNUSED: Final = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that pipelines may have and that paint nothing."""
_MODULES: Final = {"latent_diffusion": "diffusers.pipelines.latent_diffusion"}
"""Where a library of model_index.json is no module of that name."""
_REPEATED: Final = "An error occurred while trying to fetch"
"""Begins what diffusers logs of a weight file that is not there, beside the error that it raises."""


def load_pipeline(directory: Path, parts: Mapping[str, str]) -> Any:
    """Return the pipeline, in fp32.

    Args:
        directory: Holds `model_index.json`.
        parts: The folder of each part, by role, as `find_parts` gives them.

    Raises:
        InputError: a file is damaged, or the network has values that its files do not hold.
    """
    from diffusers import DiffusionPipeline  # noqa: PLC0415 - seconds to import

    index = json.loads((directory / "model_index.json").read_text(encoding="utf-8"))
    try:
        with _quiet_libraries():
            loaded = {parts[role]: _load_part(directory / parts[role], *index[parts[role]]) for role in _WITH_WEIGHTS}
            unused = {name: None for name in _UNUSED if name in index}
            return DiffusionPipeline.from_pretrained(str(directory), local_files_only=True, **loaded, **unused)
    except UNREADABLE as error:
        raise InputError(
            f"base_model: the pipeline in {directory} does not load ({error}). Expected a complete diffusers "
            "text-to-image pipeline; copy its files there again."
        ) from error


def _load_part(folder: Path, library: str, name: str) -> Any:
    variant, use_safetensors = choose_weights(find_weights(folder))
    return load_network(
        getattr(importlib.import_module(_MODULES.get(library, library)), name),
        folder,
        variant=variant,
        use_safetensors=use_safetensors,
        torch_dtype=torch.float32,
    )


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep the loading bars and advice of diffusers and transformers off the user's terminal."""
    from diffusers.utils import logging as diffusers_logging  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    libraries = (diffusers_logging, transformers_logging)
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    loading = logging.getLogger("diffusers.models.modeling_utils")
    loading.addFilter(_tells_more)
    try:
        yield
    finally:
        loading.removeFilter(_tells_more)
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
            library.enable_progress_bar()


def _tells_more(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_REPEATED)
