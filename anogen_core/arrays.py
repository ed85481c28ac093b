"""Names for the arrays that travel inside a process, with their shapes.

Legend: B batch, C channels, H W pixels of a frame, h w latent cells, N samples, D embedding width, V vectors per
concept, T tokens.
Value ranges: uint8 on disk and between stages, [-1, 1] in diffusion, [0, 1] in detectors.
"""

import hashlib
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

Image: TypeAlias = UInt8[np.ndarray, "H W 3"]
"""RGB photo, 0-255."""
Mask: TypeAlias = Bool[np.ndarray, "H W"]
"""True where anomalous."""
ImageBatch: TypeAlias = Float[Tensor, "B 3 H W"]
Latents: TypeAlias = Float[Tensor, "B C h w"]
LatentMask: TypeAlias = Float[Tensor, "B 1 h w"]
"""1 where anomalous, 0 elsewhere."""
Surroundings: TypeAlias = Float[Tensor, "B S h w"]
"""What a model is shown of the photo it paints on: the mask, and latents (blank inside for an inpainting model)."""
Conditioning: TypeAlias = Float[Tensor, "B T D"]
"""Output of the text encoder."""


def array_digest(array: np.ndarray) -> str:
    """Return the sha256 of an array's shape and values."""
    return hashlib.sha256(str(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
