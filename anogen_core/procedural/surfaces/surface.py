"""What a surface is before light falls on it."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from anogen_core.procedural.fields import Colour, Field, Shape


@dataclass(frozen=True)
class Surface:
    """Material as the light meets it."""

    colour: Colour
    """Share of light that is sent back."""
    height: Field
    """Relief in pixels, upwards."""
    gloss: Field
    """0 matt to 1 like a mirror."""
    solid: Field
    """1 where the part is, 0 where the photo shows what lies behind it."""

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.height.shape[0], self.height.shape[1]


def make_surface(colour: Colour | Float32[np.ndarray, "3"], height: Field, *, gloss: float | Field = 0.1) -> Surface:
    """Return a surface that fills the frame; a single colour is spread over it."""
    spread = np.ascontiguousarray(np.broadcast_to(np.asarray(colour, np.float32), (*height.shape, 3)))
    return Surface(
        colour=np.clip(spread, 0.01, 1),
        height=np.asarray(height, np.float32),
        gloss=np.full(height.shape, gloss, np.float32) if np.isscalar(gloss) else np.asarray(gloss, np.float32),
        solid=np.ones(height.shape, np.float32),
    )


def shade_colour(colour: np.ndarray, brightness: Field) -> Colour:
    """Return one colour, lighter and darker as `brightness` (around 1) says."""
    return np.asarray(colour, np.float32) * brightness[..., None]


def mix(first: np.ndarray, second: np.ndarray, share: Field) -> np.ndarray:
    """Return `first` where `share` is 0 and `second` where it is 1; colours or fields."""
    weight = share[..., None] if max(np.ndim(first), np.ndim(second)) == 3 or np.shape(second) == (3,) else share
    return np.asarray(first + (np.asarray(second, np.float32) - first) * weight, np.float32)


def pick_colour(
    rng: np.random.Generator, *, hue: tuple[float, float], colourful: float, value: tuple[float, float]
) -> np.ndarray:
    """Return an RGB colour: hue range in degrees (may pass 360), up to `colourful` saturation, brightness range."""
    hsv = np.array([[[rng.uniform(*hue) % 360, rng.uniform(0.3, 1) * colourful, rng.uniform(*value)]]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])


def pose(surface: Surface, rng: np.random.Generator, *, size: int, turns: bool) -> Surface:
    """Return a square of `size` pixels cut from a larger surface at a random angle, or at a quarter turn."""
    centre = (surface.shape[1] / 2, surface.shape[0] / 2)
    angle = float(rng.uniform(0, 360)) if turns else 90.0 * int(rng.integers(4)) + float(rng.normal(0, 1.5))
    matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
    matrix[:, 2] = matrix[:, 2] + size / 2 - np.array(centre)

    def cut(layer: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(layer, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    return Surface(cut(surface.colour), cut(surface.height), cut(surface.gloss), cut(surface.solid))
