"""Make one sample of a sealed dataset again, alone, and compare."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig, stored_config
from anogen_core.data.frame import load_image
from anogen_core.diffusion.crop import cut
from anogen_core.errors import InputError
from anogen_core.generation import generate, merge
from anogen_core.records import LedgerRow, MadeInstance, Outcome, Sample, SupportSet
from anogen_core.stages.catalogue import read_catalogue
from anogen_core.stages.embedding import load_support
from anogen_core.stages.embedding_store import EmbeddingMetadata, read_vectors
from anogen_core.stages.jobs import Source, load_job
from anogen_core.stages.recipe import code_versions
from anogen_core.stages.runtime import base_model
from anogen_core.storage import Dataset
from anogen_core.storage.artifacts import ArtifactStore


@dataclass(frozen=True)
class Regenerated:
    """One image made again, beside the stored one."""

    image: Image
    stored: Image
    older: str = ""
    """Which versions of the code made the stored image, where they are not those at work."""

    @property
    def identical(self) -> bool:
        """Return whether every byte is equal."""
        return bool(np.array_equal(self.image, self.stored))

    def describe(self) -> str:
        """Return the comparison in words."""
        if self.identical:
            return "identical to the stored image, byte for byte"
        difference = np.abs(self.image.astype(np.int16) - self.stored)
        share = (difference.max(axis=2) > 0).mean()
        why = f"; it was made by {self.older}" if self.older else ""
        return f"differs: {share:.2%} of the pixels, by at most {difference.max()} grey levels{why}"

    def write_png(self, path: Path) -> None:
        """Write the new image as PNG."""
        path.write_bytes(cv2.imencode(".png", cv2.cvtColor(self.image, cv2.COLOR_RGB2BGR))[1].tobytes())


def regenerate(uri: str, request_id: str) -> Regenerated:
    """Return one sample made again from its photo, embedding, mask and seed.

    Raises:
        InputError: there is no such request, it was never made, or a photo or the base model changed since.
        StorageError: its embedding is no longer in the artefact store of the dataset's run.
    """
    stored = Dataset(uri)
    output = uri.rstrip("/").rsplit("/", 2)[0]
    row = _find(stored, uri, request_id)
    config = stored_config(stored.spec.settings["run"], output=output, source=f"{uri}: settings")
    model = base_model(config)
    if model.info.fingerprint != row.model_fingerprint:
        raise InputError(
            f"base_model: found {model.info.fingerprint}, but {request_id} was made with {row.model_fingerprint}. "
            "Install that version."
        )
    index = row.row if row.row is not None else -1
    placed = stored.box_mask(index) > 0
    normal = load_image(_photo(row), (stored.spec.height, stored.spec.width), white_level=config.frame.white_level)
    artifacts, key = ArtifactStore.of_run(output), stored.spec.settings["embedding_keys"][row.defect]
    vectors = read_vectors(artifacts, key)
    support = _support(row, config, normal.shape[:2], _learned_from(artifacts, key))
    jobs = [
        load_job(
            normal,
            mask,
            vectors,
            config,
            seed=instance.seed,
            contrast=instance.contrast,
            source=_source(instance, support),
        )
        for instance, mask in _defects(row, placed)
    ]
    made = merge(jobs, generate(jobs, model, config.generation))
    then, now = stored.spec.code_versions, code_versions()
    older = [f"{name} {then[name]}, not {now[name]}" for name in now if name in then and then[name] != now[name]]
    return Regenerated(made, stored.image(index), "; ".join(older))


def _learned_from(artifacts: ArtifactStore, key: str) -> dict[str, str]:
    """Return the digest of each support photo of the run, by its id; none for an embedding learned elsewhere."""
    artifact = artifacts.get(key)
    about = None if artifact is None else EmbeddingMetadata.model_validate(artifact.metadata)
    return {} if about is None or about.imported else {photo.sample_id: photo.sha256 for photo in about.support}


def _support(
    row: LedgerRow, config: RunConfig, frame: tuple[int, int], digests: dict[str, str]
) -> dict[str, tuple[Image, Mask]]:
    """Return the support photos that the defects of an image started from, by their ids.

    Raises:
        InputError: the data hold one of them no longer, or another photo under its name.
    """
    wanted = {i.source for i in row.instances or () if i.source is not None and i.warp is not None}
    if config.start != "support":
        return {}
    photos = (s for c in read_catalogue(config) if c.name == row.category for s in c.samples)
    samples = {s.sample_id: s.showing(row.defect) or s for s in photos}
    missing = wanted - samples.keys()
    if missing:
        raise InputError(
            f"reader.root: {config.reader.root} no longer holds {', '.join(sorted(missing))}, the support photo that "
            f"{row.request_id} started from. Put it back."
        )
    for name in sorted(wanted & digests.keys()):
        found, expected = samples[name].sha256, digests[name]
        if found != expected:
            raise InputError(
                f"{samples[name].image_uri}: the support photo that {row.request_id} started from has changed "
                f"(sha256 {found[:16]}..., expected {expected[:16]}...). Put the original file back."
            )
    pairs = load_support(
        SupportSet(category=row.category, defect=row.defect, samples=tuple(samples[i] for i in sorted(wanted))),
        config,
        frame,
    )
    return dict(zip(sorted(wanted), pairs, strict=True))


def _source(instance: MadeInstance, support: dict[str, tuple[Image, Mask]]) -> Source | None:
    if instance.source not in support or instance.warp is None:
        return None
    replaces, fits = instance.layout == "at", bool(instance.fits)
    return Source(*support[instance.source], instance.warp, instance.edge, outlined=False, replaces=replaces, fits=fits)


def _defects(row: LedgerRow, placed: Mask) -> Iterator[tuple[MadeInstance, Mask]]:
    """Yield each defect of an image with its mask."""
    if not row.instances:
        yield MadeInstance(box=[], crop=[], angle=0, contrast=row.contrast, seed=row.seed), placed
        return
    for instance, box in zip(row.instances, row.boxes, strict=True):
        mask = np.zeros_like(placed)
        mask[box.y : box.y + box.height, box.x : box.x + box.width] = cut(placed, box)
        yield instance, mask


def _find(stored: Dataset, uri: str, request_id: str) -> LedgerRow:
    rows = {row.request_id: row for row in stored.ledger()}
    if request_id not in rows:
        example = next(iter(rows), "none")
        raise InputError(
            f"{uri}: has no request {request_id!r} (an example of its ids: {example}). samples.parquet lists them all."
        )
    row = rows[request_id]
    if row.outcome is not Outcome.MADE:
        raise InputError(f"{request_id} was {row.outcome}: {row.reason}. There is no image to make again.")
    return row


def _photo(row: LedgerRow) -> Sample:
    path = Path(row.normal_uri)
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    if found != row.normal_sha256:
        problem = (
            "is missing"
            if found is None
            else f"has changed (sha256 {found[:16]}..., expected {row.normal_sha256[:16]}...)"
        )
        raise InputError(f"{path}: the normal photo of {row.request_id} {problem}. Put the original file back.")
    return Sample(
        sample_id=row.normal_id,
        category=row.category,
        defect="good",
        split="train",
        image_uri=row.normal_uri,
        sha256=row.normal_sha256,
    )
