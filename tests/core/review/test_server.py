"""The page's server: what it answers, and whom it refuses."""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from anogen_core.errors import InputError
from anogen_core.records import Decision
from anogen_core.review import Review, ReviewServer
from anogen_core.storage import Dataset


class Client:
    """Sends one request and returns (status, body)."""

    def __init__(self, server: ReviewServer) -> None:
        self.port = int(server.server_address[1])
        self.token = server.token

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, path: str, body: Any) -> tuple[int, bytes]:
        return self.ask("POST", path, body, X_Review_Token=self.token)


@pytest.fixture
def client(dataset: Dataset) -> Iterator[Client]:
    with ReviewServer(Review(dataset, "ada"), 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield Client(server)
        server.shutdown()


def test_the_page_and_all_it_needs_are_served(client: Client, dataset: Dataset) -> None:
    """Page, style, script, facts and pictures; nothing from elsewhere."""
    page = client.ask("GET", "/")[1].decode()

    assert client.token in page
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["data:,", "page.css", "page.js"]
    for name in ("page.css", "page.js"):
        assert client.ask("GET", f"/{name}")[0] == 200
    assert json.loads(client.ask("GET", "/api/about")[1])["digest"] == dataset.manifest.digest
    assert client.ask("GET", "/image/0?of=1")[1].startswith(b"\x89PNG")
    assert client.ask("GET", "/normal/0")[1].startswith(b"\x89PNG")
    assert client.ask("GET", "/thumbnail/0")[1].startswith(b"\xff\xd8")


def test_a_verdict_is_stored_when_the_answer_comes(client: Client, dataset: Dataset) -> None:
    """Another process would see it at once; undo as well."""
    assert client.post("/api/judge", {"row": 3, "decision": "reject", "box": None})[0] == 200
    assert dataset.verdicts()[3].decision is Decision.REJECT
    assert json.loads(client.ask("GET", "/api/view?row=0&decision=reject")[1])["current"]["row"] == 3

    assert json.loads(client.post("/api/undo", {})[1]) == {"row": 3}
    assert dataset.verdicts() == {}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil:1", ""]
)
def test_a_foreign_host_name_is_refused(client: Client, host: str) -> None:
    """A page whose name was pointed at this machine reads nothing."""
    for path in ("/", "/api/about", "/image/0"):
        status, body = client.ask("GET", path, Host=host)

        assert status == 403
        assert client.token.encode() not in body


@pytest.mark.parametrize("host", ["localhost:9000", "LOCALHOST", "127.0.0.1"])
def test_this_machine_is_answered_under_its_own_names(client: Client, host: str) -> None:
    """With any port, so that a forwarded one works."""
    assert client.ask("GET", "/", Host=host)[0] == 200


@pytest.mark.parametrize("token", [None, "", "wrong", "ä"])
def test_a_change_without_the_token_is_refused(client: Client, dataset: Dataset, token: str | None) -> None:
    """Another page in the same browser can send a request, but does not know the token."""
    headers = {} if token is None else {"X_Review_Token": token}

    assert client.ask("POST", "/api/judge", {"row": 0, "decision": "reject"}, **headers)[0] == 403
    assert client.ask("POST", "/api/undo", {}, **headers)[0] == 403
    assert dataset.verdicts() == {}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/image/8", 400),
        ("/image/-1", 400),
        ("/image/x", 400),
        ("/api/view?row=-1", 400),
        ("/api/view?rows=1", 400),
        ("/page.html", 404),
        ("/../session.py", 404),
        ("/session.py", 404),
    ],
)
def test_nonsense_is_answered_with_one_sentence(client: Client, path: str, status: int) -> None:
    """No traceback, no file of the program."""
    found, body = client.ask("GET", path)

    assert found == status
    assert json.loads(body)["error"]


def test_nonsense_in_a_change_is_refused(client: Client, dataset: Dataset) -> None:
    """Unknown words, wrong boxes and long bodies."""
    assert client.post("/api/judge", {"row": 0, "decision": "burn"})[0] == 400
    assert client.post("/api/judge", {"row": 99, "decision": "accept"})[0] == 400
    assert client.post("/api/judge", ["x" * 20_000])[0] == 413
    assert dataset.verdicts() == {}


def test_every_answer_forbids_scripts_from_elsewhere(client: Client) -> None:
    """The browser itself would stop markup that slipped in."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
    connection.request("GET", "/")
    headers = connection.getresponse().headers
    connection.close()

    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_only_this_machine_reaches_it_and_a_taken_port_is_named(client: Client, dataset: Dataset) -> None:
    """The socket is bound to 127.0.0.1; a second review at the same port is told so."""
    review = Review(dataset, "ada")

    with pytest.raises(InputError, match=f"{client.port} is in use"):
        ReviewServer(review, client.port)
    with ReviewServer(review, 0) as server:
        assert server.server_address[0] == "127.0.0.1"
