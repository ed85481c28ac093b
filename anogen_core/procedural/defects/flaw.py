"""What a defect does to a surface: paint it, press it, dull it."""

from dataclasses import dataclass, replace

import numpy as np

from anogen_core.procedural.fields import Field, fractal_noise
from anogen_core.procedural.surfaces.surface import Surface, mix


@dataclass(frozen=True)
class Flawed:
    """A surface with a defect and the share (0 to 1) of each pixel that the defect has changed."""

    surface: Surface
    extent: Field


def paint(surface: Surface, share: Field, colour: np.ndarray) -> Surface:
    """Return the surface with a colour (one, or one per pixel) laid over it where `share` says."""
    return replace(surface, colour=np.clip(mix(surface.colour, colour, share), 0.005, 1))


def raise_by(surface: Surface, relief: Field) -> Surface:
    """Return the surface lifted by `relief` pixels (negative presses it in)."""
    return replace(surface, height=np.asarray(surface.height + relief, np.float32))


def polish(surface: Surface, share: Field, gloss: float) -> Surface:
    """Return the surface with another gloss where `share` says."""
    return replace(surface, gloss=mix(surface.gloss, np.full_like(surface.gloss, gloss), share))


def flatten(surface: Surface, share: Field) -> Surface:
    """Return the surface without its own relief where `share` says."""
    return replace(surface, height=np.asarray(surface.height * (1 - share), np.float32))


def colour_under(surface: Surface, share: Field) -> np.ndarray:
    """Return the mean colour of what `share` covers."""
    weight = share * surface.solid + 1e-4
    return np.asarray((surface.colour * weight[..., None]).sum(axis=(0, 1)) / weight.sum(), np.float32)


def darker(rng: np.random.Generator, colour: np.ndarray, *, most: float = 0.6) -> np.ndarray:
    """Return a clearly darker colour, at most `most` as bright."""
    return np.asarray(colour * rng.uniform(0.08, most), np.float32)


def lighter(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Return a clearly lighter colour, mostly paler too."""
    pale = colour.mean() * 0.5 + colour * 0.5
    return np.asarray(pale + (1 - pale) * rng.uniform(0.25, 0.8), np.float32)


def other(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Return a darker colour, or a lighter one where dark would not show."""
    return lighter(rng, colour) if rng.random() < (0.85 if colour.mean() < 0.12 else 0.3) else darker(rng, colour)


def foreign(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Return the colour of another matter: any hue, at least 0.15 away in brightness."""
    stranger = rng.uniform(0.03, 0.95) * (1 - rng.uniform(0, 0.7) * rng.random(3))
    gap = stranger.mean() - colour.mean()
    if abs(gap) < 0.15:
        stranger = stranger + (0.25 if colour.mean() < 0.5 else -0.25)
    return np.asarray(np.clip(stranger, 0.02, 0.98), np.float32)


def rough(rng: np.random.Generator, surface: Surface, *, period: float) -> Field:
    """Return the relief of broken matter: unit spread, facets of about `period` pixels, fine grain in them."""
    noise = fractal_noise(rng, surface.shape, period=max(period, 2.0), octaves=4, roughness=0.7)
    return np.asarray(
        noise - 0.6 * np.abs(fractal_noise(rng, surface.shape, period=max(period, 2.0), octaves=2)), np.float32
    )
