"""What is told on the flow page, as far as it needs no server."""

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from anogen_core.records import LedgerRow, Outcome
from flows.page import ledger_rows
from tasks.page import Bar, slug


def _row(number: int, defect: str, outcome: Outcome, reason: str | None, replaces: str | None = None) -> LedgerRow:
    return LedgerRow(
        request_id=f"{defect}-{number}", replaces=replaces, row=None, category="bolt", defect=defect, outcome=outcome,
        reason=reason, seed=0, box=None, angle=None, crop=None, normal_id="n", normal_uri="n", normal_sha256="0" * 64,
        embedding_digest="1" * 64, model_fingerprint="f00d",
    )  # fmt: skip


def test_ledger_counts_every_defect_and_says_why() -> None:
    """Counts reconcile with the plan; alike reasons are one, with how often they occur."""
    ledger = [
        _row(0, "cut", Outcome.MADE, None),
        _row(1, "cut", Outcome.FILTERED, "contrast 0.1 is below 0.3"),
        _row(2, "cut", Outcome.FILTERED, "contrast 0.2 is below 0.3", replaces="cut-1"),
        _row(0, "spot", Outcome.BLOCKED, "no room"),
    ]

    cut, spot, total = ledger_rows(ledger)

    assert cut == {
        "Defect": "cut", "Planned": 2, "Replacements": 1, "Made": 1, "Filtered": 2, "Blocked": 0, "Failed": 0,
        "Why": "2 filtered: contrast 0.1 is below 0.3 (and alike)",
    }  # fmt: skip
    assert spot["Why"] == "1 blocked: no room"
    assert (total["Defect"], total["Planned"], total["Made"], total["Filtered"], total["Blocked"]) == (
        "all",
        3,
        1,
        2,
        1,
    )


def test_a_server_that_is_gone_stops_no_work(caplog: pytest.LogCaptureFixture) -> None:
    """A bar is only for looking at: the work goes on, and a warning says that the page stays behind."""
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        Bar("bolt: learn cut").follow(1, 1)

    assert "The flow page could not be updated" in caplog.text
    # Nor does it wait for the server at every move.
    assert caplog.text.count("The flow page could not be updated") == 1


@pytest.mark.parametrize(
    ("text", "key"),
    [("bolt: learn M4_cut (2)", "bolt-learn-m4-cut-2"), ("瓶: generate", "generate"), ("瓶", "unnamed")],
)
def test_keys_are_what_the_server_takes(text: str, key: str) -> None:
    """Small letters, digits and dashes, and never nothing."""
    assert slug(text) == key
