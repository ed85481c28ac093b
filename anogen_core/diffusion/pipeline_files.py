"""The files of a diffusers text-to-image pipeline: whether all are there, and one fingerprint of their content."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from anogen_core.digests import digest_files
from anogen_core.errors import InputError
from anogen_core.records import BaseModelInfo

_FINGERPRINTED: Final = {".safetensors", ".bin", ".json", ".txt"}
_WEIGHTS: Final = ("*.safetensors", "*.bin")
_PARTS: Final = {
    # role: names that pipelines give it, and the files it needs (of each group at least one)
    "autoencoder": (("vae", "vqvae"), (("config.json",), _WEIGHTS)),
    "text encoder": (("text_encoder", "bert"), (("config.json",), _WEIGHTS)),
    "tokenizer": (("tokenizer",), (("tokenizer.json", "vocab.json", "vocab.txt"),)),
    "noise predictor": (("unet",), (("config.json",), _WEIGHTS)),
    "scheduler": (("scheduler",), (("scheduler_config.json",),)),
}
_LIBRARIES: Final = {"diffusers", "transformers", "stable_diffusion", "latent_diffusion"}
_CONFIG: Final = "config.json"
_TINY_LEVELS: Final = "encoder_block_out_channels"
_PREDICTED: Final = {"epsilon", "v_prediction", "sample"}
_COPY: Final = "Copy a pipeline there (`save_pretrained`), or use `base_model: {kind: bundled}`."


class Canvas(NamedTuple):
    """The square image that a model was trained for."""

    side: int
    """In pixels."""
    factor: int
    """Pixels that one latent cell spans along each axis."""


def find_parts(directory: Path, *, field: str = "base_model.directory", remedy: str = _COPY) -> dict[str, str]:
    """Return the folder of each part of a pipeline, by role.

    Args:
        directory: Holds `model_index.json`.
        field: The setting that names the pipeline, for messages.
        remedy: What to do when something is missing.

    Raises:
        InputError: it is no such pipeline, or files are missing; all of them are named.
    """
    try:
        index = json.loads((directory / "model_index.json").read_text(encoding="utf-8"))
        names = {name for name, value in index.items() if isinstance(value, list) and value[0] is not None}
    except OSError as error:
        raise InputError(
            f"{field}: {directory} holds no readable model_index.json. Expected a diffusers pipeline: {_layout()}. "
            f"{remedy}"
        ) from error
    except (ValueError, AttributeError, IndexError) as error:
        raise InputError(f"{field}: {directory}/model_index.json is damaged ({error}). {remedy}") from error
    foreign = sorted(name for name in names if index[name][0] not in _LIBRARIES)
    if foreign or not isinstance(index.get("_class_name"), str):
        raise InputError(
            f"{field}: {directory} brings code of its own ({', '.join(foreign) or '_class_name'}), which is never run. "
            "Expected a pipeline of diffusers' and transformers' classes."
        )
    if "text_encoder_2" in names:
        raise InputError(
            f"{field}: {directory} is a {index.get('_class_name')} with two text encoders, expected one (Stable "
            "Diffusion 1 or 2, or LDM)."
        )
    parts = {role: next((n for n in known if n in names), known[0]) for role, (known, _) in _PARTS.items()}
    missing = list(_missing(directory, parts))
    if missing:
        raise InputError(f"{field}: {directory} lacks {', '.join(missing)}. {remedy}")
    _require_supported(directory, parts, field)
    return parts


def describe_directory(
    directory: Path,
    *,
    licence: str,
    name: str | None = None,
    field: str = "base_model.directory",
    remedy: str = _COPY,
) -> BaseModelInfo:
    """Return the identity of a pipeline directory: a digest of every weight and configuration file.

    Raises:
        InputError: the directory does not hold a complete diffusers pipeline.
    """
    find_parts(directory, field=field, remedy=remedy)
    # Folders may be links into a store that several pipelines share; loading follows them too.
    found = (Path(parent, name) for parent, _, names in os.walk(directory, followlinks=True) for name in names)
    files = (path for path in found if path.suffix in _FINGERPRINTED and path.is_file())
    return BaseModelInfo(name=name or directory.name, fingerprint=digest_files(directory, files)[:16], licence=licence)


def read_canvas(directory: Path, *, field: str = "base_model.directory", remedy: str = _COPY) -> Canvas:
    """Return the canvas of a pipeline directory, from its configuration files.

    Raises:
        InputError: the directory does not hold a complete diffusers pipeline, or does not say how large its images are.
    """
    parts = find_parts(directory, field=field, remedy=remedy)
    autoencoder, unet = (
        json.loads((directory / parts[role] / _CONFIG).read_text(encoding="utf-8"))
        for role in ("autoencoder", "noise predictor")
    )
    try:
        # AutoencoderTiny names those of its two halves apart.
        levels = autoencoder["block_out_channels" if "block_out_channels" in autoencoder else _TINY_LEVELS]
        factor = 2 ** (len(levels) - 1)
        return Canvas(int(unet["sample_size"]) * factor, factor)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{field}: {directory} does not say how large its images are. Expected `block_out_channels`, a list, in "
            f"{parts['autoencoder']}/{_CONFIG} and `sample_size`, a number, in {parts['noise predictor']}/{_CONFIG}. "
            f"{remedy}"
        ) from error


def _missing(directory: Path, parts: dict[str, str]) -> Iterator[str]:
    for role, folder in parts.items():
        for patterns in _PARTS[role][1]:
            if not any(p.is_file() for pattern in patterns for p in (directory / folder).glob(pattern)):
                yield f"{folder}/{' or '.join(patterns)}"


def _require_supported(directory: Path, parts: dict[str, str], field: str) -> None:
    """Raise InputError for a UNet that takes other inputs, or predicts something else, than the sampler knows."""
    configs = {}
    for role, file in (("autoencoder", _CONFIG), ("noise predictor", _CONFIG), ("scheduler", "scheduler_config.json")):
        path = directory / parts[role] / file
        try:
            configs[role] = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{field}: {path} is damaged ({error}). Copy it there again.") from error
    latent = configs["autoencoder"].get("latent_channels", 4)
    taken = configs["noise predictor"].get("in_channels", 4)
    if taken not in {latent, 2 * latent + 1}:
        raise InputError(
            f"{field}: the UNet of {directory} takes {taken} channels; expected {latent} (text to image) or "
            f"{2 * latent + 1} (inpainting) with its autoencoder of {latent}. Use another pipeline."
        )
    predicted = configs["scheduler"].get("prediction_type", "epsilon")
    if predicted not in _PREDICTED:
        raise InputError(
            f"{field}: {directory}/{parts['scheduler']} names the prediction_type {predicted!r}; expected one of: "
            f"{', '.join(sorted(_PREDICTED))}."
        )


def _layout() -> str:
    return "model_index.json and the folders " + ", ".join("|".join(known) for known, _ in _PARTS.values())
