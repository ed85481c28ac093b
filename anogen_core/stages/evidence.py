"""Does an embedding describe its support photos at all? Its masked loss beside that of random vectors."""

import json
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

RANDOM_VECTORS: Final = 19
"""Random embeddings that an imported one has to beat, all of them: one random vector in 20 does. Their losses are far
from normally distributed (a few are much worse than the others), so it is their order that counts."""
GRID_POINTS: Final = 24
"""Timesteps at which each support view is noised, the same for all."""

_FILE = "losses.json"


def evidence_key(digest: str, photos: Sequence[tuple[Image, Mask]], config: RunConfig) -> str:
    """Return the content key of the masked loss of one embedding on some support photos."""
    return artifact_key(
        "evidence",
        [QUALITY_VERSION, RANDOM_VECTORS, GRID_POINTS],
        digest,
        config.base_model.identity,
        config.inversion.initializer,
        [[array_digest(photo), array_digest(mask)] for photo, mask in photos],
        config.generation.crop.model_dump(mode="json"),
    )


def weigh_embedding(
    vectors: torch.Tensor, digest: str, photos: Sequence[tuple[Image, Mask]], config: RunConfig
) -> EmbeddingEvidence:
    """Return the evidence for an embedding (V, D); every loss is measured once and kept in the artefact store.

    Args:
        vectors: The embedding.
        digest: sha256 of its file.
        photos: Support photos (H, W, 3) with their masks (H, W).
        config: Names the base model and the store.
    """
    random = _losses(f"random-{len(vectors)}", None, len(vectors), photos, config)
    (loss,) = _losses(digest, vectors, len(vectors), photos, config)
    return EmbeddingEvidence(loss=loss, random_losses=tuple(random))


def doubt(evidence: EmbeddingEvidence | None) -> str | None:
    """Return why all images of an embedding are filtered, or None when it describes its support photos."""
    if evidence is None or evidence.beaten == len(evidence.random_losses):
        return None
    return (
        "the embedding describes the support photos no better than random vectors do: masked loss "
        f"{evidence.loss:.5f}, lower than {evidence.beaten} of {len(evidence.random_losses)} random vectors (the best: "
        f"{min(evidence.random_losses):.5f}), expected lower than all; learn it from these photos, with more "
        "`inversion.steps`, or set `quality.embedding: false`"
    )


def _losses(
    name: str, vectors: torch.Tensor | None, count: int, photos: Sequence[tuple[Image, Mask]], config: RunConfig
) -> list[float]:
    """Return the masked loss of an embedding, or those of random ones of `count` vectors each."""
    artifacts, key = ArtifactStore.of_run(config.output), evidence_key(name, photos, config)
    if artifacts.get(key) is None:
        model = base_model(config)
        views = encode_views(photos, model, zooms=(1.0,), crop=config.generation.crop)
        settings = config.inversion.model_copy(update={"validation_points": GRID_POINTS})
        tried = _random(model.word_vector(config.inversion.initializer), count) if vectors is None else vectors[None]
        seed = derive_seed(0, "evidence grid")
        losses = [validation_loss(views, model, v, settings, seed=seed) for v in tried]
        artifacts.put(key, {_FILE: json.dumps(losses).encode()}, {"kind": "evidence", "embedding": name})
    return [float(loss) for loss in json.loads(artifacts.read(key, _FILE))]


def _random(word: torch.Tensor, count: int) -> torch.Tensor:
    """Return random embeddings (R, V, D) whose vectors are as long as that of a word."""
    noise = torch.randn(
        (RANDOM_VECTORS, count, len(word)), generator=torch_generator(derive_seed(0, "random embeddings"))
    )
    return noise / noise.norm(dim=2, keepdim=True) * word.norm().cpu()
