"""Training leaves out what reviewers rejected and learns from the masks that they fixed."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from anogen_core import resizing
from anogen_core.config import RunConfig, parse_config
from anogen_core.detectors import DestsegSettings, FpnSettings, fpn
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import InputError
from anogen_core.evaluation import Trial
from anogen_core.records import BaseModelInfo, Box, DatasetRef, Decision, LedgerRow, Outcome, ReviewVerdict
from anogen_core.stages import arms, detection, likeness, reporting
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.result import CategoryResult
from anogen_core.storage import DatasetSpec, DatasetWriter
from anogen_core.storage.verdicts import VerdictWriter
from tests.datasets import encode_pixels


@pytest.fixture
def config(photos: Path, tmp_path: Path) -> RunConfig:
    """The photos at their own size, which is that of the detectors."""
    values = {"name": "small", "output": str(tmp_path), "reader": {"kind": "mvtec", "root": str(photos)}}
    return parse_config({**values, "detector": {"image_size": 64}}, source="test")


@pytest.fixture
def dataset(config: RunConfig, tmp_path: Path) -> DatasetRef:
    """Return four images on the first four normal photos of the bolts; image i is i everywhere."""
    normals = read_category(config, "bolt").normals[:4]
    spec = DatasetSpec(
        name="bolt-0001",
        category="bolt",
        height=64,
        width=64,
        shard_size=4,
        num_shards=1,
        num_requests=4,
        defects=("cut",),
        config_fingerprint="0123456789abcdef",
        base_model=BaseModelInfo(name="tiny", fingerprint="f00d", licence="none"),
    )
    rows = [
        LedgerRow(
            request_id=f"cut-{i}",
            row=None,
            category="bolt",
            defect="cut",
            outcome=Outcome.MADE,
            reason=None,
            seed=i,
            box=[8, 8, 16, 12],
            angle=0.0,
            crop=None,
            normal_id=normal.sample_id,
            normal_uri=normal.image_uri,
            normal_sha256=normal.sha256,
            embedding_digest="1" * 64,
            model_fingerprint="f00d",
        )
        for i, normal in enumerate(normals)
    ]
    images = np.broadcast_to(np.arange(4, dtype=np.uint8)[:, None, None, None], (4, 64, 64, 3))
    box_masks, masks = np.zeros((2, 4, 64, 64), np.uint8)
    box_masks[:, 8:20, 8:24] = 255
    masks[:, 8:20, 8:12] = 255
    writer = DatasetWriter(str(tmp_path / "bolt-0001.zarr"), spec)
    writer.create()
    writer.write_shard(0, rows, encode_pixels(images, box_masks=box_masks, masks=masks), seconds=1.0)
    return writer.seal()


def say(dataset: DatasetRef, row: int, decision: Decision, box: Box | None = None) -> None:
    VerdictWriter(dataset.uri, dataset.digest).add(
        ReviewVerdict(request_id=f"cut-{row}", decision=decision, box=box, who="ada", when=datetime.now(UTC))
    )


@pytest.mark.parametrize(("supervision", "width"), [("box", 16), ("mask", 4)])
def test_the_training_set_follows_the_review(
    config: RunConfig, dataset: DatasetRef, supervision: str, width: int
) -> None:
    """Image 1 is left out with its mask and origin; image 2 has the box that was drawn, whatever is learned from."""
    say(dataset, 1, Decision.REJECT)
    say(dataset, 2, Decision.FIX, Box(x=40, y=40, width=5, height=4))
    say(dataset, 3, Decision.ACCEPT)
    detector = config.detector.model_copy(update={"supervision": supervision})
    category = read_category(config, "bolt")

    learned = arms.training_set(config.model_copy(update={"detector": detector}), category, "generated", dataset)

    assert learned.generated is not None
    assert learned.masks is not None
    assert learned.origins is not None
    assert learned.generated[:, 0, 0, 0].tolist() == [0, 2, 3]
    assert learned.origins.tolist() == [0, 2, 3]
    assert [int((mask > 0).sum()) for mask in learned.masks] == [12 * width, 20, 12 * width]
    assert learned.masks[1][40:44, 40:45].all()


def test_the_report_shows_what_reviewers_left(config: RunConfig, dataset: DatasetRef) -> None:
    """Image 1 makes way for the next one, and image 2 has the mask that was drawn."""
    result = CategoryResult(category="bolt", dataset=dataset, embeddings=())
    before = reporting.dataset_examples(config, result, "cut", 3)
    say(dataset, 1, Decision.REJECT)
    say(dataset, 2, Decision.FIX, Box(x=40, y=40, width=5, height=4))

    after = reporting.dataset_examples(config, result, "cut", 3)

    assert [example.request_id for example in before] == ["cut-0", "cut-1", "cut-2"]
    assert [example.request_id for example in after] == ["cut-0", "cut-2", "cut-3"]
    assert [int(example.mask.sum()) for example in after] == [12 * 4, 20, 12 * 4]
    assert after[1].mask[40:44, 40:45].all()
    assert [int(example.generated[0, 0, 0]) for example in after] == [0, 2, 3]


def test_photos_are_held_at_the_size_of_the_detector(config: RunConfig, dataset: DatasetRef) -> None:
    """As the whole set would be reduced: boxes outwards, exact masks by their outlines."""
    category = read_category(config, "bolt")
    small = config.model_copy(update={"detector": config.detector.model_copy(update={"image_size": 32})})
    arm = "support_only+cutpaste+generated_box+generated_mask"

    whole = arms.training_set(config, category, arm, dataset).resized(32)
    reduced = arms.training_set(small, category, arm, dataset)

    assert reduced.normals.shape[1:] == (32, 32, 3)
    assert reduced.digest() == whole.digest()


def test_a_new_rejection_makes_a_new_detector(config: RunConfig, dataset: DatasetRef) -> None:
    """The key changes for the arm that learns from the images, and returns when the rejection is taken back."""
    category = read_category(config, "bolt")

    def keys() -> list[str]:
        trials = (Trial(arm="generated", seed=0), Trial(arm="perlin", seed=0))
        return [detection.checkpoint_key(config, category, trial, dataset) for trial in trials]

    unseen = keys()
    say(dataset, 0, Decision.ACCEPT)
    assert keys() == unseen
    say(dataset, 0, Decision.REJECT)
    rejected = keys()
    say(dataset, 0, Decision.NONE)

    assert rejected[0] != unseen[0]
    assert rejected[1] == unseen[1]
    assert keys() == unseen


@pytest.mark.parametrize(
    ("frame", "side", "changed"),
    [(None, 64, False), (None, 32, False), ((128, 128), 64, False), ((128, 32), 128, True), ((128, 32), 64, True)],
)
def test_only_photos_of_mixed_proportions_ask_for_new_detectors(
    config: RunConfig,
    dataset: DatasetRef,
    monkeypatch: pytest.MonkeyPatch,
    frame: tuple[int, int] | None,
    side: int,
    changed: bool,  # noqa: FBT001
) -> None:
    """The version of how they are resized is in the keys where a side of a photo shrinks and the other grows."""
    frames = config.frame.model_copy(update={"size": frame})
    detector = config.detector.model_copy(update={"image_size": side})
    chosen = config.model_copy(update={"frame": frames, "detector": detector})
    trial = Trial(arm="perlin", seed=0)
    category = read_category(chosen, "bolt")
    key = detection.checkpoint_key(chosen, category, trial, dataset)
    monkeypatch.setattr(resizing, "MIXED_VERSION", 2)

    assert (detection.checkpoint_key(chosen, Category(**category.model_dump()), trial, dataset) != key) == changed


def test_weights_replaced_in_their_place_make_a_new_detector(config: RunConfig, tmp_path: Path) -> None:
    """What a directory of weights holds decides, not where it lies."""
    category = read_category(config, "bolt")

    def key(directory: Path, content: bytes) -> str:
        directory.mkdir(exist_ok=True)
        (directory / "model.safetensors").write_bytes(content)
        detector = DestsegSettings(steps=1, teacher_directory=str(directory))
        changed = config.model_copy(update={"detector": detector})
        return detection.checkpoint_key(changed, category, Trial(arm="perlin", seed=0), None)

    first = key(tmp_path / "a", b"first weights")

    assert key(tmp_path / "b", b"first weights") == first
    assert key(tmp_path / "a", b"others") != first


def test_other_weights_that_come_with_anogen_make_a_new_detector(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a feature pyramid that starts from them, and of no other."""
    category = read_category(config, "bolt")

    def keys() -> list[str]:
        detectors = (FpnSettings(), FpnSettings(pretrained=False), DestsegSettings(steps=1))
        changed = [config.model_copy(update={"detector": detector}) for detector in detectors]
        return [detection.checkpoint_key(c, category, Trial(arm="perlin", seed=0), None) for c in changed]

    before = keys()
    (tmp_path / "fpn.safetensors").write_bytes(b"others")
    monkeypatch.setattr(fpn, "BUNDLED", tmp_path / "fpn.safetensors")

    assert keys()[0] != before[0]
    assert keys()[1:] == before[1:]


def test_nothing_left_to_train_on_is_told(config: RunConfig, dataset: DatasetRef) -> None:
    """Not an empty array deep inside the training."""
    for row in range(4):
        say(dataset, row, Decision.REJECT)

    with pytest.raises(InputError, match="every image was rejected in review"):
        detection.train(config, "bolt", Trial(arm="generated", seed=0), dataset)


def test_amounts_are_nested_and_mixtures_hold_all_parts(config: RunConfig, dataset: DatasetRef) -> None:
    """The first images that were not rejected; boxes are weak labels, exact ones are not; supports have no origin."""
    say(dataset, 1, Decision.REJECT)
    category = read_category(config, "bolt")

    def learned(arm: str) -> TrainingSet:
        return arms.training_set(config, category, arm, dataset)

    two, mixed = learned("generated:2"), learned("support_only+generated_box:1+generated_mask")

    assert two.generated is not None
    assert two.generated[:, 0, 0, 0].tolist() == [0, 2]
    assert mixed.generated is not None
    assert mixed.masks is not None
    assert mixed.weak is not None
    assert mixed.origins is not None
    assert mixed.generated[-4:, 0, 0, 0].tolist() == [0, 0, 2, 3]
    assert [int((mask > 0).sum()) for mask in mixed.masks[-4:]] == [192, 48, 48, 48]
    assert mixed.weak[-4:].tolist() == [True, False, False, False]
    assert mixed.origins[:-4].tolist() == [-1] * (len(mixed.generated) - 4)
    assert len(mixed.generated) > 4
    with pytest.raises(InputError, match=r"generated:4 asks for more images than .*3, rejected ones left out"):
        learned("generated:4")


def test_arms_that_ask_for_too_much_are_left_out(config: RunConfig, dataset: DatasetRef) -> None:
    """Rejected images do not count, except where CutPaste uses their places alone."""
    say(dataset, 1, Decision.REJECT)
    asked = ("perlin", "cutpaste:4", "generated:3", "generated:4", "generated", "cutpaste:5", "cutpaste:4+generated:3")
    evaluation = config.evaluation.model_copy(update={"arms": asked})

    category = read_category(config, "bolt")
    possible = arms.possible_arms(config.model_copy(update={"evaluation": evaluation}), category, dataset)

    assert possible == ["perlin", "cutpaste:4", "generated:3", "generated", "cutpaste:4+generated:3"]
    sources = ("generated", "generated_box", "generated_mask")
    assert arms.source_amounts(config, category, dataset) == {"cutpaste": 4, **dict.fromkeys(sources, 3)}


def test_likeness_is_that_of_the_images_that_are_kept(
    config: RunConfig, dataset: DatasetRef, tiny_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected images are not measured, fixed masks are; measures from before the review are not found again."""
    monkeypatch.setattr(likeness, "FEWEST", 2)
    base = {"kind": "stable_diffusion", "directory": str(tiny_directory), "licence": "none needed"}
    values = {**config.model_dump(mode="json"), "base_model": base, "support": {"shots": 1, "defects": ["bolt/cut"]}}
    measured = partial(likeness.measure, dataset, parse_config(values, source="test"))
    (before,) = measured()

    say(dataset, 0, Decision.REJECT)
    say(dataset, 1, Decision.REJECT)
    say(dataset, 2, Decision.FIX, Box(x=8, y=8, width=8, height=12))
    say(dataset, 3, Decision.FIX, Box(x=8, y=8, width=8, height=12))
    (after,) = measured()

    assert (before.num_made, after.num_made) == (4, 2)
    assert after.area == 2 * before.area
    assert after.distance != before.distance
    say(dataset, 3, Decision.REJECT)
    assert measured() == []


def test_turns_over_the_defects() -> None:
    """However many images each defect has."""
    assert arms.take_turns(["a", "a", "a", "b", "c", "b"]) == [0, 3, 4, 1, 5, 2]
