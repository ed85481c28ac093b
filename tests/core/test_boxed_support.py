"""Support photos that are labelled by boxes."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.config import RunConfig
from anogen_core.evaluation import Trial
from anogen_core.report.verdict import judge
from anogen_core.stages import arms, detection
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.embedding import embedding_key, learn, load_support
from anogen_core.stages.generation import plan_dataset
from anogen_core.stages.support_doubts import support_doubts
from anogen_core.storage.artifacts import ArtifactStore
from anogen_core.storage.dataset import Dataset
from anogen_core.transplant import transplant_label
from tests.datasets import make_dataset


@pytest.fixture
def boxed(small_run: dict[str, object], photos: Path, tmp_path: Path) -> dict[str, object]:
    """The cut bolts as a plain folder, each cut in a box that is four pixels wider on all sides."""
    root = tmp_path / "bolt"
    shutil.copytree(photos / "bolt/train/good", root / "images/good")
    shutil.copytree(photos / "bolt/test/cut", root / "images/cut")
    rows = ["image,defect,x,y,width,height"]
    for file in sorted((photos / "bolt/ground_truth/cut").iterdir()):
        x, y, width, height = cv2.boundingRect(_grey(file))
        rows.append(f"cut/{file.name[:3]}.png,cut,{x - 4},{y - 4},{width + 8},{height + 8}")
    (root / "boxes.csv").write_text("\n".join(rows))
    return {**small_run, "output": str(tmp_path / "out"), "reader": {"kind": "folder", "root": str(root)}}


def _grey(file: Path) -> np.ndarray:
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    return mask


def _config(values: dict[str, object], **support: object) -> RunConfig:
    return RunConfig.model_validate({**values, "support": support})


def test_the_outline_inside_a_box_is_the_label(boxed: dict[str, object], photos: Path) -> None:
    """Within a pixel of the true mask, unless the whole box is asked for; embeddings of both have keys of their own."""
    outlined, whole = _config(boxed), _config(boxed, outline_boxes=False)
    (support,) = read_category(outlined, "bolt").supports

    found = [mask for _, mask in load_support(support, outlined)]
    boxes = [mask for _, mask in load_support(support, whole)]

    truth = [_grey(photos / f"bolt/ground_truth/cut/{Path(s.image_uri).stem}_mask.png") > 0 for s in support.samples]
    for outline, box, mask in zip(found, boxes, truth, strict=True):
        assert box.sum() == (16 + 8) * (5 + 8)
        assert not (outline & (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)).any()
        assert (mask & ~outline).mean() < 0.1 * mask.mean()
    assert embedding_key(support, outlined) != embedding_key(support, whole)


def test_a_box_in_which_nothing_stands_out_is_told(boxed: dict[str, object], tmp_path: Path) -> None:
    """One of three photos shows nothing in its box: good photos hold as much there, and the file is named."""
    images = {"cut": ["000.png", "001.png", "002.png"]}
    for good in list((tmp_path / "bolt/images/good").iterdir()):
        more = cv2.imread(str(good))
        assert more is not None
        for turn in (0, 1):
            cv2.imwrite(str(good.with_name(f"{turn}{good.name}")), cv2.flip(more, turn))
    assert not [doubt for doubt in support_doubts(_config(boxed, images=images)) if "stands out" in doubt.what]

    shutil.copytree(tmp_path / "bolt", tmp_path / "moved/bolt")
    file = tmp_path / "moved/bolt/images/cut/001.png"
    photo = cv2.imread(str(file))
    assert photo is not None
    cv2.imwrite(str(file), np.full_like(photo, 128))
    config = _config({**boxed, "reader": {"kind": "folder", "root": str(tmp_path / "moved/bolt")}}, images=images)

    (doubt,) = (doubt for doubt in support_doubts(config) if "stands out" in doubt.what)
    assert doubt.severity == "warning"
    assert doubt.file.endswith("images/cut/001.png")
    assert " good photos" in doubt.what


def test_generated_defects_and_copies_have_the_outlines_found(boxed: dict[str, object]) -> None:
    """Nothing of the surface beside a support defect is moved with it."""
    config = _config(boxed)
    category = read_category(config, "bolt")

    dataset = make_dataset(config, "bolt")
    copies = arms.training_set(config, category, "cutpaste", dataset)

    (support,) = category.supports
    found = {s.sample_id: mask for s, (_, mask) in zip(support.samples, load_support(support, config), strict=True)}
    largest = 1.25**2 * (16 + 4) * (5 + 4)
    assert copies.masks is not None
    for sample, copied in zip(Dataset(dataset.uri), copies.masks, strict=True):
        assert sample.row.instances is not None
        (made,) = sample.row.instances
        assert made.warp is not None
        moved = transplant_label(sample.box_mask > 0, found[str(made.source)], made.warp)
        assert np.array_equal(sample.mask > 0, moved)
        assert 0 < moved.sum() < largest
        assert np.array_equal(copied > 0, moved)


def test_other_labels_make_another_dataset_of_the_same_embedding(boxed: dict[str, object]) -> None:
    """An imported embedding stays what it is; places and masks follow the labels."""
    learned = learn(read_category(_config(boxed), "bolt").supports, _config(boxed))

    outlined, whole = (
        plan_dataset(c, "bolt", learned)[0] for c in (_config(boxed), _config(boxed, outline_boxes=False))
    )

    assert outlined.spec.name != whole.spec.name


def test_outlines_of_label_files_are_used_as_they_are(boxed: dict[str, object], tmp_path: Path) -> None:
    """Nothing is looked for inside a polygon of LabelMe, and another polygon is another embedding and training set."""
    (tmp_path / "bolt/boxes.csv").unlink()
    shutil.copytree(tmp_path / "bolt", tmp_path / "moved/bolt")
    masks, keys, sets = [], [], []
    for root, last in ((tmp_path / "bolt", 40), (tmp_path / "moved/bolt", 42)):
        points = [[10, 20], [30, 20], [30, last]]
        text = json.dumps({"shapes": [{"label": "cut", "points": points, "shape_type": "polygon"}]})
        for photo in (root / "images/cut").iterdir():
            photo.with_suffix(".json").write_text(text)
        config = _config({**boxed, "reader": {"kind": "folder", "root": str(root)}})
        category = read_category(config, "bolt")
        masks.append(load_support(category.supports[0], config)[0][1])
        keys.append(embedding_key(category.supports[0], config))
        sets.append(arms.identity(config, category, "support_only", None))

    expected = cv2.fillPoly(np.zeros((64, 64), np.uint8), [np.array([[10, 20], [30, 20], [30, 40]])], (1,))
    assert np.array_equal(masks[0], expected > 0)
    assert keys[0] != keys[1]
    assert sets[0] != sets[1]


def test_detectors_of_support_photos_follow_their_labels(boxed: dict[str, object]) -> None:
    """Another label of the same photo is another training set."""
    identities = [
        arms.identity(config, read_category(config, "bolt"), "support_only", None)
        for config in (_config(boxed), _config(boxed, outline_boxes=False))
    ]

    assert identities[0] != identities[1]


def test_test_photos_with_boxes_are_counted(boxed: dict[str, object], photos: Path) -> None:
    """Those with a mask are not; an evaluation that was stored without the count is found again, with it."""
    whole = _config(boxed, outline_boxes=False)
    tested = [s for s in read_category(whole, "bolt").evaluated[0] if s.labelled_by_boxes]
    photo = Path(tested[0].image_uri)
    mask = photo.parents[2] / f"masks/cut/{photo.name}"
    mask.parent.mkdir(parents=True)
    shutil.copy(photos / f"bolt/ground_truth/cut/{photo.stem}_mask.png", mask)
    config, trial = _config(boxed), Trial(arm="perlin", seed=0)
    detector = detection.train(config, "bolt", trial, None)

    found = detection.evaluate(trial, detector, config)

    assert (found.num_boxed, found.num_defective) == (len(tested) - 1, len(tested))
    assert found.num_unmarked == 0
    old = found.model_dump(mode="json", exclude={"num_boxed"})
    ArtifactStore(f"{config.output}/artifacts").annotate(str(found.predictions), {"evaluation": old})
    assert detection.evaluate(trial, detector, config) == found


def test_photos_without_a_label_are_tested_by_their_scores(boxed: dict[str, object]) -> None:
    """The support photos alone need a label; the others are counted, and have no pixel metrics."""
    config, trial = _config(boxed, images={"cut": ["000.png", "001.png", "002.png"]}), Trial(arm="perlin", seed=0)
    table = Path(str(config.reader.root)) / "boxes.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:4]))

    found = detection.evaluate(trial, detection.train(config, "bolt", trial, None), config)

    assert found.num_unmarked == found.num_defective > 1
    assert found.image_ap is not None
    assert found.pixel_ap is None
    comparison = detection.compare([found], config)
    assert comparison.arms[0].metrics["image_ap"] is not None
    assert comparison.arms[0].metrics["pixel_ap"] is None
    judge([found], comparison)
    examples = detection.choose_examples(read_category(config, "bolt").evaluated[0], 2)
    assert len(examples) == 2
