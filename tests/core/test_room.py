"""Whether there is room for what a run asks for."""

from anogen_core.records import GenerationRequest, Sample
from anogen_core.stages.room import room_of, room_problems

NORMAL = Sample(sample_id="c/0", category="c", defect="good", split="train", image_uri="/0.png", sha256="0")


def _requests(
    blocked: int, *, free: int, reason: str = "no outline lay on it (best 0.{}); lower it"
) -> list[GenerationRequest]:
    reasons = [reason.format(60 + number) for number in range(blocked)] + [None] * free
    return [
        GenerationRequest(
            index=i, request_id=str(i), category="c", defect="d", normal=NORMAL, instances=(), blocked=reason, seed=0
        )
        for i, reason in enumerate(reasons)
    ]


def test_reasons_that_differ_in_numbers_are_counted_together() -> None:
    """One line with the first of them as its example; another cause is another line, the most frequent first."""
    room = room_of([*_requests(1, free=3, reason="too thin"), *_requests(7, free=0)])

    assert (room.planned, room.blocked) == (11, 8)
    assert list(room.reasons.items()) == [("no outline lay on it (best 0.60); lower it", 7), ("too thin", 1)]


def test_a_defect_is_named_when_more_than_half_of_it_is_blocked() -> None:
    """Half is not told, more is a warning; it is an error when nothing at all would be made."""
    half, most, whole = (room_of(_requests(blocked, free=4 - blocked)) for blocked in (2, 3, 4))

    warnings = room_problems({"c/half": half, "c/most": most, "c/whole": whole})
    errors = room_problems({"c/whole": whole, "c/other": whole})

    assert [(p.severity, p.file) for p in warnings] == [("warning", "c/most"), ("warning", "c/whole")]
    assert warnings[0].what == "3 of 4 requests are blocked: no outline lay on it (best 0.60); lower it."
    assert "no image of it would be made" in warnings[1].what
    assert [(p.severity, p.file) for p in errors] == [("error", "c/whole"), ("error", "c/other")]
