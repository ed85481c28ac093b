"""What one planned defect needs to be generated, with everything loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from anogen_core.arrays import Image, Mask
from anogen_core.config import RunConfig
from anogen_core.diffusion.crop import bounding_box, choose_crop
from anogen_core.generation import Job
from anogen_core.quality.contrast import support_contrast
from anogen_core.records import Box
from anogen_core.stages.runtime import base_model
from anogen_core.transplant import transplant, transplant_label

_SHOWS = 0.5
"""How likely a pixel is background from which it is."""
_CHANGED = 24
"""Grey levels from which another thing shows, and not noise."""


@dataclass(frozen=True)
class Source:
    """The support defect that a mask was taken from."""

    photo: Image
    """(h, w, 3)."""
    mask: Mask
    """(h, w)."""
    warp: Sequence[float]
    """Row-major 2x3 affine map from pixels (x, y) of the photo to where they go."""
    edge: Sequence[float] | None
    """Where it crosses the edge of the part (see `Placement`)."""
    outlined: bool
    """Whether its mask is an outline, a person's or one found inside their box; it is the whole box otherwise."""
    replaces: bool = False
    """Whether it takes the place of what is there."""
    fits: bool = False
    """Whether what surrounds it is there, too (see `Placement`)."""


def load_job(
    normal: Image,
    mask: Mask,
    vectors: torch.Tensor,
    config: RunConfig,
    *,
    seed: int,
    contrast: float | None,
    source: Source | None,
) -> Job:
    """Return the job of one defect.

    Args:
        normal: (H, W, 3).
        mask: (H, W), True where the defect goes.
        vectors: (V, D) concept embedding.
        config: The run's settings.
        seed: Of its noise.
        contrast: How strongly it should stand out; None as the model makes it. A defect that starts from a support
            defect is to stand out as that does at its place, which the surface there decides too.
        source: Where the mask was taken from; None for a mask that is not the outline of a support defect.
    """
    start, shown = normal if config.start == "normal" else None, None
    if config.start == "support" and source is not None:
        shown = transplant(
            normal,
            mask,
            source.photo,
            source.mask,
            source.warp,
            source.edge,
            replaces=source.replaces,
            fits=source.fits,
        )
        start = shown.image
        if source.edge is not None:
            # Part and background differ by far more than a defect does: amplified, a bite would take on their colours.
            contrast = None
        elif contrast is not None:
            contrast = shown.contrast * _strength(contrast, source, config)
    crop, label = request_crop(mask, config), _label(mask, source)
    # A bite takes what it would leave as a sliver along: background shows there, too.
    if label is not None and shown is not None and shown.background is not None:
        label |= mask & (shown.background > _SHOWS) & _changed(normal, shown.image)
    return Job(normal, mask, crop, vectors, seed, contrast, start, shown, label)


def request_crop(mask: Mask, config: RunConfig) -> Box:
    """Return the square that is generated for a mask."""
    model, settings = base_model(config), config.generation.crop
    side = settings.canvas or model.resolution
    return choose_crop(bounding_box(mask), mask.shape, side // model.factor, side, settings)


def _strength(contrast: float, source: Source, config: RunConfig) -> float:
    """Return how many times as strong as its support defect a defect should be."""
    own = support_contrast(source.photo, source.mask) if config.generation.contrast.spread > 1 else None
    return contrast / own if own else 1.0


def _changed(photo: Image, other: Image) -> Mask:
    """Return where two photos show different things (H, W)."""
    return np.asarray(np.abs(other.astype(np.int16) - photo).max(axis=2) > _CHANGED)


def _label(mask: Mask, source: Source | None) -> Mask | None:
    if source is None or not source.outlined:
        return None
    label = transplant_label(mask, source.mask, source.warp)
    return label if label.any() else None
