"""What the detectors of each arm learn from, and the content keys of these data."""

from typing import Any, Final

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.baselines.cut_paste import CUT_PASTE_VERSION, paste_defect
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import InputError
from anogen_core.records import Arm, DatasetRef, Decision, LedgerRow
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.stages.catalogue import Category
from anogen_core.stages.embedding import load_support
from anogen_core.storage import Dataset
from anogen_core.storage.verdicts import review_fingerprint

NEED_IMAGES: Final[frozenset[Arm]] = frozenset({"cutpaste", "generated"})
"""Arms that learn from a dataset's images, or from pastes at their places."""


def identity(config: RunConfig, category: Category, arm: Arm, dataset: DatasetRef | None) -> Any:
    """Return plain values that change whenever the arm's data beside the normal photos do."""
    support = sorted(s.sha256 for chosen in category.supports for s in chosen.samples)
    if arm == "perlin":
        return None
    if arm == "support_only":
        return support
    required = _require(dataset, arm)
    if arm == "cutpaste":
        return [CUT_PASTE_VERSION, required.digest, support, config.seed]
    review = review_fingerprint(Dataset(required.uri).verdicts())
    return [required.digest, review] if review else required.digest


def training_set(config: RunConfig, category: Category, arm: Arm, dataset: DatasetRef | None) -> TrainingSet:
    """Return the normal photos and the anomalies of an arm; generated images as reviewers left them.

    Raises:
        InputError: the arm needs a dataset and there is none, it is empty, or every image was rejected in review.
    """
    normals = np.stack([load_image(s, category.frame, white_level=config.frame.white_level) for s in category.normals])
    if arm == "perlin":
        return TrainingSet(normals=normals)
    if arm == "support_only":
        photos, masks = zip(*(pair for s in category.supports for pair in load_support(s, config)), strict=True)
        return TrainingSet(
            normals=normals, generated=np.stack(photos), masks=np.stack(masks), exact=_has_exact_masks(category)
        )
    stored = Dataset(_require(dataset, arm).uri)
    made = stored.made()
    if not made:
        raise InputError(f"{stored.uri}: holds no image to train on. See its ledger for the reasons.")
    place = {s.sample_id: i for i, s in enumerate(category.normals)}
    if arm == "generated":
        kept, photos, masks = _reviewed(stored, by_mask=config.detector.supervision == "mask")
        origins = np.array([place[made[row].normal_id] for row in kept])
    else:
        origins = np.array([place[row.normal_id] for row in made])
        photos, masks = zip(*_pasted(config, category, made, normals[origins]), strict=True)
    return TrainingSet(
        normals=normals,
        generated=np.stack(photos),
        masks=np.stack(masks),
        origins=origins,
        exact=arm == "cutpaste" and _has_exact_masks(category),
    )


def _reviewed(stored: Dataset, *, by_mask: bool) -> tuple[list[int], list[Image], list[Mask]]:
    """Return rows, images and labels of what was not rejected; a mask that was fixed by hand is the label."""
    verdicts = stored.verdicts()
    fixed = {row for row, verdict in verdicts.items() if verdict.decision is Decision.FIX}
    judged = ((row, sample.judged(verdicts.get(row))) for row, sample in enumerate(stored))
    kept = {row: sample for row, sample in judged if sample is not None}
    if not kept:
        raise InputError(f"{stored.uri}: every image was rejected in review. Accept some with `anogen review`.")
    labels = [sample.mask if by_mask or row in fixed else sample.box_mask for row, sample in kept.items()]
    return list(kept), [sample.image for sample in kept.values()], labels


def _pasted(
    config: RunConfig, category: Category, made: list[LedgerRow], normals: np.ndarray
) -> list[tuple[Image, Mask]]:
    """Return one photo for each made request: a support defect of its kind, on its photo, at its place."""
    support = {s.defect: load_support(s, config) for s in category.supports}
    pasted = []
    for row, normal in zip(made, normals, strict=True):
        if not row.boxes:
            raise InputError(f"{row.request_id}: was made without a place; the dataset's ledger is damaged.")
        rng = numpy_generator(derive_seed(config.seed, "cutpaste", category.name, row.request_id))
        image, label = normal, np.zeros(normal.shape[:2], bool)
        for box in row.boxes:
            photo, mask = support[row.defect][int(rng.integers(len(support[row.defect])))]
            image, where = paste_defect(image, box, photo, mask, rng=rng)
            label |= where
        pasted.append((image, label))
    return pasted


def _has_exact_masks(category: Category) -> bool:
    """Return whether the support photos are labelled by masks rather than boxes."""
    return all(s.mask_uri is not None for chosen in category.supports for s in chosen.samples)


def _require(dataset: DatasetRef | None, arm: Arm) -> DatasetRef:
    if dataset is None:
        raise InputError(f"evaluation.arms: {arm} needs the generated dataset of its category; run without it removed.")
    return dataset
