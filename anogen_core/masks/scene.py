"""What samplers look for on a normal photo, found once for all the places that are tried on it."""

import functools

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.masks.context import Context, Places, see
from anogen_core.masks.direction import find_contour
from anogen_core.masks.sampler import Region


class Scene:
    """A photo's foreground, the edge of it, and where surroundings are those of support defects."""

    def __init__(self, foreground: Mask, photo: Image | None, context: Context | None) -> None:
        """Take a photo as it is.

        Args:
            foreground: (H, W), True where defects may lie.
            photo: (H, W, 3); None where surroundings do not count.
            context: The surroundings that count.
        """
        self.foreground, self._context = foreground, context
        self._seen = None if photo is None or context is None else see(photo)
        self._places: dict[tuple[int, tuple[int, int]], Places] = {}

    @functools.cached_property
    def contour(self) -> np.ndarray:
        """Pixels (n, 2) as (x, y) of the edge of the product."""
        return find_contour(self.foreground)

    def places(self, region: Region) -> Places | None:
        """Where a region's surroundings are; None where they do not count."""
        if self._seen is None or self._context is None:
            return None
        if region.key not in self._places:
            self._places[region.key] = self._context.places(region, self._seen)
        return self._places[region.key]
