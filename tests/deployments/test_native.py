"""The Compose file as processes of one machine: every name and address in it becomes one of this machine."""

import re
from pathlib import Path

import pytest

from anogen_core.errors import InputError
from deployments.native import Stack

ROOT = Path(__file__).parents[2]
NAMES = re.findall(r"^([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    values = {**{name: f"secret{i}of8786" for i, name in enumerate(NAMES)}, "ANOGEN_RUNS": str(tmp_path / "runs")}
    try:
        return Stack(ROOT / "docker-compose.yml", tmp_path, values)
    except InputError as error:
        pytest.skip(str(error))


def test_settings_point_to_this_machine(stack: Stack) -> None:
    """Hosts become 127.0.0.1 and ports free ones; schemes, users and secrets stay as they are."""
    server, worker = stack.environment("prefect-server"), stack.environment("dask-worker")
    password, redis = f"secret{NAMES.index('POSTGRES_PASSWORD')}of8786", f"secret{NAMES.index('REDIS_PASSWORD')}of8786"

    assert server["PREFECT_API_DATABASE_CONNECTION_URL"] == (
        f"postgresql+asyncpg://prefect:{password}@127.0.0.1:{stack.port(5432)}/prefect"
    )
    assert server["PREFECT_SERVER_DOCKET_URL"] == f"redis://:{redis}@127.0.0.1:{stack.port(6379)}/1"
    assert server["PREFECT_REDIS_MESSAGING_HOST"] == "127.0.0.1"
    assert server["PREFECT_REDIS_MESSAGING_PORT"] == str(stack.port(6379))
    assert worker["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{stack.port(8333)}"
    assert worker["PREFECT_API_URL"] == f"http://127.0.0.1:{stack.port(4200)}/api"


def test_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be installed is said before anything starts."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(InputError, match="redis-server"):
        Stack(ROOT / "docker-compose.yml", tmp_path, {})
