"""Does an embedding describe its support photos at all? Its masked loss beside that of random vectors."""

import json
import statistics
from collections.abc import Sequence
from typing import Final

import torch

from anogen_core.arrays import Image, Mask, array_digest
from anogen_core.config import RunConfig
from anogen_core.diffusion.inversion import validation_loss
from anogen_core.diffusion.views import encode_views
from anogen_core.quality.gates import QUALITY_VERSION
from anogen_core.records import EmbeddingEvidence
from anogen_core.seeding import derive_seed, torch_generator
from anogen_core.stages.runtime import base_model
from anogen_core.storage.artifacts import ArtifactStore, artifact_key

RANDOM_VECTORS: Final = 12
"""Random embeddings that a learned one is compared with."""
GRID_POINTS: Final = 16
"""Timesteps at which each support view is noised."""
MIN_ADVANTAGE: Final = 2.0
"""Standard deviations of random vectors by which a loss has to be lower: about 1 random vector in 40 is."""

_FILE = "evidence.json"


def evidence_key(digest: str, photos: Sequence[tuple[Image, Mask]], config: RunConfig) -> str:
    """Return the content key of what is known about one embedding on some support photos."""
    return artifact_key(
        "evidence",
        [QUALITY_VERSION, RANDOM_VECTORS, GRID_POINTS],
        digest,
        config.base_model.describe().fingerprint,
        [[array_digest(photo), array_digest(mask)] for photo, mask in photos],
        config.generation.crop.model_dump(mode="json"),
    )


def weigh_embedding(
    vectors: torch.Tensor, digest: str, photos: Sequence[tuple[Image, Mask]], config: RunConfig
) -> EmbeddingEvidence:
    """Return the evidence for an embedding (V, D); it is measured once and kept in the artefact store.

    Args:
        vectors: The embedding.
        digest: sha256 of its file.
        photos: Support photos (H, W, 3) with their masks (H, W).
        config: Names the base model and the store.
    """
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    key = evidence_key(digest, photos, config)
    if artifacts.get(key) is None:
        evidence = _measure(vectors, photos, config)
        artifacts.put(key, {_FILE: evidence.model_dump_json().encode()}, {"kind": "evidence", "embedding": digest})
    return EmbeddingEvidence.model_validate(json.loads(artifacts.read(key, _FILE)))


def doubt(evidence: EmbeddingEvidence | None) -> str | None:
    """Return why all images of an embedding are filtered, or None when it describes its support photos."""
    if evidence is None or evidence.advantage >= MIN_ADVANTAGE:
        return None
    return (
        "the embedding describes the support photos no better than random vectors do: masked loss "
        f"{evidence.loss:.5f}, random vectors {evidence.random_mean:.5f} +- {evidence.random_std:.5f}, expected at "
        f"least {MIN_ADVANTAGE:g} standard deviations below; learn it from these photos, with more "
        "`inversion.steps`, or set `quality.embedding: false`"
    )


def _measure(vectors: torch.Tensor, photos: Sequence[tuple[Image, Mask]], config: RunConfig) -> EmbeddingEvidence:
    model = base_model(config)
    views = encode_views(photos, model, zooms=(1.0,), crop=config.generation.crop)
    settings = config.inversion.model_copy(update={"validation_points": GRID_POINTS})
    noise = torch.randn((RANDOM_VECTORS, *vectors.shape), generator=torch_generator(derive_seed(0, "evidence")))
    norm = vectors.norm(dim=1, keepdim=True)
    random = noise / noise.norm(dim=2, keepdim=True) * norm
    losses = [validation_loss(views, model, v, settings, seed=derive_seed(0, "evidence grid")) for v in random]
    return EmbeddingEvidence(
        loss=validation_loss(views, model, vectors, settings, seed=derive_seed(0, "evidence grid")),
        random_mean=statistics.fmean(losses),
        random_std=statistics.stdev(losses),
    )
