"""The run lengths of Label Studio's brushes: RGBA bytes along the rows, packed as thi.ng/rle-pack does it.

A stream of bits, highest first: how many values (32 bits), bits of a value less one (5), four widths less one (4 each).
Then runs: whether one value is repeated (1 bit), which width (2), their number less one (of that width), the value or
values.
"""

from typing import Any

import numpy as np

from anogen_core.arrays import Mask
from anogen_core.data.labels.drawing import ShapeError

_CHANNELS = 4
_OPAQUE = 128
_BYTE = 8


def decode_brush(packed: object, size: tuple[int, int]) -> Mask:
    """Return the mask (height, width) of what is more opaque than not.

    Args:
        packed: The stream as a list of bytes.
        size: Height and width in pixels; other sizes are not decoded.

    Raises:
        ShapeError: it is no stream of an image of this size.
    """
    try:
        stream = _Stream(bytes(packed if isinstance(packed, list) else ()))
        count, word = stream.read(32), stream.read(5) + 1
        if count != size[0] * size[1] * _CHANNELS or word != _BYTE:
            raise ShapeError(f"has an `rle` of {count} values of {word} bits; {_expected(size)}.")
        return np.asarray(_values(stream, count).reshape(*size, _CHANNELS)[..., -1] >= _OPAQUE)
    except (TypeError, ValueError, EOFError) as failure:
        if isinstance(failure, ShapeError):
            raise
        raise ShapeError(f"has an `rle` that is cut off or damaged; {_expected(size)}.") from failure


def _expected(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} pixels (height x width) of 4 bytes are expected"


class _Stream:
    """Reads numbers from bits."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, bits: int) -> int:
        """Return the next number of up to 32 bits."""
        number = int.from_bytes(self._bytes(bits), "big")
        behind = -self._at % _BYTE
        return number >> behind & ((1 << bits) - 1)

    def read_bytes(self, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return the next bytes, which may begin at any bit."""
        skipped = self._at % _BYTE
        bits = np.unpackbits(np.frombuffer(self._bytes(count * _BYTE), np.uint8))
        return np.packbits(bits[skipped : skipped + count * _BYTE])

    def _bytes(self, bits: int) -> bytes:
        """Return the bytes that hold the next bits, and go on behind these."""
        start, self._at = self._at // _BYTE, self._at + bits
        end = -(-self._at // _BYTE)
        if end > len(self._data):
            raise EOFError
        return self._data[start:end]


def _values(stream: _Stream, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    widths = [stream.read(4) + 1 for _ in range(4)]
    values = np.empty(count, np.uint8)
    start = 0
    while start < count:
        repeated = stream.read(1)
        end = start + 1 + stream.read(widths[stream.read(2)])
        if end > count:
            raise EOFError
        values[start:end] = stream.read(_BYTE) if repeated else stream.read_bytes(end - start)
        start = end
    return values
