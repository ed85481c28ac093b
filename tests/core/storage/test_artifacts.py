"""Results named by their content, on a local path and on S3."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anogen_core.errors import CorruptDatasetError, MissingObjectError
from anogen_core.storage import open_store
from anogen_core.storage.artifacts import ArtifactStore, artifact_key

KEY = artifact_key("embedding", 1, ["a"])


def test_a_key_follows_from_its_parts() -> None:
    """The same parts give the same key, others another; it begins with the kind."""
    assert artifact_key("embedding", 1, ["a"]) == KEY
    assert artifact_key("embedding", 1, ("a",)) == KEY
    assert artifact_key("embedding", 1, ["b"]) != KEY
    assert KEY.startswith("embedding-")


def test_an_artefact_comes_back_whole(location: str) -> None:
    """Files, digests and metadata are returned as they were stored."""
    stored = ArtifactStore(location).put(KEY, {"a.bin": b"\0\1", "b.json": b"{}"}, {"loss": [1, 0.5]})

    found = ArtifactStore(location).get(KEY)

    assert found == stored
    assert found is not None
    assert found.metadata == {"loss": [1, 0.5]}
    assert found.uri.endswith(f"/{KEY}")
    assert set(found.sha256) == {"a.bin", "b.json"}
    assert ArtifactStore(location).read(KEY, "a.bin") == b"\0\1"


def test_notes_are_replaced_and_files_stay(location: str) -> None:
    """Metadata may be corrected; the files are the same bytes, and noting about nothing is an error."""
    artifacts = ArtifactStore(location)
    stored = artifacts.put(KEY, {"a.bin": b"content"}, {"licence": "not stated"})

    artifacts.annotate(KEY, {"licence": "CC0-1.0"})

    assert artifacts.get(KEY) == stored.model_copy(update={"metadata": {"licence": "CC0-1.0"}})
    with pytest.raises(MissingObjectError, match="is not there"):
        artifacts.annotate(artifact_key("embedding", 2), {})


def test_what_was_never_stored_is_none(location: str) -> None:
    """Looking for an absent artefact is no error; reading a file of it is."""
    assert ArtifactStore(location).get(KEY) is None
    with pytest.raises(MissingObjectError, match=r"a\.bin"):
        ArtifactStore(location).read(KEY, "a.bin")


@pytest.mark.parametrize("fault", ["changed", "deleted", "record"])
def test_a_damaged_artefact_counts_as_absent_and_is_replaced(location: str, fault: str) -> None:
    """A flipped byte or a missing file means: make it again; then it is sound."""
    artifacts, store = ArtifactStore(location), open_store(location)
    artifacts.put(KEY, {"a.bin": b"content"}, {})
    file = next(key for key in store.list(KEY) if key.endswith("a.bin"))
    if fault == "changed":
        store.put(file, b"Content")
        with pytest.raises(CorruptDatasetError, match=r"a\.bin"):
            artifacts.read(KEY, "a.bin")
    elif fault == "deleted":
        store.delete(file)
    else:
        store.put(f"{KEY}/artifact.json", b"{")

    assert artifacts.get(KEY) is None
    artifacts.put(KEY, {"a.bin": b"content"}, {})
    assert artifacts.read(KEY, "a.bin") == b"content"


def test_of_two_different_results_for_a_key_the_first_stays(location: str) -> None:
    """Concurrent writers whose results differ all get the artefact that won, and its bytes are sound."""
    results = [f"result {i}".encode() for i in range(6)]

    with ThreadPoolExecutor(6) as pool:
        stored = list(pool.map(lambda result: ArtifactStore(location).put(KEY, {"a": result}, {}), results))

    assert len({artifact.sha256["a"] for artifact in stored}) == 1
    assert ArtifactStore(location).get(KEY) == stored[0]


def test_a_killed_writer_leaves_no_artefact(location: str) -> None:
    """Files without the record, which is written last, do not count."""
    open_store(location).put(f"{KEY}/0123/a.bin", b"content")

    assert ArtifactStore(location).get(KEY) is None


def test_scratch_keeps_the_last_state_until_it_is_cleared(location: str) -> None:
    """A checkpoint is replaced, survives the process, and is gone after the work."""
    scratch = ArtifactStore(location).scratch(KEY)
    assert scratch.load() is None
    scratch.save(b"step 1")
    scratch.save(b"step 2")

    assert ArtifactStore(location).scratch(KEY).load() == b"step 2"
    assert ArtifactStore(location).scratch("other").load() is None
    scratch.clear()
    assert scratch.load() is None


def test_a_damaged_scratch_is_forgotten(tmp_path: Path) -> None:
    """A checkpoint with changed bytes is not resumed from."""
    scratch = ArtifactStore(str(tmp_path)).scratch(KEY)
    scratch.save(b"state")
    file = tmp_path / "scratch" / KEY
    file.write_bytes(file.read_bytes()[:-1] + b"x")

    assert scratch.load() is None
