"""A picture of filtered images, so that a reason can be seen and not only read."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.report.figures import BOX_COLOUR, detail, encode_png, outline

_SIDE, _TITLE, _WIDTH = 160, 36, 960


class FilteredImage(NamedTuple):
    """One image that did not pass the gates."""

    request_id: str
    reason: str
    normal: Image
    image: Image
    mask: Mask


def filtered_sheet(filtered: Sequence[FilteredImage]) -> bytes:
    """Return a PNG with a row for each image: photo with its mask, then normal and generated in detail, and why."""
    return encode_png(np.concatenate([_row(one) for one in filtered]))


def _row(one: FilteredImage) -> Image:
    row = np.full((_TITLE + _SIDE + 4, _WIDTH, 3), 255, np.uint8)
    for line, text in enumerate((one.request_id, one.reason)):
        cv2.putText(row, text[:150], (4, 13 + 16 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)
    tiles = [
        outline(one.normal, one.mask, side=_SIDE, colour=BOX_COLOUR),
        detail(one.normal, one.mask, side=_SIDE),
        detail(one.image, one.mask, side=_SIDE),
    ]
    left = 0
    for tile in tiles:
        row[_TITLE : _TITLE + tile.shape[0], left : left + tile.shape[1]] = tile
        left += _SIDE + 6
    return row
