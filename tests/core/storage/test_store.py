"""The contract of every store, and what is special about each kind."""

import errno
import os
import pickle
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from anogen_core import stopping
from anogen_core.errors import (
    AwayStoreError,
    CorruptDatasetError,
    FullStoreError,
    InputError,
    InterruptedRunError,
    MissingObjectError,
    RefusedStoreError,
    StorageError,
)
from anogen_core.storage import open_store, s3
from anogen_core.storage.local import LocalStore
from anogen_core.storage.parts import Parts
from anogen_core.storage.retry import Retry
from anogen_core.storage.s3 import S3Store
from anogen_core.storage.s3_errors import explain, may_pass

IMPATIENT = Retry(deadline=0.3, first_wait=0.01, client_attempts=1)


def test_an_object_is_read_as_it_was_written(location: str) -> None:
    """`read` returns what the last `put` wrote, from a store of its own."""
    open_store(location).put("a/b", b"first")
    open_store(location).put("a/b", b"second")

    assert open_store(location).read("a/b") == b"second"
    assert open_store(location).size("a/b") == 6
    assert open_store(location).exists("a/b")


def test_a_link_opens_one_object_without_a_key(location: str) -> None:
    """What a browser gets under the link is the object; a page is named as one."""
    store = open_store(location)
    store.put("report.html", b"<p>made</p>")

    with urllib.request.urlopen(store.link("report.html", seconds=60)) as answer:  # noqa: S310 - made here
        assert answer.read() == b"<p>made</p>"
        assert answer.headers["Content-Type"] == "text/html"


def test_half_an_address_is_no_directory() -> None:
    """One slash instead of two: nothing is written to a directory called `s3:`."""
    with pytest.raises(InputError, match=r"^s3:/bucket/x: .*Did you mean s3://bucket/x\?"):
        open_store("s3:/bucket/x")


def test_create_never_overwrites(location: str) -> None:
    """The first content stays; writing the same content again counts as success."""
    store = open_store(location)

    assert store.create("key", b"first")
    assert not store.create("key", b"second")
    assert store.create("key", b"first")
    assert store.read("key") == b"first"


def test_of_many_creators_one_wins(location: str) -> None:
    """Sixteen threads create one key: exactly one is told that its content is stored, and it is."""
    contents = [f"writer {i}".encode() for i in range(16)]

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda content: open_store(location).create("key", content), contents))

    assert sum(won) == 1
    assert open_store(location).read("key") == contents[won.index(True)]


def test_a_missing_object_is_named(location: str) -> None:
    """Reading an object that is not there raises an error with its full name."""
    store = open_store(location)
    store.put("other", b"1")

    with pytest.raises(MissingObjectError, match="no/such/object"):
        store.read("no/such/object")
    with pytest.raises(MissingObjectError, match="no/such/object"):
        store.read_range("no/such/object", 0, 1)
    assert store.size("no/such/object") is None


def test_a_range_is_exact_or_an_error(location: str) -> None:
    """`read_range` returns the bytes asked for, never fewer."""
    store = open_store(location)
    store.put("key", b"0123456789")

    assert store.read_range("key", 3, 4) == b"3456"
    for start in (8, 10, 50):
        with pytest.raises(CorruptDatasetError, match="key"):
            store.read_range("key", start, 4)


def test_list_and_delete_keep_to_their_folder(location: str) -> None:
    """A folder is not mixed up with another one whose name begins alike."""
    store = open_store(location)
    for key in ("data/1/b", "data/1/a", "data/10/a", "data/1x"):
        store.put(key, b"")

    assert list(store.list("data/1")) == ["data/1/a", "data/1/b"]
    assert (store.folders(), open_store(f"{location}/data").folders()) == (["data"], ["1", "10"])
    assert open_store(f"{location}/nothing").folders() == []
    store.delete("data/1")
    store.delete("data/never-was")
    assert list(store.list()) == ["data/10/a", "data/1x"]
    store.delete("")
    assert list(store.list()) == []


@pytest.mark.usefixtures("s3_bucket")
def test_a_pickled_store_holds_no_secret(location: str) -> None:
    """A store that was used travels as its URI alone, without credentials or endpoint."""
    store = open_store(location)
    store.put("key", b"1")

    pickled = pickle.dumps(store)

    assert pickle.loads(pickled).read("key") == b"1"  # noqa: S301
    assert b"very-secret-word" not in pickled
    assert os.environ["AWS_ENDPOINT_URL"].encode() not in pickled


@pytest.mark.s3
def test_a_forked_process_opens_its_own_connection(s3_bucket: str, tmp_path: Path) -> None:
    """A store that was used in a parent works in its child, and then in the parent again."""
    code = """
import os, sys
from anogen_core.storage import open_store
store = open_store(sys.argv[1])
store.put("key", b"1")
child = os.fork()
if child == 0:
    store.put("child", store.read("key"))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert store.read("child") == b"1"
"""
    assert s3_bucket
    location = f"s3://anogen-tests/{tmp_path.name}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    subprocess.run([sys.executable, "-c", code, location], check=True, timeout=60, env=environment)


@pytest.mark.parametrize("uri", ["", "  ", "s3://", "s3:///prefix", "ftp://host/x", "gs://bucket/x"])
def test_a_location_of_another_kind_is_refused(uri: str) -> None:
    """An unusable location is an input error, not a file with an odd name."""
    with pytest.raises(InputError, match="Expected"):
        open_store(uri)


def test_a_file_uri_is_a_path(tmp_path: Path) -> None:
    """`file://` with escaped characters and a plain path open the same place."""
    open_store(f"file://{tmp_path}/with%20space").put("key", b"1")

    assert (tmp_path / "with space" / "key").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOSPC, FullStoreError, "disk is full"),
        (errno.EACCES, RefusedStoreError, "no permission"),
        (errno.EROFS, RefusedStoreError, "read-only"),
        (errno.EIO, StorageError, os.strerror(errno.EIO)),
    ],
)
def test_a_failed_local_write_is_explained_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StorageError], message: str
) -> None:
    """The error is one sentence about the cause; neither the object nor a part of it is there."""

    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "place").mkdir()
    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(StorageError, match=message) as raised:
        LocalStore(str(tmp_path / "place")).put("key", b"1")
    assert raised.type is kind
    assert not list((tmp_path / "place").iterdir())


def test_a_file_where_a_folder_should_be_is_explained(tmp_path: Path) -> None:
    """A file in the way is an error that says so."""
    (tmp_path / "place").write_text("I am a file")

    with pytest.raises(StorageError, match="same name"):
        LocalStore(str(tmp_path / "place")).put("key", b"1")


def test_local_creation_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without hard links a second creation still fails."""

    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    store = LocalStore(str(tmp_path))

    assert store.create("key", b"first")
    assert not store.create("key", b"second")
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_an_unfinished_file_is_not_an_object(tmp_path: Path) -> None:
    """What a killed writer left beside an object is not listed."""
    store = LocalStore(str(tmp_path))
    store.put("data/key", b"1")
    (tmp_path / "data" / ".key.0a1b.unfinished").write_bytes(b"")

    assert list(store.list()) == ["data/key"]


class Client:
    """The real S3 client, with one method replaced."""

    def __init__(self, **replaced: Any) -> None:
        self._client = botocore.session.get_session().create_client("s3")
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in self._replaced:
            return method
        return lambda **arguments: self._replaced[name](method, **arguments)


@pytest.fixture
def s3_location(s3_bucket: str, tmp_path: Path) -> str:
    assert s3_bucket
    return f"s3://anogen-tests/{tmp_path.name}"


@pytest.mark.s3
@pytest.mark.parametrize("first_writer", ["this one", "another one"])
def test_a_creation_whose_answer_was_lost_is_decided_by_the_stored_object(
    s3_location: str, monkeypatch: pytest.MonkeyPatch, first_writer: str
) -> None:
    """The connection breaks after the server stored an object: the caller learns whose object it is."""
    if first_writer == "another one":
        open_store(s3_location).put("key", b"other")

    def put_then_break(put: Any, **arguments: Any) -> None:
        try:
            put(**arguments)
        finally:
            raise ConnectionClosedError(endpoint_url="x")

    broken = Client(put_object=put_then_break)
    monkeypatch.setattr(s3, "_client", lambda *_: broken)

    assert S3Store(s3_location, IMPATIENT).create("key", b"mine") is (first_writer == "this one")


@pytest.mark.s3
def test_a_busy_server_is_asked_again(s3_location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers `SlowDown` do not reach the caller."""
    answers = [503, 503]

    def busy(put: Any, **arguments: Any) -> Any:
        if answers:
            raise _client_error("SlowDown", answers.pop())
        return put(**arguments)

    client = Client(put_object=busy)
    monkeypatch.setattr(s3, "_client", lambda *_: client)
    store = S3Store(s3_location, Retry(deadline=30, first_wait=0.01))
    store.put("key", b"1")

    assert store.read("key") == b"1"


def test_a_stop_ends_all_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a store that does not answer ends at once when the process is asked to stop."""
    monkeypatch.setattr(stopping, "_ASKED", threading.Event())
    asked = threading.Timer(0.3, stopping.ask_to_stop)
    asked.start()

    def fail() -> None:
        raise TimeoutError

    started = time.monotonic()
    with pytest.raises(InterruptedRunError, match="Finished work is kept"):
        Retry(deadline=60, first_wait=60, longest_wait=60).run(fail, passes=lambda _: True, what="a store")
    asked.join()

    assert time.monotonic() - started < 5
    assert Retry().run(lambda: "an answer", passes=lambda _: True, what="a store") == "an answer"


@pytest.mark.s3
def test_a_server_that_stores_other_bytes_is_found_out(s3_location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write is believed only when the server holds the bytes that were sent."""
    client = Client(put_object=lambda put, Body, **rest: put(Body=Body[:-1], **rest))  # noqa: N803
    monkeypatch.setattr(s3, "_client", lambda *_: client)

    with pytest.raises(CorruptDatasetError, match="other bytes"):
        S3Store(s3_location, IMPATIENT).put("key", b"content")


@pytest.mark.s3
def test_a_server_that_ignores_create_only_is_refused(
    s3_location: str, monkeypatch: pytest.MonkeyPatch, making: Any
) -> None:
    """Beginning a dataset on a server that overwrites commit records fails before the first image."""
    client = Client(put_object=lambda put, IfNoneMatch="", **rest: put(**rest))  # noqa: N803, ARG005
    monkeypatch.setattr(s3, "_client", lambda *_: client)

    with pytest.raises(StorageError, match="overwrites"):
        Parts(S3Store(s3_location, IMPATIENT)).begin(making.spec())


@pytest.mark.s3
def test_a_missing_bucket_is_named(s3_bucket: str) -> None:
    """Reading, writing and listing in a bucket that does not exist say so."""
    assert s3_bucket
    store = S3Store("s3://no-such-bucket/x", IMPATIENT)

    for action in (lambda: store.read("key"), lambda: store.put("key", b""), lambda: list(store.list())):
        with pytest.raises(StorageError, match="no bucket 'no-such-bucket'"):
            action()


def test_an_unreachable_server_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong endpoint ends in one sentence that names the setting."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(s3, "_client", s3._client.__wrapped__)

    with pytest.raises(StorageError, match=r"does not answer.*AWS_ENDPOINT_URL"):
        S3Store("s3://bucket/x", IMPATIENT).read("key")


@pytest.mark.s3
def test_a_server_is_met_by_any_answer(s3_location: str, s3_bucket: str, tmp_path: Path) -> None:
    """A bucket that is there and one that is not: the server answers, and the next request says what is wrong."""
    assert s3_bucket
    for place in (s3_location, "s3://no-such-bucket/x", str(tmp_path / "none")):
        open_store(place).meet()


def test_absent_credentials_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without credentials the message names the variables to set."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(s3, "_client", s3._client.__wrapped__)

    with pytest.raises(StorageError, match=r"no complete S3 credentials.*AWS_ACCESS_KEY_ID"):
        S3Store("s3://bucket/x", IMPATIENT).read("key")


@pytest.mark.parametrize(
    ("code", "status", "kind", "message"),
    [
        ("AccessDenied", 403, RefusedStoreError, "no permission"),
        ("SignatureDoesNotMatch", 403, RefusedStoreError, "does not accept the credentials"),
        ("ExpiredToken", 400, RefusedStoreError, "does not accept the credentials"),
        ("400", 400, RefusedStoreError, "does not accept the credentials"),  # the same, to HEAD
        ("NotImplemented", 501, RefusedStoreError, "create-only"),
        ("RequestTimeTooSkewed", 403, RefusedStoreError, "Set both by NTP"),
        ("XMinioStorageFull", 507, FullStoreError, "store is full"),
        ("QuotaExceeded", 403, FullStoreError, "quota is used up"),
        ("MalformedXML", 400, StorageError, "the request failed"),
    ],
)
def test_a_refusal_is_explained(code: str, status: int, kind: type[StorageError], message: str) -> None:
    """Each kind of refusal has its own sentence, and is told at once."""
    error = _client_error(code, status)
    explained = explain(error, where="s3://b/k", bucket="b")

    assert message in str(explained)
    assert type(explained) is kind
    assert not may_pass(error)


def test_a_server_that_is_busy_for_minutes_is_away() -> None:
    """An answer of 503 says no more than none."""
    explained = explain(_client_error("ServiceUnavailable", 503), where="s3://b/k", bucket="b")

    assert type(explained) is AwayStoreError
    assert "does not answer" in str(explained)


def _client_error(code: str, status: int) -> ClientError:
    response = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")
