"""A Prefect server for the tests of flows."""

from collections.abc import Iterator

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.local_api import LocalApi, quiet_environment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server of a file's own; commands of this process ask it."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in quiet_environment(home).items():
            patch.setenv(name, value)
        api = LocalApi(home)
        api.wait()
        with temporary_settings({PREFECT_API_URL: api.url}):
            yield api.url
            # What is still on its way must arrive before the server stops.
            APILogHandler().flush()
            EventsWorker.drain_all(timeout=10)
        api.stop()
