"""The demo's part: a turned steel flange on a rubber mat, and what goes wrong with it.

Neither the part nor its defects occur in the training scenes.
"""

from dataclasses import dataclass, replace

import numpy as np

from anogen_core.arrays import Image, Mask
from anogen_core.procedural.defects.flaw import paint, polish, raise_by
from anogen_core.procedural.defects.outlines import ribbon
from anogen_core.procedural.fields import Field, Shape, blur, coordinates, fractal_noise, log_uniform, smooth_noise
from anogen_core.procedural.light import Camera, Light, light_up, photograph
from anogen_core.procedural.surfaces.surface import Surface, mix, shade_colour

SHAPE: Shape = (256, 256)
"""Frame in pixels."""
PROFILE = ((0, 0), (39, 0), (43, 7), (57, 7), (60, 2), (100, 2), (104, -2), (200, -2))
"""Radius and height of the turned profile, in pixels: bore, hub, face, chamfer."""
BORE, RIM, BOLT_CIRCLE, BOLT_HOLE = 39.5, 104.0, 80.0, 8.0
"""Radii in pixels."""


@dataclass(frozen=True)
class Flange:
    """A flange in one pose under the station's lamp."""

    surface: Surface
    centre: tuple[float, float]
    """Row and column."""
    scale: float
    bolts: float
    """Angle of the first bolt hole."""
    radius: Field
    angle: Field
    lamp: Light


def photograph_flange(rng: np.random.Generator, defect: str | None) -> tuple[Image, Mask]:
    """Return a photo of a new flange and the mask of its defect: "spatter", "gouge" or None."""
    flange = _turn_flange(rng)
    mask = np.zeros(SHAPE, bool)
    if defect is not None:
        surface, share = {"spatter": _spatter, "gouge": _gouge}[defect](rng, flange)
        mask = (share > 0.3) & (flange.surface.solid > 0.5)
        flange = replace(flange, surface=_keep_to_part(flange.surface, surface))
    lit = light_up(flange.surface, flange.lamp) * _fans(flange)[..., None]
    camera = Camera(
        exposure=float(rng.uniform(0.86, 1.02)), contrast=1.1, gamma=0.95, vignette=0.2,
        blur=float(rng.uniform(0.5, 0.7)), noise=0.008, quality=None, grey=False,
    )  # fmt: skip
    return photograph(lit, camera, rng), mask


def _turn_flange(rng: np.random.Generator) -> Flange:
    """Return a flange with its own machining marks, placed by hand under the camera."""
    rows, columns = coordinates(SHAPE)
    centre = (127.5 + rng.normal(0, 3), 127.5 + rng.normal(0, 3))
    scale = float(rng.uniform(0.98, 1.03))
    down, right = (
        (rows - np.float32(centre[0])) / np.float32(scale),
        (columns - np.float32(centre[1])) / np.float32(scale),
    )
    radius, angle = np.hypot(down, right), np.arctan2(down, right)
    bolts = float(rng.uniform(0, 2 * np.pi))
    lamp = Light(
        azimuth=float(rng.normal(-2.2, 0.12)), elevation=0.75, ambient=0.4, shine=0.35, focus=25,
        hot_spot=(float(rng.normal(0.2, 0.05)), float(rng.normal(0.15, 0.05))),
    )  # fmt: skip
    hole, counterbore = _bolt_holes(radius, angle, bolts)
    solid = np.clip(RIM + 0.5 - radius, 0, 1) * np.clip(radius - BORE + 0.5, 0, 1) * np.clip(hole + 0.5, 0, 1)
    radii, heights = zip(*PROFILE, strict=True)
    marks = _turning_marks(rng, radius, angle)
    height = np.interp(radius, radii, heights) + 0.1 * marks - 1.6 * np.clip(1 - counterbore / 2.5, 0, 1)
    tone = np.array([0.60, 0.60, 0.59]) * rng.uniform(0.95, 1.05) * (1 + rng.normal(0, 0.01, 3))
    clouds = fractal_noise(rng, SHAPE, period=40, octaves=4)
    steel = shade_colour(tone, (1 + 0.085 * marks + 0.035 * clouds).astype(np.float32))
    surface = Surface(
        colour=mix(_mat(rng, solid), np.clip(steel, 0.02, 1), solid.astype(np.float32)),
        height=blur((height * solid).astype(np.float32), 0.6),
        gloss=(0.6 * solid).astype(np.float32),
        solid=solid.astype(np.float32),
    )
    return Flange(surface, centre, scale, bolts, radius, angle, lamp)


def _bolt_holes(radius: Field, angle: Field, first: float) -> tuple[Field, Field]:
    """Return the distance to the nearest of six bolt holes, negative inside, and the same cut at zero."""
    sector = (angle - first + np.pi / 6) % (np.pi / 3) - np.pi / 6
    distance = np.hypot(radius * np.cos(sector) - BOLT_CIRCLE, radius * np.sin(sector)) - BOLT_HOLE
    return distance, np.clip(distance, 0, None)


def _turning_marks(rng: np.random.Generator, radius: Field, angle: Field) -> Field:
    """Return grooves along circles, of unit spread: the feed of the tool, its chatter and its wear."""
    table = rng.standard_normal(1200)
    fine = np.interp(radius * 1.6, np.arange(1200), table)
    broad = np.interp(radius * 0.35 + 600, np.arange(1200), table)
    feed = np.sin(radius * np.float32(2 * np.pi / rng.uniform(2.6, 3.2)) + angle)
    marks = fine + 0.7 * broad + 0.5 * feed
    fading = 1 + 0.25 * smooth_noise(rng, SHAPE, period=60)
    return np.asarray(marks / 1.3 * fading, np.float32)


def _mat(rng: np.random.Generator, solid: Field) -> np.ndarray:
    """Return the rubber mat below, with dust on it and the shadow that the flange throws."""
    rows, columns = coordinates(SHAPE)
    studs = np.sin(rows * np.float32(0.7)) * np.sin(columns * np.float32(0.7))
    dust = np.clip(rng.standard_normal(SHAPE, dtype=np.float32) - 3.0, 0, 1)
    grain = blur(rng.standard_normal(SHAPE, dtype=np.float32), 0.8) * 2
    shadow = np.roll(blur(solid.astype(np.float32), 5), (7, 5), axis=(0, 1))
    bright = (1 + 0.1 * studs + 0.12 * grain + 1.5 * dust) * (1 - 0.75 * shadow)
    return shade_colour(np.array([0.075, 0.078, 0.082]), bright.astype(np.float32))


def _fans(flange: Flange) -> Field:
    """Return the two bright fans that circular grooves throw back to a lamp at the side, around a dimmer rest."""
    bright = np.full(SHAPE, 0.62, np.float32)
    for offset, strength, width in ((0.0, 0.75, 0.42), (np.pi, 0.5, 0.36), (1.35, 0.16, 0.3)):
        away = (flange.angle - np.float32(flange.lamp.azimuth + offset) + np.pi) % (2 * np.pi) - np.pi
        bright += np.float32(strength) * np.exp(-((away / np.float32(width)) ** 2))
    return np.asarray(1 + (bright - 1) * flange.surface.solid, np.float32)


def _keep_to_part(before: Surface, after: Surface) -> Surface:
    """Return the changed surface on the part and the old one beside it."""
    return replace(
        after,
        colour=mix(before.colour, after.colour, before.solid),
        height=mix(before.height, after.height, before.solid),
    )


def _place(rng: np.random.Generator, flange: Flange, low: float, high: float) -> tuple[float, float, float]:
    """Return row, column and angle of a place on the face, between two radii and clear of the bolt holes' middles."""
    slot = int(rng.integers(6))
    angle = flange.bolts + (slot + 0.5) * np.pi / 3 + rng.uniform(-0.3, 0.3)
    far = rng.uniform(low, high) * flange.scale
    return float(flange.centre[0] + far * np.sin(angle)), float(flange.centre[1] + far * np.cos(angle)), float(angle)


def _spatter(rng: np.random.Generator, flange: Flange) -> tuple[Surface, Field]:
    """Return the flange with drops of weld metal burnt on: round shiny beads in a patch of heat tint."""
    row, column, _ = _place(rng, flange, 64, 92)
    rows, columns = coordinates(SHAPE)
    beads, dome = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    for index in range(int(rng.integers(4, 10))):
        size = float(rng.uniform(4.5, 7.5)) if index == 0 else log_uniform(rng, 1.4, 5)
        place = rng.normal(0, 8, 2) * (index > 0) + [row, column]
        square = ((rows - np.float32(place[0])) ** 2 + (columns - np.float32(place[1])) ** 2) / np.float32(size**2)
        beads = np.maximum(beads, np.clip((1 - np.sqrt(square)) * np.float32(size) + 0.5, 0, 1))
        dome = np.maximum(dome, np.sqrt(np.clip(1 - square, 0, 1)) * np.float32(size * 0.75))
    heat = np.clip(blur(beads, 5) * rng.uniform(2.4, 3.4), 0, 1)
    heat = heat * np.clip(1 + 0.25 * fractal_noise(rng, SHAPE, period=9, octaves=3), 0, 1.2)
    straw, blue = np.array([0.75, 0.55, 0.33]), np.array([0.42, 0.44, 0.58])
    tint = mix(straw.astype(np.float32), blue.astype(np.float32), np.clip(heat * 1.6 - 0.6, 0, 1))
    tinted = paint(flange.surface, np.clip(heat, 0, 1) * 0.85, flange.surface.colour * tint)
    metal = shade_colour(np.array([0.30, 0.29, 0.29]), 1 + 0.12 * fractal_noise(rng, SHAPE, period=3, octaves=2))
    drops = raise_by(paint(tinted, beads, metal), blur(dome, 0.7))
    return polish(drops, beads, 1.0), np.maximum(beads, heat * np.float32(0.65))


def _gouge(rng: np.random.Generator, flange: Flange) -> tuple[Surface, Field]:
    """Return the flange with a bite of the tool: a rippled trough that follows the turning, with a burr beside it."""
    _, _, start = _place(rng, flange, 70, 90)
    far, length = rng.uniform(64, 96) * flange.scale, rng.uniform(26, 62)
    angles = start + np.linspace(-0.5, 0.5, 40) * length / far * rng.choice([-1, 1])
    drift = far + np.linspace(0, rng.normal(0, 4), 40)
    path = np.stack([flange.centre[1] + drift * np.cos(angles), flange.centre[0] + drift * np.sin(angles)], axis=1)
    width = rng.uniform(4.5, 8.5)
    widths = width * np.clip(np.linspace(0, 8, 40), 0, 1) * np.linspace(1, 0.25, 40) ** 0.7
    trough = ribbon(SHAPE, path, widths)
    torn = np.clip(trough + 0.35 * trough * fractal_noise(rng, SHAPE, period=4, octaves=2), 0, 1)
    outward = path + np.stack([np.cos(angles), np.sin(angles)], axis=1) * (widths * 0.6 + 0.6)[:, None]
    burr = np.clip(ribbon(SHAPE, outward, widths * 0.45 + 0.8) - trough, 0, 1)
    ripple = np.sin(flange.angle * np.float32(far * 2 * np.pi / rng.uniform(3.2, 4.5)))
    metal = np.array([0.40, 0.39, 0.38], np.float32) * (1 + 0.45 * ripple)[..., None]
    cut = paint(flange.surface, torn * np.float32(0.85), np.clip(metal, 0.02, 1))
    cut = paint(cut, burr * np.float32(0.7), np.array([0.85, 0.85, 0.84], np.float32))
    relief = 1.6 * blur(burr, 0.6) - 2.6 * blur(trough, 0.9) + 0.5 * ripple * trough
    return raise_by(cut, relief.astype(np.float32)), np.maximum(trough, burr)
