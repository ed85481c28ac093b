"""A TCP proxy in front of an object store that stops working in the middle of the first write of a shard."""

import re
import socket
import threading
import time
from contextlib import suppress
from typing import Final, Literal, Self
from urllib.parse import urlsplit

Fault = Literal["refuse", "503", "hang"]

_WRITES_A_SHARD: Final = re.compile(rb"^PUT \S*\.parts/data/")
_BODY: Final = b"<Error><Code>ServiceUnavailable</Code><Message>Please reduce your request rate.</Message></Error>"
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/xml\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class FaultyEndpoint:
    """Passes everything on until the first PUT of a shard's object; then has a fault for some seconds.

    `refuse` closes all connections and listens no more, `503` answers every request so, `hang` keeps connections open
    and answers nothing, not even after the fault is over. The request that brought the fault about is not passed on.
    """

    def __init__(self, upstream: str, fault: Fault, seconds: float) -> None:
        address = urlsplit(upstream)
        self._upstream = (str(address.hostname), int(address.port or 80))
        self._fault: Fault = fault
        self._seconds = seconds
        self._began = threading.Event()
        self._over = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._listener = _listen(0)
        self._port = int(self._listener.getsockname()[1])
        self.affected = 0
        """Requests that met the fault; refused connections are not counted, because nobody sees them."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._listener.close()
        self._drop()

    @property
    def url(self) -> str:
        """The address that a client is given."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def began(self) -> bool:
        """Whether the fault has come."""
        return self._began.is_set()

    @property
    def over(self) -> bool:
        """Whether the endpoint works again."""
        return self._over.is_set()

    def _faulty(self) -> bool:
        return self._began.is_set() and not self._over.is_set()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed: either for good or until the fault is over
                time.sleep(0.05)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._upstream) as server:
            with self._lock:
                self._connections |= {client, server}
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            while data := client.recv(65536):
                self._maybe_begin(data)
                if self._faulty():
                    self._meet_the_fault(client)
                    return
                server.sendall(data)

    def _maybe_begin(self, data: bytes) -> None:
        with self._lock:
            if self._began.is_set() or not _WRITES_A_SHARD.match(data):
                return
            self._began.set()
        if self._fault == "refuse":
            _end(self._listener)
        threading.Timer(self._seconds, self._recover).start()

    def _meet_the_fault(self, client: socket.socket) -> None:
        with self._lock:
            self.affected += 1
        if self._fault == "503":
            client.sendall(_BUSY)
        elif self._fault == "hang":
            self._closed.wait()
        else:
            self._drop()

    def _recover(self) -> None:
        if self._fault == "refuse" and not self._closed.is_set():
            self._listener = _listen(self._port)
        self._over.set()

    def _drop(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            _end(connection)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
