"""Zarr v3's `sharding_indexed` codec for images: encoded chunks one after another, then their index.

    chunk   blosc(zstd, bitshuffle) of one image, then its crc32c (4 bytes, little-endian)
    index   (offset, length) of every slot as uint64, little-endian, 2^64-1 twice for an empty slot; then its crc32c

Every chunk is stored, an all-zero one too: with these bytes a missing image can never pass for a black one.
Chunks do not know their place, so shards are put together from encoded chunks without decoding them.
"""

from collections.abc import Sequence
from typing import Any, Final

import google_crc32c
import numpy as np
from jaxtyping import UInt8, UInt64
from numcodecs import blosc

from anogen_core.errors import CorruptDatasetError

# With several threads Blosc stores its blocks in the order of completion: the bytes would differ from run to run.
blosc.use_threads = False

IMAGE_LEVEL: Final = 3
MASK_LEVEL: Final = 5
EMPTY: Final = 2**64 - 1
CRC_BYTES: Final = 4
_ENTRY_BYTES: Final = 16
_BLOSC_HEADER_BYTES: Final = 16
_BLOSC_SIZE: Final = slice(4, 8)
"""Where a Blosc chunk says how many bytes it holds; the decoder accepts a buffer that is too large without a word."""


def encode_chunk(array: UInt8[np.ndarray, "..."], level: int) -> bytes:
    """Return one image or mask as it is stored."""
    codec = blosc.Blosc(cname="zstd", clevel=level, shuffle=blosc.BITSHUFFLE, blocksize=0, typesize=1)
    encoded = bytes(codec.encode(np.ascontiguousarray(array)))
    return append_crc(encoded)


def decode_chunk(data: bytes | memoryview, shape: tuple[int, ...], *, where: str) -> UInt8[np.ndarray, "..."]:
    """Return the pixels of one stored chunk.

    Raises:
        CorruptDatasetError: the checksum or the size is wrong; names `where`.
    """
    data = bytes(data)
    encoded = _checked(data, where=where)
    array = np.empty(shape, np.uint8)
    size = int.from_bytes(encoded[_BLOSC_SIZE], "little")
    if len(encoded) < _BLOSC_HEADER_BYTES or size != array.nbytes:
        raise CorruptDatasetError(f"{where}: expected {array.nbytes} bytes of pixels, found {size}.")
    try:
        blosc.Blosc().decode(encoded, out=array)
    except (ValueError, RuntimeError) as error:
        raise CorruptDatasetError(f"{where}: cannot be decoded ({error}).") from error
    return array


def append_crc(data: bytes) -> bytes:
    """Return the bytes with their crc32c behind them."""
    return data + _crc(data)


def check_chunk(data: bytes | memoryview, *, where: str) -> None:
    """Raise CorruptDatasetError when a chunk's checksum is wrong."""
    _checked(bytes(data), where=where)


def pack_shard(chunks: Sequence[bytes], slots: int) -> bytes:
    """Return a shard with the chunks in its first slots and the other slots empty."""
    index = np.full((slots, 2), EMPTY, np.dtype("<u8"))
    lengths = np.array([len(chunk) for chunk in chunks], np.uint64)
    index[: len(chunks), 0] = np.cumsum(lengths) - lengths
    index[: len(chunks), 1] = lengths
    table = index.tobytes()
    return b"".join((*chunks, table, _crc(table)))


def index_bytes(slots: int) -> int:
    """Return the size of the index at the end of a shard, with its checksum."""
    return _ENTRY_BYTES * slots + CRC_BYTES


def index_checksum(shard: bytes) -> int:
    """Return the crc32c of the index: one number that stands for the places and lengths of all chunks."""
    return int.from_bytes(shard[-CRC_BYTES:], "little")


def read_index(tail: bytes, *, slots: int, where: str) -> UInt64[np.ndarray, "slots 2"]:
    """Return (offset, length) of every slot.

    Raises:
        CorruptDatasetError: the checksum of the index is wrong.
    """
    if len(tail) != index_bytes(slots):
        raise CorruptDatasetError(f"{where}: is too short to hold an index of {slots} images.")
    return np.frombuffer(_checked(tail, where=f"{where} (index)"), np.dtype("<u8")).reshape(slots, 2)


def locate(index: UInt64[np.ndarray, "slots 2"], slot: int, *, where: str) -> tuple[int, int]:
    """Return (offset, length) of one chunk.

    Raises:
        CorruptDatasetError: the slot is empty.
    """
    offset, length = (int(value) for value in index[slot])
    if EMPTY in (offset, length):
        raise CorruptDatasetError(f"{where}: has no image in slot {slot}.")
    return offset, length


def split_shard(shard: bytes, *, slots: int, count: int, where: str) -> list[bytes]:
    """Return the first `count` encoded chunks of a shard.

    Raises:
        CorruptDatasetError: the index or the checksum of a chunk is wrong, or a chunk is missing.
    """
    index = read_index(shard[len(shard) - index_bytes(slots) :], slots=slots, where=where)
    chunks = []
    for slot in range(count):
        offset, length = locate(index, slot, where=where)
        chunk = shard[offset : offset + length]
        check_chunk(chunk, where=f"{where} (slot {slot})")
        chunks.append(chunk)
    return chunks


def _crc(data: Any) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(CRC_BYTES, "little")


def _checked(data: bytes, *, where: str) -> bytes:
    content, checksum = data[:-CRC_BYTES], data[-CRC_BYTES:]
    if len(data) < CRC_BYTES or _crc(content) != checksum:
        raise CorruptDatasetError(f"{where}: the checksum does not match; the stored bytes have changed.")
    return content
