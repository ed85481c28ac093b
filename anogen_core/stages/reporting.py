"""Gather what a run made and render the report."""

import importlib.metadata
import platform
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
import yaml

from anogen_core.arm import main_arms
from anogen_core.config import RunConfig
from anogen_core.data.frame import load_mask
from anogen_core.data.problems import UnusableFileError
from anogen_core.evaluation import CheckpointRef
from anogen_core.records import ConceptEmbedding, Decision, LedgerRow, ReviewVerdict, Sample, SupportSet
from anogen_core.report import (
    CategoryReport,
    DefectReport,
    GeneratedExample,
    PredictionExample,
    ReportContent,
    contact_sheet,
    render_report,
    to_data_uri,
)
from anogen_core.stages import detection
from anogen_core.stages.arms import source_amounts
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.embedding import embedding_key, load_support
from anogen_core.stages.result import CategoryResult, RunResult
from anogen_core.storage import Dataset, open_store
from anogen_core.storage.artifacts import ArtifactStore
from anogen_core.storage.sample import StoredSample
from anogen_core.storage.uri import name_of

_EXAMPLES = 8
_PACKAGES = ("torch", "diffusers", "transformers", "zarr", "numpy", "opencv-python-headless", "prefect", "dask")


def write_report(config: RunConfig, result: RunResult, *, warnings: Sequence[str] = ()) -> str:
    """Render the report of a run into its output and return where it is."""
    content = ReportContent(
        title=config.name,
        created=datetime.now(UTC),
        run_seed=config.seed,
        config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        versions=_versions(),
        base_model=config.base_model.describe().model_dump(),
        warnings=[*warnings, *left_out_arms(config, result), *_changed_supports(config, result)],
        categories=[_category_report(config, r) for r in result.categories],
        failed=[(one.category, one.reason) for one in result.failed],
        timings=[
            *result.seconds.items(),
            *((f"{r.category}: {stage}", seconds) for r in result.categories for stage, seconds in r.seconds.items()),
        ],
    )
    open_store(config.output).put("report.html", render_report(content).encode())
    return f"{config.output}/report.html"


def left_out_arms(config: RunConfig, result: RunResult) -> list[str]:
    """Return one line for each category that has too few images for some arm that the run asks for."""
    lines = []
    for made in result.categories:
        trained = {e.arm for e in made.evaluations}
        missing = [arm for arm in config.evaluation.arms if arm not in trained]
        if trained and missing:
            count = min((dataset.num_images for dataset in made.datasets), default=0)
            lines.append(f"{made.category}: {count} images are too few for these arms, left out: {', '.join(missing)}.")
    return lines


def _changed_supports(config: RunConfig, result: RunResult) -> list[str]:
    """Return one line for each defect whose support photos are not all there as it was learned from them."""
    lines = []
    for made in result.categories:
        category = read_category(config, made.category)
        for embedding in made.embeddings:
            _, gone = _support_of(embedding, category, config)
            if gone:
                lines.append(
                    f"{made.category}: {gone} of {len(embedding.support_sha256)} photos that {embedding.defect} was "
                    "learned from are not as they were, or gone, and are not shown."
                )
    return lines


def _support_of(embedding: ConceptEmbedding, category: Category, config: RunConfig) -> tuple[SupportSet, int]:
    """Return the photos that a defect was learned from, as far as they are there unchanged, and how many are not."""
    chosen = next((s for s in category.supports if s.defect == embedding.defect), None)
    if chosen is not None and embedding_key(chosen, config) == name_of(embedding.uri):
        return chosen, 0
    there = {s.sha256: s for photo in category.samples if (s := photo.showing(embedding.defect)) is not None}
    photos = tuple(there[sha256] for sha256 in embedding.support_sha256 if sha256 in there)
    support = SupportSet(category=category.name, defect=embedding.defect, samples=photos)
    return support, len(embedding.support_sha256) - len(photos)


def dataset_examples(config: RunConfig, result: CategoryResult, defect: str, count: int) -> list[GeneratedExample]:
    """Return the first few made images of one defect, beside their normal photos as far as these are still there.

    They are as reviewers left them: with the masks that they fixed, without the images that they rejected.
    """
    if result.dataset is None:
        return []
    category, stored = read_category(config, result.category), Dataset(result.dataset.uri)
    verdicts = stored.verdicts()
    examples: list[GeneratedExample] = []
    for index, row in enumerate(stored.made()):
        if len(examples) == count:
            break
        verdict = verdicts.get(index)
        if row.defect == defect and (verdict is None or verdict.decision is not Decision.REJECT):
            normal = next((s for s in category.samples if s.sample_id == row.normal_id), None)
            if normal is None or normal.sha256 != row.normal_sha256:
                continue
            with suppress(UnusableFileError):
                examples.append(_example(category, stored, row, verdict, normal))
    return examples


def pictures(config: RunConfig, result: CategoryResult, *, each: int = 3) -> dict[str, str]:
    """Return a contact sheet for each defect that has images, as an address that holds the picture itself."""
    examples = {e.defect: dataset_examples(config, result, e.defect, each) for e in result.embeddings}
    return {defect: to_data_uri(contact_sheet(own), quality=80) for defect, own in examples.items() if own}


def _category_report(config: RunConfig, result: CategoryResult) -> CategoryReport:
    category = read_category(config, result.category)
    stored = None if result.dataset is None else Dataset(result.dataset.uri)
    artifacts = ArtifactStore.of_run(config.output)
    return CategoryReport(
        category=category.name,
        frame=category.frame,
        num_normals=len(category.normals),
        num_test=sum(s.split == "test" for s in category.samples),
        dataset_summary=stored.summary() if stored is not None else {},
        defects=[_defect_report(config, category, result, defect) for defect in stored.spec.defects]
        if stored is not None
        else [],
        redrawn=[(one.uri, one.num_images) for one in result.redrawn],
        evaluations=list(result.evaluations),
        comparison=result.comparison,
        source_amounts=source_amounts(config, category, result.dataset),
        detector_curves={
            c.arm: [(int(s), float(v)) for s, v in _metadata(artifacts, c.uri)["curve"]] for c in _first_seeds(result)
        },
        predictions=_predictions(config, category, result),
        ledger=stored.ledger() if stored is not None else (),
        verdicts=stored.verdicts() if stored is not None else {},
        likeness=result.likeness,
    )


def _defect_report(config: RunConfig, category: Category, result: CategoryResult, defect: str) -> DefectReport:
    embedding = next(e for e in result.embeddings if e.defect == defect)
    support, _ = _support_of(embedding, category, config)
    metadata = _metadata(ArtifactStore.of_run(config.output), embedding.uri)
    photos = load_support(support, config, category.frame)
    return DefectReport(
        defect=defect,
        support=[(image, mask, s.sample_id) for (image, mask), s in zip(photos, support.samples, strict=True)],
        examples=dataset_examples(config, result, defect, _EXAMPLES),
        loss_curve=[(int(step), float(loss)) for step, loss in metadata["validation_loss"]],
        embedding_digest=embedding.digest,
        steps=metadata["steps"],
        num_vectors=embedding.num_vectors,
        outlined=config.support.outline_boxes and not all(s.has_mask for s in support.samples),
    )


def _example(
    category: Category,
    stored: Dataset,
    row: LedgerRow,
    verdict: ReviewVerdict | None,
    normal: Sample,
) -> GeneratedExample:
    index = row.row if row.row is not None else -1
    mask = stored.mask(index)
    sample = StoredSample(row, stored.image(index), stored.box_mask(index), mask, confidence=mask)
    left = sample.judged(verdict) or sample
    return GeneratedExample(
        normal=category.load(normal),
        box_mask=left.box_mask > 0,
        mask=left.mask > 0,
        generated=left.image,
        request_id=row.request_id,
    )


def _predictions(config: RunConfig, category: Category, result: CategoryResult) -> list[PredictionExample]:
    by_arm = {c.arm: detection.example_predictions(c, config) for c in _first_seeds(result)}
    if not by_arm:
        return []
    first = next(iter(by_arm.values()))
    return [
        _prediction(category, sample, {arm: p[i] for arm, p in by_arm.items()})
        for i, (sample, _, _) in enumerate(first)
    ]


def _first_seeds(result: CategoryResult) -> list[CheckpointRef]:
    """Return the detector of each arm's first seed, without those of a sweep: their curves and maps are shown."""
    first = {c.arm: c for c in reversed(result.checkpoints)}
    return [first[arm] for arm in main_arms(reversed(first))]


def _prediction(
    category: Category, sample: Sample, arms: dict[str, tuple[Sample, float, np.ndarray]]
) -> PredictionExample:
    return PredictionExample(
        image=category.load(sample),
        mask=load_mask(sample, category.frame),
        heatmaps={arm: heat for arm, (_, _, heat) in arms.items()},
        scores={arm: score for arm, (_, score, _) in arms.items()},
        defect=sample.defect,
        name=sample.sample_id,
    )


def _metadata(artifacts: ArtifactStore, uri: str) -> dict[str, Any]:
    artifact = artifacts.get(name_of(uri))
    return artifact.metadata if artifact is not None else {}


def _versions() -> dict[str, str]:
    versions = {"anogen": importlib.metadata.version("anogen"), "python": platform.python_version()}
    return versions | {name: importlib.metadata.version(name) for name in _PACKAGES}
