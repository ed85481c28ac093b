"""What a photo would show without its defect: another place of it whose surroundings are the same.

On a part of two tones, such as the tracks of a circuit board, what lies under a defect goes on from all sides of it,
which no colours of the surroundings alone tell.
"""

from typing import Final, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.arrays import Mask

_SHIFTED: Final = 1
"""Pixels by which edges may lie otherwise there."""
_STRUCTURED: Final = 400.0
"""Variance in CIELAB of surroundings that have a structure: more than grain or light make."""
_SAME: Final = 0.2
"""Of that variance: surroundings that differ by less, squared, are the same."""


class Counterpart(NamedTuple):
    """Between which colours each pixel lies where the surroundings are the same: edges may be a pixel off."""

    least: Float32[np.ndarray, "h w 3"]
    most: Float32[np.ndarray, "h w 3"]

    def missed(self, colours: np.ndarray) -> Float32[np.ndarray, "h w 3"]:
        """Return by how much colours (h, w, 3) lie outside."""
        return np.asarray(np.maximum(colours - self.most, 0) - np.maximum(self.least - colours, 0), np.float32)

    @property
    def edges(self) -> Mask:
        """Where it has edges (h, w): nothing is missed there that is of either colour."""
        return np.square(self.most - self.least).sum(axis=2) > _STRUCTURED


def find_counterpart(colours: np.ndarray, window: tuple[slice, slice], hidden: Mask) -> Counterpart | None:
    """Return what another place of a photo shows that looks as a window does where that is not hidden.

    It is looked for mirrored and in quarter turns, too. None where the surroundings have no structure, or come nowhere
    again.

    Args:
        colours: (H, W, 3) CIELAB of the photo.
        window: (h, w) of it.
        hidden: (H, W), True where defects may show.
    """
    shown = ~hidden[window]
    around = colours[window][shown]
    spread = float(around.var(axis=0).sum()) if len(around) else 0.0
    if spread < _STRUCTURED:
        return None
    searched, defects = np.ascontiguousarray(colours, np.float32), hidden.astype(np.float32)
    best, found = _SAME * spread, None
    for mirrored in (False, True):
        for quarters in range(4):
            wanted, counts = (
                np.ascontiguousarray(np.rot90(of[:, ::-1] if mirrored else of, quarters), np.float32)
                for of in (colours[window], shown)
            )
            height, width = counts.shape
            if height > searched.shape[0] or width > searched.shape[1]:
                continue
            off = cv2.matchTemplate(searched, wanted, cv2.TM_SQDIFF, mask=np.repeat(counts[..., None], 3, axis=2))
            off = off / counts.sum()
            off[
                cv2.boxFilter(
                    defects, -1, (width, height), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
                )[: off.shape[0], : off.shape[1]]
                > 0.5
            ] = np.inf
            row, column = np.unravel_index(int(off.argmin()), off.shape)
            if off[row, column] < best:
                best = float(off[row, column])
                back = np.rot90(searched[row : row + height, column : column + width], -quarters)
                found = np.ascontiguousarray(back[:, ::-1] if mirrored else back)
    if found is None:
        return None
    square = np.ones((2 * _SHIFTED + 1,) * 2, np.uint8)
    return Counterpart(cv2.erode(found, square), cv2.dilate(found, square))
