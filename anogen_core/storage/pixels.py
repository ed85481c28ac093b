"""The pixels of a shard, encoded image by image: a shard of large photos does not fit into memory as it is."""

from collections.abc import Mapping
from typing import final

import numpy as np
from jaxtyping import UInt8

from anogen_core.storage import layout
from anogen_core.storage.shard import encode_chunk


@final
class ShardPixels:
    """Images and masks of one shard of work, encoded as they are stored.

    Args:
        frame: (height, width) of every image.
    """

    def __init__(self, frame: tuple[int, int]) -> None:
        self.frame = frame
        self.chunks: dict[str, list[bytes]] = {name: [] for name in layout.PIXEL_ARRAYS}
        """The encoded images of each array."""

    def __len__(self) -> int:
        return len(self.chunks["image"])

    def add(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        *,
        box_mask: UInt8[np.ndarray, "H W"],
        mask: UInt8[np.ndarray, "H W"],
        confidence: UInt8[np.ndarray, "H W"],
    ) -> None:
        """Add one made image; masks are 0 or 255.

        Raises:
            ValueError: shapes or values do not fit.
        """
        pixels = {"image": image, "box_mask": box_mask, "mask": mask, "confidence": confidence}
        for name, array in pixels.items():
            expected = (*self.frame, 3) if name == "image" else self.frame
            if array.shape != expected or array.dtype != np.uint8:
                raise ValueError(f"{name}: expected uint8 {expected}, got {array.dtype} {array.shape}.")
            if name in layout.MASKS and (array % 255).any():
                raise ValueError(f"{name}: expected values 0 and 255 only.")
        self.add_encoded({name: encode_chunk(array, layout.PIXEL_ARRAYS[name]) for name, array in pixels.items()})

    def add_encoded(self, chunks: Mapping[str, bytes]) -> None:
        """Add one image as another dataset holds it: a chunk of each array."""
        for name, own in self.chunks.items():
            own.append(chunks[name])
