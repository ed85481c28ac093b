"""Networks from the files of diffusers and transformers, whole or not at all."""

import pickle
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from anogen_core.torch_files import TorchFileError, check_torch_file

UNREADABLE: Final = (
    OSError,
    ValueError,
    KeyError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
    pickle.UnpicklingError,
)
"""What loading raises where files are missing, damaged or of another network."""

_SHOWN: Final = 3


def load_network(kind: Any, directory: Path, **options: Any) -> Any:
    """Return a network of a class of diffusers or transformers, by its `from_pretrained`, from a directory alone.

    Raises:
        ValueError: the files lack values of the network (the libraries fill in random numbers and log it), or a `.bin`
            file could take far more memory than it has bytes.
        Exception: others of `UNREADABLE`, as the library has it.
    """
    for file in sorted(directory.glob("*model*.bin")):
        try:
            check_torch_file(file)
        except TorchFileError as error:
            raise ValueError(f"{file.name} {error}") from error
    network, report = kind.from_pretrained(
        str(directory), local_files_only=True, low_cpu_mem_usage=False, output_loading_info=True, **options
    )
    # A batch normalisation's count of its batches decides nothing here, and converted files often lack it.
    missing = sorted(name for name in report["missing_keys"] if not name.endswith("num_batches_tracked"))
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise ValueError(f"{directory.name}: its weights lack {len(missing)} of {kind.__name__}'s tensors: {shown}")
    return network
