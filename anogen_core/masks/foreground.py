"""Which pixels of a normal photo show the product: defects are placed there only."""

from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field, NonNegativeInt

from anogen_core.arrays import Image, Mask
from anogen_core.settings import Settings


class ForegroundSettings(Settings):
    """How the product is told from its background, and where on it defects may lie."""

    method: Literal["auto", "full", "otsu"] = "auto"
    """`full`: the whole frame (textures). `otsu`: grey threshold and closing (a part on a plain background).
    `auto`: otsu where the photo clearly has a background around a part, the whole frame otherwise."""
    closing: NonNegativeInt = 15
    """Gaps up to this many pixels in the thresholded foreground are closed."""
    min_separation: Annotated[float, Field(ge=0, le=1)] = 0.72
    """`auto`: a photo has a background when the threshold explains this share of its grey variance (Otsu's eta)."""
    legal: str | None = None
    """Mask image (255 inside) of the region where defects may lie, beside the above: a path in which `{category}` and
    `{defect}` stand for their names. It is resized to the frame."""
    illegal: str | None = None
    """Mask image of a region where no defect may lie: a bore, a printed label, a clamp."""


def find_foreground(image: Image, settings: ForegroundSettings) -> Mask:
    """Return True where the product is.

    The background is the class (dark or bright) that holds most of the frame's border.
    """
    if settings.method == "full":
        return np.ones(image.shape[:2], bool)
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (5, 5), 0)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = grey > threshold
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    if settings.method == "auto" and not _has_background(grey, bright, border, settings.min_separation):
        return np.ones(grey.shape, bool)
    product = ~bright if border.mean() > 0.5 else bright
    size = settings.closing
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)) if size else np.ones((1, 1), np.uint8)
    return np.asarray(cv2.morphologyEx(product.astype(np.uint8), cv2.MORPH_CLOSE, kernel), bool)


def _has_background(grey: np.ndarray, bright: Mask, border: np.ndarray, min_separation: float) -> bool:
    """Return whether two grey classes are well apart and one of them surrounds the other."""
    share = bright.mean()
    variance = float(grey.var())
    if variance == 0 or share in (0.0, 1.0):
        return False
    gap = float(grey[bright].mean()) - float(grey[~bright].mean())
    separation = share * (1 - share) * gap**2 / variance
    return bool(separation >= min_separation and max(border.mean(), 1 - border.mean()) >= 0.8)
