"""What a defect looks like, in words: measured on the picture, so that captions tell what the pixels show.

The name of a defect says little about a noisy picture; whether it is dark or bright, thin or round, small or large says
much. Captions with these words teach the text encoder to steer what appears, and inversion finds its way along them.
"""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

LOOKS: Final = ("black", "dark", "bright", "white", "thin", "long", "round", "small", "large", "red", "green", "blue")
"""The words; `describe_looks` returns their places in this list."""
_RING: Final = 5
"""Width in pixels of the surroundings that a defect is compared with."""


def describe_looks(images: Float[Tensor, "B 3 H W"], masks: Float[Tensor, "B 1 H W"]) -> Int[Tensor, "B 4"]:
    """Return places in `LOOKS` for the brightness, shape, size and colour of the masked regions, -1 for no word.

    Args:
        images: RGB in [0, 1].
        masks: Share of each pixel that is anomalous.
    """
    touched = masks > 0
    inside = masks > 0.5
    inside = torch.where(inside.sum((1, 2, 3), keepdim=True) < 4, touched, inside).float()
    width = 2 * _RING + 1
    around = functional.max_pool2d(inside, width, stride=1, padding=_RING) > 0
    ring = (around & ~touched).float()
    change = _mean(images, inside) - _mean(images, ring)
    words = [_brightness(change.mean(1)), _shape(inside), _size(inside.mean((1, 2, 3))), _colour(change)]
    told = ((ring.sum((1, 2, 3)) > 0) & (inside.sum((1, 2, 3)) > 0))[:, None]
    return torch.where(told, torch.stack(words, dim=1), -1)


def _mean(images: Float[Tensor, "B 3 H W"], weights: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 3"]:
    return (images * weights).sum((2, 3)) / weights.sum((2, 3)).clamp_min(1)


def _pick(value: Float[Tensor, " B"], limits: tuple[float, ...], words: tuple[str, ...]) -> Int[Tensor, " B"]:
    """Return the word of the interval between `limits` that each value lies in; an empty word is none."""
    places = torch.tensor([LOOKS.index(word) if word else -1 for word in words], device=value.device)
    return places[torch.bucketize(value, torch.tensor(limits, device=value.device))]


def _brightness(change: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    return _pick(change, (-0.25, -0.06, 0.06, 0.25), ("black", "dark", "", "bright", "white"))


def _shape(inside: Float[Tensor, "B 1 H W"]) -> Int[Tensor, " B"]:
    """Return a word for the ratio of the regions' principal axes, from the eigenvalues of their covariance."""
    rows = torch.arange(inside.shape[2], device=inside.device, dtype=torch.float32)[:, None]
    columns = torch.arange(inside.shape[3], device=inside.device, dtype=torch.float32)
    area = inside.sum((1, 2, 3)).clamp_min(1)

    def mean(values: Tensor) -> Tensor:
        return (inside[:, 0] * values).sum((1, 2)) / area

    row, column = mean(rows), mean(columns)
    # A single pixel is a square of variance 1/12.
    vertical, horizontal = mean(rows**2) - row**2 + 1 / 12, mean(columns**2) - column**2 + 1 / 12
    mixed = mean(rows * columns) - row * column
    half, gap = (vertical + horizontal) / 2, (((vertical - horizontal) / 2) ** 2 + mixed**2).sqrt()
    return _pick(((half + gap) / (half - gap).clamp_min(1e-3)).sqrt(), (2.2, 4.5), ("round", "long", "thin"))


def _size(share: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    return _pick(share, (0.05, 0.2), ("small", "", "large"))


def _colour(change: Float[Tensor, "B 3"]) -> Int[Tensor, " B"]:
    """Return a word for a change of hue."""
    hue = change - change.mean(dim=1, keepdim=True)
    strongest = hue.argmax(dim=1) + LOOKS.index("red")
    return torch.where(hue.abs().amax(dim=1) < 0.04, -1, strongest)
