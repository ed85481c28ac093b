"""The review page over HTTP, for this machine alone.

It listens on 127.0.0.1 and answers only requests that name this machine as their host, so that a foreign page cannot
reach it by pointing its own name here. Changes need the token that the page was served with.
"""

import errno
import json
import logging
import secrets
import socketserver
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import Any, Final, final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import ValidationError

from anogen_core.errors import InputError, StorageError
from anogen_core.review.session import Judgement, Query, Review

log = logging.getLogger(__name__)

_ADDRESS: Final = "127.0.0.1"
_HOSTS: Final = (_ADDRESS, "localhost")
_LARGEST_BODY: Final = 10_000
_ASSETS: Final = {"page.css": "text/css", "page.js": "text/javascript"}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@final
class ReviewServer(socketserver.ThreadingTCPServer):
    """Serves one review until `shutdown`.

    Args:
        review: What is served.
        port: 0 for any free one.

    Raises:
        InputError: the port is taken or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, review: Review, port: int) -> None:
        self.review = review
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((_ADDRESS, port), _Handler)
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise InputError(f"--port: {port} {reason}. Choose another, or 0 for any free one.") from error

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"http://{_ADDRESS}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's parameters
        """Say nothing of browsers that close a connection early; log what is a fault of ours."""
        level = logging.DEBUG if isinstance(sys.exception(), ConnectionError | TimeoutError) else logging.ERROR
        log.log(level, "a request of %s failed", client_address, exc_info=sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 120

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        log.debug(format, *args)

    def version_string(self) -> str:
        return "anogen"

    def _answer(self, act: Callable[[SplitResult], None]) -> None:
        """Do what is asked; what went wrong is one sentence for the page."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host.lower() not in _HOSTS:
            self.close_connection = True
            self._send_error(HTTPStatus.FORBIDDEN, f"Open {self.server.url} instead.")
            return
        try:
            act(urlsplit(self.path))
        except ValidationError as error:
            first = error.errors()[0]
            self._send_error(HTTPStatus.BAD_REQUEST, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        except (IndexError, ValueError) as error:
            self._send_error(HTTPStatus.BAD_REQUEST, str(error))
        except StorageError as error:
            self._send_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _get(self, url: SplitResult) -> None:
        review = self.server.review
        match url.path.strip("/").split("/"):
            case [""]:
                review.refresh()
                page = _asset("page.html").replace(b"{token}", self.server.token.encode())
                self._send(page, "text/html; charset=utf-8")
            case [name] if name in _ASSETS:
                self._send(_asset(name), f"{_ASSETS[name]}; charset=utf-8")
            case ["api", "about"]:
                self._send_json(review.about())
            case ["api", "view"]:
                self._send_json(review.view(Query.model_validate(dict(parse_qsl(url.query)))))
            case ["image", row]:
                self._send_picture(review.image(int(row)), "image/png")
            case ["thumbnail", row]:
                self._send_picture(review.thumbnail(int(row)), "image/jpeg")
            case ["normal", row]:
                self._send_picture(review.normal(int(row)), "image/png")
            case _:
                self._send_error(HTTPStatus.NOT_FOUND, f"{url.path}: there is no such page.")

    def _post(self, url: SplitResult) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= _LARGEST_BODY:
            self.close_connection = True
            self._send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {_LARGEST_BODY} bytes.")
            return
        body = self.rfile.read(length)
        if not secrets.compare_digest(self.headers.get("X-Review-Token", "").encode(), self.server.token.encode()):
            self._send_error(HTTPStatus.FORBIDDEN, "The review was started again. Reload this page.")
            return
        match url.path:
            case "/api/judge":
                self.server.review.judge(Judgement.model_validate_json(body))
                self._send_json({})
            case "/api/undo":
                self._send_json({"row": self.server.review.undo()})
            case _:
                self._send_error(HTTPStatus.NOT_FOUND, f"{url.path}: there is no such page.")

    def _send_json(self, value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), "application/json", status=status)

    def _send_error(self, status: HTTPStatus, message: str) -> None:
        self._send_json({"error": message}, status)

    def _send_picture(self, data: bytes | None, kind: str) -> None:
        """Send a picture; its address names the dataset's digest, so it never changes."""
        if data is None:
            self._send_error(HTTPStatus.NOT_FOUND, "The normal photo is gone or was changed.")
        else:
            self._send(data, kind, cache="private, max-age=3600, immutable")

    def _send(self, data: bytes, kind: str, *, status: HTTPStatus = HTTPStatus.OK, cache: str = "no-store") -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Cache-Control": cache}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _asset(name: str) -> bytes:
    return resources.files("anogen_core.review").joinpath(name).read_bytes()
