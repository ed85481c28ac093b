"""The bytes of a shard."""

from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import MemoryStore

from anogen_core.errors import CorruptDatasetError
from anogen_core.storage import shard
from anogen_core.storage.metadata import array_documents

SHAPE = (5, 7, 3)


@pytest.fixture
def images() -> np.ndarray[Any, Any]:
    """Return three images; the second is black."""
    drawn = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), dtype=np.uint8)
    drawn[1] = 0
    return drawn


def test_zarr_writes_and_reads_the_same_bytes(images: np.ndarray[Any, Any]) -> None:
    """Our shard equals zarr-python's own, byte for byte, and zarr-python decodes ours."""
    store = MemoryStore()
    array = zarr.create_array(
        store,
        shape=images.shape,
        dtype="u1",
        chunks=(1, *SHAPE),
        shards=(3, *SHAPE),
        compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=1), Crc32cCodec()],
        fill_value=0,
        config={"write_empty_chunks": True},
    )
    array[:] = images
    theirs = store._store_dict["c/0/0/0/0"].to_bytes()
    ours = shard.pack_shard([shard.encode_chunk(image, 3) for image in images], 3)
    store._store_dict["c/0/0/0/0"] = store._store_dict["c/0/0/0/0"].from_bytes(ours)

    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], images)
    theirs_split = shard.split_shard(theirs, slots=3, count=3, where="theirs")
    assert shard.split_shard(ours, slots=3, count=3, where="ours") == theirs_split


def test_metadata_is_what_zarr_writes(making: Any) -> None:
    """Our array documents mean the same as those that zarr-python writes for the same array."""
    spec = making.spec()
    for name, document in array_documents(spec, 6).items():
        ours = zarr.core.metadata.ArrayV3Metadata.from_dict(document)
        store = MemoryStore()
        zarr.create_array(
            store,
            shape=ours.shape,
            dtype=ours.data_type,
            chunks=(1, *ours.shape[1:]) if len(ours.shape) > 1 else ours.shape,
            shards=ours.chunk_grid.chunk_shape if len(ours.shape) > 1 else None,
            compressors=_compressors(name),
            fill_value=ours.fill_value,
            dimension_names=ours.dimension_names,
        )

        assert zarr.open_array(store, mode="r").metadata.to_dict() == ours.to_dict()


def _compressors(name: str) -> list[Any]:
    if name in ("label", "seed"):
        return [zarr.codecs.ZstdCodec(level=3), Crc32cCodec()]
    level = 3 if name == "image" else 5
    return [BloscCodec(cname="zstd", clevel=level, shuffle="bitshuffle", typesize=1), Crc32cCodec()]


def test_chunks_come_back_as_they_went_in(images: np.ndarray[Any, Any]) -> None:
    """Encoding loses nothing, and the same image always has the same bytes."""
    encoded = [shard.encode_chunk(image, 3) for image in images]
    again = [shard.encode_chunk(image.copy(order="F"), 3) for image in images]
    packed = shard.pack_shard(encoded, 4)
    split = shard.split_shard(packed, slots=4, count=3, where="here")

    assert encoded == again
    np.testing.assert_array_equal([shard.decode_chunk(c, SHAPE, where="here") for c in split], images)


def test_every_flipped_bit_is_noticed(images: np.ndarray[Any, Any]) -> None:
    """A flip of any bit of a full shard, chunk or index, raises; pixels are never silently wrong."""
    packed = shard.pack_shard([shard.encode_chunk(image, 3) for image in images], 3)
    for bit in range(0, 8 * len(packed), 7):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptDatasetError, match="here"):
            shard.split_shard(bytes(damaged), slots=3, count=3, where="here")


def test_a_black_image_is_stored_and_an_absent_one_is_an_error(images: np.ndarray[Any, Any]) -> None:
    """An empty slot can never pass for a black image."""
    packed = shard.pack_shard([shard.encode_chunk(images[1], 3)], 2)
    index = shard.read_index(packed[-shard.index_bytes(2) :], slots=2, where="here")

    assert shard.locate(index, 0, where="here")[1] > 0
    with pytest.raises(CorruptDatasetError, match="no image in slot 1"):
        shard.locate(index, 1, where="here")


@pytest.mark.parametrize("shape", [(5, 7), (5, 8, 3), (1, 7, 3)])
def test_a_chunk_of_another_size_is_an_error(images: np.ndarray[Any, Any], shape: tuple[int, ...]) -> None:
    """A sound chunk of another image size is not squeezed into the expected one."""
    with pytest.raises(CorruptDatasetError):
        shard.decode_chunk(shard.encode_chunk(images[0], 3), shape, where="here")


@pytest.mark.parametrize("data", [b"", b"abc", b"\0" * 40])
def test_a_stump_is_an_error(data: bytes) -> None:
    """What is too short to be a shard is corrupt, not an accident of slicing."""
    with pytest.raises(CorruptDatasetError):
        shard.split_shard(data, slots=3, count=3, where="here")
