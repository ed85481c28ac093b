"""PyTorch's files from strangers: they are read as tensors, and cost about the memory that they have bytes.

The restricted unpickler of torch.load runs no code, but a few kilobytes can have it fill any memory: with entries that
are compressed, which torch.save never writes, or with what makes much out of a number, such as `bytearray`.
"""

import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any, Final

import torch

_ARCHIVE: Final = b"PK\3\4"
"""How a file begins that torch.load takes for an archive."""
_PICKLES: Final = 5
"""In front of the numbers of a file that is no archive: magic number, protocol, system, objects, names of storages."""
_MAKES_MUCH_OF_LITTLE: Final = re.compile(r"(builtins|__builtin__)\.bytearray|_codecs\..*")
"""Of what the restricted unpickler calls."""
_MOST_OPERATIONS: Final = 2**20
"""Of one pickle; each may take a hundred bytes. The weights of a large network have tens of thousands."""


class TorchFileError(ValueError):
    """The file is damaged or made to do harm; the message says how, as what follows its name."""


def load_torch_file(path: Path) -> Any:
    """Return what a file of `torch.save` holds, on the CPU.

    Raises:
        TorchFileError: as `check_torch_file` has it.
        OSError: the file cannot be read.
        Exception: others; torch.load names no errors.
    """
    check_torch_file(path)
    with warnings.catch_warnings(action="ignore"):
        return torch.load(path, map_location="cpu", weights_only=True)


def check_torch_file(path: Path) -> None:
    """Raise where reading a file of `torch.save` could take far more memory than the file has bytes.

    Raises:
        TorchFileError: it could, or its structure is damaged.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            is_archive = file.read(len(_ARCHIVE)) == _ARCHIVE
            file.seek(0)
            if is_archive:
                _check_archive(file, path.stat().st_size)
            else:
                for _ in range(_PICKLES):
                    _check_pickle(file)
        except (TorchFileError, OSError):
            raise
        except Exception as error:  # a hostile file may break the readers in any way
            raise TorchFileError(f"is damaged or no file of PyTorch ({error})") from error


def _check_archive(file: IO[bytes], size: int) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise TorchFileError(
                f"is compressed (or its parts overlap): {unpacked / 2**20:.1f} MiB in a file of {size / 2**20:.1f} "
                "MiB, which PyTorch never writes"
            )
        for entry in entries:
            if entry.filename.endswith(".pkl"):
                with archive.open(entry) as pickled:
                    _check_pickle(pickled)


def _check_pickle(file: IO[bytes]) -> None:
    for number, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if number == _MOST_OPERATIONS:
            raise TorchFileError(f"has a pickle of more than {_MOST_OPERATIONS} operations, which no tensors need")
        if operation.name in {"GLOBAL", "INST"}:
            name = str(argument).replace(" ", ".", 1)
            if _MAKES_MUCH_OF_LITTLE.fullmatch(name):
                raise TorchFileError(f"holds more than tensors (it calls {name})")
