"""The page in a real browser: real key presses, a real mouse, and what is stored afterwards."""

import threading
from collections.abc import Callable
from typing import Any

from anogen_core.records import Box, Decision
from anogen_core.review import Review, ReviewServer
from anogen_core.storage import Dataset


def test_a_person_reviews_with_the_keyboard(dataset: Dataset, open_page: Callable[[str], Any]) -> None:
    """Accept, reject, undo, move, fix by mouse and as the box mask, filter: the page and the store agree throughout."""
    digest = dataset.manifest.digest
    with ReviewServer(Review(dataset, "ada"), 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        with open_page(server.url) as page:
            _judge_and_move(page)
            _fix(page)
            _filter(page)
        server.shutdown()

    kept = Dataset(dataset.uri)
    said = {row: (v.decision, v.box, v.who) for row, v in kept.verdicts().items()}
    assert said == {
        0: (Decision.ACCEPT, None, "ada"),
        1: (Decision.ACCEPT, None, "ada"),
        2: (Decision.FIX, Box(x=20, y=10, width=10, height=7), "ada"),
        3: (Decision.FIX, None, "ada"),
    }
    assert kept.manifest.digest == digest


def _judge_and_move(page: Any) -> None:
    _at(page, 0)
    assert "defect <b>" in page.text("#facts")
    assert page.evaluate("document.querySelectorAll('main b').length") == 1

    page.press("a")
    _at(page, 1)
    page.press("r")
    _at(page, 2)
    page.press("r")
    _at(page, 3)
    page.press("u")
    _at(page, 2)
    assert page.text("#verdict") == "undecided"
    page.press("ArrowRight")
    _at(page, 3)
    page.press("ArrowLeft")
    _at(page, 2)


def _fix(page: Any) -> None:
    page.wait("document.querySelector('.panel[data-source=normal] image').getBBox().width === 64")
    corner = page.evaluate(
        "(() => { const svg = document.querySelector('.drawable svg'); const at = svg.getBoundingClientRect();"
        " return [at.x, at.y, at.width / 64]; })()"
    )
    x, y, scale = corner
    page.drag((x + 20.5 * scale, y + 10.5 * scale), (x + 29.5 * scale, y + 16.5 * scale))
    assert "Box 10 \u00d7 7 px" in page.text("#hint")
    page.press("Enter")
    _at(page, 3)
    page.press("b")
    page.press("b")
    _at(page, 4)
    page.press("b")
    page.press("Escape")
    page.press("End")
    _at(page, 7)
    assert page.text("#position") == "8 of 8"
    assert page.text("#counts").split()[::2] == ["undecided", "accepted", "rejected", "fixed"]
    assert page.text("#counts").split()[1::2] == ["4", "1", "1", "2"]


def _filter(page: Any) -> None:
    choose = "(() => { const s = document.querySelector('#decision'); s.value = 'reject';"
    page.evaluate(choose + " s.dispatchEvent(new Event('change')); })()")
    _at(page, 1)
    assert page.text("#position") == "1 of 1"
    assert page.evaluate("document.querySelectorAll('#strip img').length") == 1
    page.press("a")
    page.wait("document.body.dataset.row === ''")
    assert "No image matches" in page.text("#about")


def _at(page: Any, row: int) -> None:
    page.wait(f"document.body?.dataset.row === '{row}'")
