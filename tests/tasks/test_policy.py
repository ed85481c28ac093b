"""What is tried again and what is not."""

import pytest
from prefect.states import Failed

from anogen_core.errors import AnogenError, FullStoreError, InputError, StorageError, TrainingError
from tasks.policy import by_content, is_transient


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (StorageError("no answer"), True),
        (OSError("broken pipe"), True),
        (FullStoreError("disk full"), False),
        (InputError("typo"), False),
        (TrainingError("NaN"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: AnogenError | OSError, again: bool) -> None:  # noqa: FBT001
    """The network may come back; wrong input, a diverged training and a full disk do not get better."""
    assert is_transient(None, None, Failed(data=error)) is again  # type: ignore[arg-type]


def test_cache_key_names_content_and_store() -> None:
    """The same work in another store is another entry: a cache hit there would point to nothing."""

    class Config:
        def __init__(self, output: str) -> None:
            self.output = output

    key = by_content(lambda part, config: f"kind-{part}-{len(config.output) > 0}")
    here, there = Config("s3://a/b"), Config("s3://a/c")

    assert key(None, {"part": 1, "config": here}) == key(None, {"part": 1, "config": here})  # type: ignore[arg-type]
    assert key(None, {"part": 1, "config": here}) != key(None, {"part": 1, "config": there})  # type: ignore[arg-type]
    assert key(None, {"part": 1, "config": here}) != key(None, {"part": 2, "config": here})  # type: ignore[arg-type]
