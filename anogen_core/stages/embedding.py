"""Stage 1: learn defects as embeddings, many at once, or find those learned before."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from anogen_core.arrays import Image, Mask, array_digest
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image, load_mask
from anogen_core.diffusion.inversion import INVERSION_VERSION, Concept, LearnedEmbedding, learn_embeddings
from anogen_core.diffusion.views import encode_views
from anogen_core.errors import AnogenError, InputError, TrainingError
from anogen_core.masks.box_outline import outline_boxes
from anogen_core.quality.gates import QUALITY_VERSION
from anogen_core.records import BaseModelInfo, ConceptEmbedding, SupportSet
from anogen_core.seeding import derive_seed
from anogen_core.stages.catalogue import read_catalogue, read_category
from anogen_core.stages.embedding_store import (
    TENSORS,
    EmbeddingMetadata,
    SupportPhoto,
    named_embedding,
    read_vectors,
    store_embedding,
)
from anogen_core.stages.evidence import evidence_key, weigh_embedding
from anogen_core.stages.runtime import base_model
from anogen_core.storage.artifacts import Artifact, ArtifactStore, artifact_key
from anogen_core.storage.card import NOT_STATED


def load_support(
    support: SupportSet, config: RunConfig, frame: tuple[int, int] | None = None
) -> list[tuple[Image, Mask]]:
    """Return the support photos with their masks in the category's frame; unless given, it is read from the data.

    Where a photo is labelled by boxes the mask is the outline found inside them, unless the settings say otherwise.
    """
    frame = frame or read_category(config, support.category).frame
    loaded = []
    for sample in support.samples:
        photo, mask = load_image(sample, frame, white_level=config.frame.white_level), load_mask(sample, frame)
        boxed = not sample.has_mask and config.support.outline_boxes
        loaded.append((photo, outline_boxes(photo, mask) if boxed else mask))
    return loaded


def embedding_key(support: SupportSet, config: RunConfig) -> str:
    """Return the content key of the embedding: everything that decides its values, and nothing else.

    For a defect whose embedding the run file names, that is the key.
    """
    named = config.embeddings.get(defect_name(support))
    if named is not None:
        return named
    photos = [[array_digest(image), array_digest(mask)] for image, mask in load_support(support, config)]
    return artifact_key(
        "embedding",
        INVERSION_VERSION,
        config.base_model.identity,
        photos,
        config.inversion.identity(),
        config.generation.crop.model_dump(mode="json"),
        _seed(support, config),
    )


def results_key(supports: Sequence[SupportSet], config: RunConfig) -> str:
    """Return the content key of what `learn` returns: the embeddings, weighed or not."""
    return artifact_key(
        "learned", *([embedding_key(s, config), QUALITY_VERSION if _is_weighed(s, config) else None] for s in supports)
    )


def is_learned(support: SupportSet, config: RunConfig) -> bool:
    """Return whether the store holds the embedding of one defect, and its evidence where that is wanted."""
    artifacts = ArtifactStore.of_run(config.output)
    learned = artifacts.get(embedding_key(support, config))
    if learned is None or not _is_weighed(support, config):
        return learned is not None
    return artifacts.get(evidence_key(learned.sha256[TENSORS], load_support(support, config), config)) is not None


def unlearned(config: RunConfig) -> list[SupportSet]:
    """Return the support sets of all defects of a run that are yet to be learned.

    A defect whose photos cannot be read is left out: learning its category tells why.
    """
    found = []
    for category in read_catalogue(config):
        for support in category.supports:
            try:
                if not _is_named(support, config) and not is_learned(support, config):
                    found.append(support)
            except InputError:
                continue
    return found


def learn(
    supports: Sequence[SupportSet], config: RunConfig, *, on_step: Callable[[str, int, int], None] | None = None
) -> list[ConceptEmbedding]:
    """Return the embeddings of defects of any categories with their evidence.

    Those that the store does not hold and the run does not name are learned together; each is stored as soon as it is
    learned. One that cannot be learned stops no other.

    Args:
        supports: One for each defect.
        config: The run.
        on_step: Called with (`<category>/<defect>`, step, steps) after each step of each defect.

    Raises:
        InputError: photos cannot be used, or an embedding that the run file names is not there or was made for another
            base model.
        TrainingError: the loss of a defect is not a number, or several defects failed.
    """
    artifacts = ArtifactStore.of_run(config.output)
    found: dict[str, Artifact] = {}
    missing: dict[str, tuple[SupportSet, str]] = {}
    failures: list[AnogenError] = []
    for support in supports:
        name = defect_name(support)
        try:
            named_embedding(config, support.category, support.defect)
            key = embedding_key(support, config)
        except InputError as error:
            failures.append(error)
            continue
        artifact = artifacts.get(key)
        if artifact is None:
            missing[name] = (support, key)
        else:
            found[name] = artifact
    for name, ended in _learn(missing, config, artifacts, on_step=on_step):
        if isinstance(ended, Artifact):
            found[name] = ended
        else:
            failures.append(ended)
    if failures:
        raise failures[0] if len(failures) == 1 else TrainingError("; ".join(map(str, failures))) from failures[0]
    return [_embedding(support, config, artifacts, found[defect_name(support)]) for support in supports]


def defect_name(support: SupportSet) -> str:
    """Return `<category>/<defect>`."""
    return f"{support.category}/{support.defect}"


def _is_weighed(support: SupportSet, config: RunConfig) -> bool:
    """Return whether an embedding has to prove itself: one that was brought from elsewhere, where photos can tell."""
    return _is_named(support, config) and bool(support.samples) and config.quality.embedding


def _is_named(support: SupportSet, config: RunConfig) -> bool:
    return defect_name(support) in config.embeddings


def _learn(
    missing: Mapping[str, tuple[SupportSet, str]],
    config: RunConfig,
    artifacts: ArtifactStore,
    *,
    on_step: Callable[[str, int, int], None] | None,
) -> Iterator[tuple[str, Artifact | AnogenError]]:
    """Learn defects, given with their keys; yield each when it is stored or has failed."""
    if not missing:
        return
    model = base_model(config)
    unreadable: dict[str, InputError] = {}

    def concepts() -> Iterator[Concept]:
        for name, (support, key) in missing.items():
            try:
                photos = load_support(support, config)
            except InputError as error:
                unreadable[name] = error
                continue
            views = encode_views(photos, model, zooms=config.inversion.zooms, crop=config.generation.crop)
            yield Concept(name, views, _seed(support, config), artifacts.scratch(key))

    for concept, ended in learn_embeddings(concepts(), model, config.inversion, on_step=on_step):
        if isinstance(ended, LearnedEmbedding):
            support, key = missing[concept.name]
            artifact = store_embedding(artifacts, key, ended.vectors, _about(support, config, model.info, ended))
            artifacts.scratch(key).clear()
            yield concept.name, artifact
        else:
            yield concept.name, ended
    yield from unreadable.items()


def _about(support: SupportSet, config: RunConfig, base: BaseModelInfo, learned: LearnedEmbedding) -> EmbeddingMetadata:
    return EmbeddingMetadata(
        category=support.category,
        defect=support.defect,
        num_vectors=len(learned.vectors),
        base_model=base,
        licence=config.photos.licence or NOT_STATED,
        support=tuple(SupportPhoto(sample_id=s.sample_id, sha256=s.sha256) for s in support.samples),
        inversion_version=INVERSION_VERSION,
        settings=config.inversion.identity(),
        steps=learned.steps,
        best_step=learned.best_step,
        validation_loss=tuple(learned.curve),
    )


def _embedding(
    support: SupportSet, config: RunConfig, artifacts: ArtifactStore, artifact: Artifact
) -> ConceptEmbedding:
    about, digest = EmbeddingMetadata.model_validate(artifact.metadata), artifact.sha256[TENSORS]
    evidence = None
    if _is_weighed(support, config):
        vectors = read_vectors(artifacts, artifact.key)
        evidence = weigh_embedding(vectors, digest, load_support(support, config), config)
    return ConceptEmbedding(
        category=support.category,
        defect=support.defect,
        uri=artifact.uri,
        digest=digest,
        base_model=about.base_model.fingerprint,
        num_vectors=about.num_vectors,
        support_sha256=tuple(photo.sha256 for photo in about.support),
        evidence=evidence,
    )


def _seed(support: SupportSet, config: RunConfig) -> int:
    return derive_seed(config.seed, "inversion", support.category, support.defect)
