"""A small dataset with its photos, and a headless Chromium to look at it."""

import hashlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anogen_core.records import BaseModelInfo, LedgerRow, Outcome
from anogen_core.storage import Dataset, DatasetSpec, DatasetWriter
from deployments.browser import NAMES, Page, find_browser
from deployments.browser import open_page as open_page_in
from tests.datasets import encode_pixels


@pytest.fixture
def open_page(tmp_path: Path) -> Callable[[str], AbstractContextManager[Page]]:
    """Return what opens a page; skips where there is no browser."""
    program = find_browser()
    if program is None:
        pytest.skip(f"needs one of {', '.join(NAMES)}; on Debian: apt-get install chromium")
    return lambda url: open_page_in(program, url, tmp_path / "browser")


@pytest.fixture
def dataset(sealed: Path, tmp_path: Path) -> Dataset:
    """Return a copy of `sealed` on the same photos."""
    return Dataset(str(shutil.copytree(sealed, tmp_path / sealed.name)))


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make eight images of 64x48 pixels on photos that are there, one `<b>` and one `cut` in turn.

    The second request was not made. Every box mask is the rectangle [8, 8, 16, 12], every mask its left half.
    """
    root = tmp_path_factory.mktemp("sealed")
    (root / "photos").mkdir()
    spec = DatasetSpec(
        name="bolt-0001",
        category="bolt",
        height=48,
        width=64,
        shard_size=4,
        num_shards=3,
        num_requests=9,
        defects=("<b>", "cut"),
        config_fingerprint="0123456789abcdef",
        base_model=BaseModelInfo(name="tiny", fingerprint="f00d", licence="Apache-2.0"),
    )
    writer = DatasetWriter(str(root / "bolt-0001.zarr"), spec)
    writer.create()
    for shard in range(spec.num_shards):
        first = shard * spec.shard_size
        photos = [_photo(root, index) for index in range(first, first + spec.requests_in(shard))]
        rows = [_row(root, index) for index in range(first, first + spec.requests_in(shard))]
        made = [place for place, row in enumerate(rows) if row.outcome is Outcome.MADE]
        images = np.stack([photos[place] for place in made])
        box_masks, masks = np.zeros((2, len(made), 48, 64), np.uint8)
        box_masks[:, 8:20, 8:24] = 255
        masks[:, 8:20, 8:16] = 255
        images[masks > 0] = 0
        writer.write_shard(shard, rows, encode_pixels(images, box_masks=box_masks, masks=masks), seconds=1.0)
    writer.seal()
    return root / "bolt-0001.zarr"


def _photo(root: Path, index: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    photo = np.random.default_rng(index).integers(90, 160, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(root / f"photos/{index}.png"), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    return photo


def _row(root: Path, index: int) -> LedgerRow:
    photo = root / f"photos/{index}.png"
    return LedgerRow(
        request_id=f"request-{index}",
        row=None,
        category="bolt",
        defect=("<b>", "cut")[index % 2],
        outcome=Outcome.BLOCKED if index == 1 else Outcome.MADE,
        reason="no room" if index == 1 else None,
        seed=index,
        box=None if index == 1 else [8, 8, 16, 12],
        angle=0.0,
        crop=None,
        normal_id=f"bolt/train/good/{index}",
        normal_uri=str(photo),
        normal_sha256=hashlib.sha256(photo.read_bytes()).hexdigest(),
        embedding_digest="1" * 64,
        model_fingerprint="f00d",
    )
