"""Training scenes: a material or part under some light, mostly with one defect, its mask and its words."""

from copy import deepcopy
from dataclasses import dataclass, replace

import cv2
import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.errors import InputError
from anogen_core.procedural.defects import FLAWS
from anogen_core.procedural.defects.flaw import Flawed
from anogen_core.procedural.defects.outlines import Spot
from anogen_core.procedural.fields import Colour
from anogen_core.procedural.light import Light, light_up, photograph, random_camera, random_light, uneven_light
from anogen_core.procedural.parts import cut_part
from anogen_core.procedural.surfaces import SURFACES
from anogen_core.procedural.surfaces.surface import Surface, make_surface, pose

MATERIALS: tuple[str, ...] = tuple(SURFACES)
"""The materials a scene may show."""
DEFECTS: tuple[str, ...] = tuple(FLAWS)
"""The defects a scene may have."""
PHOTO_MATERIAL = "surface"
"""What photos of unknown material are called."""
DEFECT_SHARE = 0.75
"""Share of scenes with a defect, unless one is asked for."""
PART_SHARE = 0.3
"""Share of scenes that show a part before a ground; the others are filled by the material."""
SMALLEST_EXTENT = 6.0
"""Longest side of the smallest defect, in pixels."""
LARGEST_EXTENT = 0.4
"""Longest side of the largest defect, as a share of the frame."""
STEEPEST = 0.3
"""Root mean square slope of the roughest material."""
VISIBLE = 0.09
"""Least mean change of brightness in a defect, as a share of the brightness there."""
ATTEMPTS = 5
"""Draws of a defect before one is taken as it is."""
LINES = frozenset({"scratch", "crack", "cut", "thread", "fold"})
"""Defects that are long and thin: two and a half times the smallest and one and a half times the largest extent."""
AT_THE_EDGE = frozenset({"chip", "missing part"})
"""Defects that are mostly found at a part's rim or the frame's border."""


@dataclass(frozen=True)
class Scene:
    """A rendered photo and what it shows."""

    image: Image
    flawless: Image
    """The same photo, grain and all, had there been no defect."""
    mask: Mask
    """False everywhere when there is no defect."""
    material: str
    defect: str | None


def render_scene(
    rng: np.random.Generator, *, size: int, material: str | None = None, defect: str | None = None
) -> Scene:
    """Return one square scene of `size` pixels; material and defect are drawn unless they are given.

    Raises:
        InputError: the material or defect is not a known word.
    """
    for word, known in ((material, MATERIALS), (defect, DEFECTS)):
        if word is not None and word not in known:
            raise InputError(f"{word!r} cannot be rendered; expected one of {', '.join(known)}.")
    material = material or str(rng.choice(MATERIALS))
    drawn = str(rng.choice(DEFECTS)) if rng.random() < DEFECT_SHARE else None
    defect = defect or drawn
    surface = _draw_surface(rng, size, material)
    light = random_light(rng)
    whole = light_up(surface, light)
    lit, mask = whole, np.zeros(surface.shape, bool)
    if defect is not None:
        lit, mask = _damage(rng, surface, defect=defect, light=light)
    uneven = uneven_light(rng, surface.shape, strength=rng.choice([0.1, 0.35, 0.8]))[..., None]
    camera, same_grain = random_camera(rng), deepcopy(rng)
    flawless = photograph(whole * uneven, camera, same_grain)
    image = flawless if defect is None else photograph(lit * uneven, camera, rng, metered=whole * uneven)
    return Scene(image, flawless, mask, material, defect)


def damage_photo(rng: np.random.Generator, photo: Image) -> Scene:
    """Return a photo of any size as a scene of the material "surface", mostly with one rendered defect on it.

    The photo is taken for the colour of a flat surface; what the defect does to its light is multiplied into the photo.
    """
    clean = Scene(photo, photo, np.zeros(photo.shape[:2], bool), PHOTO_MATERIAL, None)
    if rng.random() >= DEFECT_SHARE:
        return clean
    defect, light = str(rng.choice(DEFECTS)), random_light(rng)
    surface = make_surface(photo.astype(np.float32) / 255, np.zeros(photo.shape[:2]), gloss=float(rng.uniform(0, 0.3)))
    lit, mask = _damage(rng, surface, defect=defect, light=light)
    ratio = lit / np.maximum(light_up(surface, light), 1e-3)
    image = (surface.colour * ratio * 255).clip(0, 255).round().astype(np.uint8)
    return Scene(np.where(np.isclose(ratio, 1), photo, image), photo, mask, PHOTO_MATERIAL, defect)


def _draw_surface(rng: np.random.Generator, size: int, material: str) -> Surface:
    """Return the material filling the frame at some angle, or as a part."""
    recipes = SURFACES[material]
    turns = bool(rng.random() < 0.5)
    margin = 1.42 if turns else 1.06
    canvas = (int(size * margin), int(size * margin))
    surface = pose(recipes[int(rng.integers(len(recipes)))](rng, canvas), rng, size=size, turns=turns)
    surface = _calm(surface)
    return cut_part(surface, rng) if rng.random() < PART_SHARE else surface


def _calm(surface: Surface) -> Surface:
    """Return the surface with its relief lowered where it would be steeper than materials are."""
    steep = float(np.sqrt(np.mean(np.diff(surface.height[::2], axis=1) ** 2 + 1e-9)))
    return replace(surface, height=surface.height * np.float32(min(1.0, STEEPEST / steep)))


def _damage(rng: np.random.Generator, surface: Surface, *, defect: str, light: Light) -> tuple[Colour, Mask]:
    """Return the lit surface with the defect, and its mask; a defect that hardly shows is drawn again."""
    flawless = light_up(surface, light)
    for _ in range(ATTEMPTS):
        flawed = _limit(FLAWS[defect](rng, surface, _choose_spot(rng, surface, defect)), surface)
        mask = flawed.extent > 0.3
        lit = light_up(flawed.surface, light)
        around = flawless[mask].mean() + 0.02 if mask.any() else 1.0
        if mask.sum() >= SMALLEST_EXTENT and np.abs(lit - flawless)[mask].mean() > VISIBLE * around:
            break
    return lit, mask


def _limit(flawed: Flawed, before: Surface) -> Flawed:
    """Return the defect kept on the part: the ground behind it stays as it was."""
    solid = before.solid
    if solid.min() > 0.5:
        return flawed
    keep = solid[..., None]
    after = replace(
        flawed.surface,
        colour=before.colour + (flawed.surface.colour - before.colour) * keep,
        height=before.height + (flawed.surface.height - before.height) * solid,
    )
    return Flawed(after, flawed.extent * (solid > 0.5))


def _choose_spot(rng: np.random.Generator, surface: Surface, defect: str) -> Spot:
    """Return a place on the part, at its rim for what breaks off there, and a size."""
    side = min(surface.shape)
    thin = defect in LINES
    smallest = min(SMALLEST_EXTENT, side * 0.1) * (2.5 if thin else 1)
    largest = side * LARGEST_EXTENT * (1.5 if thin else 1)
    extent = float(smallest * (largest / smallest) ** (rng.random() ** 0.6))
    solid = surface.solid > 0.5
    at_edge = defect in AT_THE_EDGE and rng.random() < 0.6
    places = np.flatnonzero(_rim(solid) if at_edge else solid)
    place = int(places[int(rng.integers(places.size))]) if places.size else solid.size // 2
    inset = 0.0 if at_edge else min(extent * 0.35, side * 0.2)
    row, column = (
        float(np.clip(where, inset, length - 1 - inset))
        for where, length in zip(divmod(place, surface.shape[1]), surface.shape, strict=True)
    )
    return Spot(row, column, extent)


def _rim(solid: Mask) -> Mask:
    """Return the pixels of the part within 3 pixels of its rim or of the frame's border."""
    padded = cv2.copyMakeBorder(solid.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=[0])
    return solid & (cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1] < 3)
