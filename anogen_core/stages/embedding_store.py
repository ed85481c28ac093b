"""Embeddings in a run's artefact store: vectors, what is known about them, and which of them a run file names."""

from datetime import UTC, datetime
from typing import Any, Final, Literal

import torch
from pydantic import AwareDatetime, Field
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from anogen_core.config import RunConfig
from anogen_core.errors import InputError
from anogen_core.records import BaseModelInfo, Record
from anogen_core.storage.artifacts import Artifact, ArtifactStore
from anogen_core.storage.card import NOT_STATED

TENSORS: Final = "embedding.safetensors"
PREVIEW: Final = "preview.png"


class SupportPhoto(Record):
    """A photo that an embedding was learned from."""

    sample_id: str
    sha256: str


class SourceFile(Record):
    """The file that an embedding was imported from."""

    name: str
    """With the folder it lay in: some tools give the files of all embeddings one name."""
    sha256: str


class EmbeddingMetadata(Record):
    """What is known about an embedding beside its vectors, in the store and in an exported `embedding.json`."""

    kind: Literal["embedding"] = "embedding"
    category: str
    defect: str
    num_vectors: int
    base_model: BaseModelInfo
    """For a file that does not say: the base model it was imported for."""
    licence: str = NOT_STATED
    """Of the photos it was learned from, as the run file states it, or as stated on import."""
    created_at: AwareDatetime | None = None
    """When it was stored in this output (UTC); None in the stores of earlier versions."""
    source: SourceFile | None = None
    """The file it was first imported from; None for one that was learned here."""
    support: tuple[SupportPhoto, ...] = ()
    """Empty when the file did not say."""
    inversion_version: int | None = None
    """Version of the learning code; None when the embedding was learned elsewhere."""
    imported: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the inversion."""
    steps: int = 0
    best_step: int = 0
    validation_loss: tuple[tuple[int, float], ...] = ()

    def state_licences(self, own: str | None, base_model: str | None) -> "EmbeddingMetadata":
        """Return it with the licences that are stated; one that is not (None or `not stated`) stays what it was."""
        model = self.base_model
        if base_model not in (None, NOT_STATED):
            model = model.model_copy(update={"licence": base_model})
        licence = self.licence if own in (None, NOT_STATED) else own
        return self.model_copy(update={"licence": licence, "base_model": model})


def name_model(model: BaseModelInfo) -> str:
    """Return name and fingerprint of a base model for messages."""
    return f"base model {model.name} ({model.fingerprint})"


def read_vectors(artifacts: ArtifactStore, key: str) -> torch.Tensor:
    """Return the (V, D) vectors of a stored embedding."""
    return load_tensors(artifacts.read(key, TENSORS))["vectors"]


def store_embedding(
    artifacts: ArtifactStore,
    key: str,
    vectors: torch.Tensor,
    about: EmbeddingMetadata,
    *,
    preview: bytes | None = None,
) -> Artifact:
    """Store the (V, D) vectors of one defect with what is known about them and the time."""
    metadata = about.model_copy(update={"created_at": datetime.now(UTC)}).model_dump(mode="json")
    tensors = save_tensors({"vectors": vectors.contiguous()}, metadata={"concept": f"{about.category}/{about.defect}"})
    files = {TENSORS: tensors}
    if preview is not None:
        files[PREVIEW] = preview
    return artifacts.put(key, files, metadata)


def named_embedding(config: RunConfig, category: str, defect: str) -> EmbeddingMetadata | None:
    """Return the imported embedding that the run file names for a defect; None for a defect that is learned.

    Raises:
        InputError: the store has no such embedding, or it was made for another base model.
    """
    name = f"{category}/{defect}"
    key = config.embeddings.get(name)
    if key is None:
        return None
    artifact = ArtifactStore.of_run(config.output).get(key)
    if artifact is None:
        raise InputError(
            f"embeddings[{name}]: {config.output}/artifacts holds no sound {key}. "
            f"`anogen embeddings ls {config.output}` lists what is there; `import` adds one."
        )
    about = EmbeddingMetadata.model_validate(artifact.metadata)
    wanted = config.base_model.describe()
    if about.base_model.fingerprint != wanted.fingerprint:
        raise InputError(f"embeddings[{name}]: {key} {explain_mismatch(about.base_model, wanted)}")
    return about


def explain_mismatch(found: BaseModelInfo, wanted: BaseModelInfo) -> str:
    """Return why an embedding cannot be used, with both base models named."""
    return (
        f"was made for {name_model(found)}, but the run file names {name_model(wanted)}. "
        "An embedding means nothing to another base model: use that one, or learn the defect anew."
    )
