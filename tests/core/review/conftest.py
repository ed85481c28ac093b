"""A small dataset with its photos, and a headless Chromium driven over its own protocol: real keys, real mouse."""

import hashlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from anogen_core.records import BaseModelInfo, LedgerRow, Outcome
from anogen_core.storage import Dataset, DatasetSpec, DatasetWriter

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
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression holds in the page."""
        deadline = time.monotonic() + _PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, f"{expression} never held; the page says: {self.text('body')}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

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


@contextmanager
def _open_page(program: str, url: str, home: Path) -> Iterator[Page]:
    """Open a page in a browser of its own, whose files are in `home`."""
    options = ["--headless=new", "--remote-debugging-port=0", "--no-first-run", "--disable-gpu", "--hide-scrollbars"]
    options += [f"--user-data-dir={home}", "--window-size=1280,900"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    with subprocess.Popen(
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
        assert browser.poll() is None, "the browser ended at once"
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.05)
    port = told.read_text().splitlines()[0]
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/json") as answer:
        pages = json.load(answer)
    return str(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"))


@pytest.fixture
def open_page(tmp_path: Path) -> Callable[[str], AbstractContextManager[Page]]:
    """Return what opens a page; skips where there is no browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((path for path in map(shutil.which, names) if path), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(names)}; on Debian: apt-get install chromium")
    return lambda url: _open_page(program, url, tmp_path / "browser")


@pytest.fixture
def dataset(sealed: Path, tmp_path: Path) -> Dataset:
    """Return a copy of `sealed` on the same photos."""
    return Dataset(str(shutil.copytree(sealed, tmp_path / sealed.name)))


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make eight images of 64x48 pixels on photos that are there, one `<b>` and one `cut` in turn.

    The second request was not made. Every box mask is the rectangle [8, 8, 16, 12], every mask its left half.
    """
    root = tmp_path_factory.mktemp("sealed")
    (root / "photos").mkdir()
    spec = DatasetSpec(
        name="bolt-0001",
        category="bolt",
        height=48,
        width=64,
        shard_size=4,
        num_shards=3,
        num_requests=9,
        defects=("<b>", "cut"),
        config_fingerprint="0123456789abcdef",
        base_model=BaseModelInfo(name="tiny", fingerprint="f00d", licence="Apache-2.0"),
    )
    writer = DatasetWriter(str(root / "bolt-0001.zarr"), spec)
    writer.create()
    for shard in range(spec.num_shards):
        first = shard * spec.shard_size
        photos = [_photo(root, index) for index in range(first, first + spec.requests_in(shard))]
        rows = [_row(root, index) for index in range(first, first + spec.requests_in(shard))]
        made = [place for place, row in enumerate(rows) if row.outcome is Outcome.MADE]
        images = np.stack([photos[place] for place in made])
        box_masks, masks = np.zeros((2, len(made), 48, 64), np.uint8)
        box_masks[:, 8:20, 8:24] = 255
        masks[:, 8:20, 8:16] = 255
        images[masks > 0] = 0
        writer.write_shard(shard, rows, images, box_masks=box_masks, masks=masks, confidences=masks, seconds=1.0)
    writer.seal()
    return root / "bolt-0001.zarr"


def _photo(root: Path, index: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    photo = np.random.default_rng(index).integers(90, 160, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(root / f"photos/{index}.png"), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    return photo


def _row(root: Path, index: int) -> LedgerRow:
    photo = root / f"photos/{index}.png"
    return LedgerRow(
        request_id=f"request-{index}",
        row=None,
        category="bolt",
        defect=("<b>", "cut")[index % 2],
        outcome=Outcome.BLOCKED if index == 1 else Outcome.MADE,
        reason="no room" if index == 1 else None,
        seed=index,
        box=None if index == 1 else [8, 8, 16, 12],
        angle=0.0,
        crop=None,
        normal_id=f"bolt/train/good/{index}",
        normal_uri=str(photo),
        normal_sha256=hashlib.sha256(photo.read_bytes()).hexdigest(),
        embedding_digest="1" * 64,
        model_fingerprint="f00d",
    )
