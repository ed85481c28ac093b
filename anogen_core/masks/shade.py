"""Shade that a part throws on the background beside it: darker, of the same colour, and fading out."""

from typing import Final

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.morphology import dilate
from anogen_core.quality.contrast import to_lab

_SAME: Final = 0.06
"""Difference of a* and b*, relative to lightness, up to which a surface in the shade is that in the light."""
_FADES: Final = 0.5
"""A shade grows darker by less than this share of how dark it gets within a few pixels of its outline; a part does so
at once."""
_DARKEST: Final = 0.1
"""Quantile of lightness that is how dark it gets."""
_WIDTH: Final = 4
"""The few pixels."""
_LEAST: Final = 0.4
"""Share of what was found that a part holds at least: what loses more is a part of the background's own colour."""


def without_shade(product: Mask, image: Image, background: tuple[float, ...]) -> Mask:
    """Return a part (H, W) without the soft shade beside it, which differs from the background, too.

    Args:
        product: (H, W), True where a photo differs from the background.
        image: (H, W, 3) photo.
        background: L*, a* and b* of the background.
    """
    lab = cv2.GaussianBlur(to_lab(image), (0, 0), 1.0)
    usual = np.array(background, np.float32)
    off = lab[..., 1:] / (lab[..., :1] + 16) - usual[1:] / (usual[0] + 16)
    darker = product & (lab[..., 0] < usual[0]) & (np.linalg.norm(off, axis=2) < _SAME)
    shade = cv2.morphologyEx(darker.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(shade)
    rims = product & dilate(~product, _WIDTH)
    fading = np.zeros(count, bool)
    for number, (x, y, width, height, _) in enumerate(stats.tolist()[1:], 1):
        rows = slice(max(0, y - _WIDTH), y + height + _WIDTH)
        near = rows, slice(max(0, x - _WIDTH), x + width + _WIDTH)
        piece, lightness = labels[near] == number, lab[near][..., 0]
        rim, beyond = piece & rims[near], dilate(piece, _WIDTH) & ~product[near]
        if rim.any() and beyond.any():
            step = float(lightness[beyond].mean()) - float(lightness[rim].mean())
            fading[number] = step < _FADES * (usual[0] - float(np.quantile(lightness[piece], _DARKEST)))
    left = product & ~fading[labels]
    left = cv2.morphologyEx(left.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0
    return left if left.sum() >= _LEAST * product.sum() else product
