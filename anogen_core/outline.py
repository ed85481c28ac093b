"""Outlines as run lengths: the uncompressed RLE of COCO, column by column, the first run is background."""

from collections.abc import Sequence

import numpy as np

from anogen_core.arrays import Mask


def encode_outline(mask: Mask) -> tuple[int, ...]:
    """Return the run lengths of a mask (H, W)."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [not mask[-1, -1]]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(int(length) for length in np.diff(np.concatenate([[0], changes])))


def decode_outline(runs: Sequence[int], shape: tuple[int, int]) -> Mask:
    """Return the mask (H, W) of these run lengths.

    Raises:
        ValueError: the runs do not fill the shape.
    """
    if sum(runs) != shape[0] * shape[1]:
        raise ValueError(f"Expected runs over {shape[0]}x{shape[1]} pixels; got {sum(runs)}.")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(shape, order="F")
