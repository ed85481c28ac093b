"""Stage 3: train one detector for each arm and evaluate it on held-out real photos."""

import io
from collections.abc import Callable, Sequence

import numpy as np

from anogen_core.config import Arm, RunConfig
from anogen_core.data.frame import load_image, load_mask
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.detectors.training import train_detector
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import InputError
from anogen_core.metrics.detection import PixelEvaluation, evaluate_scores
from anogen_core.records import GOOD, CheckpointRef, DatasetRef, Decision, Evaluation, ReviewVerdict, Sample
from anogen_core.seeding import derive_seed
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.runtime import pick_device
from anogen_core.storage import Dataset
from anogen_core.storage.artifacts import ArtifactStore, artifact_key
from anogen_core.storage.verdicts import review_fingerprint

DETECTOR_VERSION = 1
"""Raised by hand when a change to a detector or its training changes its weights."""

_WEIGHTS = "detector.safetensors"
_PREDICTIONS = "predictions.npz"


def checkpoint_key(config: RunConfig, category: Category, arm: Arm, dataset: DatasetRef | None) -> str:
    """Return the content key of a trained detector; what reviewers rejected or fixed in the dataset is part of it."""
    return _checkpoint_key(config, category, arm, dataset, _verdicts(arm, dataset))


def _checkpoint_key(
    config: RunConfig,
    category: Category,
    arm: Arm,
    dataset: DatasetRef | None,
    verdicts: dict[int, ReviewVerdict],
) -> str:
    review = review_fingerprint(verdicts)
    return artifact_key(
        "detector",
        DETECTOR_VERSION,
        config.detector.model_dump(mode="json"),
        arm,
        [category.name, *category.frame, config.frame.model_dump(mode="json")],
        sorted(s.sha256 for s in category.normals),
        dataset.digest if dataset is not None and arm == "generated" else None,
        config.seed,
        *([review] if review else []),
    )


def is_trained(config: RunConfig, name: str, arm: Arm, dataset: DatasetRef) -> bool:
    """Return whether the store holds the detector of one arm."""
    key = checkpoint_key(config, read_category(config, name), arm, dataset)
    return ArtifactStore(f"{config.output}/artifacts").get(key) is not None


def train(
    config: RunConfig,
    name: str,
    arm: Arm,
    dataset: DatasetRef | None,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> CheckpointRef:
    """Return the detector of one arm; trains it unless the store holds it already."""
    category = read_category(config, name)
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    verdicts = _verdicts(arm, dataset)
    key = _checkpoint_key(config, category, arm, dataset, verdicts)
    artifact = artifacts.get(key)
    if artifact is None:
        scratch = artifacts.scratch(key)
        trained = train_detector(
            config.detector,
            _training_set(config, category, arm, dataset, verdicts),
            # Arms share the seed: they differ in their data alone.
            seed=derive_seed(config.seed, "detector", name),
            device=pick_device(config),
            checkpoint=scratch,
            on_progress=None if on_step is None else lambda done, total, _losses: on_step(done, total),
        )
        metadata = {"kind": "detector", "category": name, "arm": arm, "curve": _curve(trained)}
        artifact = artifacts.put(key, {_WEIGHTS: trained.to_bytes()}, metadata)
        scratch.clear()
    return CheckpointRef(
        detector=config.detector.kind,
        category=name,
        arm=arm,
        uri=artifact.uri,
        digest=artifact.sha256[_WEIGHTS],
        steps=config.detector.steps,
        trained_on=dataset.digest if dataset is not None and arm == "generated" else None,
    )


def evaluate(checkpoint: CheckpointRef, config: RunConfig) -> Evaluation:
    """Return the metrics of a detector on test photos that are not in, or related to, a support set."""
    category = read_category(config, checkpoint.category)
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    kept, excluded = category.evaluated
    key = artifact_key("evaluation", checkpoint.digest, sorted(s.sha256 for s in kept), config.evaluation.examples)
    artifact = artifacts.get(key)
    if artifact is not None:
        return Evaluation.model_validate(artifact.metadata["evaluation"])
    detector = TrainedDetector.from_bytes(
        artifacts.read(checkpoint.uri.rsplit("/", 1)[-1], _WEIGHTS), device=pick_device(config)
    )
    scores, maps = _predict(detector, kept, config, category)
    masks = np.stack([_mask(s, category.frame) for s in kept])
    evaluation = Evaluation(
        category=category.name,
        detector=checkpoint.detector,
        arm=checkpoint.arm,
        seed=config.seed,
        **_metrics(scores, maps, masks, labels=np.array([s.defect != GOOD for s in kept])),
        num_images=len(kept),
        num_defective=sum(s.defect != GOOD for s in kept),
        excluded_ids=tuple(s.sample_id for s in excluded),
        per_defect=_per_defect(kept, scores, maps, masks),
    )
    metadata = {"kind": "evaluation", "evaluation": evaluation.model_dump(mode="json")}
    artifacts.put(key, {_PREDICTIONS: _pack(kept, scores, maps)}, metadata)
    return evaluation


def example_predictions(checkpoint: CheckpointRef, config: RunConfig) -> list[tuple[Sample, float, np.ndarray]]:
    """Return (photo, score, heat map) of a few defective test photos, the same ones for every arm."""
    category = read_category(config, checkpoint.category)
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    detector = TrainedDetector.from_bytes(
        artifacts.read(checkpoint.uri.rsplit("/", 1)[-1], _WEIGHTS), device=pick_device(config)
    )
    chosen = choose_examples(category.evaluated[0], config.evaluation.examples)
    if not chosen:
        return []
    scores, maps = _predict(detector, chosen, config, category)
    return list(zip(chosen, scores.tolist(), maps, strict=True))


def choose_examples(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return up to `count` defective photos that take turns over the defects, spread over each defect's photos."""
    defects = sorted({s.defect for s in samples} - {GOOD})
    chosen: list[Sample] = []
    for turn, defect in enumerate(defects):
        own = [s for s in samples if s.defect == defect]
        share = count // len(defects) + (turn < count % len(defects))
        chosen += [own[i * len(own) // share] for i in range(min(share, len(own)))]
    return chosen


def _verdicts(arm: Arm, dataset: DatasetRef | None) -> dict[int, ReviewVerdict]:
    return Dataset(dataset.uri).verdicts() if dataset is not None and arm == "generated" else {}


def _training_set(
    config: RunConfig,
    category: Category,
    arm: Arm,
    dataset: DatasetRef | None,
    verdicts: dict[int, ReviewVerdict],
) -> TrainingSet:
    normals = np.stack([load_image(s, category.frame, white_level=config.frame.white_level) for s in category.normals])
    if arm == "perlin" or dataset is None:
        return TrainingSet(normals=normals, generated=None, masks=None)
    stored = Dataset(dataset.uri)
    if not len(stored):
        raise InputError(f"{dataset.uri}: holds no image to train on. See its ledger for the reasons.")
    fixed = {row for row, verdict in verdicts.items() if verdict.decision is Decision.FIX}
    judged = (sample.judged(verdicts.get(row)) for row, sample in enumerate(stored))
    kept = [sample for sample in judged if sample is not None]
    if not kept:
        raise InputError(f"{dataset.uri}: every image was rejected in review. Accept some with `anogen review`.")
    by_mask = config.detector.supervision == "mask"
    place = {s.sample_id: i for i, s in enumerate(category.normals)}
    return TrainingSet(
        normals=normals,
        generated=np.stack([s.image for s in kept]),
        masks=np.stack([s.mask if by_mask or s.row.row in fixed else s.box_mask for s in kept]),
        origins=np.array([place[s.row.normal_id] for s in kept]),
    )


def _curve(trained: TrainedDetector) -> list[list[float]]:
    """Return [step, total loss], averaged over a fiftieth of the training at a time."""
    total = np.sum(list(trained.losses.values()), axis=0)
    parts = np.array_split(np.arange(len(total)), min(50, len(total)))
    return [[int(part[-1]) + 1, float(total[part].mean())] for part in parts]


def _predict(
    detector: TrainedDetector, samples: Sequence[Sample], config: RunConfig, category: Category
) -> tuple[np.ndarray, np.ndarray]:
    scores, maps = [], []
    for start in range(0, len(samples), 16):
        batch = [
            load_image(s, category.frame, white_level=config.frame.white_level) for s in samples[start : start + 16]
        ]
        batch_scores, batch_maps = detector.predict(np.stack(batch))
        scores.append(batch_scores)
        maps.append(batch_maps)
    return np.concatenate(scores), np.concatenate(maps)


def _mask(sample: Sample, frame: tuple[int, int]) -> np.ndarray:
    return np.zeros(frame, bool) if sample.defect == GOOD else load_mask(sample, frame)


def _metrics(scores: np.ndarray, maps: np.ndarray, masks: np.ndarray, *, labels: np.ndarray) -> dict[str, float | None]:
    images, pixels = evaluate_scores(scores, labels), PixelEvaluation()
    pixels.add(maps, masks)
    measured = pixels.metrics()
    return {"image_auroc": images.auroc, "image_ap": images.ap, "pixel_auroc": measured.auroc, "pixel_ap": measured.ap}


def _per_defect(
    samples: Sequence[Sample], scores: np.ndarray, maps: np.ndarray, masks: np.ndarray
) -> dict[str, dict[str, float | None]]:
    names = np.array([s.defect for s in samples])
    result = {}
    for defect in sorted(set(names.tolist()) - {GOOD}):
        chosen = (names == defect) | (names == GOOD)
        result[defect] = _metrics(scores[chosen], maps[chosen], masks[chosen], labels=names[chosen] != GOOD)
    return result


def _pack(samples: Sequence[Sample], scores: np.ndarray, maps: np.ndarray) -> bytes:
    """Return scores, ids and maps (half precision) as one compressed NumPy archive."""
    buffer = io.BytesIO()
    ids = np.array([s.sample_id for s in samples])
    np.savez_compressed(buffer, sample_id=ids, score=scores, anomaly_map=maps.astype(np.float16))
    return buffer.getvalue()
