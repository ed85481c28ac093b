"""A headless Chromium driven over its own protocol: real pages, real keys, real mouse, pictures of what a user sees."""

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from anogen_core.errors import AnogenError

NAMES = ("chromium", "chromium-browser", "google-chrome")

_KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Enter": 13, "Escape": 27, "Home": 36, "End": 35}
_PATIENCE = 15.0


class Page:
    """One open page."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._calls = 0
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Return what the browser answers to one command of its protocol."""
        self._calls += 1
        self._connection.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=_PATIENCE))
            if answer.get("id") == self._calls:
                if "error" in answer:
                    raise AnogenError(f"{method}: {answer['error']}")
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression holds in the page."""
        deadline = time.monotonic() + _PATIENCE
        while not self.evaluate(expression):
            if time.monotonic() > deadline:
                raise AnogenError(f"{expression} never held; the page says: {self.text('body')}")
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def picture(self) -> bytes:
        """Return the window as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def press(self, key: str) -> None:
        """Press and let go one key."""
        code = _KEYS.get(key, ord(key[0].upper()))
        typed = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the mouse with its left button from one place of the window to another."""
        for kind, (x, y) in (
            ("mouseMoved", start),
            ("mousePressed", start),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            buttons = 0 if kind == "mouseReleased" else 1
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)


def find_browser() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def open_page(program: str, url: str, home: Path) -> Iterator[Page]:
    """Open a page in a browser of its own, whose files are in `home`."""
    options = ["--headless=new", "--remote-debugging-port=0", "--no-first-run", "--disable-gpu", "--hide-scrollbars"]
    options += [f"--user-data-dir={home}", "--window-size=1280,900"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    with subprocess.Popen(  # noqa: S603 - an installed browser
        [program, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as browser:
        try:
            with connect(_socket_of_page(home, browser), max_size=None, proxy=None) as connection:
                page = Page(connection)
                page.call("Page.navigate", url=url)
                yield page
        finally:
            browser.terminate()


def _socket_of_page(home: Path, browser: "subprocess.Popen[bytes]") -> str:
    """Return the address under which the first page is driven."""
    told = home / "DevToolsActivePort"
    deadline = time.monotonic() + _PATIENCE
    while not (told.exists() and told.read_text().strip()):
        if browser.poll() is not None or time.monotonic() > deadline:
            raise AnogenError("the browser did not start")
        time.sleep(0.05)
    port = told.read_text().splitlines()[0]
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/json") as answer:
        pages = json.load(answer)
    return str(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"))
