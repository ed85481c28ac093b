"""The errors a user can meet: each message names the file or field, what was expected and found, and what to do."""

from typing import Any


class AnogenError(Exception):
    """Base of every error that AnoGen raises on purpose."""


class InputError(AnogenError, ValueError):
    """The run file, an argument or the data is not usable as given (exit code 2)."""


class MaskPlacementError(AnogenError, ValueError):
    """No mask could be placed; the message is the reason for blocking the request."""


class ThinMaskError(MaskPlacementError):
    """A mask is too thin to be painted; another one may do."""


class StorageError(AnogenError, OSError):
    """The object store did not do what was asked, after all retries."""


class UnusableStoreError(StorageError):
    """The store takes nothing now, whatever it is: work whose results could not be stored is not begun."""


class FullStoreError(UnusableStoreError):
    """There is no space left; trying again does not help before somebody makes some."""


class RefusedStoreError(UnusableStoreError):
    """The store does not let us in, or does not let us write; trying again does not help before somebody permits it."""


class AwayStoreError(UnusableStoreError):
    """The store has not answered for minutes, whoever asked."""


class CorruptDatasetError(StorageError):
    """Stored bytes differ from what their commit record or manifest promises."""


class MissingObjectError(StorageError, FileNotFoundError):
    """An object that a commit record or manifest names is not there."""


class PartlyFailedRunError(AnogenError):
    """Some categories of a run failed, and others are finished.

    Args:
        message: Which failed, and why.
        made: What the run returns when none fails, of those that are finished.
    """

    def __init__(self, message: str, made: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.made = made or {}


class InterruptedRunError(AnogenError):
    """A person asked the run to stop (exit code 130)."""


class TrainingError(AnogenError, RuntimeError):
    """Training cannot go on (for example, the loss is NaN)."""
