"""Stage 1: learn each defect as an embedding, or find the one learned before."""

from collections.abc import Callable

from anogen_core.arrays import Image, Mask, array_digest
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image, load_mask
from anogen_core.diffusion.inversion import INVERSION_VERSION, learn_embedding
from anogen_core.diffusion.views import encode_views
from anogen_core.quality.gates import QUALITY_VERSION
from anogen_core.records import ConceptEmbedding, SupportSet
from anogen_core.seeding import derive_seed
from anogen_core.stages.catalogue import read_category
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


def load_support(
    support: SupportSet, config: RunConfig, frame: tuple[int, int] | None = None
) -> list[tuple[Image, Mask]]:
    """Return the support photos with their masks in the category's frame; unless given, it is read from the data."""
    frame = frame or read_category(config, support.category).frame
    return [(load_image(s, frame, white_level=config.frame.white_level), load_mask(s, frame)) for s in support.samples]


def embedding_key(support: SupportSet, config: RunConfig) -> str:
    """Return the content key of the embedding: everything that decides its values, and nothing else.

    For a defect whose embedding the run file names, that is the key.
    """
    named = config.embeddings.get(f"{support.category}/{support.defect}")
    if named is not None:
        return named
    photos = [[array_digest(image), array_digest(mask)] for image, mask in load_support(support, config)]
    return artifact_key(
        "embedding",
        INVERSION_VERSION,
        config.base_model.describe().fingerprint,
        photos,
        config.inversion.model_dump(mode="json"),
        config.generation.crop.model_dump(mode="json"),
        _seed(support, config),
    )


def result_key(support: SupportSet, config: RunConfig) -> str:
    """Return the content key of what `learn` returns: the embedding, weighed or not."""
    return f"{embedding_key(support, config)}{f'-weighed-{QUALITY_VERSION}' if _is_weighed(support, config) else ''}"


def is_learned(support: SupportSet, config: RunConfig) -> bool:
    """Return whether the store holds the embedding of one defect, and its evidence where that is wanted."""
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    learned = artifacts.get(embedding_key(support, config))
    if learned is None or not _is_weighed(support, config):
        return learned is not None
    return artifacts.get(evidence_key(learned.sha256[TENSORS], load_support(support, config), config)) is not None


def learn(
    support: SupportSet, config: RunConfig, *, on_step: Callable[[int, int], None] | None = None
) -> ConceptEmbedding:
    """Return the embedding of one defect with its evidence; learns it unless the store holds it or the run names it.

    Raises:
        InputError: the embedding that the run file names is not there, or was made for another base model.
    """
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    named_embedding(config, support.category, support.defect)
    key = embedding_key(support, config)
    artifact = artifacts.get(key) or _learn(support, config, artifacts, key, on_step=on_step)
    about, digest = EmbeddingMetadata.model_validate(artifact.metadata), artifact.sha256[TENSORS]
    evidence = None
    if _is_weighed(support, config):
        evidence = weigh_embedding(read_vectors(artifacts, key), digest, load_support(support, config), config)
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


def _is_weighed(support: SupportSet, config: RunConfig) -> bool:
    """Return whether an embedding has to prove itself: one that was brought from elsewhere, where photos can tell."""
    named = f"{support.category}/{support.defect}" in config.embeddings
    return named and bool(support.samples) and config.quality.embedding


def artifact_name(embedding: ConceptEmbedding) -> str:
    """Return the key under which the artefact store holds an embedding."""
    return embedding.uri.rstrip("/").rsplit("/", 1)[-1]


def _learn(
    support: SupportSet,
    config: RunConfig,
    artifacts: ArtifactStore,
    key: str,
    *,
    on_step: Callable[[int, int], None] | None,
) -> Artifact:
    model = base_model(config)
    views = encode_views(
        load_support(support, config),
        model,
        zooms=config.inversion.zooms,
        crop=config.generation.crop,
    )
    scratch = artifacts.scratch(key)
    learned = learn_embedding(
        views, model, config.inversion, seed=_seed(support, config), checkpoint=scratch, on_step=on_step
    )
    about = EmbeddingMetadata(
        category=support.category,
        defect=support.defect,
        num_vectors=len(learned.vectors),
        base_model=model.info,
        support=tuple(SupportPhoto(sample_id=s.sample_id, sha256=s.sha256) for s in support.samples),
        inversion_version=INVERSION_VERSION,
        settings=config.inversion.model_dump(mode="json"),
        steps=learned.steps,
        best_step=learned.best_step,
        validation_loss=tuple(learned.curve),
    )
    artifact = store_embedding(artifacts, key, learned.vectors, about)
    scratch.clear()
    return artifact


def _seed(support: SupportSet, config: RunConfig) -> int:
    return derive_seed(config.seed, "inversion", support.category, support.defect)
