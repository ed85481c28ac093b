"""Set-level measures: how alike a dataset's images and real ones are, beside what unaltered photos would score.

Features are the base model's own latents of a square around the mask: no other network is needed, offline too. They
are coarser than those of a network trained to tell objects apart, and lower distances promise no better detector.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import cv2
import numpy as np
import torch

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_mask
from anogen_core.diffusion.crop import bounding_box, middle_of
from anogen_core.evaluation import SetLikeness
from anogen_core.quality.likeness import (
    Features,
    diversity,
    halves_distance,
    kernel_distance,
    place_coverage,
    size_coverage,
)
from anogen_core.records import DatasetRef, Decision
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.runtime import base_model
from anogen_core.storage import Dataset
from anogen_core.storage.artifacts import ArtifactStore, artifact_key
from anogen_core.storage.verdicts import review_fingerprint

T = TypeVar("T")

LIKENESS_VERSION: Final = 1
"""Raised by hand when a change here changes a measure."""
LARGEST_SET: Final = 128
"""Images of a defect that are looked at, evenly spaced."""
FEWEST: Final = 4
"""Images of each kind below which nothing is measured."""

_FILE = "likeness.json"
_CELLS = 4
"""Latents are averaged to this many cells along each side."""


def likeness_key(config: RunConfig, category: Category, dataset: DatasetRef) -> str:
    """Return the content key of the measures of a dataset as reviewers left it."""
    review = review_fingerprint(Dataset(dataset.uri).verdicts())
    real = sorted(s.sha256 for s in category.evaluated[0])
    decided = [dataset.digest, real, config.base_model.describe().fingerprint, *category.framed_mixed]
    decided += [review] if review else []
    return artifact_key("likeness", LIKENESS_VERSION, *decided)


def measure(dataset: DatasetRef, config: RunConfig) -> list[SetLikeness]:
    """Return the measures of each defect that has enough images, made and not rejected, and held out; measured once."""
    category = read_category(config, dataset.category)
    artifacts, key = ArtifactStore.of_run(config.output), likeness_key(config, category, dataset)
    stored = artifacts.get(key)
    if stored is None:
        found = [m for s in category.supports if (m := _measure(s.defect, dataset, config, category)) is not None]
        metadata = {"kind": "likeness", "measures": [m.model_dump(mode="json") for m in found]}
        stored = artifacts.put(key, {_FILE: b"{}"}, metadata)
    return [SetLikeness.model_validate(m) for m in stored.metadata["measures"]]


def _measure(defect: str, ref: DatasetRef, config: RunConfig, category: Category) -> SetLikeness | None:
    dataset = Dataset(ref.uri)
    verdicts = dataset.verdicts()
    rejected = {row for row, verdict in verdicts.items() if verdict.decision is Decision.REJECT}
    rows = _some([row for row in dataset.made() if row.defect == defect and row.row not in rejected])
    photos = _some([s for photo in category.evaluated[0] if (s := photo.showing(defect)) and s.is_labelled])
    real = [(category.load(s), load_mask(s, category.frame)) for s in photos]
    real = [(photo, mask) for photo, mask in real if mask.any()]
    if min(len(rows), len(real)) < FEWEST:
        return None
    said = [verdicts.get(-1 if row.row is None else row.row) for row in rows]
    judged = (sample.judged(verdict) for sample, verdict in zip(dataset.read(rows), said, strict=True))
    samples = [sample for sample in judged if sample is not None]
    normals = {s.sample_id: s for s in category.normals}
    masks = [sample.mask > 0 for sample in samples]
    bare = [category.load(normals[row.normal_id]) for row in rows]
    side = _side([mask for _, mask in real])
    of_real = _features(real, config, side)
    of_made = _features(zip((s.image for s in samples), masks, strict=True), config, side)
    of_bare = _features(zip(bare, masks, strict=True), config, side)
    return SetLikeness(
        defect=defect,
        num_made=len(rows),
        num_real=len(real),
        distance=kernel_distance(of_made, of_real),
        distance_unaltered=kernel_distance(of_bare, of_real),
        distance_real=halves_distance(of_real),
        diversity=diversity(of_made),
        diversity_real=diversity(of_real),
        area=float(np.median([m.mean() for m in masks])),
        area_real=float(np.median([m.mean() for _, m in real])),
        size_coverage=size_coverage(masks, [m for _, m in real]),
        place_coverage=place_coverage(masks, [m for _, m in real]),
    )


def _some(items: Sequence[T]) -> list[T]:
    count = min(len(items), LARGEST_SET)
    return [items[i * len(items) // count] for i in range(count)]


def _side(masks: Sequence[Mask]) -> int:
    """Return the side of every square of a defect: what shows the median real one with what lies around it."""
    boxes = [bounding_box(mask) for mask in masks]
    side = round(1.6 * float(np.median([max(box.width, box.height) for box in boxes])))
    return min(*masks[0].shape, max(16, side))


def _features(pairs: Iterable[tuple[Image, Mask]], config: RunConfig, side: int) -> Features:
    """Return (N, D) latents of the squares around the masks, averaged to a coarse grid.

    Each square's own mean is taken away: how bright a photo is says nothing of its defect.
    """
    model, found = base_model(config), []
    for photo, mask in pairs:
        square = _square(photo, mask, side).astype(np.float32)
        zoomed = cv2.resize(square, (model.resolution, model.resolution), interpolation=cv2.INTER_CUBIC)
        canvas = torch.from_numpy(np.ascontiguousarray(zoomed.transpose(2, 0, 1)))[None] / 127.5 - 1
        latents = model.encode(canvas)
        latents = latents - latents.mean(dim=(2, 3), keepdim=True)
        found.append(torch.nn.functional.adaptive_avg_pool2d(latents, _CELLS).flatten().cpu().double().numpy())
    return np.stack(found)


def _square(photo: Image, mask: Mask, side: int) -> Image:
    box = middle_of(mask)
    top = int(np.clip(box.y + box.height / 2 - side / 2, 0, mask.shape[0] - side))
    left = int(np.clip(box.x + box.width / 2 - side / 2, 0, mask.shape[1] - side))
    return photo[top : top + side, left : left + side]
