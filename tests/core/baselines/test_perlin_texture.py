"""Perlin noise and Perlin + texture anomalies."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from anogen_core.baselines.perlin_noise import perlin_noise
from anogen_core.baselines.perlin_texture import PerlinTextureSettings
from anogen_core.baselines.textures import alter_textures, load_textures, procedural_textures, rotate
from anogen_core.errors import InputError
from anogen_core.seeding import torch_generator

CPU = torch.device("cpu")


def _images(seed: int, *, channels: int = 3) -> torch.Tensor:
    return torch.rand(6, channels, 32, 32, generator=torch_generator(seed)).expand(6, 3, 32, 32)


def test_anomalies_lie_inside_their_masks() -> None:
    """Outside the mask a photo keeps every bit; inside it changes; values stay in [0, 1] and the mask is binary."""
    photos = _images(0)

    painted, mask = PerlinTextureSettings().build().paint(photos, _images(1), generator=torch_generator(2))

    changed = (painted != photos).any(dim=1, keepdim=True)
    assert mask.shape == (6, 1, 32, 32)
    assert set(mask.flatten().tolist()) == {0.0, 1.0}
    assert not changed[mask == 0].any()
    assert changed[mask == 1].float().mean() > 0.95
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_anomalies_are_a_function_of_the_generator() -> None:
    """The same generator gives the same bits, another one something else; the global state stays untouched."""
    synthesis, state = PerlinTextureSettings().build(), torch.get_rng_state()

    first, again, other = (
        synthesis.paint(_images(0), _images(1), generator=torch_generator(seed))[0] for seed in (5, 5, 6)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_grey_photos_get_grey_anomalies() -> None:
    """On a grey photo a coloured texture loses its colour, unless the setting says otherwise."""
    grey = _images(0, channels=1)

    painted, _ = PerlinTextureSettings().build().paint(grey, _images(1), generator=torch_generator(2))
    coloured, _ = (
        PerlinTextureSettings(grey_on_grey=False).build().paint(grey, _images(1), generator=torch_generator(2))
    )

    assert torch.allclose(painted[:, 0], painted[:, 2], atol=1e-6)
    assert not torch.allclose(coloured[:, 0], coloured[:, 2], atol=1e-2)


def test_noise_is_gradient_noise() -> None:
    """Noise lies in [-1, 1], has mean about 0, is smooth at its scale, and is finer with more cells."""
    coarse, fine = (
        perlin_noise(torch.full((16, 2), cells), 64, generator=torch_generator(0), device=CPU) for cells in (2, 32)
    )

    steps = [noise.diff(dim=-1).abs().mean().item() for noise in (coarse, fine)]
    assert coarse.abs().max() <= 1
    assert fine.abs().max() <= 1
    assert abs(fine.mean().item()) < 0.02
    assert steps[0] < 0.05 < steps[1]
    assert not torch.equal(coarse[0], coarse[1])


def test_noise_refuses_too_many_cells() -> None:
    """A rotated frame of more than 32 cells would leave the lattice; it is an error, not a wrong picture."""
    with pytest.raises(InputError, match="at most 32"):
        perlin_noise(torch.tensor([[33, 1]]), 64, generator=torch_generator(0), device=CPU)


def test_textures_are_altered_in_place_of_dtd() -> None:
    """Procedural patterns differ between samples; three changes leave no texture as it was and stay in [0, 1]."""
    patterns = procedural_textures(_images(0), torch_generator(0))
    altered = alter_textures(patterns, torch_generator(1))

    distance = (altered - patterns).abs().mean(dim=(1, 2, 3))
    assert (patterns[1:] - patterns[:-1]).abs().mean(dim=(1, 2, 3)).min() > 0.05
    assert distance.min() > 0.01
    assert altered.min() >= 0
    assert altered.max() <= 1


def test_rotation_by_a_quarter_turn_is_exact() -> None:
    """A quarter turn equals `rot90`, and no turn the image itself."""
    images = _images(0)

    quarter = rotate(images, torch.full((6,), torch.pi / 2))
    same = rotate(images, torch.zeros(6))

    turned = [torch.rot90(images, turns, (2, 3)) for turns in (1, -1)]
    assert min((quarter - candidate).abs().max().item() for candidate in turned) < 1e-4
    assert torch.allclose(same, images, atol=1e-5)


def test_textures_come_from_a_directory(tmp_path: Path) -> None:
    """All images below the directory are read as RGB squares; none, or a broken one, is an error that names it."""
    with pytest.raises(InputError, match="holds no"):
        load_textures(str(tmp_path), 16)
    (tmp_path / "blotchy").mkdir()
    red = np.zeros((40, 30, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "blotchy" / "a.png"), red)

    textures = load_textures(str(tmp_path), 16)

    assert textures.shape == (1, 16, 16, 3)
    assert textures[0, 0, 0].tolist() == [255, 0, 0]
    (tmp_path / "b.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"b\.png"):
        load_textures(str(tmp_path), 16)
