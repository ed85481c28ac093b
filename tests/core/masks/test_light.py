"""Defects with a bright and a dark side keep it where the light falls from; others are mirrored and turned."""

import math

import cv2
import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.masks.direction import find_axis, turn_between
from anogen_core.masks.light import find_highlight, find_light, find_ramp
from anogen_core.masks.sampler import Segmented, regions, render
from anogen_core.masks.transplant import TransplantSamplerSettings
from anogen_core.records import Placement
from anogen_core.seeding import numpy_generator

FRAME = (200, 240)
EVERYWHERE = np.ones(FRAME, bool)
SEEDS = range(24)
Axes = tuple[float, float]


def _defect(
    light: float | None, *, seed: int = 0, axes: Axes = (18, 14), angle: float = 0, slope: float = 0
) -> tuple[Image, Mask]:
    """Return a photo and the mask of a dent that is bright towards an angle in degrees, or of an even stain.

    Args:
        light: From x towards y; None for the stain.
        seed: Draws place and noise.
        axes: Half lengths in pixels.
        angle: Degrees by which the longer one is turned.
        slope: Grey levels by which the surface gets brighter from left to right with each pixel.
    """
    rng = numpy_generator(seed)
    x, y = rng.integers((60, 60), (180, 140)).tolist()
    mask = cv2.ellipse(np.zeros(FRAME, np.uint8), ((x, y), (2 * axes[0], 2 * axes[1]), angle), 1, -1) > 0
    rows, columns = np.indices(FRAME)
    photo = 110 + slope * (columns - 120.0) + rng.normal(0, 3, FRAME)
    if light is None:
        photo[mask] -= 30
    else:
        along = (columns - x) * math.cos(math.radians(light)) + (rows - y) * math.sin(math.radians(light))
        photo[mask] += (60 * along / max(axes))[mask]
    return np.repeat(np.clip(np.rint(photo), 0, 255).astype(np.uint8)[..., None], 3, axis=2), mask


def _support(*lights: float | None, axes: Axes = (18, 14), angle: float = 0) -> tuple[list[Mask], list[Segmented]]:
    made = [_defect(light, seed=seed, axes=axes, angle=angle) for seed, light in enumerate(lights)]
    return [mask for _, mask in made], [Segmented(photo, EVERYWHERE) for photo, _ in made]


def _bubble(light: float, *, seed: int = 0, axes: Axes = (18, 18), off: float = 0.5) -> tuple[Image, Mask]:
    """Return a photo and the mask of a bubble: dark all round, with a highlight towards an angle in degrees.

    Args:
        light: From x towards y.
        seed: Draws place and noise.
        axes: Half lengths in pixels.
        off: Where the highlight lies, in half lengths from the middle.
    """
    photo, mask = _defect(None, seed=seed, axes=axes)
    rows, columns = np.nonzero(mask)
    way = off * np.array([math.cos(math.radians(light)) * axes[0], math.sin(math.radians(light)) * axes[1]])
    x, y = np.array([columns.mean(), rows.mean()]) + way
    shown = photo.astype(float)
    shown[mask] += 110 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (min(axes) / 6) ** 2))[:, None]
    return np.clip(shown, 0, 255).astype(np.uint8), mask


def _placed(masks: list[Mask], shown: list[Segmented], settings: TransplantSamplerSettings) -> list[Placement]:
    sampler = settings.build(masks, shown)
    return [sampler.sample(EVERYWHERE, numpy_generator(seed)) for seed in SEEDS]


def _linear(placement: Placement) -> np.ndarray:
    assert placement.warp is not None
    return np.array(placement.warp).reshape(2, 3)[:, :2]


def _off(placement: Placement, light: float) -> float:
    """Return by how many degrees the bright side of a defect is turned away; lightness grows with S^-T."""
    way = np.linalg.inv(_linear(placement)).T @ [math.cos(math.radians(light)), math.sin(math.radians(light))]
    return abs(math.degrees(turn_between(math.radians(light), math.atan2(way[1], way[0]))))


@pytest.mark.parametrize("light", [-150.0, -30.0, 90.0])
@pytest.mark.parametrize("slope", [-0.3, 0.0, 0.3])
def test_the_bright_side_of_a_dent_is_found(light: float, slope: float) -> None:
    """To a few degrees, on a surface that gets brighter to one side, too."""
    photo, mask = _defect(light, slope=slope)
    ramp = find_ramp(photo, mask, EVERYWHERE)

    assert ramp is not None
    assert abs(math.degrees(turn_between(math.radians(light), ramp))) < 6


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_stains_and_specks_have_no_bright_side(slope: float) -> None:
    """Even ones do not, whatever the surface does; a few pixels tell nothing, nor does a defect without surface."""
    assert find_ramp(*_defect(None, slope=slope), EVERYWHERE) is None
    assert find_ramp(*_defect(45, slope=slope, axes=(4, 3)), EVERYWHERE) is None
    photo, mask = _defect(45, slope=slope)
    assert find_ramp(photo, mask, mask) is None
    assert find_ramp(photo, EVERYWHERE, EVERYWHERE) is None


@pytest.mark.parametrize("light", [-150.0, -30.0, 90.0])
def test_the_highlight_of_a_bubble_is_found(light: float) -> None:
    """To a few degrees, where no ramp is; stains have none, nor bubbles that shine in their middle."""
    photo, mask = _bubble(light)
    found = find_highlight(photo, mask, EVERYWHERE)

    assert found is not None
    assert abs(math.degrees(turn_between(math.radians(light), found))) < 8
    assert find_ramp(photo, mask, EVERYWHERE) is None
    assert find_highlight(*_defect(None), EVERYWHERE) is None
    assert find_highlight(*_bubble(light, off=0.1), EVERYWHERE) is None
    assert find_highlight(photo, mask, mask) is None


def test_bubbles_shine_where_the_light_falls_from() -> None:
    """Mirrored and stretched ones are turned until they do; where highlights differ they are turned freely."""
    settings = TransplantSamplerSettings(jitter=1.6)
    alike, scattered = (
        [_bubble(light, seed=seed, axes=(18, 15)) for seed, light in enumerate(lights)]
        for lights in ((-130, -125, -135), (0, 90, 180))
    )
    placed, free = (
        _placed([mask for _, mask in made], [Segmented(photo, EVERYWHERE) for photo, _ in made], settings)
        for made in (alike, scattered)
    )
    wanted = [find_highlight(*made, EVERYWHERE) for made in alike]
    mean = float(np.mean([way for way in wanted if way is not None]))
    ways = [_linear(p) @ [math.cos(w), math.sin(w)] for p in placed if (w := wanted[p.source or 0]) is not None]

    assert all(placement.lit for placement in placed)
    assert not any(placement.lit for placement in free)
    assert len(ways) == len(placed)
    assert max(abs(math.degrees(turn_between(mean, math.atan2(y, x)))) for x, y in ways) < 16
    assert 0.1 < np.mean([np.linalg.det(_linear(placement)) < 0 for placement in placed]) < 0.9


@pytest.mark.parametrize(
    ("lights", "mean"),
    [([40, 45, 50], 45), ([170, -175, 178, -170], 180), ([0, 60, 120], None), ([45, 45], None), ([9, 9, None], None)],
)
def test_lights_that_agree_are_told_from_those_that_do_not(lights: list[float | None], mean: float | None) -> None:
    """Alike, alike across the half turn, scattered, too few, and one without a bright side."""
    masks, shown = _support(*lights)
    light = find_light(regions(masks), shown)

    assert (light is None) == (mean is None)
    if light is not None and mean is not None:
        assert abs(turn_between(math.radians(mean), light.direction.mean)) < math.radians(5)


def test_dents_stay_bright_where_the_light_falls_from() -> None:
    """Mirrored ones are turned until they are, and the placement says so."""
    placed = _placed(*_support(-120, -125, -115), TransplantSamplerSettings())
    mirrored = [np.linalg.det(_linear(placement)) < 0 for placement in placed]

    assert all(placement.lit for placement in placed)
    assert max(_off(placement, -120) for placement in placed) < 22
    assert 0.2 < np.mean(mirrored) < 0.8


@pytest.mark.parametrize(
    "settings", [TransplantSamplerSettings(rotation=20), TransplantSamplerSettings(rotation=20, flip=False)]
)
def test_people_decide_how_far_lit_defects_are_turned(settings: TransplantSamplerSettings) -> None:
    """With a `rotation` the light does not count."""
    placed = _placed(*_support(-120, -125, -115), settings)

    assert not any(placement.lit for placement in placed)
    assert (max(_off(placement, -120) for placement in placed) > 60) == settings.flip


def test_stains_are_mirrored_and_turned_freely() -> None:
    """So are dents whose photos are not shown."""
    masks, _ = _support(-120, -125, -115)
    placed = _placed(*_support(None, None, None), TransplantSamplerSettings()) + _placed(
        masks, [], TransplantSamplerSettings()
    )

    assert not any(placement.lit for placement in placed)
    assert max(_off(placement, -120) for placement in placed) > 45


def test_long_defects_keep_both_their_axis_and_their_light() -> None:
    """Marks at 30 degrees lit from above cannot be mirrored: they would lie at 150."""
    masks, shown = _support(-90, -88, -92, axes=(30, 7), angle=30)
    placed = _placed(masks, shown, TransplantSamplerSettings(jitter=1, bend=0))
    axes = [find_axis(render(placement, FRAME)) for placement in placed]

    assert all(placement.lit for placement in placed)
    assert max(_off(placement, -90) for placement in placed) < 8
    assert all(axis is not None and abs(turn_between(math.radians(30), axis, math.pi)) < 0.15 for axis in axes)


@pytest.mark.parametrize(("light", "mirrored"), [(-120.0, False), (-90.0, False), (-60.0, True), (-160.0, True)])
def test_the_light_turns_no_defect_across_the_grain(light: float, *, mirrored: bool) -> None:
    """Blobs that lie at 20 degrees are mirrored only where that leaves them within 30 of it; plump ones in any case."""
    settings = TransplantSamplerSettings(jitter=1, bend=0)
    masks, shown = _support(light, light, light, axes=(24, 15), angle=20)
    placed = _placed(masks, shown, settings)
    axes = [find_axis(render(placement, FRAME), 1.3) for placement in placed]
    plump = _placed(*_support(light, light, light, axes=(18, 16), angle=20), settings)

    assert all(placement.lit for placement in placed)
    assert all(axis is not None and abs(turn_between(math.radians(20), axis, math.pi)) < 0.6 for axis in axes)
    assert any(np.linalg.det(_linear(placement)) < 0 for placement in placed) == mirrored
    assert any(np.linalg.det(_linear(placement)) < 0 for placement in plump)


def test_the_edge_decides_before_the_light() -> None:
    """A dent that crosses the edge of the part is turned with it."""
    masks, shown = _support(-120, -125, -115)
    part = EVERYWHERE.copy()
    part[:90] = False
    at_edge = [np.roll(mask, 90 - int(np.flatnonzero(mask.any(axis=1))[0]) - 8, axis=0) for mask in masks]
    sampler = TransplantSamplerSettings().build(at_edge, [Segmented(photo, part) for photo, _ in shown])
    placed = [sampler.sample(part, numpy_generator(seed)) for seed in SEEDS]

    assert all(placement.edge is not None and not placement.lit for placement in placed)
