"""Datasets and artefacts on a local path or s3://, through one code path.

The format and its protocol are in docs/dataset-format.md. Where do I go to change...? The bytes of a shard: `shard.py`;
the keys: `layout.py`; the protocol: `writer.py`, `parts.py`, `seal.py`; a kind of store: `store.py`, `uri.py`.
"""

from anogen_core.storage.dataset import Dataset
from anogen_core.storage.sample import StoredSample
from anogen_core.storage.spec import DatasetSpec
from anogen_core.storage.uri import open_store
from anogen_core.storage.verify import verify
from anogen_core.storage.writer import DatasetWriter

__all__ = ["Dataset", "DatasetSpec", "DatasetWriter", "StoredSample", "open_store", "verify"]
