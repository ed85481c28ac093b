"""Where the resumable state of a training is kept; the store's `Scratch` is one such place."""

from typing import Protocol


class CheckpointSlot(Protocol):
    """One named place for the bytes of a resumable state."""

    def load(self) -> bytes | None:
        """Return what was saved last, or None."""

    def save(self, state: bytes) -> None:
        """Replace what was saved, atomically."""
