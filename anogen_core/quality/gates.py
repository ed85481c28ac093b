"""Gates that a generated image has to pass; every threshold comes from the support photos of its defect.

An image that fails is filtered with the measured value, what the support photos show, and what was expected.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32
from pydantic import Field, NonNegativeFloat, NonNegativeInt, StrictBool

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import bounding_box, cut
from anogen_core.quality.contrast import around, contrast, relative_change, restore, support_contrast
from anogen_core.settings import Settings

QUALITY_VERSION = 4
"""Raised by hand when a change here lets other images pass."""

_PATCH = 32
"""Side of the square that two defects are compared at, in pixels."""
_MIN_DETAIL = 64
"""Pixels of a mask below which a defect has no detail that could be a copy."""


class QualitySettings(Settings):
    """Which generated images are kept, and what happens to the others."""

    gates: StrictBool = True
    """Filter images that fail a gate, with the reason."""
    min_contrast: Annotated[float, Field(ge=0, le=1)] = 0.4
    """No visible change: the defect stands out less than this share of the faintest support photo."""
    slack: NonNegativeFloat = 0.5
    """Unlike the support: lightness or colour shifted out of the range from unchanged to the support photos, by more
    than this share of their strongest contrast."""
    max_likeness: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Copy of a support photo: detail inside the mask correlates with it by more than this share of the way from two
    different support photos to two equal ones."""
    embedding: StrictBool = True
    """Filter all images of an imported embedding that describes the support photos no better than random vectors do."""
    replacements: NonNegativeInt = 2
    """A filtered image is replaced by a new request, at another place and with other noise, up to this many times."""


class Verdict(NamedTuple):
    """What the gates say of one defect."""

    reason: str | None
    """Why it is filtered; None when it passes every gate."""
    quality: float
    """How far inside the gates it is: 1 where all that is measured is as on the support photos, 0 at or beyond a
    threshold."""


_Margin = tuple[float, str]
"""How far inside a gate a defect is, below 0 outside, and the reason to give then."""


class _Look(NamedTuple):
    """What is measured on one defect."""

    contrast: float
    shift: Float32[np.ndarray, "3"]
    """Mean relative change of L*, a* and b* where the defect is clearest."""
    seam: float
    """Change on the mask's border in units of the contrast."""


@dataclass(frozen=True)
class Gates:
    """The gates of one defect, calibrated on its support photos.

    Example:
        >>> gates = Gates.calibrate(support, settings)
        >>> gates.judge(normal, image, mask).reason
        'no visible change: contrast 0.01; the faintest support photo has 0.21, expected at least 0.08 ...'
    """

    settings: QualitySettings
    faintest: float
    room: float
    """By how much a shift may leave the range of the support photos."""
    lowest: Float32[np.ndarray, "3"]
    highest: Float32[np.ndarray, "3"]
    likest_seam: float
    """The strongest of the support photos."""
    max_seam: float
    details: tuple[Float32[np.ndarray, "d d"], ...]
    likest: float
    """The highest correlation of two support photos."""
    max_correlation: float

    @classmethod
    def calibrate(cls, support: Sequence[tuple[Image, Mask]], settings: QualitySettings) -> "Gates | None":
        """Return the gates for a defect; None when no support photo shows enough of its surface to calibrate them.

        Args:
            support: Support photos (H, W, 3) and their masks (H, W).
            settings: How strict the gates are.
        """
        measured = [(photo, mask, support_contrast(photo, mask)) for photo, mask in support]
        contrasts = [value for _, _, value in measured if value is not None]
        if not contrasts:
            return None
        found = [(photo, mask, restore(photo, mask)) for photo, mask, value in measured if value is not None]
        looks = [_look(before, photo, mask) for photo, mask, before in found]
        room = settings.slack * max(contrasts)
        details = [_detail(before, photo, mask) for photo, mask, before in found]
        known = [detail for detail in details if detail is not None]
        likest = max((_likeness(a, b) for a, b in combinations(known, 2)), default=0.0)
        return cls(
            settings=settings,
            faintest=min(contrasts),
            room=room,
            lowest=np.min([np.zeros(3), *(look.shift for look in looks)], axis=0).astype(np.float32) - room,
            highest=np.max([np.zeros(3), *(look.shift for look in looks)], axis=0).astype(np.float32) + room,
            likest_seam=max(look.seam for look in looks),
            max_seam=(1 + max(look.seam for look in looks)) / 2,
            details=tuple(known),
            likest=likest,
            max_correlation=likest + settings.max_likeness * (1 - likest),
        )

    def judge(self, before: Image, after: Image, mask: Mask, *, shown: Image | None = None) -> Verdict:
        """Return whether a generated defect is kept, and how well it does.

        Args:
            before: (H, W, 3) normal photo.
            after: (H, W, 3) with the defect.
            mask: (H, W), True where the defect may be.
            shown: (H, W, 3) with the support defect, for one across an edge of the part or, on its photo, among things
                that are not here: how far that shifts the colours, and how much it stands out, depends on these, so it
                widens what is expected.
        """
        look = _look(before, after, mask)
        start = None if shown is None else _look(before, shown, mask)
        judged = [
            self._visible(look, self.faintest if start is None else start.contrast),
            *self._alike(look, None if start is None else start.shift),
            self._seamless(look),
            self._new(before, after, mask),
        ]
        reason = next((reason for margin, reason in judged if margin < 0), None)
        return Verdict(reason, float(np.clip(min(margin for margin, _ in judged), 0, 1)))

    def _visible(self, look: _Look, expected: float) -> _Margin:
        faintest = float(np.clip(expected, self.faintest / 2, self.faintest))
        least = self.settings.min_contrast * faintest
        return _margin(look.contrast - least, faintest - least), (
            f"no visible change: contrast {look.contrast:.3f}, the faintest support photo has {self.faintest:.3f}; "
            f"expected at least {least:.3f} (`quality.min_contrast`)"
        )

    def _alike(self, look: _Look, expected: Float32[np.ndarray, "3"] | None) -> Iterator[_Margin]:
        lowest, highest = self.lowest, self.highest
        if expected is not None:
            lowest, highest = np.minimum(lowest, expected - self.room), np.maximum(highest, expected + self.room)
        for axis, name in enumerate(("lightness", "red-green", "yellow-blue")):
            low, value, high = float(lowest[axis]), float(look.shift[axis]), float(highest[axis])
            yield (
                _margin(min(value - low, high - value), self.room),
                (
                    f"unlike the support photos: {name} changed by {value:+.2f} of the surface's lightness, expected "
                    f"{low:+.2f} to {high:+.2f} (`quality.slack`)"
                ),
            )

    def _seamless(self, look: _Look) -> _Margin:
        return _margin(self.max_seam - look.seam, self.max_seam - self.likest_seam), (
            f"seam: the change at the mask's border is {look.seam:.2f} of the contrast, expected at most "
            f"{self.max_seam:.2f} as seen on the support photos (`generation.feather`)"
        )

    def _new(self, before: Image, after: Image, mask: Mask) -> _Margin:
        detail = _detail(before, after, mask)
        nearest = max((_likeness(detail, known) for known in self.details), default=0.0) if detail is not None else 0.0
        return _margin(self.max_correlation - nearest, self.max_correlation - self.likest), (
            f"copy of a support photo: detail inside the mask correlates with it by {nearest:.2f}, expected at most "
            f"{self.max_correlation:.2f} (`quality.max_likeness`)"
        )


def _margin(inside: float, room: float) -> float:
    """Return how far inside a limit a value is: 1 at the support photos' own range and beyond, below 0 outside."""
    return inside / room if room > 0 else (1.0 if inside >= 0 else -1.0)


def _look(before: Image, after: Image, mask: Mask) -> _Look:
    before, after, mask = around(mask, before, after)
    change = relative_change(before, after)
    inside = change[mask]
    strength = np.linalg.norm(inside, axis=1)
    clearest = inside[strength >= np.percentile(strength, 75)]
    border = mask & (cv2.erode(np.pad(mask, 1).astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1] == 0)
    reached = contrast(before, after, mask)
    on_border = float(np.linalg.norm(change[border], axis=1).mean())
    return _Look(reached, clearest.mean(axis=0), on_border / max(reached, 1e-6))


def _detail(before: Image, after: Image, mask: Mask) -> Float32[np.ndarray, "d d"] | None:
    """Return what the change looks like inside the mask, without its mean and its fall towards the border.

    Outlines are the support's own, so any blob in one correlates with the support's blob. Only what is left of the
    lightness after a fit of the distance from the border can show that a defect was copied.
    """
    if mask.sum() < _MIN_DETAIL:
        return None
    before, after, mask = around(mask, before, after)
    box = bounding_box(mask)
    change, inside = cut(relative_change(before, after)[..., 0], box), cut(mask, box)
    depth = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    terms = np.stack([np.ones_like(depth), depth, depth**2], axis=-1)[inside]
    fitted = terms @ np.linalg.lstsq(terms, change[inside], rcond=None)[0]
    left = np.zeros_like(change)
    left[inside] = change[inside] - fitted
    return np.asarray(cv2.resize(left, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA), np.float32)


def _likeness(first: Float32[np.ndarray, "d d"], second: Float32[np.ndarray, "d d"]) -> float:
    """Return the highest correlation over mirrorings and quarter turns."""
    norm = float(np.linalg.norm(first) * np.linalg.norm(second)) or 1.0
    turned = [np.rot90(side, turns) for side in (second, second[:, ::-1]) for turns in range(4)]
    return max(float((first * other).sum()) / norm for other in turned)
