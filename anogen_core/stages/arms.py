"""What the detectors of each arm learn from, and the content keys of these data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anogen_core.arm import COUNTED, FROM_DATASET, Part, parse_arm
from anogen_core.arrays import Image, Mask, array_digest
from anogen_core.baselines.cut_paste import CUT_PASTE_VERSION
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_image
from anogen_core.detectors.training_set import TrainingSet, resize_mask, resize_photo
from anogen_core.errors import InputError
from anogen_core.records import DatasetRef, Decision, Sample
from anogen_core.stages.catalogue import Category
from anogen_core.stages.embedding import load_support
from anogen_core.stages.pasting import paste_supports
from anogen_core.storage import Dataset
from anogen_core.storage.verdicts import review_fingerprint


@dataclass(frozen=True)
class _Anomalies:
    """Photos that are not normal, with their labels; one entry of each list for each photo."""

    photos: list[Image]
    masks: list[Mask]
    weak: list[bool]
    """Whether the mask is a box that holds normal pixels too."""
    origins: list[int]
    """Row of the normal photo that it was made from, -1 when there is none."""
    defects: list[str]

    @classmethod
    def empty(cls) -> "_Anomalies":
        """Return none."""
        return cls([], [], [], [], [])

    def add(self, photo: Image, mask: Mask, *, side: int, weak: bool, origin: int, defect: str) -> None:
        """Add a photo at the size at which detectors see it: many large ones do not fit into memory."""
        self.photos.append(resize_photo(photo, side))
        self.masks.append(resize_mask(mask, side, outward=weak))
        self.weak.append(weak)
        self.origins.append(origin)
        self.defects.append(defect)

    def first(self, count: int) -> "_Anomalies":
        """Return `count` photos that take turns over the defects; a smaller count gives some of those of a larger."""
        rows = take_turns(self.defects)[:count]
        return _Anomalies(
            photos=[self.photos[i] for i in rows],
            masks=[self.masks[i] for i in rows],
            weak=[self.weak[i] for i in rows],
            origins=[self.origins[i] for i in rows],
            defects=[self.defects[i] for i in rows],
        )


def take_turns(defects: Sequence[str]) -> list[int]:
    """Return all indices: the first of every defect, then the second of every defect, and so on."""
    seen: dict[str, int] = {}
    turn = []
    for defect in defects:
        turn.append(seen.setdefault(defect, 0))
        seen[defect] += 1
    return sorted(range(len(defects)), key=lambda i: turn[i])


def possible_arms(config: RunConfig, dataset: DatasetRef) -> list[str]:
    """Return the arms of a run that its dataset has images for."""
    return [arm for arm in dict.fromkeys(config.evaluation.arms) if _is_possible(arm, dataset)]


def identity(config: RunConfig, category: Category, arm: str, dataset: DatasetRef | None) -> Any:
    """Return plain values that, with the arm's name, change whenever its data beside the normal photos do."""
    parts = [_part_identity(config, category, part, dataset) for part in parse_arm(arm)]
    return parts[0] if len(parts) == 1 else parts


def source_amounts(dataset: DatasetRef) -> dict[str, int]:
    """Return how many anomalies each source has that has as many as a dataset has images; rejected ones are none."""
    rejected = sum(v.decision is Decision.REJECT for v in Dataset(dataset.uri).verdicts().values())
    return {source: dataset.num_images - (rejected if source in FROM_DATASET else 0) for source in COUNTED}


def learns_from_images(arm: str) -> bool:
    """Return whether the images of a dataset are among the arm's data."""
    return any(part.source in FROM_DATASET for part in parse_arm(arm))


def training_set(config: RunConfig, category: Category, arm: str, dataset: DatasetRef | None) -> TrainingSet:
    """Return the normal photos and the anomalies of an arm; generated images as reviewers left them.

    Raises:
        InputError: the arm needs a dataset and there is none, it holds too few images, or all were rejected in review.
    """
    side = config.detector.image_size
    normals = np.stack([resize_photo(_load(sample, config, category), side) for sample in category.normals])
    parts = [p for p in parse_arm(arm) if p.source != "perlin"]
    if not parts:
        return TrainingSet(normals=normals)
    found = [_anomalies(config, category, part, dataset) for part in parts]
    return TrainingSet(
        normals=normals,
        generated=np.stack([photo for own in found for photo in own.photos]),
        masks=np.stack([mask for own in found for mask in own.masks]),
        origins=np.array([origin for own in found for origin in own.origins]),
        weak=np.array([weak for own in found for weak in own.weak]),
    )


def _load(sample: Sample, config: RunConfig, category: Category) -> Image:
    return load_image(sample, category.frame, white_level=config.frame.white_level)


def _is_possible(arm: str, dataset: DatasetRef) -> bool:
    counted = [part for part in parse_arm(arm) if part.source in COUNTED]
    if any(part.amount for part in counted):
        held = source_amounts(dataset)
        return all(held[part.source] >= (part.amount or 1) for part in counted)
    return not counted or dataset.num_images > 0


def _part_identity(config: RunConfig, category: Category, part: Part, dataset: DatasetRef | None) -> Any:
    support = sorted(s.sha256 for chosen in category.supports for s in chosen.samples)
    if part.source == "perlin":
        return None
    if part.source == "support_only":
        labels = [array_digest(mask) for s in category.supports for _, mask in load_support(s, config)]
        return [support, labels]
    required = _require(dataset, part)
    if part.source == "cutpaste":
        return [CUT_PASTE_VERSION, required.digest, support, config.seed]
    review = review_fingerprint(Dataset(required.uri).verdicts())
    return [required.digest, review] if review else required.digest


def _anomalies(config: RunConfig, category: Category, part: Part, dataset: DatasetRef | None) -> _Anomalies:
    """Return the photos of one source."""
    by_box, side = config.detector.supervision == "box", config.detector.image_size
    weak = by_box and not _has_exact_masks(category)
    if part.source == "support_only":
        found = _Anomalies.empty()
        for support in category.supports:
            for photo, mask in load_support(support, config):
                found.add(photo, mask, side=side, weak=weak, origin=-1, defect=support.defect)
        return found
    stored = Dataset(_require(dataset, part).uri)
    made = stored.made()
    if not made:
        raise InputError(f"{stored.uri}: holds no image to train on. See its ledger for the reasons.")
    place = {s.sample_id: i for i, s in enumerate(category.normals)}
    if part.source == "cutpaste":
        found = _Anomalies.empty()
        for row, (photo, mask) in zip(made, paste_supports(config, category, stored), strict=True):
            found.add(photo, mask, side=side, weak=weak, origin=place[row.normal_id], defect=row.defect)
    else:
        boxes = part.source == "generated_box" or (part.source == "generated" and by_box)
        found = _reviewed(stored, place, by_box=boxes, side=side)
    if part.amount is None:
        return found
    if part.amount > len(found.photos):
        raise InputError(
            f"evaluation.arms: {part.source}:{part.amount} asks for more images than {stored.uri} holds "
            f"({len(found.photos)}, rejected ones left out). Ask for fewer or raise generation.images_per_defect."
        )
    return found.first(part.amount)


def _reviewed(stored: Dataset, place: Mapping[str, int], *, by_box: bool, side: int) -> _Anomalies:
    """Return what was not rejected; what reviewers drew is the label."""
    verdicts = stored.verdicts()
    fixed = {row for row, verdict in verdicts.items() if verdict.decision is Decision.FIX}
    found = _Anomalies.empty()
    for row, made in enumerate(stored):
        sample = made.judged(verdicts.get(row))
        if sample is not None:
            label = sample.box_mask if by_box and row not in fixed else sample.mask
            origin, defect = place[sample.row.normal_id], sample.row.defect
            found.add(sample.image, label, side=side, weak=by_box, origin=origin, defect=defect)
    if not found.photos:
        raise InputError(f"{stored.uri}: every image was rejected in review. Accept some with `anogen review`.")
    return found


def _has_exact_masks(category: Category) -> bool:
    """Return whether the support photos are labelled by masks rather than boxes."""
    return all(s.has_mask for chosen in category.supports for s in chosen.samples)


def _require(dataset: DatasetRef | None, part: Part) -> DatasetRef:
    if dataset is None:
        raise InputError(
            f"evaluation.arms: {part.source} needs the generated dataset of its category; run without it removed."
        )
    return dataset
