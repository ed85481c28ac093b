"""How strongly a defect stands out, measured on support photos and asked of generated ones.

Guidance makes a diffusion model exaggerate: three photos of faint pits become black holes. What a factory has to find
is faint, so each generated defect is shown with the contrast that a support photo has.
"""

from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
from jaxtyping import Float32
from pydantic import Field, StrictBool

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, window_around
from anogen_core.morphology import dilate
from anogen_core.settings import Settings

_PERCENTILE = 95
"""Contrast is that of the clearest pixels: a mask also holds a margin where the defect fades out."""
_MARGIN = 12
"""Pixels around a mask that its measures can depend on."""
_LARGEST = 0.8
"""Share of the photo that a mask may cover for its contrast to be known."""
CLEARANCE = 5
"""Pixels between a support defect and the places beside it that show the bare surface."""
_RADIUS = 3.0
"""Radius of the inpainting that guesses the surface below a support defect, in pixels."""


class ContrastSettings(Settings):
    """How strongly generated defects stand out."""

    match: StrictBool = True
    """Show each defect with the contrast of a support photo of its kind; otherwise as the model made it."""
    spread: Annotated[float, Field(ge=1, le=4)] = 1.0
    """Contrasts are those of the support photos times a factor between 1 and spread, which makes defects stronger than
    on any photo; never fainter ones, which would teach a detector to alarm at nothing."""
    max_gain: Annotated[float, Field(ge=1, le=4)] = 2.0
    """A defect that came out fainter is amplified by at most this factor."""


def to_lab(photo: Image) -> Float32[np.ndarray, "H W 3"]:
    """Return the colours of an RGB photo in CIE 1976 L*a*b*."""
    return np.asarray(cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def relative_change(before: Image, after: Image) -> Float32[np.ndarray, "H W 3"]:
    """Return how much lightness and the two colour axes changed, relative to the surface's lightness.

    L* + 16 is proportional to the cube root of the light (CIE 1976), as the differences of L*, a* and b* are between
    two surfaces under that light; so the same defect has the same value however a photo was exposed. Single noisy
    pixels are averaged out.
    """
    first, second = to_lab(before), to_lab(after)
    change = (second - first) / (first[..., :1] + 16)
    return np.asarray(cv2.GaussianBlur(change, (0, 0), 0.7), np.float32)


def contrast(before: Image, after: Image, mask: Mask) -> float:
    """Return how much the surface changed inside a mask: 0 not at all, 0.3 clearly (see `relative_change`).

    Args:
        before: (H, W, 3) without the defect.
        after: (H, W, 3) with the defect.
        mask: (H, W), True where the defect is; at least one pixel.
    """
    before, after, mask = around(mask, before, after)
    return float(np.percentile(np.linalg.norm(relative_change(before, after)[mask], axis=1), _PERCENTILE))


def around(mask: Mask, before: Image, after: Image) -> tuple[Image, Image, Mask]:
    """Return both images and the mask, cut to the mask and a margin."""
    window = window_around(mask, _MARGIN)
    return before[window], after[window], mask[window]


def support_contrast(photo: Image, mask: Mask) -> float | None:
    """Return how much a real defect stands out, as `contrast` does of generated ones.

    None when the mask is empty, or covers so much of the photo that nothing tells how its surface looks without it.

    What lies below it is guessed from around it. What the same guess misses at the calmest place beside the defect,
    where nothing is wrong, is the surface's own texture and does not count; other places may lie on edges and holes of
    the part, where any guess misses much.

    Args:
        photo: (H, W, 3).
        mask: (H, W), True where the defect is; at least one pixel.
    """
    if not mask.any() or mask.mean() > _LARGEST:
        return None
    raw = _missed(photo, mask)
    beside = [_missed(photo, moved) for moved in moved_beside(mask)]
    texture = min(*beside, 0.9 * raw) if beside else 0.0
    return float(np.sqrt(raw**2 - texture**2))


def gain(reached: float, wanted: float, settings: ContrastSettings) -> float:
    """Return the factor for the change of an image whose defect has contrast `reached` and should have `wanted`."""
    return min(wanted / max(reached, 1e-3), settings.max_gain)


def draw_contrast(
    supports: Sequence[float | None], settings: ContrastSettings, rng: np.random.Generator
) -> float | None:
    """Return the contrast that one image should have, or None to leave it to the model."""
    known = [value for value in supports if value is not None]
    if not settings.match or not known:
        return None
    chosen = known[int(rng.integers(len(known)))]
    return round(float(chosen * settings.spread ** rng.uniform(0, 1)), 4)


def restore(photo: Image, mask: Mask) -> Image:
    """Return a photo with what a mask covers filled in from around it (Telea, 2004): how it may have looked before."""
    restored = photo.copy()
    part, view, hole = around(mask, photo, restored)
    wide = cv2.dilate(hole.astype(np.uint8), np.ones((3, 3), np.uint8))
    view[...] = cv2.inpaint(np.ascontiguousarray(part), wide, _RADIUS, cv2.INPAINT_TELEA)
    return restored


def _missed(photo: Image, mask: Mask) -> float:
    return contrast(restore(photo, mask), photo, mask)


def moved_beside(mask: Mask) -> list[Mask]:
    """Return the mask moved to all sides, where it stays in the frame and clear of the defect."""
    box = bounding_box(mask)
    down, right = box.height + CLEARANCE, box.width + CLEARANCE
    near = dilate(mask, CLEARANCE // 2)
    places = []
    for y, x in ((-down, 0), (down, 0), (0, -right), (0, right), (-down, -right), (down, right)):
        inside = 0 <= box.y + y <= mask.shape[0] - box.height and 0 <= box.x + x <= mask.shape[1] - box.width
        moved = np.roll(mask, (y, x), axis=(0, 1))
        if inside and not (moved & near).any():
            places.append(moved)
    return places
