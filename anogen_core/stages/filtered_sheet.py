"""A picture of filtered images, so that a reason can be seen and not only read."""

from collections.abc import Sequence

import cv2
import numpy as np

from anogen_core.arrays import Image
from anogen_core.errors import CorruptDatasetError
from anogen_core.records import Outcome
from anogen_core.report.figures import BOX_COLOUR, detail, encode_png, outline
from anogen_core.stages.shard_work import Ending

_SIDE, _TITLE, _WIDTH = 160, 36, 960
_HEIGHT = _TITLE + _SIDE + 4


def filtered_sheet(rows: Sequence[Image]) -> bytes | None:
    """Return a PNG of the rows of filtered images; None when there are none."""
    return encode_png(np.concatenate(rows)) if rows else None


def sheet_rows(sheet: bytes) -> list[Image]:
    """Return the rows of a picture that `filtered_sheet` made; raises CorruptDatasetError for another one."""
    picture = cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise CorruptDatasetError("The picture of filtered images cannot be decoded.")
    return list(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8).reshape(-1, _HEIGHT, _WIDTH, 3))


def filtered_row(ending: Ending) -> Image | None:
    """Return the row of an image that gates filtered: photo with its mask, normal and generated in detail, and why.

    None for a request that ended otherwise.
    """
    if ending.outcome is not Outcome.FILTERED or ending.image is None:
        return None
    normal, mask = ending.jobs[0].normal, ending.mask
    row = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    for line, text in enumerate((ending.request.request_id, ending.reason or "")):
        cv2.putText(row, text[:150], (4, 13 + 16 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)
    tiles = [
        outline(normal, mask, side=_SIDE, colour=BOX_COLOUR),
        detail(normal, mask, side=_SIDE),
        detail(ending.image, mask, side=_SIDE),
    ]
    left = 0
    for tile in tiles:
        row[_TITLE : _TITLE + tile.shape[0], left : left + tile.shape[1]] = tile
        left += _SIDE + 6
    return row
