"""The Zarr v3 metadata documents of a sealed dataset, byte for byte the same for the same dataset.

Written by hand instead of through zarr-python: its text may change between releases, and these documents are digested.
"""

import json
from typing import Any, Final

import numcodecs
import numpy as np
from jaxtyping import Shaped

from anogen_core.storage.layout import PIXEL_ARRAYS
from anogen_core.storage.shard import append_crc
from anogen_core.storage.spec import DatasetSpec

_Json = list[dict[str, Any]]

_BYTES: Final = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC32C: Final = {"name": "crc32c"}
_ZSTD_LEVEL: Final = 3

LABEL_TYPE: Final = np.dtype("<u2")
SEED_TYPE: Final = np.dtype("<i8")


def array_documents(spec: DatasetSpec, num_images: int) -> dict[str, dict[str, Any]]:
    """Return the metadata of every array by name."""
    documents = {name: _pixel_array(name, spec, num_images) for name in spec.pixel_arrays}
    documents["label"] = _small_array("uint16", num_images, fill_value=65535)
    documents["seed"] = _small_array("int64", num_images, fill_value=-1)
    return documents


def root_document(spec: DatasetSpec, num_images: int, digest: str) -> dict[str, Any]:
    """Return the metadata of the group, with that of every array consolidated: a sealed dataset never changes."""
    attributes = {
        **spec.model_dump(mode="json", include={"format_version", "name", "category", "defects", "config_fingerprint"}),
        "base_model": spec.base_model.model_dump(mode="json"),
        "digest": digest,
        "synthetic": True,
    }
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"anogen": attributes},
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": False,
            "metadata": array_documents(spec, num_images),
        },
    }


def to_bytes(document: dict[str, Any]) -> bytes:
    """Return a metadata document as it is stored."""
    return json.dumps(document, indent=1, sort_keys=True).encode()


def encode_small(values: Shaped[np.ndarray, " num_images"]) -> bytes:
    """Return the only chunk of a small array as it is stored."""
    return append_crc(bytes(numcodecs.Zstd(level=_ZSTD_LEVEL).encode(values)))


def _pixel_array(name: str, spec: DatasetSpec, num_images: int) -> dict[str, Any]:
    channels = [3] if name == "image" else []
    frame = [spec.height, spec.width, *channels]
    blosc = {"typesize": 1, "cname": "zstd", "clevel": PIXEL_ARRAYS[name], "shuffle": "bitshuffle", "blocksize": 0}
    sharding = {
        "chunk_shape": [1, *frame],
        "codecs": [{"name": "bytes"}, {"name": "blosc", "configuration": blosc}, _CRC32C],
        "index_codecs": [_BYTES, _CRC32C],
        "index_location": "end",
    }
    codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    names = ["sample", "y", "x", *(["channel"] if channels else [])]
    return _array(
        "uint8", [num_images, *frame], chunk=[spec.shard_size, *frame], fill_value=0, codecs=codecs, names=names
    )


def _small_array(data_type: str, num_images: int, *, fill_value: int) -> dict[str, Any]:
    codecs: _Json = [_BYTES, {"name": "zstd", "configuration": {"level": _ZSTD_LEVEL, "checksum": False}}, _CRC32C]
    chunk = [max(1, num_images)]
    return _array(data_type, [num_images], chunk=chunk, fill_value=fill_value, codecs=codecs, names=["sample"])


def _array(
    data_type: str,
    shape: list[int],
    *,
    chunk: list[int],
    fill_value: int,
    codecs: _Json,
    names: list[str],
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": names,
        "storage_transformers": [],
    }
