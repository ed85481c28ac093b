"""What the tests of the command line share."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One database of flow runs for the commands of a module: to make one takes longer than a small run does."""
    with pytest.MonkeyPatch.context() as patch:
        file = tmp_path_factory.mktemp("prefect") / "prefect.db"
        patch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{file}")
        yield
