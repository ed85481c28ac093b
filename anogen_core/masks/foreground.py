"""Which pixels of a normal photo show the product: defects are placed there only."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import cv2
import numpy as np
from jaxtyping import Float32
from pydantic import Field, NonNegativeInt, StrictBool, model_validator

from anogen_core.arrays import Image, Mask
from anogen_core.masks.edges import outline_fault, within_edges
from anogen_core.masks.shade import without_shade
from anogen_core.masks.threshold import (
    AROUND,
    Fault,
    beyond_fault,
    close,
    fill_holes,
    fill_unlike,
    frame_edge,
    split_in_two,
    surrounded_fault,
)
from anogen_core.quality.contrast import to_lab
from anogen_core.records import Record
from anogen_core.settings import Settings

_NOISE: Final = np.array([1.0, 0.7, 0.7, 0.7])
"""Differences of the four features that mean nothing: the background of a rendered photo has no spread at all."""
_REACH: Final = 3.0
"""The background reaches this many times as far from its mean as the nearest half of its pixels does."""
_VISIBLE: Final = 5.0
"""Colour difference (CIE 1976) from which a photo shows something else."""
_SMALLEST: Final = 0.01
"""Share of the frame below which what differs from the border is no part, and what does not is no background."""


class ForegroundSettings(Settings):
    """How the product is told from its background, and where on it defects may lie."""

    method: Literal["auto", "full", "otsu", "otsu_beyond", "border", "edges", "statistics", "template"] = "auto"
    """`full`: the whole frame (textures). `otsu`: a threshold along the colour in which part and background differ most
    (a part on a plain background). `otsu_beyond`: the same, of a part that holds most of the frame's edge (a board that
    goes on beyond the frame, with its end in view). `border`: what differs from colour and grain of the photo's own
    border (a part on changing backgrounds). `edges`: what includes that and ends at the strongest edges around it (a
    part that is as bright as its background in places). `statistics`: what differs from those of the background,
    learned from the borders of the normal photos (a part of several colours). `template`: what differs from a photo of
    the empty scene, or a drawn mask. `auto`: for each category the first of otsu, otsu_beyond, border and edges that
    finds a part of like size on nearly all normal photos and the support defects on it, the whole frame otherwise;
    `anogen check` tells which and why."""
    template: str | None = None
    """For `template`: a photo of the same view without the part, or a mask image (0 and 255 only) of where the part
    is; `{category}` stands for the name."""
    closing: NonNegativeInt = 15
    """Holes up to this many pixels across in the foreground are filled. So are gaps at its outline, those of `otsu` and
    `otsu_beyond` up to a third of it: what lies between the teeth of a gear is background. These two fill larger holes
    where they do not look like the background outside."""
    min_separation: Annotated[float, Field(ge=0, le=1)] = 0.72
    """`auto`: otsu finds a background when the threshold explains this share of the grey variance (Otsu's eta; for
    small parts that of as many pixels of either side), or 0.85 times as much of the variance of its own colour where
    the outline is sharp and only background is at the frame's edge. otsu_beyond asks for 0.9 at least."""
    legal: str | None = None
    """Mask image (255 inside) of the region where defects may lie, beside the above: a path in which `{category}` and
    `{defect}` stand for their names. It is resized to the frame."""
    illegal: str | None = None
    """Mask image of a region where no defect may lie: a bore, a printed label, a clamp."""
    like_support: StrictBool = True
    """Defects lie across the edge of the foreground where those of the support photos do, and clear of it where these
    are; and where it looks as it does around them, if the support photos show that they keep to such places, or at
    like places of a product that lies alike on all photos, if they show that they belong to these. False: wherever
    `mask_sampler.min_overlap` of the mask is on the foreground."""

    @model_validator(mode="after")
    def _check_template(self) -> "ForegroundSettings":
        if (self.method == "template") != (self.template is not None):
            raise ValueError("method `template` and the field `template` go together: give both or neither")
        return self


class Background(Record):
    """Colour and grain of what surrounds the part: mean and spread of L*, a*, b* and log of the local deviation."""

    mean: tuple[float, ...]
    """(4,)"""
    whitening: tuple[tuple[float, ...], ...]
    """(4, 4): takes the features to unit variance."""
    reach: float
    """Distance from the mean within which nearly all of the background lies."""


def learn_background(photos: Sequence[Image]) -> Background:
    """Return the background of some normal photos (H, W, 3), as their borders show it.

    Half of the border's pixels decide mean and spread (those nearest to the median), so that a part which touches the
    border in some photos does not count as background.
    """
    return _learn(np.concatenate([_features(photo)[_border(photo.shape[:2])] for photo in photos]))


def _learn(features: Float32[np.ndarray, "n 4"]) -> Background:
    """Return the background that pixels of a border show."""
    scale = np.maximum(1.4826 * np.median(np.abs(features - np.median(features, axis=0)), axis=0), _NOISE)
    far = np.linalg.norm((features - np.median(features, axis=0)) / scale, axis=1)
    core = features[far <= np.median(far)]
    values, vectors = np.linalg.eigh(np.cov(core, rowvar=False) + np.diag(np.square(_NOISE)))
    # The half nearest to the median spans less than the whole: distances are measured, not assumed to be normal.
    whitening = vectors / np.sqrt(values)
    mean = core.mean(axis=0)
    inner = np.linalg.norm((core - mean) @ whitening, axis=1)
    return Background(
        mean=tuple(mean.tolist()),
        whitening=tuple(map(tuple, whitening.tolist())),
        reach=float(_REACH * np.quantile(inner, 0.95)),
    )


def find_foreground(
    image: Image,
    settings: ForegroundSettings,
    *,
    background: Background | None = None,
    template: Image | Mask | None = None,
) -> Mask:
    """Return True where the product is.

    For a threshold the background is the class that holds most of the frame's edge; for `otsu_beyond` the other one.

    Args:
        image: (H, W, 3) photo in the frame.
        settings: Which method.
        background: Of the normal photos, for `statistics`.
        template: The empty scene (H, W, 3), or where the part is (H, W), for `template`.

    Raises:
        ValueError: the method is `auto`, which is a choice between others for a category.
    """
    if settings.method == "auto":
        raise ValueError("foreground.method: `auto` chooses a method for a category, not for a photo")
    if settings.method == "full":
        return np.ones(image.shape[:2], bool)
    if settings.method in ("border", "edges", "statistics"):
        features = _features(image)
        background = background or _learn(features[_border(image.shape[:2])])
        distance = np.linalg.norm((features - np.array(background.mean)) @ np.array(background.whitening), axis=-1)
        # Smoothing carries the part's edge three pixels outwards: cut off after gaps are closed, with specks before.
        square = np.ones((5, 5), np.uint8)
        product = cv2.morphologyEx((distance > background.reach).astype(np.uint8), cv2.MORPH_OPEN, square) > 0
        solid = _solid(product, settings.closing).astype(np.uint8)
        product = cv2.erode(solid, np.ones((7, 7), np.uint8), borderValue=1) > 0
        product = without_shade(product, image, background.mean[:3])
        if settings.method != "edges":
            return product
        return within_edges(product, _border(image.shape[:2]), features[..., :3])
    if template is not None:
        return template if template.ndim == 2 else _solid(_differs(image, template), settings.closing)
    _, high = split_in_two(image)
    most = bool(frame_edge(high).mean() > 0.5)
    product = high if most == (settings.method == "otsu_beyond") else ~high
    return fill_holes(fill_unlike(product, image), settings.closing)


def background_fault(image: Image, product: Mask, settings: ForegroundSettings) -> Fault | None:
    """Return why what a method of `auto` found on a photo is no part with a background; None where it is one.

    Args:
        image: (H, W, 3) photo in the frame.
        product: (H, W), True where the product was found.
        settings: How it was found.
    """
    if settings.method == "otsu":
        return surrounded_fault(image, settings.min_separation)
    if settings.method == "otsu_beyond":
        return beyond_fault(image, settings.min_separation)
    share, around = float(product.mean()), 1 - float(frame_edge(product).mean())
    if not _SMALLEST <= share <= 1 - _SMALLEST:
        return Fault("the part's share of the frame", share, f"{_SMALLEST} to {1 - _SMALLEST}")
    if around < AROUND:
        return Fault("background along the frame's edge", around, f"at least {AROUND}")
    return outline_fault(product, _features(image)[..., :3]) if settings.method == "edges" else None


def _solid(product: Mask, size: int) -> Mask:
    """Return the product closed and without specks beside it."""
    closed = close(product, size).astype(np.uint8)
    _, regions, stats, _ = cv2.connectedComponentsWithStats(closed)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = [label for label in range(1, len(areas)) if areas[label] >= 0.05 * areas[1:].max()]
    return np.isin(regions, kept)


def _features(image: Image) -> Float32[np.ndarray, "H W 4"]:
    """Return smoothed L*, a*, b* and the log of the local deviation of L*."""
    lab = to_lab(image)
    smooth = cv2.GaussianBlur(lab, (0, 0), 1.0)
    variance = cv2.GaussianBlur(np.square(lab[..., 0] - smooth[..., 0]), (0, 0), 1.5)
    return np.dstack([smooth, 4 * np.log(1 + np.sqrt(variance))]).astype(np.float32)


def _border(frame: tuple[int, int]) -> Mask:
    """Return the outermost pixels of a frame."""
    width = max(2, round(0.03 * min(frame)))
    border = np.ones(frame, bool)
    border[width:-width, width:-width] = False
    return border


def _differs(image: Image, scene: Image) -> Mask:
    """Return where a photo shows something else than the empty scene."""
    before, after = (cv2.GaussianBlur(to_lab(photo), (0, 0), 1.5) for photo in (scene, image))
    change = np.linalg.norm(after - before, axis=2)
    levels = np.clip(4 * change, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    # Otsu looks for the middle between two classes; what is half as different is no longer the empty scene.
    return np.asarray(levels > max(4 * _VISIBLE, threshold / 2), bool)
