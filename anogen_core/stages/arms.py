"""What the detectors of each arm learn from, and the content keys of these data."""

from typing import Any

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.baselines.cut_paste import CUT_PASTE_VERSION, paste_defect
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import InputError
from anogen_core.records import Arm, Box, DatasetRef, LedgerRow
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.stages.catalogue import Category
from anogen_core.stages.embedding import load_support
from anogen_core.storage import Dataset


def identity(config: RunConfig, category: Category, arm: Arm, dataset: DatasetRef | None) -> Any:
    """Return plain values that change whenever the arm's data beside the normal photos do."""
    support = sorted(s.sha256 for chosen in category.supports for s in chosen.samples)
    if arm == "perlin":
        return None
    if arm == "support_only":
        return support
    digest = _require(dataset, arm).digest
    return digest if arm == "generated" else [CUT_PASTE_VERSION, digest, support, config.seed]


def training_set(config: RunConfig, category: Category, arm: Arm, dataset: DatasetRef | None) -> TrainingSet:
    """Return the normal photos and the anomalies of an arm.

    Raises:
        InputError: the arm needs a dataset and there is none, or it is empty.
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
    origins = np.array([place[row.normal_id] for row in made])
    if arm == "cutpaste":
        photos, masks = zip(*_pasted(config, category, made, normals[origins]), strict=True)
    else:
        label = stored.mask if config.detector.supervision == "mask" else stored.box_mask
        photos, masks = zip(*((stored.image(row), label(row)) for row in range(len(made))), strict=True)
    return TrainingSet(
        normals=normals,
        generated=np.stack(photos),
        masks=np.stack(masks),
        origins=origins,
        exact=arm == "cutpaste" and _has_exact_masks(category),
    )


def _pasted(
    config: RunConfig, category: Category, made: list[LedgerRow], normals: np.ndarray
) -> list[tuple[Image, Mask]]:
    """Return one photo for each made request: a support defect of its kind, on its photo, at its place."""
    support = {s.defect: load_support(s, config) for s in category.supports}
    pasted = []
    for row, normal in zip(made, normals, strict=True):
        if row.box is None:
            raise InputError(f"{row.request_id}: was made without a place; the dataset's ledger is damaged.")
        rng = numpy_generator(derive_seed(config.seed, "cutpaste", category.name, row.request_id))
        photo, mask = support[row.defect][int(rng.integers(len(support[row.defect])))]
        x, y, width, height = row.box
        pasted.append(paste_defect(normal, Box(x=x, y=y, width=width, height=height), photo, mask, rng=rng))
    return pasted


def _has_exact_masks(category: Category) -> bool:
    """Return whether the support photos are labelled by masks rather than boxes."""
    return all(s.mask_uri is not None for chosen in category.supports for s in chosen.samples)


def _require(dataset: DatasetRef | None, arm: Arm) -> DatasetRef:
    if dataset is None:
        raise InputError(f"evaluation.arms: {arm} needs the generated dataset of its category; run without it removed.")
    return dataset
