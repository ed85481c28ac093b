"""Small datasets, a local directory and an S3 server: what the tests of storage share."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from anogen_core.records import BaseModelInfo, LedgerRow, Outcome
from anogen_core.storage import DatasetSpec, DatasetWriter
from anogen_core.storage.commit import ShardReceipt
from tests.datasets import encode_pixels


class ShardContent(NamedTuple):
    """Everything that a shard of work makes."""

    rows: list[LedgerRow]
    images: np.ndarray[Any, Any]
    masks: np.ndarray[Any, Any]

    @property
    def confidences(self) -> np.ndarray[Any, Any]:
        """Return maps that differ from the masks."""
        return self.masks // 255 * 200


class Making:
    """Makes a small dataset, the same at every call."""

    @staticmethod
    def spec(**changes: Any) -> DatasetSpec:
        """Return ten requests in shards of four, 16x24 pixels."""
        values: dict[str, Any] = {
            "name": "bottle-0001",
            "category": "bottle",
            "height": 16,
            "width": 24,
            "shard_size": 4,
            "num_requests": 10,
            "defects": ("crack", "hole"),
            "config_fingerprint": "0123456789abcdef",
            "base_model": BaseModelInfo(name="tiny", fingerprint="f00d", licence="Apache-2.0"),
            "settings": {"run": {"frame": {"white_level": 65535}}},
            **changes,
        }
        return DatasetSpec(**values, num_shards=-(-values["num_requests"] // values["shard_size"]))

    @staticmethod
    def outcome(index: int) -> Outcome:
        """Return how a request ends: requests 3, 4, 5 and 7 are not made."""
        return {3: Outcome.FILTERED, 4: Outcome.BLOCKED, 5: Outcome.FAILED, 7: Outcome.FILTERED}.get(
            index, Outcome.MADE
        )

    @classmethod
    def shard(cls, spec: DatasetSpec, shard: int, *, uri: str = "/photos") -> ShardContent:
        """Return what shard `shard` makes; the mask of request 0 is all zero."""
        first = shard * spec.shard_size
        indexes = range(first, first + spec.requests_in(shard))
        rows = [cls.row(spec, index, uri=uri) for index in indexes]
        made = [index for index in indexes if cls.outcome(index) is Outcome.MADE]
        images = np.zeros((len(made), spec.height, spec.width, 3), np.uint8)
        masks = np.zeros((len(made), spec.height, spec.width), np.uint8)
        for place, index in enumerate(made):
            images[place] = np.random.default_rng(index).integers(0, 256, images.shape[1:])
            masks[place, 2:6, 1:4] = 255 if index else 0
        return ShardContent(rows, images, masks)

    @classmethod
    def row(cls, spec: DatasetSpec, index: int, *, uri: str) -> LedgerRow:
        """Return the ledger row of one request."""
        outcome = cls.outcome(index)
        return LedgerRow(
            request_id=f"crack-{index:06d}",
            row=None,
            category=spec.category,
            defect=spec.defects[index % len(spec.defects)],
            outcome=outcome,
            reason=None if outcome is Outcome.MADE else f"reason {index}",
            seed=2**62 + index,
            box=None if outcome is Outcome.BLOCKED else [1, 2, 3, 4],
            angle=0.5,
            crop=[0, 0, 16, 16],
            normal_id=f"bottle/train/good/{index:03d}",
            normal_uri=f"{uri}/{index:03d}.png",
            normal_sha256="0" * 64,
            embedding_digest="1" * 64,
            model_fingerprint="f00d",
        )

    @classmethod
    def write(cls, writer: DatasetWriter, spec: DatasetSpec, shard: int) -> ShardReceipt:
        """Return the receipt of a shard, as a task of generation gets it."""
        content = cls.shard(spec, shard)
        return writer.committed(shard) or writer.write_shard(
            shard,
            content.rows,
            encode_pixels(
                content.images, box_masks=content.masks, masks=content.masks, confidences=content.confidences
            ),
            seconds=1.0,
        )

    @classmethod
    def dataset(cls, uri: str, **changes: Any) -> str:
        """Make and seal a whole dataset; return its digest."""
        spec = cls.spec(**changes)
        writer = DatasetWriter(uri, spec)
        writer.create()
        for shard in range(spec.num_shards):
            cls.write(writer, spec, shard)
        return writer.seal().digest

    @classmethod
    def pixels(cls) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return all made images and masks of the standard dataset."""
        shards = [cls.shard(cls.spec(), number) for number in range(cls.spec().num_shards)]
        return np.concatenate([s.images for s in shards]), np.concatenate([s.masks for s in shards])


@pytest.fixture
def making() -> type[Making]:
    return Making


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty place of each kind."""
    if request.param == "local":
        return str(tmp_path / "place")
    return f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}"
