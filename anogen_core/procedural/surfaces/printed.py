"""Things with a drawing on them: circuit boards, printed labels, chip-like layouts."""

import cv2
import numpy as np

from anogen_core.procedural.fields import Field, Shape, blur, fractal_noise, log_uniform, smooth_noise
from anogen_core.procedural.surfaces.surface import Surface, make_surface, mix, pick_colour, shade_colour


def _draw_tracks(rng: np.random.Generator, shape: Shape, pitch: int) -> Field:
    """Return 1 on copper: tracks that run in steps of a grid with 45 degree bends, and pads."""
    canvas = np.zeros(shape, np.uint8)
    width = max(int(pitch * rng.uniform(0.15, 0.4)), 1)
    for _ in range(int(shape[0] * shape[1] / (pitch * pitch * rng.uniform(8, 20))) + 4):
        point = rng.integers(0, shape[0] // pitch + 1, 2) * pitch
        path = [point]
        heading = int(rng.integers(8))
        for _ in range(int(rng.integers(2, 5))):
            direction = np.array([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]])[heading % 8]
            path.append(path[-1] + direction * pitch * int(rng.integers(1, 6)))
            heading += int(rng.choice([-1, 1]))
        cv2.polylines(
            canvas, [np.array(path, np.int32)], isClosed=False, color=255, thickness=width, lineType=cv2.LINE_AA
        )
        for end in (path[0], path[-1]):
            cv2.circle(canvas, (int(end[0]), int(end[1])), max(int(pitch * 0.38), 2), 255, -1, cv2.LINE_AA)
            cv2.circle(canvas, (int(end[0]), int(end[1])), max(int(pitch * 0.15), 1), 90, -1, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def printed_circuit(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return a bare board: solder mask over glass weave, tracks, pads with holes."""
    copper = blur(_draw_tracks(rng, shape, int(log_uniform(rng, 7, 24))), 0.5)
    weave = smooth_noise(rng, shape, period=(3, 3)) * 0.02
    mask = pick_colour(rng, hue=(90, 240), colourful=0.9, value=(0.12, 0.5))
    bare = rng.random() < 0.4
    metal = pick_colour(rng, hue=(25, 50), colourful=0.6, value=(0.5, 0.9)) if bare else mask * rng.uniform(1.3, 2.2)
    colour = mix(shade_colour(mask, 1 + weave), metal, copper)
    return make_surface(colour, copper * rng.uniform(0.3, 1.2), gloss=rng.uniform(0.1, 0.6))


def printed_label(rng: np.random.Generator, shape: Shape) -> Surface:
    """Return print on a plain ground: lines of marks like letters, bars, fields of colour."""
    ink = np.zeros(shape, np.uint8)
    row = int(rng.integers(2, 20))
    while row < shape[0]:
        tall = int(log_uniform(rng, 5, 30))
        column = int(rng.integers(0, 20))
        bars = rng.random() < 0.25
        while column < shape[1] and rng.random() > 0.02:
            wide = max(int(tall * rng.uniform(0.1, 0.8)), 1)
            _draw_mark(ink, rng, box=(row, column, tall, wide), style=0 if bars else int(rng.integers(1, 3)))
            column += wide + max(int(tall * rng.uniform(0.15, 0.5)), 1)
        row += int(tall * rng.uniform(1.3, 2.5))
    paper = pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0, 0.6), value=(0.5, 0.97))
    colour = pick_colour(rng, hue=(0, 360), colourful=rng.uniform(0, 0.9), value=(0.03, 0.5))
    grain = 1 + 0.02 * fractal_noise(rng, shape, period=4, octaves=2)
    share = blur(ink.astype(np.float32) / 255, rng.uniform(0.4, 0.9)) * np.float32(rng.uniform(0.6, 1))
    return make_surface(mix(shade_colour(paper, grain), colour, share), share * 0.1, gloss=rng.uniform(0, 0.4))


def _draw_mark(ink: np.ndarray, rng: np.random.Generator, *, box: tuple[int, int, int, int], style: int) -> None:
    """Draw a bar (0), a letter-like squiggle (1) or a ring (2) into the box (top, left, height, width)."""
    top, left, tall, wide = box
    if style == 0:
        cv2.rectangle(ink, (left, top), (left + max(wide // 2, 1), top + tall), 255, -1)
        return
    stroke = max(tall // 8, 1)
    corners = rng.random((int(rng.integers(3, 6)), 2)) * [wide, tall] + [left, top]
    if style == 1:
        cv2.polylines(ink, [corners.astype(np.int32)], bool(rng.random() < 0.3), 255, stroke, cv2.LINE_AA)
    else:
        centre = (left + wide // 2, top + tall // 2)
        cv2.ellipse(
            ink, centre, (wide // 2 + 1, tall // 2), 0, 0, float(rng.choice([180, 270, 360])), 255, stroke, cv2.LINE_AA
        )
