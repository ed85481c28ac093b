"""The defect library: the embeddings in a run's artefact store as people name them, by defect and version."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from anogen_core.errors import InputError
from anogen_core.records import Record
from anogen_core.stages.embedding_store import TENSORS, EmbeddingMetadata, name_model, read_vectors
from anogen_core.stages.result import RunResult, find_result
from anogen_core.storage import open_store
from anogen_core.storage.artifacts import Artifact, ArtifactStore
from anogen_core.storage.uri import name_of


class LibraryEntry(Record):
    """One embedding of a run's artefact store."""

    key: str
    digest: str
    """sha256 of the stored vectors' file."""
    width: int
    version: int
    """1 for the oldest embedding of its defect in this store."""
    versions: int
    """How many embeddings of its defect there are."""
    used_by_last_run: bool
    """Whether the last run that finished here made images with it."""
    about: EmbeddingMetadata

    @property
    def defect(self) -> str:
        """Return `<category>/<defect>`."""
        return f"{self.about.category}/{self.about.defect}"

    @property
    def name(self) -> str:
        """Return `<category>/<defect>@v<version>`."""
        return f"{self.defect}@v{self.version}"

    def describe(self) -> str:
        """Return the entry in two lines."""
        about = self.about
        used = ", used by the last run" if self.used_by_last_run else ""
        return (
            f"{self.name}  {self.key}  {_origin(about)}{used}\n"
            f"  {about.num_vectors} x {self.width}, {len(about.support)} support photo(s), licence {about.licence}; "
            f"for {name_model(about.base_model)}, licence {about.base_model.licence}"
        )


def list_embeddings(output: str) -> list[LibraryEntry]:
    """Return every embedding of a run's output, by category and defect, the newest of each last.

    The licences that the last run's file states take the place of those that were stored with what it learned.

    Raises:
        InputError: there is nothing at all at that place.
        CorruptDatasetError: the result of the last run was changed or is too new.
    """
    if next(iter(open_store(output).list()), None) is None:
        raise InputError(f"{output}: holds nothing; expected a run's output. `anogen run RUN.yaml` makes one.")
    artifacts = ArtifactStore.of_run(output)
    defects: dict[tuple[str, str], list[tuple[Artifact, EmbeddingMetadata]]] = defaultdict(list)
    for artifact in filter(None, map(artifacts.get, artifacts.keys("embedding"))):
        about = EmbeddingMetadata.model_validate(artifact.metadata)
        defects[about.category, about.defect].append((artifact, about))
    last = find_result(output)
    used = {name_of(e.uri) for category in last.categories for e in category.embeddings} if last else set()
    entries = []
    for _, found in sorted(defects.items()):
        for number, (artifact, about) in enumerate(sorted(found, key=_age), start=1):
            entry = LibraryEntry(
                key=artifact.key,
                digest=artifact.sha256[TENSORS],
                width=read_vectors(artifacts, artifact.key).shape[1],
                version=number,
                versions=len(found),
                used_by_last_run=artifact.key in used,
                about=_as_stated(about, last) if last and artifact.key in used else about,
            )
            entries.append(entry)
    return entries


def find_embedding(output: str, name: str) -> LibraryEntry:
    """Return an embedding of a run's output.

    Args:
        output: Where the run's results are.
        name: A key, `<category>/<defect>@v<version>`, or `<category>/<defect>` for the one that the last run used, else
            the newest.

    Raises:
        InputError: there is no such embedding.
        CorruptDatasetError: the result of the last run was changed or is too new.
    """
    entries = list_embeddings(output)
    found = [e for e in entries if name in (e.key, e.defect, e.name)]
    if not found:
        versions = [e.name for e in entries if e.defect == name.rpartition("@")[0]]
        known = ", ".join(versions or dict.fromkeys(e.defect for e in entries)) or "none"
        raise InputError(f"{output}: holds no embedding {name!r}, but: {known}. `anogen embeddings ls` lists them.")
    return max(found, key=lambda e: (e.used_by_last_run, e.version))


def _age(stored: tuple[Artifact, EmbeddingMetadata]) -> tuple[datetime, str]:
    artifact, about = stored
    return about.created_at or datetime.min.replace(tzinfo=UTC), artifact.key


def _as_stated(about: EmbeddingMetadata, last: RunResult) -> EmbeddingMetadata:
    """Return what is known of an embedding that the last run used, with the licences that its run file states."""
    photos, model = _section(last, "photos"), _section(last, "base_model")
    return about.state_licences(None if about.imported else photos.get("licence"), model.get("licence"))


def _section(last: RunResult, name: str) -> dict[str, Any]:
    section = last.settings.get(name)
    return section if isinstance(section, dict) else {}


def _origin(about: EmbeddingMetadata) -> str:
    when = f"{about.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if about.created_at else "date not recorded"
    if not about.imported:
        return f"learned in {about.best_step} steps, {when}"
    source = f" from {about.source.name} (sha256 {about.source.sha256[:12]})" if about.source else ""
    return f"imported{source}, {when}"
