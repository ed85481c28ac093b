"""Damage to a sealed dataset is always an error, never wrong pixels."""

from pathlib import Path
from typing import Any

import pytest

from anogen_core.errors import CorruptDatasetError, InputError, MissingObjectError
from anogen_core.storage import Dataset, open_store, verify
from anogen_core.storage.store import Store


@pytest.fixture
def uri(tmp_path: Path, making: Any) -> str:
    making.dataset(f"{tmp_path}/bottle.zarr")
    return f"{tmp_path}/bottle.zarr"


@pytest.fixture
def store(uri: str) -> Store:
    return open_store(uri)


def flip(store: Store, key: str, byte: int) -> None:
    """Change one bit of an object."""
    data = bytearray(store.read(key))
    data[byte] ^= 1
    store.put(key, bytes(data))


def test_a_sound_dataset_has_no_problem(uri: str) -> None:
    """Verifying reports progress over all objects and finds nothing."""
    seen: list[tuple[int, int]] = []

    assert verify(uri, on_object=lambda done, total: seen.append((done, total))) == []
    assert seen[-1] == (len(seen), len(seen))


def test_every_object_is_verified(uri: str, store: Store) -> None:
    """A flipped bit in any object of the dataset is reported with the name of that object."""
    for key in list(store.list()):
        sound = store.read(key)
        flip(store, key, len(sound) // 2)
        problems = verify(uri)
        store.put(key, sound)

        assert any(key in problem for problem in problems), key
    assert verify(uri) == []


def test_every_object_is_missed(uri: str, store: Store) -> None:
    """A deleted object is reported with its name."""
    for key in list(store.list()):
        sound = store.read(key)
        store.delete(key)
        problems = verify(uri)
        store.put(key, sound)

        assert any(key in problem for problem in problems), key


@pytest.mark.parametrize("where", ["chunk", "index"])
def test_a_flipped_bit_never_becomes_a_pixel(uri: str, store: Store, where: str) -> None:
    """Reading an image, one by one or in a row, raises and names the object."""
    flip(store, "image/c/0/0/0/0", 40 if where == "chunk" else -20)

    with pytest.raises(CorruptDatasetError, match="image/c/0"):
        Dataset(uri).image(0)
    with pytest.raises(CorruptDatasetError, match="image/c/0"):
        list(Dataset(uri))
    assert Dataset(uri).image(5).shape == (16, 24, 3)


def test_a_deleted_shard_is_not_black(uri: str, store: Store) -> None:
    """A missing object raises instead of reading as zeros."""
    store.delete("mask/c/1/0/0")

    with pytest.raises(MissingObjectError, match="mask/c/1/0/0"):
        Dataset(uri).mask(4)
    with pytest.raises(MissingObjectError, match="mask/c/1/0/0"):
        list(Dataset(uri))


def test_a_dataset_without_its_root_document_says_so(uri: str, store: Store) -> None:
    """Zarr needs the root document; that it alone is missing is told apart from nothing at all."""
    store.delete("zarr.json")

    with pytest.raises(InputError, match=r"its zarr\.json is missing"):
        Dataset(uri).image(0)


def test_a_truncated_shard_is_an_error(uri: str, store: Store) -> None:
    """A shard that lost its end is not read."""
    store.put("image/c/0/0/0/0", store.read("image/c/0/0/0/0")[:-30])

    with pytest.raises(CorruptDatasetError, match="image/c/0"):
        Dataset(uri).image(0)


def test_shards_in_each_others_place_are_an_error(uri: str, store: Store) -> None:
    """A whole and sound shard that belongs elsewhere is not believed."""
    store.put("image/c/0/0/0/0", store.read("image/c/1/0/0/0"))

    with pytest.raises(CorruptDatasetError, match="image/c/0"):
        Dataset(uri).image(0)
    with pytest.raises(CorruptDatasetError, match="image/c/0"):
        list(Dataset(uri))


def test_an_edited_manifest_is_an_error(uri: str, store: Store) -> None:
    """Changing a count in the manifest is noticed before anything is read by it."""
    manifest = store.read("manifest.json")
    store.put("manifest.json", manifest.replace(b'"num_images": 6', b'"num_images": 5'))

    with pytest.raises(CorruptDatasetError, match=r"manifest\.json: its checksum"):
        Dataset(uri).image(0)
    assert len(verify(uri)) == 1


def test_an_edited_ledger_is_an_error(uri: str, store: Store) -> None:
    """A ledger that is not the sealed one is not read."""
    store.put("samples.parquet", b"PAR1" + store.read("samples.parquet")[4:-1] + b"2")

    with pytest.raises(CorruptDatasetError, match=r"samples\.parquet"):
        Dataset(uri).ledger()
    assert any("samples.parquet" in problem for problem in verify(uri))
