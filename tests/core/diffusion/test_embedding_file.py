"""Embedding files of other tools: what is read, and what is refused without running it."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from anogen_core.diffusion.embedding_file import learned_embeds, read_embedding_file
from anogen_core.errors import InputError
from anogen_core.seeding import torch_generator

_PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "anogen_embeddings"
VECTORS = torch.randn((2, 24), generator=torch_generator(1))


class Touch:
    """A pickle that makes a file when code in it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def _paper(value: object) -> dict[str, object]:
    return {"string_to_token": {"*": torch.tensor(1008)}, "string_to_param": value}


@pytest.mark.parametrize(
    ("content", "zipped"),
    [
        ({"<cut>": VECTORS}, True),
        ({"<cut>": VECTORS}, False),
        ({"<cut>": VECTORS.double()}, True),
        (_paper({"*": VECTORS}), True),
        (_paper({"*": VECTORS}), False),
        (_paper(torch.nn.ParameterDict({"*": torch.nn.Parameter(VECTORS)})), True),
    ],
)
def test_layouts_of_other_tools_give_the_vectors(content: object, zipped: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Diffusers' and the paper's pickles, in both of PyTorch's containers, give float32 vectors."""
    torch.save(content, tmp_path / "a.bin", _use_new_zipfile_serialization=zipped)

    found = read_embedding_file(tmp_path / "a.bin")

    assert torch.equal(found, VECTORS)
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_safetensors_round_trip_and_one_vector_without_an_axis(tmp_path: Path) -> None:
    """What we write is read back; a (D,) tensor is one vector."""
    (tmp_path / "a.safetensors").write_bytes(learned_embeds("<cut>", VECTORS))
    save_file({"<cut>": VECTORS[0]}, tmp_path / "b.safetensors")

    assert torch.equal(read_embedding_file(tmp_path / "a.safetensors"), VECTORS)
    assert torch.equal(read_embedding_file(tmp_path / "b.safetensors"), VECTORS[:1])


def test_one_of_several_concepts_is_chosen_by_its_token(tmp_path: Path) -> None:
    """Without a token the names are listed."""
    save_file({"<a>": VECTORS, "<b>": VECTORS + 1}, tmp_path / "a.safetensors")

    with pytest.raises(InputError, match=r"2 concepts \('<a>', '<b>'\).*--token"):
        read_embedding_file(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no concept '<c>'"):
        read_embedding_file(tmp_path / "a.safetensors", token="<c>")  # noqa: S106
    assert torch.equal(read_embedding_file(tmp_path / "a.safetensors", token="<b>"), VECTORS + 1)  # noqa: S106


def _hostile_parameters(touch: Touch) -> object:
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(VECTORS)})
    parameters.__dict__["_state_dict_hooks"] = {0: touch}
    return _paper(parameters)


@pytest.mark.parametrize(
    "content",
    [lambda t: t, lambda t: {"<cut>": VECTORS, "x": t}, lambda t: _paper({"*": t}), _hostile_parameters],
    ids=["bare", "beside", "inside", "hook"],
)
@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
def test_a_hostile_pickle_is_refused_and_harmless(
    container: str, content: Callable[[Touch], object], tmp_path: Path
) -> None:
    """Code in a file is live (an ordinary unpickler runs it), yet reading the embedding refuses it and runs nothing."""
    marker, path = tmp_path / "executed", tmp_path / "embeddings.pt"
    hostile = content(Touch(marker))
    if container == "pickle":
        path.write_bytes(pickle.dumps(hostile))
    else:
        torch.save(hostile, path, _use_new_zipfile_serialization=container == "zip")

    with pytest.raises(InputError, match=r"embeddings\.pt: .* no code in it was run"):
        read_embedding_file(path)

    assert not marker.exists()
    if container == "pickle":
        pickle.loads(path.read_bytes())  # noqa: S301 - the control: the file does what it seems to do
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"<cut>": torch.zeros(2, 3, 4)},
            r"is a dense tensor of float32 of shape \(2, 3, 4\), expected a dense tensor",
        ),
        (
            {"<cut>": torch.zeros(2, 4, dtype=torch.long)},
            "is a dense tensor of int64.*, expected a dense tensor of floating-point",
        ),
        ({"<cut>": torch.full((1, 4), torch.nan)}, "not finite"),
        ({"<cut>": torch.zeros(1, 1).expand(1 << 20, 1 << 20)}, "expected 1 to 16 vectors"),
        ({"<cut>": "text"}, "is of type str"),
        ({}, "0 concepts"),
        ([VECTORS], "holds list"),
        (torch.zeros(1 << 23), "MiB, expected at most 16"),
    ],
)
def test_what_is_no_embedding_is_refused(content: object, expected: str, tmp_path: Path) -> None:
    """Shapes, types, values and sizes that no embedding has are named; a huge shape on few bytes costs no memory."""
    torch.save(content, tmp_path / "a.pt")

    with pytest.raises(InputError, match=expected):
        read_embedding_file(tmp_path / "a.pt")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        (VECTORS.to_sparse, "is a sparse_coo tensor of float32"),
        (VECTORS.to_sparse_csr, "is a sparse_csr tensor of float32"),
        (lambda: torch.nested.nested_tensor([VECTORS, VECTORS]), "is a nested tensor"),
        (lambda: VECTORS.to("meta"), r"is a dense tensor of float32 without values \(on the device meta\)"),
        (lambda: torch.quantize_per_tensor(VECTORS, 0.1, 0, torch.qint8), "is a dense tensor of qint8"),
        (lambda: torch.complex(VECTORS, VECTORS), "is a dense tensor of complex64"),
    ],
)
def test_odd_tensors_are_refused(odd: Callable[[], torch.Tensor], expected: str, tmp_path: Path) -> None:
    """With what was found and what is expected, before anything is calculated with them."""
    torch.save({"<cut>": odd()}, tmp_path / "a.pt")

    with pytest.raises(InputError, match=rf"concept '<cut>' {expected}.*, expected a dense tensor of floating-point"):
        read_embedding_file(tmp_path / "a.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_device_is_no_embedding_file(suffix: str, tmp_path: Path) -> None:
    """One that never ends would fill the memory."""
    (tmp_path / f"a{suffix}").symlink_to("/dev/zero")

    with pytest.raises(InputError, match="is no regular file"):
        read_embedding_file(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("name", ["a.pt", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("data", [None, b"", b"PK\3\4 cut short", b"not an embedding"])
def test_missing_and_damaged_files_are_named(name: str, data: bytes | None, tmp_path: Path) -> None:
    """One message names the file."""
    if data is not None:
        (tmp_path / name).write_bytes(data)

    with pytest.raises(InputError, match=rf"{name}: "):
        read_embedding_file(tmp_path / name)


@pytest.mark.parametrize("name", ["bottle_broken_large", "hazelnut_crack", "screw_scratch_head"])
def test_published_embeddings_of_the_paper_are_read(name: str) -> None:
    """The authors' released files give one vector of the width of LDM text-to-image large."""
    if not _PUBLISHED.is_dir():
        pytest.skip("the published embeddings are not beside the project")

    found = read_embedding_file(_PUBLISHED / name / "embeddings.pt")

    assert found.shape == (1, 1280)
    assert found.abs().max() > 0
