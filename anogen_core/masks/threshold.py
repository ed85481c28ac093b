"""A part told from its background by one threshold, along the colour in which the two differ most."""

from typing import Final, NamedTuple

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.morphology import dilate, erode
from anogen_core.quality.contrast import to_lab

_ROUNDS: Final = 3
"""Times that the two classes say along which colour the threshold is sought anew."""
_ENOUGH: Final = 2**14
"""Pixels that decide along which colour."""
_NOISE: Final = 4.0
"""Variance that colours have at least, in squared grey values of 255: no channel is free of noise."""
AROUND: Final = 0.8
"""Share of the frame's edge that a background holds..."""
_ALL_AROUND: Final = 0.98
"""... and from which nothing else reaches the frame's edge."""
_PIECES: Final = 8
"""Pieces in which parts cut the frame's edge at most: a pattern cuts it more often."""
_SHARP: Final = 0.4
"""Share of the difference of the classes that lies within a few pixels of a part's outline; light falls off slower."""
_SHARPLY: Final = 0.85
"""Share of the separation asked for that is enough for a part with a sharp outline and nothing else at the frame's
edge: highlights and shades widen its own colours."""
_BEYOND: Final = 0.9
"""Separation of a part that goes on beyond the frame: nothing around it says that it is one."""

_UNLIKE: Final = 12.0
"""Colour difference (CIE 1976) from the background outside from which what a part encloses is no background..."""
_USUAL: Final = 0.99
"""... if it is larger than that of this share of the background itself."""


class Fault(NamedTuple):
    """Why what was found on a photo is no part with a background around it."""

    measure: str
    found: float
    expected: str


def split_in_two(image: Image) -> tuple[np.ndarray, Mask]:
    """Return values (H, W) from 0 to 255, and where they are above the threshold that best parts them in two.

    Values are grey if the photo is. Otherwise they are what tells the classes best apart (Fisher's discriminant): a
    brown part on a blue belt is as dark as that where it is in the shade. The first classes are those of grey values
    or of how far colours are from the usual one at the frame's edge, whichever leads to classes farther apart.

    Args:
        image: (H, W, 3) photo.
    """
    smooth = _smooth(image)
    grey = _grey(smooth)
    step = max(1, round((grey.size / _ENOUGH) ** 0.5))
    colours = smooth[::step, ::step].reshape(-1, 3).astype(np.float64)
    if (colours == colours[:, :1]).all():
        return grey, _above_otsu(grey)
    far = _length(colours - np.median(frame_edge(smooth), axis=0))
    starts = (grey[::step, ::step].ravel(), _stretch(far))
    found = max((_best_colour(colours, _above_otsu(start)) for start in starts), key=lambda pair: pair[0])
    values = _stretch(cv2.transform(smooth.astype(np.float32), found[1][None].astype(np.float32)))
    return values, _above_otsu(values)


def separation(values: np.ndarray, high: Mask) -> float:
    """Return which share of the variance of values (H, W) two classes explain (Otsu's eta); 0 if one is empty."""
    share, variance = float(high.mean()), float(values.var())
    if variance == 0 or share in (0.0, 1.0):
        return 0.0
    return share * (1 - share) * _gap(values, high) ** 2 / variance


def _apart(values: np.ndarray, high: Mask) -> float:
    """Return the separation of two classes of values (H, W), or what it would be if both were as large.

    Small parts, a few screws on a table, explain little of all variance, however different they are.
    """
    found = separation(values, high)
    if found == 0.0:
        return 0.0
    between = _gap(values, high) ** 2 / 4
    within = (float(values[high].var()) + float(values[~high].var())) / 2
    return max(found, between / (between + within))


def frame_edge(pixels: np.ndarray) -> np.ndarray:
    """Return the values of pixels (H, W, ...) along the edge of the frame, in order."""
    return np.concatenate([pixels[0], pixels[1:, -1], pixels[-1, -2::-1], pixels[-2:0:-1, 0]])


def surrounded_fault(image: Image, min_separation: float) -> Fault | None:
    """Return why neither class of a photo (H, W, 3) surrounds a part."""
    values, high = split_in_two(image)
    edge = frame_edge(high)
    around, pieces = float(max(edge.mean(), 1 - edge.mean())), _pieces(edge)
    if around < AROUND:
        return Fault("background along the frame's edge", around, f"at least {AROUND}")
    if pieces > _PIECES:
        return Fault("pieces along the frame's edge", pieces, f"at most {_PIECES}")
    # The colour that parts best explains more of a texture, too: what counts unless all else fits is grey.
    found = _apart(_grey(_smooth(image)), high)
    if found >= min_separation:
        return None
    if (
        around >= _ALL_AROUND
        and _sharpness(values, high) >= _SHARP
        and separation(values, high) >= _SHARPLY * min_separation
    ):
        return None
    return Fault("separation", found, f"at least {min_separation}")


def beyond_fault(image: Image, min_separation: float) -> Fault | None:
    """Return why the classes of a photo (H, W, 3) are not a part that goes on beyond the frame and what is beside it.

    Both are one piece along the frame's edge.
    """
    values, high = split_in_two(image)
    pieces, least = _pieces(frame_edge(high)), max(_BEYOND, min_separation)
    if pieces != 1:
        return Fault("pieces along the frame's edge", pieces, "1")
    found = separation(values, high)
    return Fault("separation", found, f"at least {least}") if found < least else None


def fill_holes(product: Mask, size: int) -> Mask:
    """Return a part (H, W) without holes up to `size` pixels across; its outline stays, but for gaps of a third of it.

    A closing takes the gaps between teeth for product, its reconstruction does not.
    """
    fine = close(product, size // 3)
    count, labels = cv2.connectedComponents((~fine).astype(np.uint8), connectivity=4)
    background = np.zeros(count, bool)
    background[labels[~close(fine, size)]] = True
    return ~background[labels]


def fill_unlike(product: Mask, image: Image) -> Mask:
    """Return a part (H, W) with what it encloses that does not look like the background outside.

    A threshold takes the red half of a capsule for the dark table; a bore shows the table itself.

    Args:
        product: (H, W), one side of a threshold.
        image: (H, W, 3) photo.
    """
    _, labels = cv2.connectedComponents((~product).astype(np.uint8), connectivity=4)
    outside = ~product & np.isin(labels, frame_edge(labels))
    if not outside.any():
        return product
    lab = cv2.GaussianBlur(to_lab(image), (0, 0), 1.0)
    far = _length(lab - np.median(lab[outside], axis=0))
    unlike = ~product & ~outside & (far > max(_UNLIKE, float(np.quantile(far[outside], _USUAL))))
    # What is thinner is the blurred outline of a hole.
    return product | (cv2.morphologyEx(unlike.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0)


def close(product: Mask, size: int) -> Mask:
    """Return a part (H, W) with its gaps up to `size` pixels closed."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)) if size else np.ones((1, 1), np.uint8)
    return np.asarray(cv2.morphologyEx(product.astype(np.uint8), cv2.MORPH_CLOSE, kernel), bool)


def _best_colour(colours: np.ndarray, high: Mask) -> tuple[float, np.ndarray]:
    """Return how far two classes of colours (n, 3) are apart, and along which colour (3,), from first classes (n,)."""
    weights = np.full(3, 1 / 3)
    for _ in range(_ROUNDS):
        if not 0 < high.mean() < 1:
            return 0.0, weights
        weights = _difference(colours[high], colours[~high])
        values = _stretch(colours @ weights)
        high = _above_otsu(values)
    return separation(values, high), weights


def _smooth(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (5, 5), 0))


def _grey(image: Image) -> np.ndarray:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _above_otsu(values: np.ndarray) -> Mask:
    threshold, _ = cv2.threshold(values, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(values > threshold, bool)


def _stretch(values: np.ndarray) -> np.ndarray:
    """Return values from 0 to 255."""
    low, high = float(values.min()), float(values.max())
    return np.asarray(np.rint((values - low) * (255 / max(high - low, 1e-6))), np.uint8)


def _difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the colour (3,) along which two classes (n, 3) differ most, relative to their own spread.

    Colours are whole numbers, whose sum is exact in any order.
    """
    within, means = _NOISE * np.eye(3), [np.ones(len(part)) @ part / len(part) for part in (one, other)]
    for part, mean in zip((one, other), means, strict=True):
        off = part - mean
        within += off.T @ off / (len(one) + len(other))
    return np.asarray(np.linalg.solve(within, means[0] - means[1]))


def _length(vectors: np.ndarray) -> np.ndarray:
    """Return the Euclidean length (...) of vectors (..., 3): as `np.linalg.norm`, three times as fast."""
    squares = np.square(vectors)
    return np.asarray(np.sqrt(squares[..., 0] + squares[..., 1] + squares[..., 2]))


def _gap(values: np.ndarray, high: Mask) -> float:
    return float(values[high].mean()) - float(values[~high].mean())


def _pieces(edge: np.ndarray) -> int:
    """Return in how many pieces each of two classes lies along the closed edge of a frame."""
    return int((edge != np.roll(edge, 1)).sum()) // 2


def _sharpness(values: np.ndarray, high: Mask) -> float:
    """Return which share of the difference of two classes lies within a few pixels of the outline between them."""
    width = max(3, round(0.01 * min(high.shape)))
    inner = high & ~erode(high, width)
    outer = ~high & dilate(high, width)
    return (float(values[inner].mean()) - float(values[outer].mean())) / max(_gap(values, high), 1e-6)
