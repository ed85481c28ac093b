"""From surface to photo: light from one side, a highlight, and a camera with its faults."""

from dataclasses import dataclass

import cv2
import numpy as np

from anogen_core.arrays import Image
from anogen_core.procedural.fields import Colour, Field, blur, coordinates, log_uniform, smooth_noise
from anogen_core.procedural.surfaces.surface import Surface


@dataclass(frozen=True)
class Light:
    """A distant lamp, and how the highlight lies on the frame."""

    azimuth: float
    """Direction it comes from, in radians."""
    elevation: float
    """Angle above the surface, in radians."""
    ambient: float
    """Share of the light that comes from everywhere."""
    shine: float
    """Strength of highlights."""
    focus: float
    """Exponent of highlights; larger is smaller and sharper."""
    hot_spot: tuple[float, float]
    """Row and column of the highlight on a flat surface, in frame sides; may lie outside 0 to 1."""


@dataclass(frozen=True)
class Camera:
    """What the camera does to the light it gets."""

    exposure: float
    """Around 1; the camera meters the scene and then deviates by this factor."""
    contrast: float
    gamma: float
    vignette: float
    blur: float
    """Gaussian sigma in pixels."""
    noise: float
    """Spread of the sensor noise, 1 is white."""
    quality: int | None
    """JPEG quality; None keeps every value."""
    grey: bool


def random_light(rng: np.random.Generator) -> Light:
    """Return any light that an inspection station may have."""
    return Light(
        azimuth=float(rng.uniform(0, 2 * np.pi)),
        elevation=float(np.deg2rad(rng.uniform(28, 75))),
        ambient=float(rng.uniform(0.15, 0.7)),
        shine=float(rng.choice([0.15, 0.4, 0.8])),
        focus=log_uniform(rng, 6, 80),
        hot_spot=(float(rng.uniform(-0.6, 1.6)), float(rng.uniform(-0.6, 1.6))),
    )


def random_camera(rng: np.random.Generator) -> Camera:
    """Return any camera: half of them grey, most a little soft, all with some noise."""
    return Camera(
        exposure=log_uniform(rng, 0.6, 1.2),
        contrast=float(rng.uniform(0.75, 1.3)),
        gamma=float(rng.uniform(0.75, 1.25)),
        vignette=float(rng.choice([0.0, 0.15, 0.4])),
        blur=float(rng.choice([0.0, 0.4, 0.6, 0.9, 1.3])),
        noise=log_uniform(rng, 0.002, 0.03),
        quality=int(rng.integers(60, 96)) if rng.random() < 0.25 else None,
        grey=bool(rng.random() < 0.5),
    )


def light_up(surface: Surface, light: Light) -> Colour:
    """Return the light that a surface sends upwards (Lambert plus Blinn-Phong); a flat matt one keeps its colour."""
    slope_y = cv2.Sobel(surface.height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    slope_x = cv2.Sobel(surface.height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    across, up = np.cos(light.elevation), np.sin(light.elevation)
    to_light = (across * np.cos(light.azimuth), across * np.sin(light.azimuth))
    facing = (up - slope_x * to_light[0] - slope_y * to_light[1]) / (length * up)
    shade = light.ambient + (1 - light.ambient) * np.clip(facing, 0, 2.2)
    glare = _highlight(slope_x, slope_y, light) * surface.gloss * np.float32(light.shine)
    return np.asarray(surface.colour * shade[..., None] + glare[..., None], np.float32)


def _highlight(slope_x: Field, slope_y: Field, light: Light) -> Field:
    """Return the highlight, 1 where the surface mirrors the lamp; near the hot spot that is the flat surface."""
    rows, columns = coordinates(slope_x.shape)
    side = max(slope_x.shape)
    tilt_x = slope_x + (columns / side - np.float32(light.hot_spot[1])) * np.float32(0.6)
    tilt_y = slope_y + (rows / side - np.float32(light.hot_spot[0])) * np.float32(0.6)
    return np.asarray((1 + tilt_x**2 + tilt_y**2) ** np.float32(-light.focus / 2), np.float32)


def uneven_light(rng: np.random.Generator, shape: tuple[int, int], *, strength: float) -> Field:
    """Return a slow change of brightness over the frame: a slope and a cloud, 1 on average."""
    rows, columns = coordinates(shape)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * columns + np.sin(angle) * rows) / np.float32(max(shape))
    cloud = smooth_noise(rng, shape, period=max(shape) * 0.8)
    field = (slope - slope.mean()) + np.float32(0.12) * cloud
    return np.asarray(np.clip(1 + strength * field, 0.15, 1.9), np.float32)


def photograph(light: Colour, camera: Camera, rng: np.random.Generator, *, metered: Colour | None = None) -> Image:
    """Return the photo of a lit scene, exposed for `metered` (default: for itself)."""
    rows, columns = coordinates((light.shape[0], light.shape[1]))
    off_centre = ((rows / light.shape[0] - 0.5) ** 2 + (columns / light.shape[1] - 0.5) ** 2) * 2
    gain = _metered_gain(light if metered is None else metered)
    photo = blur(light * np.float32(camera.exposure * gain), camera.blur)
    darkening = 1 - np.float32(camera.vignette) * off_centre
    photo *= darkening[..., None]
    if camera.grey:
        photo = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    middle = float(photo.mean())
    if metered is not None:
        brightness = cv2.cvtColor(metered, cv2.COLOR_RGB2GRAY) if camera.grey else metered.mean(axis=2)
        middle = float((brightness * darkening).mean()) * camera.exposure * gain
    photo = (photo - middle) * np.float32(camera.contrast) + np.float32(middle)
    channels = 1 if camera.grey else 3
    photo = np.clip(photo, 0, 1) ** np.float32(camera.gamma)
    photo += rng.standard_normal((*rows.shape, channels), dtype=np.float32) * np.float32(camera.noise)
    pixels = np.clip(photo * 255 + np.float32(0.5), 0, 255).astype(np.uint8)
    return pixels if camera.quality is None else _compress(pixels, camera.quality)


def _metered_gain(light: Colour) -> float:
    """Return the gain that brings a scene to a usual brightness and clips at most a few highlights."""
    sample = light[::4, ::4].mean(axis=2)
    middle = max(float(sample.mean()), 1e-3)
    return min(0.78 * middle**-0.4, 1.05 / max(float(np.percentile(sample, 97)), 1e-3))


def _compress(pixels: Image, quality: int) -> Image:
    """Return the photo as it looks after JPEG."""
    _, packed = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1])
