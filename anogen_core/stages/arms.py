"""What the detectors of each arm learn from, and the content keys of these data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anogen_core.arm import COUNTED, FROM_DATASET, Part, learns_from_images, parse_arm
from anogen_core.arrays import Image, Mask, array_digest
from anogen_core.baselines.cut_paste import CUT_PASTE_VERSION
from anogen_core.config import RunConfig
from anogen_core.detectors.training_set import TrainingSet, resize_mask, resize_photo
from anogen_core.errors import InputError
from anogen_core.records import DatasetRef, Decision, SupportSet
from anogen_core.stages.catalogue import Category
from anogen_core.stages.embedding import load_support
from anogen_core.stages.pasting import paste_supports
from anogen_core.stages.places import count_planned, made_places, plan_digest, planned_places
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


def possible_arms(config: RunConfig, category: Category, dataset: DatasetRef | None) -> list[str]:
    """Return the arms of a run that its dataset, or where there is none its plan, has images for."""
    asked = dict.fromkeys(config.evaluation.arms)
    if not any(part.source in COUNTED for arm in asked for part in parse_arm(arm)):
        return list(asked)
    held = source_amounts(config, category, dataset)
    return [arm for arm in asked if _is_possible(arm, held)]


def needs_dataset(config: RunConfig) -> bool:
    """Return whether a run makes datasets: always, unless it is to make only what its arms need and none needs one."""
    evaluation = config.evaluation
    return not (evaluation.enabled and evaluation.needed_only) or any(map(learns_from_images, evaluation.arms))


def identity(config: RunConfig, category: Category, arm: str, dataset: DatasetRef | None) -> Any:
    """Return plain values that, with the arm's name, change whenever its data beside the normal photos do."""
    parts = [_part_identity(config, category, part, dataset) for part in parse_arm(arm)]
    return parts[0] if len(parts) == 1 else parts


def source_amounts(config: RunConfig, category: Category, dataset: DatasetRef | None) -> dict[str, int]:
    """Return how many anomalies each source has that has as many as a dataset has images; rejected ones are none.

    Without a dataset, pasted defects are at the places of its plan.
    """
    if dataset is None:
        return {s: 0 if s in FROM_DATASET else count_planned(config, category) for s in COUNTED}
    rejected = sum(v.decision is Decision.REJECT for v in Dataset(dataset.uri).verdicts().values())
    return {source: dataset.num_images - (rejected if source in FROM_DATASET else 0) for source in COUNTED}


def training_set(config: RunConfig, category: Category, arm: str, dataset: DatasetRef | None) -> TrainingSet:
    """Return the normal photos and the anomalies of an arm; generated images as reviewers left them.

    Raises:
        InputError: the arm needs a dataset and there is none, it holds too few images, or all were rejected in review.
    """
    side = config.detector.image_size
    normals = np.stack([resize_photo(category.load(sample), side) for sample in category.normals])
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


def _is_possible(arm: str, held: Mapping[str, int]) -> bool:
    return all(held[part.source] >= (part.amount or 1) for part in parse_arm(arm) if part.source in COUNTED)


def _part_identity(config: RunConfig, category: Category, part: Part, dataset: DatasetRef | None) -> Any:
    support = sorted(s.sha256 for chosen in category.supports for s in chosen.samples)
    if part.source == "perlin":
        return None
    if part.source == "support_only":
        labels = [array_digest(mask) for s in _whole_supports(category) for _, mask in load_support(s, config)]
        return [support, labels]
    if part.source == "cutpaste":
        places = plan_digest(config, category) if dataset is None else dataset.digest
        return [CUT_PASTE_VERSION, places, support, config.draw_seed]
    required = _require(dataset, part)
    review = review_fingerprint(Dataset(required.uri).verdicts())
    return [required.digest, review] if review else required.digest


def _anomalies(config: RunConfig, category: Category, part: Part, dataset: DatasetRef | None) -> _Anomalies:
    """Return the photos of one source."""
    by_box, side = config.detector.supervision == "box", config.detector.image_size
    weak = by_box and not _has_exact_masks(category)
    if part.source == "support_only":
        found = _Anomalies.empty()
        for support in _whole_supports(category):
            for photo, mask in load_support(support, config):
                found.add(photo, mask, side=side, weak=weak, origin=-1, defect=support.defect)
        return found
    place = {s.sample_id: i for i, s in enumerate(category.normals)}
    if part.source == "cutpaste":
        places = planned_places(config, category) if dataset is None else made_places(category, Dataset(dataset.uri))
        found = _Anomalies.empty()
        for at, photo, mask in paste_supports(config, category, places):
            found.add(photo, mask, side=side, weak=weak, origin=place[at.normal_id], defect=at.defect)
        where = f"the plan of {category.name}" if dataset is None else dataset.uri
    else:
        boxes = part.source == "generated_box" or (part.source == "generated" and by_box)
        where = _require(dataset, part).uri
        found = _reviewed(Dataset(where), place, by_box=boxes, side=side)
    if not found.photos:
        raise InputError(f"{where}: holds no image to train on. `anogen check` shows how many have a place.")
    if part.amount is None:
        return found
    if part.amount > len(found.photos):
        raise InputError(
            f"evaluation.arms: {part.source}:{part.amount} asks for more images than {where} holds "
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
    if not found.photos and len(stored):
        raise InputError(f"{stored.uri}: every image was rejected in review. Accept some with `anogen review`.")
    return found


def _has_exact_masks(category: Category) -> bool:
    """Return whether the support photos are labelled by masks rather than boxes."""
    return all(s.has_mask for chosen in category.supports for s in chosen.samples)


def _whole_supports(category: Category) -> list[SupportSet]:
    """Return the support sets with all defects of their photos in the labels; a photo of several is in the first."""
    whole = {s.sample_id: s for s in category.samples}
    found = []
    for support in category.supports:
        photos = tuple(s for sample in support.samples if (s := whole.pop(sample.sample_id, None)) is not None)
        found.append(support.model_copy(update={"samples": photos}))
    return found


def _require(dataset: DatasetRef | None, part: Part) -> DatasetRef:
    if dataset is None:
        raise InputError(
            f"evaluation.arms: {part.source} needs the generated dataset of its category, and there is none. "
            "`anogen run` makes it; or leave the arm out."
        )
    return dataset
