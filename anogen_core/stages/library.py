"""The defect library: the embeddings in a run's artefact store, and their way out of it and into it."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
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
    TENSORS,
    EmbeddingMetadata,
    explain_mismatch,
    name_model,
    read_vectors,
    store_embedding,
)
from anogen_core.stages.result import read_result
from anogen_core.stages.runtime import base_model
from anogen_core.storage import Dataset, open_store
from anogen_core.storage.artifacts import Artifact, ArtifactStore, artifact_key

_PREVIEW_IMAGES: Final = 4
_PREVIEW_SIDE: Final = 128

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


class LibraryEntry(Record):
    """One embedding of a run's artefact store."""

    key: str
    digest: str
    """sha256 of the stored vectors' file."""
    width: int
    about: EmbeddingMetadata

    def describe(self) -> str:
        """Return the entry in two lines."""
        about = self.about
        origin = "imported" if about.imported else f"learned in {about.best_step} steps"
        return (
            f"{self.key}  {about.category}/{about.defect}: {about.num_vectors} x {self.width}, {origin}, "
            f"{len(about.support)} support photo(s), licence {about.licence}\n"
            f"  for {name_model(about.base_model)}, licence {about.base_model.licence}"
        )


def list_embeddings(output: str) -> list[LibraryEntry]:
    """Return every embedding of a run's output, by category, defect and key.

    Raises:
        InputError: there is nothing at all at that place.
    """
    if next(iter(open_store(output).list()), None) is None:
        raise InputError(f"{output}: holds nothing; expected a run's output. `anogen run RUN.yaml` makes one.")
    artifacts = ArtifactStore(f"{output}/artifacts")
    found = (artifacts.get(key) for key in artifacts.keys("embedding"))
    entries = [_entry(artifacts, artifact) for artifact in found if artifact is not None]
    return sorted(entries, key=lambda e: (e.about.category, e.about.defect, e.key))


def export_embedding(output: str, name: str, directory: Path) -> Path:
    """Write one embedding as `learned_embeds.safetensors` and `embedding.json`, and a preview where images were made.

    Args:
        output: Where the run's results are.
        name: `<category>/<defect>`, or the key that `anogen embeddings ls` shows.
        directory: Where to write; made if missing.

    Returns:
        The safetensors file.

    Raises:
        InputError: there is no such embedding, there are several, or the directory cannot be written.
    """
    entry = _find(output, name)
    artifacts = ArtifactStore(f"{output}/artifacts")
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
        licence: Of the embedding, where the file does not say.

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
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    key = artifact_key("embedding", "import", vectors.tolist(), about.model_dump(mode="json"))
    picture = preview.read_bytes() if exported is not None and preview.is_file() else None
    return _entry(artifacts, artifacts.get(key) or store_embedding(artifacts, key, vectors, about, preview=picture))


def _entry(artifacts: ArtifactStore, artifact: Artifact) -> LibraryEntry:
    vectors = read_vectors(artifacts, artifact.key)
    about = EmbeddingMetadata.model_validate(artifact.metadata)
    return LibraryEntry(key=artifact.key, digest=artifact.sha256[TENSORS], width=vectors.shape[1], about=about)


def _find(output: str, name: str) -> LibraryEntry:
    entries = list_embeddings(output)
    found = [e for e in entries if name in (e.key, f"{e.about.category}/{e.about.defect}")]
    if len(found) > 1:
        raise InputError(f"{name}: {len(found)} embeddings ({', '.join(e.key for e in found)}). Name one by its key.")
    if not found:
        known = _listed(f"{e.about.category}/{e.about.defect}" for e in entries)
        raise InputError(f"{output}: holds no embedding {name!r}, but: {known}. `anogen embeddings ls` lists them.")
    return found[0]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"


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
    changes: dict[str, Any] = {"imported": True}
    if licence is not None:
        changes["licence"] = licence
    if name is not None:
        changes |= {"category": category, "defect": defect}
    about = (
        exported.about
        if exported
        else EmbeddingMetadata(category=category, defect=defect, num_vectors=num_vectors, base_model=model)
    )
    return about.model_copy(update=changes)


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
    if not open_store(output).exists("run.json"):
        return
    for result in read_result(output).categories:
        dataset = Dataset(result.dataset.uri)
        try:
            rows = [row for row in dataset.made() if row.embedding_digest == entry.digest][:_PREVIEW_IMAGES]
            for row in rows:
                if row.row is not None and row.crop is not None:
                    x, y, width, height = row.crop
                    square = cut(dataset.image(row.row), Box(x=x, y=y, width=width, height=height))
                    yield zoom(square, _PREVIEW_SIDE)
        except (InputError, StorageError) as error:
            log.warning("no preview from %s: %s", dataset.uri, error)
