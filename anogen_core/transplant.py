"""Show a support defect at the place of a request: what its denoising starts from.

A stain lets the weave below it through, a smear the print. So a defect is shown band by band: where the support photo
is no rougher inside the defect than beside it, and its texture goes on there, the new surface stays, flattened as much
as the old one was; elsewhere the defect's own pixels are shown, and everywhere where a pattern goes on around it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core import bands
from anogen_core.arrays import Image, Mask
from anogen_core.brightness import AROUND, RING, burnt, gain_around, highlight, usual_light
from anogen_core.diffusion.crop import thickness, window_around
from anogen_core.faint import changed, faint_change
from anogen_core.matting import decisive_window, find_matte, shows_through
from anogen_core.morphology import dilate
from anogen_core.quality.contrast import contrast
from anogen_core.relighting import is_band, uneven_light
from anogen_core.silhouette import Sides, are_alike, background_share, fill_background, find_sides, reaching
from anogen_core.surface import continues, goes_on, relative_detail

_SOFT = 2.0
"""Pixels over which the border fades in: an outline is wider by one than its defect, which has a rim of its own."""
_CALM, _ROUGH = 1.0, 1.2
"""A band no stronger inside a defect than beside it is the surface's; so much stronger, it is the defect's."""


class Transplant(NamedTuple):
    """A photo that shows the defect of another one."""

    image: Image
    """(H, W, 3)."""
    surface: tuple[float, ...]
    """How far each band of detail inside the mask is the photo's own surface, 0 not at all to 1, finest first."""
    contrast: float
    """How strongly the defect stands out there before its border is softened."""
    unlike: bool = False
    """Whether the support defect lies among things that are not here: how it stands out there tells less of here."""
    background: Float32[np.ndarray, "H W"] | None = None
    """How likely each pixel shows what is behind the part, 0 to 1; None for a defect that crosses no edge of it."""
    replaces: bool = False
    """Whether the defect takes the place of what is there."""
    fits: bool = False
    """Whether what surrounds the support defect is there, too: then what changes is the defect."""


def transplant(
    normal: Image,
    mask: Mask,
    photo: Image,
    defect: Mask,
    warp: Sequence[float],
    edge: Sequence[float] | None = None,
    *,
    replaces: bool = False,
    fits: bool = False,
) -> Transplant:
    """Return a normal photo with the defect of a support photo inside `mask`, as bright as the surface around it.

    Args:
        normal: (H, W, 3) photo to show it on; outside the mask nothing changes.
        mask: (H, W), True where the defect goes.
        photo: (h, w, 3) support photo.
        defect: (h, w), True where the support photo is defective.
        warp: Row-major 2x3 affine map from pixels (x, y) of the support photo to pixels of the normal one.
        edge: Where the defect crosses the edge of the part (see `Placement`): what is behind the part stays that of the
            normal photo.
        replaces: Whether the defect takes the place of what is there, which shows through it nowhere.
        fits: Whether what surrounds it is there, too, as the plan found; otherwise it is looked for here.
    """
    change = None if replaces or fits else faint_change(photo, defect, _shown_part(defect, mask, warp))
    if change is not None:
        return _as_change(normal, mask, change, warp)
    shown = normal.copy()
    wide = max(RING if edge is None else AROUND, round(thickness(mask[window_around(mask, 0)])) // 2)
    window = window_around(mask, 2 * max(wide, AROUND) + 1)
    part, inside = shown[window], mask[window]
    matrix = _matrix(warp, window)
    size = inside.shape[1], inside.shape[0]
    moved = cv2.warpAffine(photo, matrix, size, borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
    alone = edge is None and not replaces and not fits and is_band(defect)
    uneven = uneven_light(normal, mask, photo, defect, warp)[window] if alone else np.zeros((1, 1, 1), np.float32)
    moved = moved * np.exp(uneven)
    bad = _move(defect, matrix, size) > 0
    sides = None if edge is None else find_sides(edge, matrix, inside.shape)
    counts = True if sides is None else sides.part
    usual = usual_light(normal, photo)
    light, unlike = gain_around(part, moved, inside, ~bad & counts, light=usual)
    if fits:
        light, unlike = np.full(3, highlight(normal) - highlight(photo)), False
    if (inside & bad).any():
        light = light - burnt(light, moved[inside & bad], usual)
    own = moved * np.exp(light)
    known = ~inside & ~dilate(bad, 2)
    beside = dilate(inside, wide) & known
    # Detail of the photo's own surface would show its whole edge through a bite, and a part where it is missing.
    fits = fits or (sides is None and not replaces and continues(part, moved, known, dilate(inside, AROUND) & known))
    hides = sides is not None or replaces or fits
    detail = [] if hides else relative_detail(own, inside & bad, beside)
    surface = tuple(float(np.clip((_ROUGH - band.all) / (_ROUGH - _CALM), 0, 1)) for band in detail)
    if any(surface) and not goes_on(photo, _shown_part(defect, mask, warp), len(surface)):
        surface = tuple(0.0 for _ in surface)
    if not hides:
        own = own + _through(part, photo, defect, matrix, light + uneven, beside)
    flattened = bands.scale(part.astype(np.float32), [min(band.core, 1.0) for band in detail])
    content = bands.keep(own, flattened, surface)
    background = None if sides is None else np.zeros(mask.shape, np.float32)
    if sides is not None and background is not None:
        background[window], content = _on_background(content, part, moved, beside, sides)
    strength = _paint(part, inside, content)
    return Transplant(shown, surface, strength, unlike, background, replaces, fits)


def _as_change(normal: Image, mask: Mask, change: np.ndarray, warp: Sequence[float]) -> Transplant:
    """Return a photo that a faint defect makes brighter or darker, whatever lies there."""
    shown, window = normal.copy(), window_around(mask, AROUND)
    part, inside = shown[window], mask[window]
    matrix, size = _matrix(warp, window), inside.shape[::-1]
    moved = cv2.warpAffine(change, matrix, size)
    moved = moved / np.maximum(_move((change != 0).any(axis=2), matrix, size), 0.5)[..., None]
    content = changed(part, moved)
    strength = _paint(part, inside, content)
    return Transplant(shown, (), strength)


def _paint(part: Image, inside: Mask, content: np.ndarray) -> float:
    """Fade content (h, w, 3) in inside a mask of a part of a photo; return how strongly it stands out before that."""
    sharp = np.where(inside[..., None], np.clip(np.rint(content), 0, 255), part).astype(np.uint8)
    strength = contrast(part, sharp, inside)
    blended = part + fade(inside)[..., None] * (content - part)
    part[inside] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)[inside]
    return strength


def fade(mask: Mask) -> Float32[np.ndarray, "H W"]:
    """Return how far what is shown inside a mask covers the photo, 0 to 1.

    It fades in from the outline, and not where the border of the photo cuts that off.

    Args:
        mask: (H, W), True at one pixel at least. A part of a photo goes a pixel beyond it, or to the photo's border.
    """
    alpha, window = np.zeros(mask.shape, np.float32), window_around(mask, 1)
    alpha[window] = np.clip(cv2.distanceTransform(mask[window].astype(np.uint8), cv2.DIST_L2, 5) / _SOFT, 0, 1)
    return alpha


def _through(
    part: Image, photo: Image, defect: Mask, matrix: np.ndarray, light: np.ndarray, beside: Mask
) -> np.ndarray:
    """Return what is to be added (h, w, 3) to a moved support photo where its defect hides nothing of the surface.

    Args:
        part: (h, w, 3) the new photo.
        photo: (H, W, 3) the support photo.
        defect: (H, W), True where it is defective.
        matrix: (2, 3) map between the two.
        light: (3,) or (h, w, 3) logarithms of the factors that make the one as bright as the other.
        beside: (h, w), True where neither shows the defect.
    """
    if not defect.any():
        return np.zeros_like(part, np.float32)
    size, near = (part.shape[1], part.shape[0]), decisive_window(defect)
    here = np.array([near[1].start, near[0].start])
    from_here = np.column_stack([matrix[:, :2], matrix[:, :2] @ here + matrix[:, 2]])
    surface, opacity = (
        cv2.warpAffine(of, from_here, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        for of in find_matte(photo[near], defect[near])
    )
    below = _move(defect, matrix, size) > 0
    change = shows_through(part, surface * np.exp(light).astype(np.float32), below, beside)
    return np.asarray((1 - opacity)[..., None] * change)


def _on_background(
    content: np.ndarray, part: Image, moved: np.ndarray, beside: Mask, sides: Sides
) -> tuple[np.ndarray, np.ndarray]:
    """Return how likely a support photo shows background (h, w), and the defect with the new photo's background there.

    Args:
        content: (h, w, 3) the defect as bright as the part is.
        part: (h, w, 3) the new photo.
        moved: (h, w, 3) the support photo, moved.
        beside: (h, w), True where neither shows the defect.
        sides: Of the edge.
    """
    on_part, off_part = beside & sides.part, beside & sides.beyond
    support = moved.astype(np.uint8)
    then = background_share(support, on_part, off_part)
    here = background_share(part, on_part, off_part)
    if then is None or here is None:
        return np.zeros(part.shape[:2]), content
    then = reaching(then, sides.beyond)
    same = support if are_alike(part, support, off_part) else None
    behind = fill_background(part, (here > 0.5) & ~sides.part, same, shown=then > 0.5)
    return then, content + then[..., None] * (behind - content)


def transplant_label(mask: Mask, defect: Mask, warp: Sequence[float]) -> Mask:
    """Return which pixels of `mask` the support defect came to; the arguments are those of `transplant`."""
    window = window_around(mask, 0)
    inside = mask[window]
    moved = _move(defect, _matrix(warp, window), (inside.shape[1], inside.shape[0]))
    label = np.zeros_like(mask)
    # Half a pixel of a thin line is still the line.
    label[window] = (moved > 0.35) & inside
    return label


def _shown_part(defect: Mask, mask: Mask, warp: Sequence[float]) -> Mask:
    """Return which pixels (h, w) of a support defect come to `mask`."""
    matrix, size = np.array(warp, np.float64).reshape(2, 3), (defect.shape[1], defect.shape[0])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(defect & (cv2.warpAffine(mask.astype(np.uint8), matrix, size, flags=flags) > 0))


def _matrix(warp: Sequence[float], window: tuple[slice, slice]) -> np.ndarray:
    """Return the map (2, 3) to pixels of a window."""
    matrix = np.array(warp, np.float64).reshape(2, 3)
    matrix[:, 2] -= window[1].start, window[0].start
    return matrix


def _move(defect: Mask, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which share of each pixel of (width, height) a moved mask covers."""
    return np.asarray(cv2.warpAffine(defect.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR))
