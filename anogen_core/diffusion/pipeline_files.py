"""The files of a diffusers text-to-image pipeline: whether all are there, and one fingerprint of their content."""

import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from anogen_core.digests import digest_files
from anogen_core.errors import InputError
from anogen_core.records import BaseModelInfo

_FINGERPRINTED: Final = {".safetensors", ".bin", ".json", ".txt"}
_WEIGHTS: Final = ("*.safetensors", "*.bin")
_SCHEDULER_CONFIG: Final = "scheduler_config.json"
_PARTS: Final = {
    # role: names that pipelines give it, and the files it needs (of each group at least one)
    "autoencoder": (("vae", "vqvae"), (("config.json",), _WEIGHTS)),
    "text encoder": (("text_encoder", "bert"), (("config.json",), _WEIGHTS)),
    "tokenizer": (("tokenizer",), (("tokenizer.json", "vocab.json", "vocab.txt"),)),
    "noise predictor": (("unet",), (("config.json",), _WEIGHTS)),
    "scheduler": (("scheduler",), ((_SCHEDULER_CONFIG,),)),
}
_LIBRARIES: Final = {"diffusers", "transformers", "stable_diffusion", "latent_diffusion"}
_CONFIG: Final = "config.json"
_TINY_LEVELS: Final = "encoder_block_out_channels"
_PREDICTED: Final = ("epsilon", "sample", "v_prediction")
_BETAS: Final = ("linear", "scaled_linear", "squaredcos_cap_v2")
_OTHER_INPUTS: Final = (
    "class_embed_type",
    "num_class_embeds",
    "addition_embed_type",
    "encoder_hid_dim",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
)
"""Settings of UNets that are told more than a timestep and a text: a class, a size, an image, a weight of guidance."""
_FAMILIES: Final = "Stable Diffusion 1 or 2, text to image or inpainting, or LDM"
_VARIANT: Final = re.compile(r"model\.(\w+)(-\d+-of-\d+)?\.(safetensors|bin)")
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
            "Diffusion 1 or 2, or LDM). Use a model of these families."
        )
    parts = {role: next((n for n in known if n in names), known[0]) for role, (known, _) in _PARTS.items()}
    missing = list(_missing(directory, parts, field))
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


def choose_weights(names: Collection[str]) -> tuple[str | None, bool]:
    """Return what is loaded of weight files: their variant (fp16) where there are no others, and if safetensors are."""
    variants = {name: match[1] for name in names if (match := _VARIANT.search(name))}
    variant = min(variants.values()) if variants and len(variants) == len(names) else None
    return variant, any(name.endswith(".safetensors") for name in names if variants.get(name) == variant)


def find_weights(folder: Path) -> list[str]:
    """Return the names of a folder's weight files."""
    return [path.name for pattern in _WEIGHTS for path in folder.glob(pattern) if path.is_file()]


def _missing(directory: Path, parts: dict[str, str], field: str) -> Iterator[str]:
    for role, name in parts.items():
        folder = directory / name
        shards = _missing_shards(folder, field) if _WEIGHTS in _PARTS[role][1] else []
        for patterns in _PARTS[role][1]:
            found = any(p.is_file() for pattern in patterns for p in folder.glob(pattern))
            if not found and not (shards and patterns == _WEIGHTS):
                yield f"{name}/{' or '.join(patterns)}"
        yield from (f"{name}/{shard}" for shard in shards)
        # A vocabulary in two files; without the second one no text is understood.
        two = (folder / "vocab.json").is_file() and not (folder / "tokenizer.json").is_file()
        if two and not (folder / "merges.txt").is_file():
            yield f"{name}/merges.txt"


def _missing_shards(folder: Path, field: str) -> list[str]:
    """Return the files that the index of the weights to be loaded names and that are not there."""
    indexed = [_read_index(path, field) for weights in _WEIGHTS for path in folder.glob(f"{weights}.index*.json")]
    split, present = {shard for shards in indexed for shard in shards}, find_weights(folder)
    chosen = choose_weights(present or split)
    if any(choose_weights([name]) == chosen and name not in split for name in present):
        return []
    wanted = [shards for shards in indexed if choose_weights(shards) == chosen]
    return sorted({shard for shards in wanted for shard in shards} - set(present))


def _read_index(path: Path, field: str) -> set[str]:
    shards = _read(path, field).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise InputError(f"{field}: {path} is damaged (no weight_map of file names). Copy it there again.")
    return set(shards.values())


def _read(path: Path, field: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{field}: {path} is damaged ({error}). Copy it there again.") from error


def _require_supported(directory: Path, parts: dict[str, str], field: str) -> None:
    """Raise InputError for a UNet or a noise schedule that the sampler does not know."""
    autoencoder = _read(directory / parts["autoencoder"] / _CONFIG, field)
    _require_unet(directory / parts["noise predictor"] / _CONFIG, autoencoder.get("latent_channels", 4), field)
    _require_schedule(directory / parts["scheduler"] / _SCHEDULER_CONFIG, field)


def _require_unet(path: Path, latent: int, field: str) -> None:
    config = _read(path, field)
    taken = config.get("in_channels", 4)
    if taken not in {latent, 2 * latent + 1}:
        raise InputError(
            f"{field}: the UNet of {path} takes {taken} channels; expected {latent} (text to image) or "
            f"{2 * latent + 1} (inpainting) with its autoencoder of {latent}. Use another pipeline."
        )
    given = config.get("out_channels", 4)
    if given != latent:
        raise InputError(
            f"{field}: {path} sets out_channels: {given}; expected {latent}, as many as its autoencoder has (a UNet "
            "that learned its variance has twice as many). Use another pipeline."
        )
    told = [f"{name}: {config[name]}" for name in _OTHER_INPUTS if config.get(name) is not None]
    if told:
        raise InputError(
            f"{field}: {path} sets {', '.join(told)}; expected null: its UNet has to be told more than a timestep and "
            f"a text, or was distilled (LCM). Use a pipeline of {_FAMILIES}, or `base_model: {{kind: bundled}}`."
        )


def _require_schedule(path: Path, field: str) -> None:
    config = _read(path, field)
    predicted = config.get("prediction_type", "epsilon")
    if predicted not in _PREDICTED:
        raise InputError(
            f"{field}: {path} names the prediction_type {predicted!r}; expected one of: {', '.join(_PREDICTED)}."
        )
    if not config.get("trained_betas") and config.get("beta_schedule") not in _BETAS:
        raise InputError(
            f"{field}: {path} ({config.get('_class_name')}) names the beta_schedule {config.get('beta_schedule')!r}; "
            f"expected one of: {', '.join(_BETAS)}, or trained_betas. Models of other schedules (EDM, flow "
            f"matching) are not supported. Use a pipeline of {_FAMILIES}, or `base_model: {{kind: bundled}}`."
        )


def _layout() -> str:
    return "model_index.json and the folders " + ", ".join("|".join(known) for known, _ in _PARTS.values())
