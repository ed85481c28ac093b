"""The files of a diffusers text-to-image pipeline: whether all are there, and one fingerprint of their content."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

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
_COPY: Final = "Copy a pipeline there (`save_pretrained`), or use `base_model: {kind: bundled}`."


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
    files = (p for p in directory.rglob("*") if p.suffix in _FINGERPRINTED and p.is_file())
    return BaseModelInfo(name=name or directory.name, fingerprint=digest_files(directory, files)[:16], licence=licence)


def _missing(directory: Path, parts: dict[str, str]) -> Iterator[str]:
    for role, folder in parts.items():
        for patterns in _PARTS[role][1]:
            if not any(p.is_file() for pattern in patterns for p in (directory / folder).glob(pattern)):
                yield f"{folder}/{' or '.join(patterns)}"


def _layout() -> str:
    return "model_index.json and the folders " + ", ".join("|".join(known) for known, _ in _PARTS.values())
