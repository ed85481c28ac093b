"""Seeds are paths: every random choice has a name, and its seed depends on that name alone."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(run_seed: int, *path: str | int) -> int:
    """Return a 63-bit seed for one named random choice of a run.

    Example:
        >>> derive_seed(0, "noise", "r000017") == derive_seed(0, "noise", "r000017")
        True
    """
    text = "/".join(repr(part) for part in (run_seed, *path))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int) -> np.random.Generator:
    """Return a NumPy generator whose stream is fixed for all platforms (PCG64)."""
    return np.random.Generator(np.random.PCG64(seed))


def torch_generator(seed: int) -> torch.Generator:
    """Return a CPU generator; noise is always drawn on the CPU so that the device never changes a sample."""
    return torch.Generator("cpu").manual_seed(seed)


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Seed PyTorch's global generator inside the block alone: for constructors of networks that take no generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
