"""Where the resumable state of a training is kept; the store's `Scratch` is one such place."""

import io
import logging
from typing import Any, Protocol

import torch

log = logging.getLogger(__name__)


class CheckpointSlot(Protocol):
    """One named place for the bytes of a resumable state."""

    def load(self) -> bytes | None:
        """Return what was saved last, or None."""

    def save(self, state: bytes) -> None:
        """Replace what was saved, atomically."""


def load_state(slot: CheckpointSlot, name: str, device: torch.device) -> dict[str, Any] | None:
    """Return the state that a slot holds, on a device; None where there is none or, with a warning, it is damaged.

    Args:
        slot: Where it was saved, as the bytes of `torch.save`.
        name: What is trained, for the warning.
        device: Where its tensors go.
    """
    saved = slot.load()
    if saved is None:
        return None
    try:
        return dict(torch.load(io.BytesIO(saved), map_location=device, weights_only=True))
    except Exception as error:  # noqa: BLE001 - torch.load names no errors; starting over gives the same result
        log.warning("%s: the checkpoint cannot be read (%s); the training starts from its beginning", name, error)
        return None
