"""The services of docker-compose.yml as processes of this machine: the same commands and settings without an engine.

Host names become 127.0.0.1, ports become free ones, and mounted folders lie in a working directory. PostgreSQL and
Redis come from the system's packages, SeaweedFS and the Compose client from the `fleet` extra.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil
import yaml

from anogen_core.errors import AnogenError, InputError

_HOSTS = re.compile(r"(^|@|//|')(postgres|redis|s3|prefect-server|dask-scheduler)(?=:\d|'|$)")
_FOLDERS = re.compile(r"(^|=)/(keys|photos|runs|data|tmp)(?=/|$)")
_PORTS: Final = (4200, 5432, 6379, 8080, 8333, 8786, 8787, 8788)
_NUMBERS = re.compile(rf"\b({'|'.join(map(str, _PORTS))})\b")
_START_TIMEOUT = 300.0


class Stack:
    """All services of the Compose file, started in the order of what they depend on, ended together.

    Example:
        >>> with Stack(Path("docker-compose.yml"), Path("/tmp/stack"), {"REDIS_PASSWORD": "..."}) as stack:
        ...     stack.up(replicas={"dask-worker": 2})
        ...     stack.kill("dask-worker-2")
    """

    def __init__(self, compose_file: Path, folder: Path, values: Mapping[str, str]) -> None:
        self.folder = folder
        for name in ("keys", "photos", "runs", "data", "tmp", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._programs = os.pathsep.join([str(Path(sys.executable).parent), *_postgres_folders(), os.environ["PATH"]])
        self._services: dict[str, dict[str, Any]] = _resolve(compose_file, values, self._programs)["services"]
        self._ports: dict[int, int] = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(self._running):
            self._signal(name, signal.SIGTERM)
        deadline = time.monotonic() + 15
        for name, process in self._running.items():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            self._signal(name, signal.SIGKILL)
            process.wait()

    def port(self, number: int) -> int:
        """Return the port of this machine that stands for one of the Compose file's."""
        return self._ports[number]

    def environment(self, service: str) -> dict[str, str]:
        """Return the settings of a service as they are here."""
        return {k: self._translate(str(v)) for k, v in self._services[service].get("environment", {}).items()}

    def up(self, replicas: Mapping[str, int]) -> None:
        """Start everything and return when every health check passes and every job has ended.

        Raises:
            AnogenError: a service ends, a job fails or a health check does not pass in time; names its log.
        """
        waiting = dict(self._services)
        while waiting:
            name = next(n for n, s in waiting.items() if not set(s.get("depends_on", {})) & set(waiting))
            service = waiting.pop(name)
            count = replicas.get(name, 1)
            for number in range(1, count + 1):
                started = f"{name}-{number}" if count > 1 else name
                self._start(started, name, service)
                self._await(started, name, service)
                sys.stderr.write(f"up: {started}\n")

    def listening(self) -> set[str]:
        """Return the addresses that the services listen on."""
        services = [psutil.Process(process.pid) for process in self._running.values()]
        processes = [p for s in services for p in (s, *s.children(recursive=True))]
        sockets = [c for p in processes for c in p.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
        return {c.laddr.ip for c in sockets}

    def kill(self, name: str) -> None:
        """Kill one started service and all its processes, as a power cut would."""
        self._signal(name, signal.SIGKILL)
        self._running.pop(name).wait()

    def _start(self, started: str, name: str, service: dict[str, Any]) -> None:
        if name == "dask-worker":
            # Replicas share one machine here, so that each needs a health port of its own.
            self._ports[8788] = free_ports(1)[0]
        command = [self._translate(word) for word in service.get("command") or []]
        if name == "dask-worker":
            command.append("--host=127.0.0.1")  # a container has a network of its own, this machine has not
        command = {"postgres": self._postgres, "redis": self._redis, "s3": self._s3}.get(name, list)(command)
        home = self.folder / "homes" / started
        home.mkdir(parents=True, exist_ok=True)
        with (self.folder / "logs" / f"{started}.log").open("ab") as log:
            self._running[started] = subprocess.Popen(  # noqa: S603 - the commands of our own Compose file
                command, env=self._environment(name, home), cwd=home, stdout=log, stderr=log, start_new_session=True
            )

    def _await(self, started: str, name: str, service: dict[str, Any]) -> None:
        process, deadline = self._running[started], time.monotonic() + _START_TIMEOUT
        job = service["restart"] == "no"
        while time.monotonic() < deadline:
            code = process.poll()
            if job and code == 0:
                del self._running[started]
                return
            if code is None and not job and self._healthy(name, service):
                return
            if code is not None:
                break
            time.sleep(0.5)
        log = self.folder / "logs" / f"{started}.log"
        text = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise AnogenError(f"{started} did not come up; {log} ends with:\n{text}")

    def _healthy(self, name: str, service: dict[str, Any]) -> bool:
        kind, *words = service["healthcheck"]["test"]
        command = [self._translate(word) for word in words]
        if kind == "CMD-SHELL":
            command = ["sh", "-c", *command]
        environment = self._environment(name, self.folder)
        # Both clients take the address of their server from here.
        environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(self.port(5432))}
        said = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)  # noqa: S603
        return said.returncode == 0

    def _environment(self, name: str, home: Path) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "AWS_", "DASK_", "S3_"))}
        return inherited | {"PATH": self._programs, "HOME": str(home)} | self.environment(name)

    def _translate(self, text: str) -> str:
        text = _HOSTS.sub(r"\g<1>127.0.0.1", text).replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - the opposite
        text = _FOLDERS.sub(rf"\g<1>{self.folder}/\g<2>", text)
        text = _NUMBERS.sub(lambda m: str(self._ports[int(m[1])]), text)
        return text.replace("redis-cli", f"redis-cli -p {self.port(6379)}")

    def _postgres(self, _: Sequence[str]) -> list[str]:
        """Return the server's command, after making its database as the image's entry point does."""
        settings, data = self.environment("postgres"), self.folder / "postgres"
        user: list[str] = []
        data.mkdir(exist_ok=True)
        if os.geteuid() == 0:  # PostgreSQL refuses to be root
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(data, "postgres", "postgres")
            for parent in (self.folder, *self.folder.parents):
                if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o001 == 0:
                    parent.chmod(parent.stat().st_mode | 0o011)
        environment = {**os.environ, "PATH": self._programs}
        secret = data / "password"
        secret.write_text(settings["POSTGRES_PASSWORD"], encoding="utf-8")
        make = f"initdb --pgdata=main --username={settings['POSTGRES_USER']} --auth=scram-sha-256 --pwfile=password"
        self._job([*user, *make.split()], cwd=data, env=environment)
        secret.unlink()
        # The database appears before the server listens: single-user mode needs no address.
        self._job(
            [*user, "postgres", "--single", "-D", "main", "template1"],
            cwd=data, env=environment, input=f"CREATE DATABASE {settings['POSTGRES_DB']}\n",
        )  # fmt: skip
        options = {"listen_addresses": "127.0.0.1", "port": self.port(5432), "unix_socket_directories": data}
        return [
            *user,
            "postgres",
            "-D",
            str(data / "main"),
            *(w for k, v in options.items() for w in ("-c", f"{k}={v}")),
        ]

    def _redis(self, command: Sequence[str]) -> list[str]:
        return [*command, "--bind", "127.0.0.1", "--port", str(self.port(6379)), "--dir", str(self.folder / "data")]

    def _s3(self, command: Sequence[str]) -> list[str]:
        ports = free_ports(7)
        inner = (f"{part}.port{kind}" for part in ("master", "volume", "filer") for kind in ("", ".grpc"))
        options = [f"-{name}={port}" for name, port in zip([*inner, "s3.port.grpc"], ports, strict=True)]
        return ["weed", "-logtostderr=true", *command, *options]

    def _job(self, command: Sequence[str], **options: Any) -> None:
        said = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # noqa: S603
        if said.returncode:
            raise AnogenError(f"{' '.join(command[:6])}: {said.stderr.strip() or said.stdout.strip()}")

    def _signal(self, name: str, number: signal.Signals) -> None:
        try:
            os.killpg(self._running[name].pid, number)
        except ProcessLookupError:
            return


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _postgres_folders() -> list[str]:
    """Return where Debian keeps the programs of PostgreSQL's server, newest first."""
    return sorted((str(p) for p in Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)


def _resolve(compose_file: Path, values: Mapping[str, str], programs: str) -> dict[str, Any]:
    """Return the Compose file as the real client reads it.

    Raises:
        InputError: a program is missing, or the client refuses the file.
    """
    needed = {"docker-compose": "fleet", "weed": "fleet", "initdb": "postgresql", "redis-server": "redis-server"}
    missing = {f"{name} ({package})" for name, package in needed.items() if shutil.which(name, path=programs) is None}
    if missing:
        raise InputError(f"Not installed: {', '.join(sorted(missing))}. Run `make test-fleet`, which installs them.")
    client = str(shutil.which("docker-compose", path=programs))
    said = subprocess.run(  # noqa: S603
        [client, "--file", str(compose_file), "config"],
        env={"PATH": programs, "HOME": os.environ.get("HOME", "/"), **values},
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        raise InputError(f"{compose_file}: {said.stderr.strip()}")
    document: dict[str, Any] = yaml.safe_load(said.stdout)
    return document
