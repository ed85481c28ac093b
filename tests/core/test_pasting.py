"""The arm `cutpaste`: support defects at the places of a dataset, as large as they are."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from anogen_core.config import RunConfig, parse_config
from anogen_core.diffusion.crop import bounding_box
from anogen_core.errors import InputError
from anogen_core.masks import BoxSamplerSettings, PerlinSamplerSettings, TransplantSamplerSettings
from anogen_core.masks.sampler import MaskSampler, regions, render
from anogen_core.records import BaseModelInfo, LedgerRow, MadeInstance, Outcome
from anogen_core.seeding import numpy_generator
from anogen_core.stages.catalogue import Category, read_category
from anogen_core.stages.embedding import load_support
from anogen_core.stages.pasting import paste_supports
from anogen_core.stages.places import made_places
from anogen_core.storage import Dataset, DatasetSpec, DatasetWriter
from anogen_core.transplant import transplant_label
from tests.datasets import encode_pixels

SIDE, COUNT = 96, 24
CRACKS = [[(10, 20, 60, 4)], [(40, 10, 4, 70)], [(8, 8, 40, 4), (80, 84, 8, 8)]]
"""Boxes (x, y, width, height) of the defects of each support photo: lying, standing, and lying with a far speck."""


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Three plates of grey level 120; the defects of support photo i have grey level 10 + 20 i, all alike."""
    root = tmp_path / "plates/plate"
    for folder in ("train/good", "test/good", "test/crack", "ground_truth/crack"):
        (root / folder).mkdir(parents=True)
    for i in range(3):
        # No two photos are the same.
        photo = np.full((SIDE, SIDE, 3), 120, np.uint8)
        photo[0, 0] = i
        cv2.imwrite(str(root / f"train/good/{i:03}.png"), photo)
        cv2.imwrite(str(root / f"test/good/{i:03}.png"), photo + 10)
    for i, cracks in enumerate(CRACKS):
        photo, mask = np.full((SIDE, SIDE, 3), 120, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
        for x, y, width, height in cracks:
            photo[y : y + height, x : x + width] = 10 + 20 * i
            mask[y : y + height, x : x + width] = 255
        cv2.imwrite(str(root / f"test/crack/{i:03}.png"), photo)
        cv2.imwrite(str(root / f"ground_truth/crack/{i:03}_mask.png"), mask)
    values = {"name": "plates", "output": str(tmp_path / "out"), "reader": {"kind": "mvtec", "root": str(root.parent)}}
    return parse_config(
        {**values, "support": {"images": {"crack": [f"test/crack/{i:03}.png" for i in range(3)]}}}, source="test"
    )


def _dataset(
    category: Category, sampler: MaskSampler, directory: Path, names: list[str]
) -> tuple[Dataset, list[np.ndarray]]:
    """Return a dataset with places of a sampler, and its outlines."""
    rng, rows, outlines = numpy_generator(1), [], []
    for i in range(COUNT):
        normal = category.normals[i % len(category.normals)]
        placement = sampler.sample(np.ones((SIDE, SIDE), bool), rng)
        outlines.append(render(placement, (SIDE, SIDE)))
        box = bounding_box(outlines[-1]).as_list()
        made = MadeInstance(
            box=box, crop=[0, 0, SIDE, SIDE], angle=0, contrast=None, seed=i,
            source=None if placement.source is None else names[placement.source],
            warp=list(placement.warp) if placement.warp else None,
        )  # fmt: skip
        rows.append(
            LedgerRow(
                request_id=f"crack-{i}", row=None, category="plate", defect="crack", outcome=Outcome.MADE, reason=None,
                seed=i, box=box, angle=0, crop=None, instances=[made], normal_id=normal.sample_id,
                normal_uri=normal.image_uri, normal_sha256=normal.sha256, embedding_digest="1" * 64,
                model_fingerprint="f00d",
            )
        )  # fmt: skip
    spec = DatasetSpec(
        name="plate-0001", category="plate", height=SIDE, width=SIDE, shard_size=COUNT, num_shards=1,
        num_requests=COUNT, defects=("crack",), config_fingerprint="0123456789abcdef",
        base_model=BaseModelInfo(name="tiny", fingerprint="f00d", licence="none"),
    )  # fmt: skip
    writer = DatasetWriter(str(directory / "plate-0001.zarr"), spec)
    writer.create()
    masks = 255 * np.stack(outlines).astype(np.uint8)
    images = np.zeros((COUNT, SIDE, SIDE, 3), np.uint8)
    writer.write_shard(0, rows, encode_pixels(images, box_masks=masks, masks=masks), seconds=1.0)
    return Dataset(writer.seal().uri), outlines


def test_outlines_hold_the_defect_they_were_taken_from(config: RunConfig, tmp_path: Path) -> None:
    """The label is that of a generated defect; its pixels are those of its support photo, at the outline's scale."""
    category = read_category(config, "plate")
    (support,) = category.supports
    masks = [mask for _, mask in load_support(support, config)]
    sampler = TransplantSamplerSettings(rotation=180, jitter=1.1).build(masks)
    names = [s.sample_id for s in support.samples]
    stored, outlines = _dataset(category, sampler, tmp_path, names)
    areas = {name: [r.shape.sum() for r in regions([mask])] for name, mask in zip(names, masks, strict=True)}

    pasted = list(paste_supports(config, category, made_places(category, stored)))

    for row, outline, (_, image, label) in zip(stored.made(), outlines, pasted, strict=True):
        assert row.instances is not None
        (made,) = row.instances
        assert made.source is not None
        assert made.warp is not None
        level = 10 + 20 * int(Path(made.source).stem[-3:])
        scale = abs(np.linalg.det(np.reshape(made.warp, (2, 3))[:, :2]))
        assert np.array_equal(label, transplant_label(outline, masks[names.index(made.source)], made.warp))
        assert min(abs(label.sum() / (scale * area) - 1) for area in areas[made.source]) < 0.35
        assert np.median(image[label]) == level
        assert (image[~label] >= 119).sum() >= (~label).sum() * 3 - 3


@pytest.mark.parametrize("kind", [BoxSamplerSettings, PerlinSamplerSettings])
def test_boxes_and_blobs_hold_a_whole_defect_of_their_photo(
    config: RunConfig, kind: type[BoxSamplerSettings | PerlinSamplerSettings], tmp_path: Path
) -> None:
    """One region of the photo that the size was taken from, at its own size, whatever the box has."""
    category = read_category(config, "plate")
    (support,) = category.supports
    sampler = kind(min_size=4).build([mask for _, mask in load_support(support, config)])
    names = [s.sample_id for s in support.samples]
    stored, _ = _dataset(category, sampler, tmp_path, names)

    pasted = list(paste_supports(config, category, made_places(category, stored)))

    for row, (_, image, label) in zip(stored.made(), pasted, strict=True):
        assert row.instances is not None
        number = int(Path(str(row.instances[0].source)).stem[-3:])
        box = bounding_box(label)
        assert (box.width, box.height) in [(width, height) for _, _, width, height in CRACKS[number]]
        assert label.sum() == box.width * box.height
        assert (image[label] == 10 + 20 * number).all()
    assert len({tuple(row.instances[0].source or "") for row in stored.made() if row.instances}) == len(CRACKS)


def test_a_support_photo_under_another_name_is_one_error(config: RunConfig, tmp_path: Path) -> None:
    """Its defect is not taken for that of another photo."""
    category = read_category(config, "plate")
    sampler = TransplantSamplerSettings().build([mask for _, mask in load_support(category.supports[0], config)])
    stored, _ = _dataset(category, sampler, tmp_path, ["renamed", "renamed", "renamed"])

    with pytest.raises(InputError, match="support photo renamed, which is none of this run"):
        list(paste_supports(config, category, made_places(category, stored)))
