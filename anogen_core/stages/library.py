"""The way of embeddings out of a run's artefact store and into it."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
from pydantic import ValidationError

from anogen_core.config import RunConfig
from anogen_core.diffusion.crop import cut, zoom
from anogen_core.diffusion.embedding_file import learned_embeds, read_embedding_file
from anogen_core.errors import InputError, StorageError
from anogen_core.records import BaseModelInfo, Box, Record
from anogen_core.stages.embedding_store import (
    PREVIEW,
    EmbeddingMetadata,
    SourceFile,
    explain_mismatch,
    name_model,
    read_vectors,
    store_embedding,
)
from anogen_core.stages.library_entries import LibraryEntry, find_embedding
from anogen_core.stages.result import find_result
from anogen_core.stages.runtime import base_model
from anogen_core.storage import Dataset
from anogen_core.storage.artifacts import ArtifactStore, artifact_key

_PREVIEW_IMAGES: Final = 4
_PREVIEW_SIDE: Final = 128
_NOT_CONTENT: Final[dict[str, Any]] = {"created_at": True, "source": True, "licence": True, "base_model": {"licence"}}
"""What does not tell one imported embedding from another."""

log = logging.getLogger(__name__)


class ExportedEmbedding(Record):
    """`embedding.json`: what an export says about the safetensors file beside it."""

    format: Literal["anogen-embedding"] = "anogen-embedding"
    format_version: Literal[1] = 1
    file: str = "learned_embeds.safetensors"
    sha256: str
    """Of the safetensors file."""
    token: str
    """The placeholder under which diffusers loads it."""
    width: int
    about: EmbeddingMetadata


def export_embedding(output: str, entry: LibraryEntry, directory: Path) -> Path:
    """Write one embedding as `learned_embeds.safetensors` and `embedding.json`, and a preview where images were made.

    Args:
        output: Where the run's results are.
        entry: One of its embeddings.
        directory: Where to write; made if missing.

    Returns:
        The safetensors file.

    Raises:
        InputError: the directory cannot be written.
    """
    artifacts = ArtifactStore.of_run(output)
    vectors = read_vectors(artifacts, entry.key)
    token = f"<{entry.about.category}-{entry.about.defect}>"
    tensors = learned_embeds(token, vectors)
    exported = ExportedEmbedding(
        sha256=hashlib.sha256(tensors).hexdigest(), token=token, width=entry.width, about=entry.about
    )
    target = directory / exported.file
    preview = _preview(output, artifacts, entry)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        target.write_bytes(tensors)
        (directory / "embedding.json").write_text(exported.model_dump_json(indent=1), encoding="utf-8")
        if preview is not None:
            (directory / PREVIEW).write_bytes(preview)
    except OSError as error:
        raise InputError(f"{directory}: cannot be written ({error.strerror}). Choose another directory.") from error
    return target


def import_embedding(
    config: RunConfig, path: Path, *, name: str | None, token: str | None, licence: str | None
) -> LibraryEntry:
    """Store the embedding of a file in the run's output, so that its run file can name it under `embeddings`.

    Args:
        config: The run whose base model it is for.
        path: An exported directory, `learned_embeds.safetensors` or `.bin`, or the paper's `embeddings.pt`.
        name: `<category>/<defect>`; needed unless the file comes from `anogen embeddings export`.
        token: Which concept of a file with several.
        licence: Of the embedding; takes the place of the one that the file, or an earlier import of it, states.

    Raises:
        InputError: the file is no embedding, was changed, or belongs to another base model; both are named.
    """
    file = path / "learned_embeds.safetensors" if path.is_dir() else path
    vectors = read_embedding_file(file, token=token)
    exported = _read_record(file)
    wanted = config.base_model.describe()
    if exported is not None and exported.about.base_model.fingerprint != wanted.fingerprint:
        raise InputError(f"{file}: {explain_mismatch(exported.about.base_model, wanted)}")
    width = base_model(config).width
    if vectors.shape[1] != width:
        raise InputError(
            f"{file}: has vectors of width {vectors.shape[1]}, but {name_model(wanted)} takes {width}. "
            "It was made for another base model; name that one in the run file."
        )
    about = _describe(file, exported, name, wanted, len(vectors), licence)
    preview = file.parent / PREVIEW
    artifacts = ArtifactStore.of_run(config.output)
    key = artifact_key("embedding", "import", vectors.tolist(), about.model_dump(mode="json", exclude=_NOT_CONTENT))
    found = artifacts.get(key)
    if found is None:
        picture = preview.read_bytes() if exported is not None and preview.is_file() else None
        store_embedding(artifacts, key, vectors, about, preview=picture)
    else:
        stored = EmbeddingMetadata.model_validate(found.metadata)
        stated = stored.state_licences(licence, wanted.licence)
        if stated != stored:
            artifacts.annotate(key, stated.model_dump(mode="json"))
    return find_embedding(config.output, key)


def _read_record(file: Path) -> ExportedEmbedding | None:
    """Return what `anogen embeddings export` wrote beside a file; None when the file comes from elsewhere."""
    beside = file.parent / "embedding.json"
    if not beside.is_file():
        return None
    try:
        exported = ExportedEmbedding.model_validate_json(beside.read_bytes())
    except (ValidationError, OSError) as error:
        raise InputError(
            f"{beside}: does not describe an exported embedding ({str(error).splitlines()[0]}). Export it again, or "
            "move the embedding's file away from it."
        ) from error
    if exported.file != file.name:
        return None
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != exported.sha256:
        raise InputError(
            f"{file}: has sha256 {found[:16]}..., {beside.name} says {exported.sha256[:16]}.... Export again."
        )
    return exported


def _describe(
    file: Path,
    exported: ExportedEmbedding | None,
    name: str | None,
    model: BaseModelInfo,
    num_vectors: int,
    licence: str | None,
) -> EmbeddingMetadata:
    category, _, defect = (name or "").partition("/")
    if name is not None and (not category or not defect or "/" in defect):
        raise InputError(f"--defect {name}: expected <category>/<defect>, for example bottle/crack.")
    if exported is None and name is None:
        raise InputError(f"{file}: does not say which defect it is. Name it with --defect <category>/<defect>.")
    about = (
        exported.about
        if exported
        else EmbeddingMetadata(category=category, defect=defect, num_vectors=num_vectors, base_model=model)
    )
    changes: dict[str, Any] = {"imported": True}
    if name is not None:
        changes |= {"category": category, "defect": defect}
    if about.source is None:
        shown = Path(file.parent.name, file.name).as_posix()
        changes["source"] = SourceFile(name=shown, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    return about.model_copy(update=changes).state_licences(licence, model.licence)


def _preview(output: str, artifacts: ArtifactStore, entry: LibraryEntry) -> bytes | None:
    """Return a strip of the first images made with an embedding, or the one it was imported with, as PNG."""
    squares = list(_made_with(output, entry))
    if squares:
        strip = cv2.cvtColor(np.hstack(squares), cv2.COLOR_RGB2BGR)
        return bytes(cv2.imencode(".png", strip)[1].tobytes())
    try:
        return artifacts.read(entry.key, PREVIEW)
    except StorageError:
        return None


def _made_with(output: str, entry: LibraryEntry) -> Iterator[np.ndarray]:
    """Yield the generated square of the first few images of the last run that were made with an embedding."""
    last = find_result(output)
    made = [result.dataset for result in last.categories if result.dataset] if last else []
    for dataset in (Dataset(ref.uri) for ref in made):
        try:
            rows = [row for row in dataset.made() if row.embedding_digest == entry.digest][:_PREVIEW_IMAGES]
            for row in rows:
                if row.row is not None and row.crop is not None:
                    x, y, width, height = row.crop
                    square = cut(dataset.image(row.row), Box(x=x, y=y, width=width, height=height))
                    yield zoom(square, _PREVIEW_SIDE)
        except (InputError, StorageError) as error:
            log.warning("no preview from %s: %s", dataset.uri, error)
