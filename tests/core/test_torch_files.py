"""PyTorch's files from strangers cost no more memory than they have bytes."""

import io
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import MobileNetV2Config, MobileNetV2Model

from anogen_core.detectors.official import read_destseg
from anogen_core.diffusion.embedding_file import read_embedding_file
from anogen_core.errors import InputError
from anogen_core.pretrained import load_network
from anogen_core.torch_files import TorchFileError, check_torch_file, load_torch_file

MUCH = 3 * 2**28
READ_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from anogen_core.torch_files import TorchFileError, load_torch_file

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_torch_file(Path(sys.argv[1]))
except TorchFileError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 2**10)
"""


class _Call:
    """A pickle in which something is called."""

    def __init__(self, *call: object) -> None:
        self._function, *self._arguments = call

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._function, tuple(self._arguments)


def _compressed(path: Path) -> None:
    """Write a file of `torch.save` again, its entries compressed."""
    written = io.BytesIO()
    torch.save({"a": torch.zeros(MUCH // 4)}, written)
    with zipfile.ZipFile(written) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))


def _overlapping(path: Path) -> None:
    """Write an archive whose directory names one entry many times."""
    torch.save({"a": torch.zeros(1024)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.filelist.extend([archive.getinfo(f"{path.stem}/data/0")] * 8)
        archive.writestr("last", b"")


def _byte_array(path: Path) -> None:
    torch.save({"a": _Call(bytearray, MUCH)}, path)


def _byte_array_in_a_legacy_file(path: Path) -> None:
    torch.save({"a": _Call(bytearray, MUCH)}, path, _use_new_zipfile_serialization=False)


def _byte_array_alone(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Call(bytearray, MUCH), protocol=2))


def _lists(path: Path) -> None:
    path.write_bytes(b"\x80\x02" + b"]" * 2**22 + b".")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (_compressed, r"is compressed .*: 76\d\.\d MiB in a file of 3\.\d MiB, which PyTorch never writes"),
        (_overlapping, "its parts overlap"),
        (_byte_array, "calls __builtin__.bytearray"),
        (_byte_array_in_a_legacy_file, "calls __builtin__.bytearray"),
        (_byte_array_alone, "calls __builtin__.bytearray"),
        (_lists, "more than 1048576 operations"),
    ],
)
def test_a_small_file_that_would_fill_the_memory_is_refused(
    write: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    """Before it does."""
    write(tmp_path / "a.pt")

    with pytest.raises(TorchFileError, match=reason):
        check_torch_file(tmp_path / "a.pt")


def test_refusing_a_compressed_file_takes_no_memory(tmp_path: Path) -> None:
    """Which would be 768 MiB if it were loaded."""
    _compressed(tmp_path / "a.pt")

    command = [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(tmp_path / "a.pt")]
    reason, mib = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    assert "is compressed" in reason
    assert int(mib) < 64


def test_all_readers_of_strangers_files_refuse_them(tmp_path: Path) -> None:
    """Embeddings, the detectors of the papers' authors, and networks of other libraries: each with one clear error."""
    bomb = tmp_path / "pytorch_model.bin"
    network = MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.1), add_pooling_layer=False)
    network.config.save_pretrained(tmp_path)
    torch.save(network.state_dict(), bomb)
    load_network(MobileNetV2Model, tmp_path, add_pooling_layer=False)
    with (
        zipfile.ZipFile(io.BytesIO(bomb.read_bytes())) as plain,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_LZMA) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))

    for read in (read_embedding_file, read_destseg):
        with pytest.raises(InputError, match=rf"^{re.escape(str(bomb))}: .*is compressed"):
            read(bomb)
    with pytest.raises(ValueError, match=r"^pytorch_model\.bin is compressed"):
        load_network(MobileNetV2Model, tmp_path, add_pooling_layer=False)


@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_are_read_as_they_were_saved(zipped: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """In both of PyTorch's containers, with parameters, half precision and shared memory."""
    whole = torch.arange(6, dtype=torch.float16)
    saved = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 3)}).state_dict()
    saved.update({"b": whole, "c": whole[2:], "d": torch.nn.Parameter(torch.ones(2)), "n": torch.tensor(3)})
    torch.save(saved, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)

    found = load_torch_file(tmp_path / "a.pt")

    assert found.keys() == saved.keys()
    assert all(torch.equal(found[name], saved[name]) for name in saved)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 cut short", b"not a pickle", b"\x80\x02]."])
def test_damaged_files_are_named_so(data: bytes, tmp_path: Path) -> None:
    """Whatever they look like."""
    (tmp_path / "a.pt").write_bytes(data)

    with pytest.raises(TorchFileError, match="is damaged or no file of PyTorch"):
        load_torch_file(tmp_path / "a.pt")
