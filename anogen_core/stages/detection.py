"""Stage 3: train detectors for each arm, evaluate them on held-out real photos and compare the arms."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anogen_core.arm import learns_from_images
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_mask
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.detectors.training import train_detector
from anogen_core.digests import digest_file, digest_files
from anogen_core.evaluation import CheckpointRef, Comparison, Evaluation, Trial
from anogen_core.metrics.comparison import compare_arms
from anogen_core.metrics.histograms import to_levels
from anogen_core.metrics.predictions import Predictions, macro_ap, pack_masks
from anogen_core.records import GOOD, DatasetRef, Record, Sample
from anogen_core.resizing import mixed_mark
from anogen_core.seeding import derive_seed
from anogen_core.stages import arms
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.runtime import pick_device
from anogen_core.storage.artifacts import ArtifactStore, artifact_key
from anogen_core.storage.uri import name_of

DETECTOR_VERSION = 4
"""Raised by hand when a change to a detector or its training changes its weights."""

EVALUATION_VERSION = 3
"""Raised by hand when a change to predictions or metrics changes their numbers."""

COMPARISON_VERSION = 2
"""Raised by hand when a change to means or intervals changes their numbers."""

_WEIGHTS = "detector.safetensors"
_PREDICTIONS = "predictions.npz"
_BATCH = 16


class Job(Record):
    """A detector to train, and what it is trained with."""

    trial: Trial
    draw: int = 0
    """Which of `RunConfig.draws` it learns from."""
    dataset: DatasetRef | None


def jobs(config: RunConfig, name: str, datasets: Sequence[DatasetRef | None]) -> list[Job]:
    """Return every detector of a category to train: all arms with the same seeds, the run's own first.

    Arms that need more generated images, or their places, than there are in some dataset are left out.

    Args:
        config: The run.
        name: The category.
        datasets: One for each of `config.draws`; None where there is none.
    """
    category = read_category(config, name)
    drawn = zip(config.draws, datasets, strict=True)
    possible = [arms.possible_arms(settings, category, dataset) for settings, dataset in drawn]
    return [
        Job(trial=Trial(arm=arm, seed=config.seed + further), draw=draw, dataset=datasets[draw])
        for arm in possible[0]
        if all(arm in others for others in possible)
        for further in range(config.evaluation.seeds)
        for draw in [further % len(datasets)]
    ]


def checkpoint_key(config: RunConfig, category: Category, trial: Trial, dataset: DatasetRef | None) -> str:
    """Return the content key of a trained detector."""
    return artifact_key(
        "detector",
        DETECTOR_VERSION,
        _by_content(config.detector.model_dump(mode="json")),
        trial.arm,
        [category.name, *category.frame, config.frame.model_dump(mode="json")],
        sorted(s.sha256 for s in category.normals),
        arms.identity(config, category, trial.arm, dataset),
        trial.seed,
        *(digest_files(path.parent, [path]) for path in config.detector.shipped_files()),
        *category.framed_mixed,
        *mixed_mark([category.frame], (config.detector.image_size,) * 2),
    )


def _by_content(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the content of the directories they name (weights, textures) in place of their paths."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found[name] = _by_content(value)
        elif name.endswith("_directory") and value is not None:
            directory = Path(value)
            found[name] = digest_files(directory, (p for p in directory.rglob("*") if p.is_file()))
        else:
            found[name] = value
    return found


def job_key(config: RunConfig, name: str, job: Job) -> str:
    """Return the content key of the detector of a job."""
    settings = config.draws[job.draw]
    return checkpoint_key(settings, read_category(settings, name), job.trial, job.dataset)


def is_trained(config: RunConfig, name: str, job: Job) -> bool:
    """Return whether the store holds the detector of a job."""
    return ArtifactStore.of_run(config.output).get(job_key(config, name, job)) is not None


def train(
    config: RunConfig,
    name: str,
    trial: Trial,
    dataset: DatasetRef | None,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> CheckpointRef:
    """Return the detector of one trial; trains it unless the store holds it already."""
    category = read_category(config, name)
    artifacts = ArtifactStore.of_run(config.output)
    key = checkpoint_key(config, category, trial, dataset)
    artifact = artifacts.get(key)
    if artifact is None:
        scratch = artifacts.scratch(key)
        trained = train_detector(
            config.detector,
            arms.training_set(config, category, trial.arm, dataset),
            # Arms share their seeds: they differ in their data alone.
            seed=derive_seed(trial.seed, "detector", name),
            device=pick_device(config),
            checkpoint=scratch,
            on_progress=None if on_step is None else lambda done, total, _losses: on_step(done, total),
        )
        metadata = {"kind": "detector", "category": name, **trial.model_dump(), "curve": _curve(trained)}
        artifact = artifacts.put(key, {_WEIGHTS: trained.to_bytes()}, metadata)
        scratch.clear()
    return CheckpointRef(
        detector=config.detector.kind,
        category=name,
        arm=trial.arm,
        uri=artifact.uri,
        digest=artifact.sha256[_WEIGHTS],
        steps=config.detector.steps,
        trained_on=dataset.digest if dataset is not None and learns_from_images(trial.arm) else None,
    )


def evaluate(trial: Trial, checkpoint: CheckpointRef, config: RunConfig) -> Evaluation:
    """Return the metrics of a detector on test photos that are not in, or related to, a support set."""
    category = read_category(config, checkpoint.category)
    artifacts = ArtifactStore.of_run(config.output)
    kept, excluded = category.evaluated
    labelled = sorted((_labelled(sample) for sample in kept), key=str)
    # Detectors of two arms may be equal in every weight: each has an evaluation of its own.
    # A detector may be the same when the photos it is tested on are not.
    tested = [trial.arm, trial.seed, checkpoint.digest, labelled, *category.framed_mixed]
    key = artifact_key("evaluation", EVALUATION_VERSION, *tested)
    num_boxed = sum(sample.labelled_by_boxes for sample in kept)
    artifact = artifacts.get(key)
    if artifact is not None:
        # One that was stored without the count of boxes or the mean over defects has them filled in.
        stored = artifact.metadata["evaluation"]
        filled_in = {"num_boxed": num_boxed, "pixel_ap_macro": macro_ap(stored.get("per_defect", {}))}
        return Evaluation.model_validate({**stored, **filled_in})
    predictions = _predict_all(load_detector(checkpoint, config), kept, category)
    metrics, per_defect = predictions.measure()
    evaluation = Evaluation(
        category=category.name,
        detector=checkpoint.detector,
        **trial.model_dump(),
        **metrics,
        num_images=len(kept),
        num_defective=int(predictions.defective.sum()),
        num_boxed=num_boxed,
        num_unmarked=int((~predictions.marked).sum()),
        excluded_ids=tuple(s.sample_id for s in excluded),
        per_defect=per_defect,
        predictions=key,
    )
    metadata = {"kind": "evaluation", "evaluation": evaluation.model_dump(mode="json")}
    artifacts.put(key, {_PREDICTIONS: predictions.to_bytes()}, metadata)
    return evaluation


def _labelled(sample: Sample) -> list[Any]:
    """Return plain values that change whenever a photo, or what is said of it, does."""
    boxes = [box.as_list() for box in sample.boxes]
    mask: Any = sample.outline
    if sample.mask_uri is not None:
        mask = [digest_file(Path(sample.mask_uri)), sample.mask_threshold, *["inverted"] * sample.mask_inverted]
    parts = [part.model_dump(mode="json") for part in sample.parts]
    return [sample.sample_id, sample.sha256, sample.defect, sample.group, mask, boxes, *parts]


def compare(evaluations: Sequence[Evaluation], config: RunConfig) -> Comparison:
    """Return the arms of one category side by side, computed from the stored predictions."""
    artifacts = ArtifactStore.of_run(config.output)
    by_trial = {Trial.model_validate({"arm": e.arm, "seed": e.seed}): str(e.predictions) for e in evaluations}
    of_trials = [[t.arm, t.seed, key] for t, key in by_trial.items()]
    redrawn = len(config.draws) > 1
    decides = [of_trials, config.evaluation.replicates, config.seed, *(["redrawn"] if redrawn else [])]
    key = artifact_key("comparison", COMPARISON_VERSION, *decides)
    artifact = artifacts.get(key)
    if artifact is not None:
        return Comparison.model_validate(artifact.metadata["comparison"])
    comparison = compare_arms(
        ((trial, Predictions.from_bytes(artifacts.read(kept, _PREDICTIONS))) for trial, kept in by_trial.items()),
        replicates=config.evaluation.replicates,
        seed=derive_seed(config.seed, "bootstrap", evaluations[0].category),
        category=evaluations[0].category,
        detector=evaluations[0].detector,
    ).model_copy(update={"redrawn": redrawn})
    artifacts.put(key, {}, {"kind": "comparison", "comparison": comparison.model_dump(mode="json")})
    return comparison


def example_predictions(checkpoint: CheckpointRef, config: RunConfig) -> list[tuple[Sample, float, np.ndarray]]:
    """Return (photo, score, heat map) of a few defective test photos, the same ones for every arm."""
    category = read_category(config, checkpoint.category)
    chosen = choose_examples(category.evaluated[0], config.evaluation.examples)
    if not chosen:
        return []
    scores, maps = load_detector(checkpoint, config).predict(np.stack([category.load(s) for s in chosen]))
    return list(zip(chosen, scores.tolist(), maps, strict=True))


def choose_examples(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return up to `count` defective photos that take turns over the defects, spread over each defect's photos.

    Of a defect's photos those with a label are shown, where there are some.
    """
    defects = sorted({s.defect for s in samples} - {GOOD})
    chosen: list[Sample] = []
    for turn, defect in enumerate(defects):
        own = [s for s in samples if s.defect == defect]
        own = [s for s in own if s.is_labelled] or own
        share = count // len(defects) + (turn < count % len(defects))
        chosen += [own[i * len(own) // share] for i in range(min(share, len(own)))]
    return chosen


def _curve(trained: TrainedDetector) -> list[list[float]]:
    """Return [step, total loss], averaged over a fiftieth of the training at a time."""
    total = np.sum(list(trained.losses.values()), axis=0)
    parts = np.array_split(np.arange(len(total)), min(50, len(total)))
    return [[int(part[-1]) + 1, float(total[part].mean())] for part in parts]


def load_detector(checkpoint: CheckpointRef, config: RunConfig) -> TrainedDetector:
    """Return a trained detector on the run's device."""
    artifacts = ArtifactStore.of_run(config.output)
    return TrainedDetector.from_bytes(artifacts.read(name_of(checkpoint.uri), _WEIGHTS), device=pick_device(config))


def _predict_all(detector: TrainedDetector, samples: Sequence[Sample], category: Category) -> Predictions:
    """Return what the detector says about the photos; one batch of them is in memory at a time."""
    scores, levels = [], []
    for start in range(0, len(samples), _BATCH):
        photos = np.stack([category.load(s) for s in samples[start : start + _BATCH]])
        batch_scores, maps = detector.predict_coarse(photos)
        scores.append(batch_scores)
        levels.append(to_levels(maps))
    parts = [(row, shown) for row, s in enumerate(samples) for d in s.defects if s.parts and (shown := s.showing(d))]
    several: dict[str, Any] = {}
    if parts:
        several = {
            "part_row": np.array([row for row, _ in parts]),
            "part_defect": np.array([shown.defect for _, shown in parts]),
            "part_bits": pack_masks(load_mask(shown, category.frame) for _, shown in parts),
        }
    return Predictions(
        sample_id=np.array([s.sample_id for s in samples]),
        defect=np.array([s.defect for s in samples]),
        group=np.array([s.group or s.sha256 for s in samples]),
        score=np.concatenate(scores),
        level=np.concatenate(levels),
        mask_bits=pack_masks(load_mask(s, category.frame) for s in samples),
        frame=np.array(category.frame),
        **several,
    )
