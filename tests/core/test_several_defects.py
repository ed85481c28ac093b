"""Support photos that show several defects."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.config import RunConfig
from anogen_core.evaluation import Trial
from anogen_core.records import Box
from anogen_core.stages import arms, catalogue, detection
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.embedding import embedding_key, load_support
from anogen_core.stages.support_doubts import support_doubts
from anogen_core.storage.dataset import Dataset
from tests.datasets import make_dataset

_DEFECTS = {
    "cut": (Box(x=8, y=10, width=10, height=6), (20, 20, 20)),
    "glue": (Box(x=40, y=44, width=8, height=8), (250,) * 3),
}


@pytest.fixture
def config(small_run: dict[str, object], photos: Path, tmp_path: Path) -> RunConfig:
    """Good bolts, and six with a dark cut and light glue each, in boxes."""
    root = tmp_path / "bolt"
    good = sorted((photos / "bolt/train/good").iterdir())
    shutil.copytree(photos / "bolt/train/good", root / "images")
    rows = ["image,defect,x,y,width,height"]
    for number, file in enumerate(good[:6]):
        photo = cv2.imread(str(file))
        assert photo is not None
        for defect, (box, colour) in _DEFECTS.items():
            photo[box.y : box.y + box.height, box.x : box.x + box.width] = np.array(colour) - number
            rows.append(f"bad{number}.png,{defect},{','.join(map(str, box.as_list()))}")
        cv2.imwrite(str(root / f"images/bad{number}.png"), photo)
    (root / "boxes.csv").write_text("\n".join(rows))
    reader = {"kind": "folder", "root": str(root)}
    return RunConfig.model_validate({**small_run, "output": str(tmp_path / "out"), "reader": reader})


def test_each_defect_is_learned_from_what_is_labelled_of_it(config: RunConfig) -> None:
    """Its masks lie in its own boxes, and photos of both count as photos to test it on."""
    supports = read_category(config, "bolt").supports

    assert [s.defect for s in supports] == list(_DEFECTS)
    for support in supports:
        box, _ = _DEFECTS[support.defect]
        for _, mask in load_support(support, config):
            assert cv2.boundingRect(mask.astype(np.uint8)) == tuple(box.as_list())
    assert len({embedding_key(support, config) for support in supports}) == len(_DEFECTS)
    assert not [doubt for doubt in support_doubts(config) if "left to test on" in doubt.what]


def test_generated_images_show_the_defect_that_they_are_of(config: RunConfig) -> None:
    """Each is as large as its own support defect at most, not as both together, and is named after it."""
    dataset = Dataset(make_dataset(config, "bolt").uri)

    made = {row.defect: row for row in dataset.made()}
    assert set(made) == set(_DEFECTS)
    for row in made.values():
        assert row.box is not None
        assert max(row.box[2:]) < 20


def test_photos_of_several_defects_are_shown_to_a_detector_once(config: RunConfig) -> None:
    """With all their defects in the label: none is taught as a good surface."""
    category = read_category(config, "bolt")
    photos = {s.sample_id for support in category.supports for s in support.samples}

    learned = arms.training_set(config, category, "support_only", None)

    assert learned.masks is not None
    assert len(learned.masks) == len(photos)
    scale = config.detector.image_size / category.frame[0]
    for mask in learned.masks:
        for box, _ in _DEFECTS.values():
            x, y = round((box.x + box.width / 2) * scale), round((box.y + box.height / 2) * scale)
            assert mask[y, x] > 0


def test_each_defect_of_such_photos_has_its_own_scores(config: RunConfig) -> None:
    """Not one row of all together; what a label tells apart is part of what an evaluation is stored under."""
    trial = Trial(arm="perlin", seed=0)
    chosen = {"images": {name: [f"bad{number}.png" for number in range(3)] for name in _DEFECTS}}
    config = RunConfig.model_validate({**config.model_dump(), "support": chosen})
    detector = detection.train(config, "bolt", trial, None)

    found = detection.evaluate(trial, detector, config)
    again = detection.evaluate(trial, detector, config)
    table = Path(str(config.reader.root)) / "boxes.csv"
    swapped = table.read_text().replace(",cut,", ",?,").replace(",glue,", ",cut,").replace(",?,", ",glue,")
    table.write_text(swapped)
    catalogue._read.cache_clear()  # Another process reads the photos anew.
    changed = detection.evaluate(trial, detector, config)

    assert set(found.per_defect) == set(_DEFECTS)
    assert again == found
    assert all(metrics["pixel_ap"] is not None for metrics in found.per_defect.values())
    assert set(detection.compare([found], config).arms[0].per_defect) == set(_DEFECTS)
    assert changed.per_defect["cut"]["pixel_ap"] == pytest.approx(found.per_defect["glue"]["pixel_ap"])
    assert changed.pixel_ap == pytest.approx(found.pixel_ap)
