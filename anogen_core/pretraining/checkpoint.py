"""Checkpoints of trainings: each says what decides its training, so that no other one goes on from it."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anogen_core.data.problems import UnusableFileError, unreadable
from anogen_core.errors import InputError
from anogen_core.settings import Settings

Identity: TypeAlias = dict[str, Any]
"""Plain values that decide a training, by the names that a person knows them by."""
_FREE: Final = {"steps", "learning_rate", "compile"}
"""Settings that may change when a training resumes: it may go on for longer, and a loss that explodes needs a lower
rate."""


class Trainer(Protocol):
    """What trains.

    A step draws its randomness from its own number, so a resumed run equals an undisturbed one.
    """

    name: str

    def train_step(self, step: int) -> Float[Tensor, ""]:
        """Take optimisation step number `step` and return its loss, which may still be under way on a device."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""


def identify(section: str, settings: Settings) -> Identity:
    """Return the settings of a section that decide a training, under `section.field`."""
    values = settings.model_dump(mode="json", exclude=_FREE)
    return {f"{section}.{name}": value for name, value in values.items()}


def digest_weights(network: nn.Module) -> str:
    """Return 16 hex digits that identify the weights of a network."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + b"\0" + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def checkpoint_path(work: Path, name: str) -> Path:
    """Return the file of the trainer of this name."""
    return work / f"{name}.pt"


def check_checkpoints(work: Path, identities: Mapping[str, Identity]) -> None:
    """Make sure that trainings can go on from the checkpoints in a directory, where there are any.

    Args:
        work: The directory.
        identities: What decides each training, by the name of its trainer; what is left out is not compared.

    Raises:
        InputError: something differs, or a checkpoint is damaged or does not say what it is of.
    """
    differences: dict[str, str] = {}
    for name, identity in identities.items():
        path = checkpoint_path(work, name)
        known = _read(path)["identity"] if path.exists() else identity
        for field, value in identity.items():
            if known.get(field) != value:
                differences[field] = f"{field} ({known.get(field)} there, {value} here)"
    if differences:
        raise InputError(
            f"{work}: holds checkpoints of another training, this one differs in {', '.join(differences.values())}. "
            "Use another `--work`, or the settings and photos that it began with."
        )


def load_checkpoint(trainer: Trainer, work: Path, identity: Identity) -> int:
    """Give a trainer the state of its checkpoint, and return its step; 0 where there is none.

    Raises:
        InputError: the checkpoint is damaged or of another training.
    """
    path = checkpoint_path(work, trainer.name)
    if not path.exists():
        return 0
    check_checkpoints(work, {trainer.name: identity})
    state = _read(path)
    try:
        trainer.load_state_dict(state["trainer"])
        return int(state["step"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(_of_another_version(path)) from error


def save_checkpoint(trainer: Trainer, work: Path, identity: Identity, step: int) -> None:
    """Write the checkpoint whole or not at all."""
    path = checkpoint_path(work, trainer.name)
    partial = path.with_suffix(".partial")
    torch.save({"step": step, "identity": identity, "trainer": trainer.state_dict()}, partial)
    partial.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            # torch.load takes wrong numbers as they are.
            state = None if archive.testzip() else torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UnusableFileError(unreadable(path, error)) from error
    except Exception as error:  # torch.load names no errors
        raise InputError(_damaged(path)) from error
    if state is None:
        raise InputError(_damaged(path))
    if not isinstance(state, dict) or "identity" not in state:
        raise InputError(_of_another_version(path))
    return dict(state)


def _damaged(path: Path) -> str:
    return (
        f"{path}: is damaged or no checkpoint of a training. Put a sound copy there, or move the file away: the "
        "training begins anew then, and replaces what it has exported to `--out`."
    )


def _of_another_version(path: Path) -> str:
    return (
        f"{path}: is the checkpoint of another version of AnoGen, and this one cannot go on from it. "
        "Use another `--work`, or move the file away to begin anew."
    )
