"""How much of real photos does the bundled autoencoder keep, beside a public one of its kind?

python benchmarks/autoencoder.py DATA [DATA ...] --reference DIRECTORY [--model DIRECTORY] [--photos 60]

DATA is a category in the MVTec layout, DIRECTORY holds `taef2_encoder.pth` and `taef2_decoder.pth` (madebyollin/taesd;
one latent cell of 32 channels for 8x8 pixels). Photos under `test` are shrunk to 256 px, encoded and decoded. Printed
is the peak signal-to-noise ratio in dB: the mean over all photos, and that inside the masks of the defective ones; then
the values of a latent per pixel.
"""

import argparse
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from anogen_core.data.frame import read_mask, read_photo, resize_mask
from anogen_core.diffusion import BundledModelSettings, StableDiffusionSettings

SIDE = 256
RoundTrip = Callable[[torch.Tensor], torch.Tensor]
"""Images (1, 3, H, W) in [-1, 1] through an autoencoder."""


class _Block(nn.Module):
    """Three convolutions beside a skip; the middle ones first add what a normalised 1x1 bottleneck says."""

    def __init__(self, width: int, *, normalised: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.conv = nn.Sequential(*layers[:-1])
        self.pool = (
            nn.Sequential(
                nn.Conv2d(width, 4 * width, 1, bias=False),
                nn.GroupNorm(4, 4 * width),
                nn.ReLU(),
                nn.Conv2d(4 * width, width, 1, bias=False),
            )
            if normalised
            else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


def main() -> None:
    """Print one line for each autoencoder and category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--photos", type=int, default=60)
    given = parser.parse_args()
    settings = BundledModelSettings() if given.model is None else StableDiffusionSettings(directory=str(given.model))
    model = settings.build(torch.device("cpu"))
    trips: dict[str, RoundTrip] = {
        "bundled" if given.model is None else given.model.name: lambda images: model.decode(model.encode(images)),
        "reference": _reference(given.reference),
    }
    print("| category | autoencoder | all photos, dB | inside defects, dB | photos, defective |\n|---|---|---|---|---|")
    for root in given.data:
        pairs = _photos(root, given.photos)
        for name, trip in trips.items():
            whole, inside = zip(*(_errors(trip, photo, mask) for photo, mask in pairs), strict=True)
            seen = [error for error in inside if error is not None]
            print(
                f"| {root.name} | {name} | {_decibel(whole):.1f} | {_decibel(seen):.1f} | {len(whole)}, {len(seen)} |"
            )


def _photos(root: Path, count: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Return photos of the test folder, evenly spaced, with their masks where they have one."""
    found = sorted(path for path in (root / "test").rglob("*") if path.is_file())
    chosen = [found[i * len(found) // count] for i in range(min(count, len(found)))]
    pairs = []
    for path in chosen:
        photo = cv2.resize(read_photo(path), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        folder = root / "ground_truth" / path.parent.name
        masks = [*folder.glob(f"{path.stem}_mask.*"), *folder.glob(f"{path.stem}.*")] if folder.is_dir() else []
        pairs.append((photo, resize_mask(read_mask(masks[0]), (SIDE, SIDE)) if masks else None))
    return pairs


@torch.no_grad()
def _errors(trip: RoundTrip, photo: np.ndarray, mask: np.ndarray | None) -> tuple[float, float | None]:
    """Return the mean squared error in [0, 1] of all pixels, and of those of the mask."""
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1
    squared = ((trip(image).clamp(-1, 1) - image) / 2).square().mean(dim=1)[0].numpy()
    return float(squared.mean()), None if mask is None or not mask.any() else float(squared[mask].mean())


def _decibel(errors: tuple[float, ...] | list[float | None]) -> float:
    return float(np.mean([-10 * np.log10(max(float(error or 0), 1e-10)) for error in errors]))


def _reference(directory: Path) -> RoundTrip:
    parts = {}
    for part in ("encoder", "decoder"):
        weights = torch.load(directory / f"taef2_{part}.pth", map_location="cpu", weights_only=True)
        parts[part] = _network({name: values.float() for name, values in weights.items()})
    # Its images are in [0, 1]; what goes into the decoder is squashed, as its latents were in training.
    return lambda images: parts["decoder"](torch.tanh(parts["encoder"](images / 2 + 0.5) / 3) * 3).clamp(0, 1) * 2 - 1


def _network(weights: dict[str, torch.Tensor]) -> nn.Sequential:
    """Return the layers that the names and shapes of weights speak of; an encoder halves where it has no bias."""
    numbers = sorted({int(name.split(".")[0]) for name in weights})
    decodes = numbers[0] > 0
    layers: list[nn.Module] = []
    names: list[int] = []
    for before, number in pairwise([numbers[0] - 1, *numbers]):
        if number - before > 1:
            # Unnumbered layers have no weights: the first is a rectifier, the others double.
            layers.append(nn.ReLU() if len(names) == 1 else nn.Upsample(scale_factor=2))
            names.append(-1)
        own = {name.split(".", 1)[1]: v for name, v in weights.items() if name.startswith(f"{number}.")}
        if "conv.0.weight" in own:
            layers.append(_Block(len(own["conv.0.weight"]), normalised="pool.0.weight" in own))
        else:
            out, width = own["weight"].shape[:2]
            halves = "bias" not in own and not decodes
            layers.append(nn.Conv2d(width, out, 3, stride=2 if halves else 1, padding=1, bias="bias" in own))
        layers[-1].load_state_dict(own)
        names.append(number)
    return nn.Sequential(*layers).eval()


if __name__ == "__main__":
    main()
