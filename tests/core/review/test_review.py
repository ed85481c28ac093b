"""The review behind the page: filters, verdicts, undo, pictures."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anogen_core.errors import InputError, StorageError
from anogen_core.records import Box, Decision, ReviewVerdict
from anogen_core.review import Review
from anogen_core.review.pictures import detail, outline
from anogen_core.review.session import Judgement, Query
from anogen_core.storage import Dataset
from anogen_core.storage.verdicts import VerdictWriter


def test_moving_keeps_to_the_filter(dataset: Dataset) -> None:
    """Images 0, 1, 3, 5, 7 show `<b>`, 2, 4, 6 `cut`; steps end at the first and the last match."""
    review = Review(dataset, "ada")
    defects = [row.defect for row in dataset.made()]
    cuts = [row for row, defect in enumerate(defects) if defect == "cut"]

    def shown(row: int, step: int) -> int:
        return int(review.view(Query(row=row, step=step, defect=1))["current"]["row"])

    assert [shown(0, 0), shown(cuts[0], 1), shown(cuts[1], -1)] == [cuts[0], cuts[1], cuts[0]]
    assert [shown(10**9, 0), shown(cuts[-1], 5), shown(cuts[0], -5)] == [cuts[-1], cuts[-1], cuts[0]]
    view = review.view(Query(row=cuts[1], defect=1, radius=1))
    assert [entry["row"] for entry in view["strip"]] == cuts[:3]
    assert (view["position"], view["total"]) == (1, len(cuts))
    assert review.view(Query(decision=Decision.FIX))["current"] is None


def test_a_view_reads_no_pixels_but_the_masks_of_its_image(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening and moving cost the same for any number of images."""
    read: list[tuple[str, int]] = []
    original = Dataset._read_chunk

    def noted(self: Dataset, name: str, row: int) -> object:
        read.append((name, row))
        return original(self, name, row)

    monkeypatch.setattr(Dataset, "_read_chunk", noted)
    review = Review(Dataset(dataset.uri), "ada")
    assert read == []

    review.view(Query(row=5))

    assert sorted(read) == [("box_mask", 5), ("mask", 5)]


def test_undo_takes_back_one_by_one(dataset: Dataset) -> None:
    """What was said before counts again, also for the next reader; another session's verdict is not undone."""
    Review(dataset, "eve").judge(Judgement(row=1, decision=Decision.FIX, box=Box(x=1, y=2, width=3, height=4)))
    review = Review(dataset, "ada")
    review.judge(Judgement(row=1, decision=Decision.REJECT))
    review.judge(Judgement(row=2, decision=Decision.ACCEPT))

    assert [review.undo(), review.undo(), review.undo()] == [2, 1, None]

    assert review.counts() == {"accept": 0, "reject": 0, "fix": 1, "none": 7}
    verdicts = dataset.verdicts()
    assert list(verdicts) == [1]
    assert verdicts[1].box == Box(x=1, y=2, width=3, height=4)


def test_a_later_word_counts_although_a_clock_was_wrong(dataset: Dataset) -> None:
    """A verdict from a machine whose clock is a day ahead does not outlive what is said after it was read."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    ahead = ReviewVerdict(request_id="request-0", decision=Decision.ACCEPT, who="eve", when=tomorrow)
    VerdictWriter(dataset.uri, dataset.manifest.digest).add(ahead)

    Review(dataset, "ada").judge(Judgement(row=0, decision=Decision.REJECT))

    assert dataset.verdicts()[0].decision is Decision.REJECT


def test_a_verdict_that_was_not_stored_is_not_shown(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page never claims more than the store holds."""
    review = Review(dataset, "ada")

    def full(_self: VerdictWriter, _verdict: ReviewVerdict) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(VerdictWriter, "add", full)
    with pytest.raises(StorageError, match="disk is full"):
        review.judge(Judgement(row=0, decision=Decision.REJECT))

    assert review.counts()["none"] == 8
    assert review.undo() is None


@pytest.mark.parametrize(
    ("judgement", "message"),
    [
        (Judgement(row=8, decision=Decision.ACCEPT), "expected 0 to 7"),
        (Judgement(row=0, decision=Decision.FIX, box=Box(x=60, y=0, width=5, height=5)), "inside 64x48"),
        (Judgement(row=0, decision=Decision.ACCEPT, box=Box(x=0, y=0, width=5, height=5)), "only a fix"),
    ],
)
def test_what_does_not_fit_is_refused(dataset: Dataset, judgement: Judgement, message: str) -> None:
    """A wrong row or box is an error and leaves nothing behind."""
    with pytest.raises(InputError, match=message):
        Review(dataset, "ada").judge(judgement)

    assert dataset.verdicts() == {}


def test_pictures_show_the_stored_pixels_and_the_photo_below(dataset: Dataset) -> None:
    """PNG is lossless; a photo that was changed is not shown as the one below."""
    review, below = Review(dataset, "ada"), Path(dataset.made()[3].normal_uri)
    normal = review.normal(3)

    np.testing.assert_array_equal(_decoded(review.image(3))[..., ::-1], dataset.image(3))
    assert normal is not None
    np.testing.assert_array_equal(_decoded(normal), cv2.imread(str(below)))
    stored = below.read_bytes()
    try:
        below.write_bytes(stored + b"0")
        assert review.normal(3) is None
    finally:
        below.write_bytes(stored)


def _decoded(picture: bytes) -> "np.ndarray[Any, Any]":
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_damage_is_told_and_does_not_stop_the_review(dataset: Dataset) -> None:
    """An image whose mask is damaged comes with the error, and its neighbours are still listed."""
    (Path(dataset.uri) / "mask/c/0/0/0").write_bytes(b"")

    view = Review(Dataset(dataset.uri), "ada").view(Query(row=1))

    assert "mask/c/0/0/0" in view["current"]["error"]
    assert len(view["strip"]) == 8


def test_an_outline_runs_along_the_pixels_edges() -> None:
    """A rectangle of pixels [2, 5) x [1, 3) is outlined within an eighth of a pixel of its edges."""
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 255

    corners = [tuple(map(float, point.split())) for point in outline(mask).strip("MZ").split("L")]

    assert np.abs(np.min(corners, axis=0) - (2, 1)).max() <= 0.125
    assert np.abs(np.max(corners, axis=0) - (5, 3)).max() <= 0.125
    assert outline(np.zeros((6, 8), np.uint8)) == ""


def test_the_detail_holds_the_mask_and_stays_in_the_frame() -> None:
    """At a corner the window is moved, not cut; it has the proportions of the frame."""
    mask = np.zeros((200, 300), np.uint8)
    mask[190:200, 280:300] = 255

    x, y, width, height = detail(mask)

    assert width / height == pytest.approx(1.5)
    assert x <= 280
    assert y <= 190
    assert x + width == pytest.approx(300)
    assert y + height == pytest.approx(200)
    assert width < 150
    assert detail(np.zeros((200, 300), np.uint8)) == (0, 0, 300, 200)
