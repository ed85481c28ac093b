"""The first losses of a tiny DRAEM: a refactoring must not change them.

A change that is meant to alter the numbers writes them again with `python tests/core/detectors/test_golden.py`; the
difference belongs in the review.
"""

from pathlib import Path

import numpy as np
import pytest

from anogen_core.detectors.draem import DraemSettings
from anogen_core.detectors.training import train_detector
from anogen_core.detectors.training_set import TrainingSet

GOLDEN = Path(__file__).parents[2] / "golden" / "draem_loss_tiny.txt"


def _first_losses() -> str:
    """Return one line `step l2 ssim focal` for each of the first six steps."""
    normals = np.random.default_rng(0).integers(60, 140, (5, 40, 48, 3), dtype=np.uint8)
    generated, masks = normals[:, ::-1].copy(), np.zeros((5, 40, 48), bool)
    generated[:, 12:20, 8:24] //= 3
    masks[:, 10:22, 6:26] = True
    settings = DraemSettings(
        reconstructive_width=2, discriminative_width=2, image_size=32, steps=6, batch_size=4, learning_rate=1e-3
    )
    losses = train_detector(settings, TrainingSet(normals, generated, masks), seed=0).losses
    rows = zip(losses["l2"], losses["ssim"], losses["focal"], strict=True)
    return "".join(f"{step} {l2:.6f} {ssim:.6f} {focal:.6f}\n" for step, (l2, ssim, focal) in enumerate(rows, 1))


def test_first_losses_are_the_golden_ones() -> None:
    """L2, SSIM and focal terms equal the stored ones: the first to a thousandth, the next to two hundredths.

    Processors and thread counts add gradients in another order, and Adam's first update is the sign of each of them.
    """
    expected, found = (np.array(text.split(), float).reshape(-1, 4) for text in (GOLDEN.read_text(), _first_losses()))

    assert found[0] == pytest.approx(expected[0], rel=1e-3)
    assert found == pytest.approx(expected, rel=2e-2)


if __name__ == "__main__":
    GOLDEN.write_text(_first_losses())
