"""How bright a defect is to be at its new place: as the surface around it, where that is the support defect's own."""

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.morphology import dilate
from anogen_core.surface import sides_of

_WHITE, _HIGHLIGHTS = 255, 0.98
"""The brightest value of a photo; the quantile of a defect's values that are its highlights."""
RING = 4
"""Pixels on each side of a mask that tell how bright the surface is..."""
AROUND = 10
"""... and, too, whether it is the same surface, and that count where it crosses the edge of the part: enough of either
side, even where a thin crack ends."""
_CAST = 0.14
"""Logarithm of the factor by which colour channels are brightened unlike each other at most."""
_UNLIKE = 0.25
"""Deviation of brightness ratios (logarithms) around a mask that tells as much of unlike surfaces as of light: the
usual surface has 0.1, pins have 0.5."""
_LEAST = 8
"""Pixels whose brightness counts."""
_LEVELS = np.linspace(0.05, 0.95, 19)
"""Quantiles of two photos that are compared."""
_ENOUGH = 2**16
"""Pixels that decide how bright a photo is."""


def gain_around(
    part: Image, moved: np.ndarray, inside: Mask, counts: Mask, *, light: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Return the logarithms (3,) of the factors that make a moved photo as bright as the surface around a mask.

    Beside them, whether the moved photo shows things around the mask that the other one does not. Where all that
    surrounds it is brighter or darker alike, or ever more so towards one side, that is light. Where it differs by
    distance or colour, unlike things lie there (print, pins, what is behind the part), and only the light of the
    photos counts.

    Args:
        part: (h, w, 3) photo around the mask.
        moved: (h, w, 3) photo that is moved there.
        inside: (h, w), True at the mask.
        counts: (h, w), True where both show what surrounds it.
        light: (3,) of the photos (see `usual_light`).
    """
    near, around = (dilate(inside, size) for size in (RING, AROUND))
    ring = near & ~inside & counts
    if not ring.any():
        return np.zeros(3), False
    rings = (ring, around & ~near & counts)
    pieces = [piece for of in rings for side in sides_of(inside) if (piece := of & side).sum() >= _LEAST] or [ring]
    found = np.array([_ratio(part, moved, piece) for piece in pieces]) - light
    places = np.array([[1.0, *np.mean(np.nonzero(piece), axis=1)] for piece in pieces])
    trust = 1 / (1 + (_unevenness(found, places) / _UNLIKE) ** 4)
    colours = np.array([np.log(moved[piece].mean(axis=0) + 1) for piece in pieces])
    among_things = trust < 0.5 and _unevenness(colours - colours.mean(axis=0), places) > _UNLIKE
    gain = light + trust * (_ratio(part, moved, ring) - light)
    # A photo that is mostly background, and another one of the part alone, compare colours of unlike things.
    return np.clip(gain, gain.mean() - _CAST, gain.mean() + _CAST), among_things


def burnt(gain: np.ndarray, colours: np.ndarray, light: np.ndarray) -> float:
    """Return by how much a gain exceeds what leaves the highlights of a defect below white.

    The surface around a dent of a shiny part is shaded otherwise at every place. As bright as the light of the photos
    makes it a defect may always be.

    Args:
        gain: (3,) logarithms of the factors.
        colours: (n, 3) pixels of the defect.
        light: (3,) of the photos (see `usual_light`).
    """
    room = np.log(_WHITE / max(float(np.quantile(colours, _HIGHLIGHTS)), 1.0))
    return max(0.0, float(gain.mean()) - max(float(room), float(light.mean())))


def _unevenness(values: np.ndarray, places: np.ndarray) -> float:
    """Return how far values (n, 3) at places (n, 3), rows of 1, y and x, deviate from a plane of all colours."""
    plane = places @ np.linalg.lstsq(places, values.mean(axis=1), rcond=None)[0]
    return float(np.sqrt(np.square(values - plane[:, None]).mean()))


def _ratio(part: Image, moved: np.ndarray, place: Mask) -> np.ndarray:
    """Return the logarithms (3,) of how many times as bright a photo is as another one at a place."""
    return np.asarray(np.log(part[place].mean(axis=0) + 1) - np.log(moved[place].mean(axis=0) + 1))


def usual_light(photo: Image, other: Image) -> np.ndarray:
    """Return the logarithms (3,) of how many times as bright a photo is as another one, as most of their pixels say.

    Parts that differ in size shift some quantiles, those between part and background; the median over all is of others.
    """
    levels = [np.log(np.quantile(_sample(of), _LEVELS, axis=0) + 1) for of in (photo, other)]
    return np.asarray(np.median(levels[0] - levels[1], axis=0))


def highlight(photo: Image) -> float:
    """Return the logarithm of how bright the lighter of two tones is."""
    return float(np.log(np.quantile(_sample(photo).mean(axis=1), _HIGHLIGHTS) + 1))


def _sample(photo: Image) -> np.ndarray:
    """Return the colours (n, 3) of evenly spread pixels."""
    step = max(1, int((photo.size / 3 / _ENOUGH) ** 0.5))
    return photo[::step, ::step].reshape(-1, 3)
