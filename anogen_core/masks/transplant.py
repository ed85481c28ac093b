"""Masks transplanted from the support set: the defect's own outlines, turned, mirrored, scaled and bent a little.

A box leaves the form of a defect to the base model; an outline gives it, and is a closer label.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, final

import cv2
import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, StrictBool

from anogen_core.arrays import Mask
from anogen_core.diffusion.crop import thickness
from anogen_core.errors import MaskPlacementError
from anogen_core.masks.outline import encode_outline
from anogen_core.masks.sampler import MaskSampler, Region, draw_region, regions, render
from anogen_core.records import Box, Placement
from anogen_core.settings import Settings

_BENDS = 4
"""Control points of the bending along each side."""
_LARGEST_BEND = 0.25
"""Of an outline's thickness."""


class TransplantSamplerSettings(Settings):
    """Outlines of support defects at new places on the foreground."""

    kind: Literal["transplant"] = "transplant"
    jitter: Annotated[float, Field(ge=1, le=4)] = 1.25
    """Width and height are each scaled by a factor between 1 / jitter and jitter."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 30.0
    """Outlines are turned by up to this many degrees either way; 180 where a defect may lie in any direction."""
    flip: StrictBool = True
    """Mirror outlines at random."""
    bend: Annotated[float, Field(ge=0, le=0.3)] = 0.06
    """Points of the outline move by about this fraction of its longer side, neighbours alike, and by no more than a
    quarter of its thickness: the defect and its label, which are moved unbent, stay inside."""
    margin: NonNegativeInt = 1
    """Pixels by which the outline is widened: room for the soft edge of the defect."""
    min_size: PositiveInt = 8
    """Longer side of a mask in pixels; smaller ones are enlarged."""
    reach: Annotated[float, Field(ge=0, le=1)] | None = None
    """Outlines lie at most this fraction of the frame from where the support defect was, along each axis; mirrored ones
    from the mirrored place. For photos of aligned parts and defects that are found at some places only; default:
    anywhere on the foreground."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Share of the mask that lies on the foreground."""
    attempts: PositiveInt = 200
    """Random placements tried before a request is blocked."""

    def build(self, support_masks: Sequence[Mask]) -> "TransplantSampler":
        """Return the sampler for the defect these support masks show."""
        return TransplantSampler(self, regions(support_masks))


class _Drawn(NamedTuple):
    """A changed outline."""

    shape: Mask
    """(h, w), cut to its bounding box."""
    centre: tuple[float, float]
    """(row, column) of the support defect's centre as fractions of the frame, mirrored with it."""
    photo: int
    warp: np.ndarray
    """(3, 3) affine map from pixels (x, y) of the support photo to those of `shape`."""


@final
class TransplantSampler(MaskSampler):
    """Draws one region of the support masks, changes it within bounds and looks for a place on the foreground."""

    def __init__(self, settings: TransplantSamplerSettings, found: Sequence[Region]) -> None:
        if not found:
            raise MaskPlacementError("The support masks are empty; use `mask_sampler: {kind: box}` with sizes.")
        self._settings = settings
        self._regions = list(found)

    def sample(self, foreground: Mask, rng: np.random.Generator) -> Placement:
        """Return an outline inside the frame with at least `min_overlap` of it on the foreground."""
        height, width = foreground.shape
        best = None
        for _ in range(self._settings.attempts):
            shape, centre, photo, warp = self._draw(rng)
            rows, columns = shape.shape
            if max(rows, columns) > min(height, width):
                # No square of the frame would hold it.
                continue
            y = _start(rows, height, centre[0], self._settings.reach, rng)
            x = _start(columns, width, centre[1], self._settings.reach, rng)
            box = Box(x=x, y=y, width=columns, height=rows)
            placement = Placement(
                kind="outline",
                box=box,
                outline=encode_outline(shape),
                source=photo,
                warp=tuple(_moved(warp, x, y)[:2].ravel().round(4).tolist()),
            )
            share = float(foreground[render(placement, (height, width))].mean())
            if share >= self._settings.min_overlap:
                return placement
            best = max(best or 0.0, share)
        if best is None:
            raise MaskPlacementError(
                f"every outline of {self._settings.attempts} was longer than the shorter side of a frame "
                f"of {width}x{height} px, so no square holds it; lower `mask_sampler.jitter`, or take wider photos"
            )
        raise MaskPlacementError(
            f"no outline lay on the foreground with overlap >= {self._settings.min_overlap:.2f} in "
            f"{self._settings.attempts} attempts (best {best:.2f}, foreground {foreground.mean():.0%} of "
            f"{width}x{height} px); lower `mask_sampler.min_overlap` or `mask_sampler.jitter`, "
            "widen `mask_sampler.reach`, or set `foreground`"
        )

    def _draw(self, rng: np.random.Generator) -> _Drawn:
        settings = self._settings
        shape, centre, corner, photo = draw_region(self._regions, rng)
        warp = _moved(np.eye(3), -corner[0], -corner[1])
        if settings.flip and rng.random() < 0.5:
            shape, centre = shape[:, ::-1], (centre[0], 1 - centre[1])
            warp = np.array([[-1.0, 0, shape.shape[1] - 1], [0, 1, 0], [0, 0, 1]]) @ warp
        scale = settings.jitter ** rng.uniform(-1, 1, 2)
        scale = scale * max(1.0, settings.min_size / max(np.array(shape.shape) * scale))
        turned, matrix = _transform(shape, scale, float(rng.uniform(-1, 1)) * settings.rotation)
        most = _LARGEST_BEND * thickness(turned)
        bent = _bend(turned, min(settings.bend * max(shape.shape) * float(scale.max()), most), rng)
        found = _widen(bent if bent.any() else turned, settings.margin)
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        outline = found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] > 0
        return _Drawn(outline, centre, photo, _moved(matrix @ warp, -int(columns[0]), -int(rows[0])))


def _moved(warp: np.ndarray, right: int, down: int) -> np.ndarray:
    """Return a (3, 3) affine map followed by a shift in pixels."""
    return np.array([[1.0, 0, right], [0, 1, down], [0, 0, 1]]) @ warp


def _start(length: int, side: int, centre: float, reach: float | None, rng: np.random.Generator) -> int:
    """Return the first pixel of an outline along one axis of the frame."""
    last = side - length
    if reach is None:
        return int(rng.integers(0, last + 1))
    middle = (centre + float(rng.uniform(-reach, reach))) * side - length / 2
    return int(np.clip(round(middle), 0, last))


def _widen(shape: np.ndarray, margin: int) -> np.ndarray:
    size = 2 * margin + 1
    return cv2.dilate(shape, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def _transform(shape: Mask, scale: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline as uint8, scaled (rows, columns) and turned, with space around it, and its (3, 3) map."""
    rows, columns = shape.shape
    reach = int(np.ceil(np.hypot(rows * scale[0], columns * scale[1]) * 1.3)) + 8
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.array([[cosine, sine], [-sine, cosine]]) @ np.diag(scale[::-1])
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    shift = np.floor(reach / 2 - matrix @ centre)  # whole pixels: an unchanged outline stays as it is
    affine = np.column_stack([matrix, shift])
    soft = cv2.warpAffine(shape.astype(np.float32), affine, (reach, reach))
    # Half a pixel of a thin line is still the line.
    return (soft > 0.35).astype(np.uint8), np.vstack([affine, [0, 0, 1]])


def _bend(shape: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Return the outline moved by a smooth random field of `amount` pixels (Simard et al., 2003)."""
    coarse = rng.normal(0, amount / 2, (2, _BENDS, _BENDS)).clip(-amount, amount).astype(np.float32)
    side = shape.shape[0]
    across, down = (cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC) for field in coarse)
    rows, columns = np.indices(shape.shape, dtype=np.float32)
    moved = cv2.remap(shape.astype(np.float32), columns + across, rows + down, cv2.INTER_LINEAR)
    return (moved > 0.35).astype(np.uint8)
