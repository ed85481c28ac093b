"""What samplers look for on a normal photo, found once for all the places that are tried on it."""

import functools

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.masks.context import Context, Places
from anogen_core.masks.direction import border_points, find_contour
from anogen_core.masks.rim import fill_specks
from anogen_core.masks.sampler import Region
from anogen_core.masks.surroundings import Seen, see


class Scene:
    """Where defects may lie on a photo, its edges, and where surroundings are those of support defects."""

    def __init__(self, foreground: Mask, product: Mask | None, photo: Image | None, context: Context | None) -> None:
        """Take a photo as it is.

        Args:
            foreground: (H, W), True where defects may lie.
            product: (H, W), True where the product is; the foreground where it is not given.
            photo: (H, W, 3); None where surroundings do not count.
            context: The surroundings that count.
        """
        self.foreground, self._given, self.photo, self._context = foreground, product, photo, context
        self._places: dict[tuple[int, ...], Places] = {}

    def shows(self, foreground: Mask, product: Mask | None, photo: Image | None) -> bool:
        """Return whether it was made of these."""
        return self.foreground is foreground and self._given is product and self.photo is photo

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.foreground.shape[0], self.foreground.shape[1]

    @functools.cached_property
    def unbarred(self) -> Mask:
        """Where what belongs to a place of the product may lie (H, W), wherever the product is found to be.

        Only what people drew bars it.
        """
        return self.foreground if self._given is None else self.foreground | ~self._given

    @functools.cached_property
    def product(self) -> Mask:
        """Where the product is (H, W), without specks."""
        given = self.foreground if self._given is None else self._given
        return fill_specks(given, np.zeros_like(given))

    @functools.cached_property
    def contour(self) -> np.ndarray:
        """Pixels (n, 2) as (x, y) of the edge of the product."""
        return find_contour(self.product)

    @functools.cached_property
    def border(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (n, 2) as (x, y) of the photo's border that show the product, and where out is there (n,)."""
        return border_points(self.product)

    def places(self, region: Region) -> Places | None:
        """Return where a region's surroundings are, as far as defects may lie there; None where they do not count."""
        if self._seen is None or self._context is None:
            return None
        if region.key not in self._places:
            found = self._context.places(region, self._seen)
            columns, rows = np.rint(found.centres).astype(int).T
            allowed = self.unbarred if self._context.bound else self.foreground
            may = allowed[rows.clip(0, self.frame[0] - 1), columns.clip(0, self.frame[1] - 1)]
            self._places[region.key] = Places(found.centres[may], found.mirrored[may], found.turns[may])
        return self._places[region.key]

    @functools.cached_property
    def _seen(self) -> Seen | None:
        return None if self.photo is None or self._context is None else see(self.photo, self._context.middle)
