"""Whether there is room for what a run asks for, and what its plan says of places."""

from pathlib import Path

import cv2
import numpy as np

from anogen_core.config import parse_config
from anogen_core.records import GenerationRequest, Sample
from anogen_core.stages.forecast import CategoryForecast, DefectForecast, Forecast, forecast
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

    warnings = room_problems({"c/half": half, "c/most": most, "c/whole": whole}, 4)
    errors = room_problems({"c/whole": whole, "c/other": whole}, 4)
    first = room_problems({"c/most": most, "c/whole": whole}, 100)

    assert [(p.severity, p.file) for p in warnings] == [("warning", "c/most"), ("warning", "c/whole")]
    assert warnings[0].what == "3 of 4 requests are blocked: no outline lay on it (best 0.60); lower it."
    assert "no image of it would be made" in warnings[1].what
    assert [(p.severity, p.file) for p in errors] == [("error", "c/whole"), ("error", "c/other")]
    assert first[0].what.startswith("3 of the first 4 requests are blocked: ")
    assert first[1].what.startswith("all of the first 4 requests are blocked, so hardly an image of it would be made")


def test_the_plan_tells_what_decides_where_defects_lie() -> None:
    """Edges, surroundings and light with their counts, and none of them where it decides nothing."""
    plain = DefectForecast(
        defect="d",
        support=["c/1", "c/2"],
        made_from=[3, 6],
        embedding="to be learned",
        instances=9,
        at_edge=0,
        at_border=0,
        misses=None,
        alike=0,
        bound=0,
        strayed=0,
        coloured=0,
        lit=0,
        planned=9,
        blocked=0,
        reasons={},
    )

    def told(defect: DefectForecast) -> str:
        category = CategoryForecast(
            category="c",
            frame=(8, 8),
            normals=1,
            evaluated=1,
            excluded=0,
            foreground=None,
            complete=None,
            kept=0,
            kept_instances=0,
            defects=[defect],
        )
        return Forecast(categories=[category], inversion_seconds=1, generation_seconds=1, storage_mb=1).describe()

    counts = {"at_edge": 2, "at_border": 1, "alike": 3, "coloured": 5, "lit": 4}
    bound = told(plain.model_copy(update=counts))
    lines = (
        "2 of 9 at the edge",
        "1 of 9 cut off by the photo's",
        "3 of 9 where it looks",
        "5 of 9 where the colours",
        "4 of 9 turned so that",
    )
    assert all(line in bound for line in lines)

    loose = told(plain.model_copy(update={"misses": "misses 3 of 3 support photos of d"}))
    assert "may lie all over the frame: what was found misses 3 of 3 support photos of d; `foreground.legal`" in loose
    assert "may lie all over" not in told(plain)
    assert " of 9 " not in told(plain)
    layout = told(plain.model_copy(update={"bound": 5, "strayed": 4}))
    assert "5 of 9 at places that they belong to" in layout
    assert "4 of 9 elsewhere, as none of the places" in layout
    assert "elsewhere" not in told(plain.model_copy(update={"bound": 9}))
    assert "unevenly" not in told(plain)
    assert "unevenly made: 1 from c/1, 8 from c/2" in told(plain.model_copy(update={"made_from": [1, 8]}))
    assert "unevenly" not in told(plain.model_copy(update={"made_from": [0, 1]}))


def test_the_plan_tells_when_colours_decide(small_run: dict[str, object], tmp_path: Path) -> None:
    """On a capsule of two colours all dents keep to theirs, on one of a single colour they do not."""
    halves = {"capsule": ((170, 40, 40), (235, 220, 190)), "pill": ((235, 220, 190),) * 2}
    rng = np.random.Generator(np.random.PCG64(0))
    for category, (left, right) in halves.items():
        for number in range(8):
            dented = number < 3
            photo = np.where(np.arange(96)[None, :, None] < 48, left, right) + rng.normal(0, 3, (96, 96, 3))
            mask = np.zeros((96, 96), np.uint8)
            mask[30:40, 12 + number : 24 + number] = 255
            photo[mask > 0] *= 0.6 if dented else 1
            folder = tmp_path / "photos" / category
            place = folder / ("test/dent" if dented else "train/good") / f"{number}.png"
            truth = folder / "ground_truth" / "dent" / f"{number}_mask.png"
            for path in (place, truth):
                path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place), photo.clip(0, 255)[..., ::-1].astype(np.uint8))
            if dented:
                cv2.imwrite(str(truth), mask)
    values = {
        **small_run,
        "reader": {"kind": "mvtec", "root": str(tmp_path / "photos")},
        "foreground": {"method": "full"},
        "evaluation": {"enabled": False},
        "output": str(tmp_path / "out"),
    }

    planned = forecast(parse_config(values, source="test"))

    counts = {one.category: [(d.coloured, d.instances) for d in one.defects] for one in planned.categories}
    assert counts == {"capsule": [(5, 5)], "pill": [(0, 5)]}
    assert planned.describe().count("5 of 5 where the colours are most like those around the support defects") == 1
