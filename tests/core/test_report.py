"""The report: one safe, self-contained, honest page, and the pictures on it."""

import base64
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import cv2
import numpy as np
import pytest

from anogen_core.evaluation import ArmEstimates, Comparison, Estimate, Evaluation
from anogen_core.records import Decision, LedgerRow, Outcome, ReviewVerdict
from anogen_core.report import (
    CategoryReport,
    DefectReport,
    GeneratedExample,
    PredictionExample,
    ReportContent,
    contact_sheet,
    encode_png,
    render_report,
    to_data_uri,
)
from anogen_core.report.charts import line_chart, nice_ticks
from anogen_core.report.figures import BOX_COLOUR, LABEL_COLOUR, detail, heat_overlay, outline
from anogen_core.report.tables import ledger_table
from anogen_core.report.verdict import Verdict, judge

SIDE = 96
METRICS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap")
EVIL = "<script>alert(1)</script>"
GOOD_ARM = (0.90, 0.88, 0.93, 0.44)
BASE_ARM = (0.85, 0.80, 0.90, 0.31)


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text that a reader sees."""
        if self.tags and self.tags[-1][0] != "style":
            self.text += " " + data


def texture(seed: int, side: int = SIDE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), 1.2)
    return np.clip(128 + 60 * smooth[..., None] + rng.normal(0, 4, (side, side, 3)), 0, 255).astype(np.uint8)


def box_mask(side: int = SIDE, *, x: int = 20, y: int = 30, size: int = 16) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[y : y + size, x : x + size] = True
    return mask


def example(seed: int, side: int = SIDE) -> GeneratedExample:
    normal, mask = texture(seed, side), box_mask(side)
    generated = normal.copy()
    generated[mask] //= 3
    return GeneratedExample(normal, mask, mask, generated, f"scratch-{seed:06d}")


def defect(name: str = "scratch", *, examples: int = 3, side: int = SIDE) -> DefectReport:
    support = [(texture(100 + i, side), box_mask(side, size=9), f"tile/test/{name}/{i:03d}") for i in range(3)]
    curve = [(step, 1 / (1 + step)) for step in range(0, 100, 10)]
    return DefectReport(name, support, [example(i, side) for i in range(examples)], curve, "ab" * 32, 100, 2)


def evaluation(arm: str, values: tuple[float | None, ...], *, seed: int = 0, num_defective: int = 97) -> Evaluation:
    scores = dict(zip(METRICS, values, strict=True))
    return Evaluation(
        category="tile", detector="draem", arm=arm, seed=seed, num_images=231, num_defective=num_defective,
        excluded_ids=("tile/test/scratch/000",), per_defect={"scratch": scores}, **scores,
    )  # fmt: skip


def comparison(
    scores: Mapping[str, tuple[float, ...]], *, margin: float = 0.02, seeds: tuple[int, ...] = (0, 1, 2)
) -> Comparison:
    """Return arms side by side; every interval of a difference reaches `margin` to both sides."""

    def differences(arm: str, other: str) -> dict[str, Estimate | None]:
        values = zip(METRICS, scores[arm], scores[other], strict=False)
        return {m: Estimate(value=a - b, low=a - b - margin, high=a - b + margin) for m, a, b in values}

    return Comparison(
        category="tile", detector="draem", seeds=seeds, replicates=100, num_images=231, num_defective=97,
        num_groups=231, arms=tuple(ArmEstimates(arm=arm, metrics={}) for arm in scores),
        differences=tuple(
            ArmEstimates(
                arm=arm,
                against=other,
                metrics=differences(arm, other),
                per_defect={"scratch": differences(arm, other)},
            )
            for other, arm in combinations(scores, 2)
        ),
    )  # fmt: skip


def judged(
    scores: Mapping[str, tuple[float, ...]], *, margin: float = 0.02, seeds: tuple[int, ...] = (0, 1, 2)
) -> Verdict:
    """Return the verdict on arms whose seeds all score the same."""
    evaluations = [evaluation(arm, values, seed=seed) for arm, values in scores.items() for seed in seeds]
    return judge(evaluations, comparison(scores, margin=margin, seeds=seeds))


def row(number: int, outcome: Outcome = Outcome.MADE, reason: str | None = None, name: str = "scratch") -> LedgerRow:
    return LedgerRow(
        request_id=f"{name}-{number:06d}", row=number if outcome is Outcome.MADE else None,
        category="tile", defect=name, outcome=outcome, reason=reason, seed=number, box=[1, 2, 3, 4], angle=0.0,
        crop=None, normal_id="tile/train/good/7", normal_uri="n.png", normal_sha256="0", embedding_digest="1",
        model_fingerprint="2",
    )  # fmt: skip


def category(name: str = "tile", **changes: object) -> CategoryReport:
    ledger = [row(0), row(1), row(2), row(3, Outcome.BLOCKED, "No box of 30x20 px fits the foreground of 'a'.")]
    summary = {
        "uri": "data/tile.zarr", "sealed": True, "planned": 4, "made": 3, "filtered": 0, "blocked": 1, "failed": 0,
        "defects": {"scratch": 3}, "digest": "d1" * 32, "config_fingerprint": "f1" * 8,
    }  # fmt: skip
    prediction = PredictionExample(
        texture(9), box_mask(), {"perlin": box_mask() * 0.3, "generated": box_mask() * 0.9},
        {"perlin": 0.3, "generated": 0.9}, "scratch", "tile/test/scratch/009",
    )  # fmt: skip
    report = CategoryReport(
        name, (SIDE, SIDE), 50, 240, summary, [defect()],
        [evaluation("perlin", BASE_ARM), evaluation("generated", GOOD_ARM)],
        {"perlin": [(0, 1.0), (10, 0.5)], "generated": [(0, 1.1), (10, 0.4)]}, [prediction], ledger,
    )  # fmt: skip
    return replace(report, **changes)  # type: ignore[arg-type]


def content(*categories: CategoryReport, title: str = "Tiles") -> ReportContent:
    return ReportContent(
        title=title, created=dt.datetime(2025, 1, 2, 3, 4, tzinfo=dt.UTC),
        run_seed=7, config_yaml="seed: 7\nname: tiles\n", versions={"torch": "9.9.9"},
        base_model={"name": "small", "fingerprint": "fp123", "licence": "Apache-2.0"},
        categories=categories or (category(),),
        warnings=["a photo is small"], timings=[("learn", 61.0), ("make", 3725.0)],
    )  # fmt: skip


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(content())


def test_page_loads_nothing_from_anywhere(html: str) -> None:
    """Every address on the page is a picture inside it or an anchor, and the page forbids everything else."""
    page = Page(html)
    addresses = [v or "" for _, attrs in page.tags for k, v in attrs.items() if k in {"src", "href", "action", "data"}]

    assert addresses
    assert all(a.startswith(("data:image/", "#")) for a in addresses)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_anchors_of_the_contents_exist(html: str) -> None:
    """Every link of the page leads to a section of the page."""
    page = Page(html)
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}

    assert {(attrs["href"] or "")[1:] for tag, attrs in page.tags if tag == "a"} <= ids


def test_every_picture_is_described_and_decodes(html: str) -> None:
    """Each picture has an alternative text, its true size, and bytes that are a picture."""
    images = [attrs for tag, attrs in Page(html).tags if tag == "img"]

    assert len(images) >= 3 * 2 + 3 * 5 + 3
    for attrs in images:
        data = base64.b64decode((attrs["src"] or "").partition(",")[2])
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert array is not None
        assert (str(array.shape[1]), str(array.shape[0])) == (attrs["width"], attrs["height"])
        assert (attrs["alt"] or "").strip()


def test_names_from_folders_are_harmless() -> None:
    """A category, defect, file, reason or setting that looks like markup is shown as text."""
    evil = f'"{EVIL}'
    report = category(
        evil,
        defects=[replace(defect(evil), support=[(texture(1), box_mask(), evil)])],
        ledger=[row(0, Outcome.FAILED, evil, evil)],
        evaluations=[evaluation("perlin", BASE_ARM).model_copy(update={"excluded_ids": (evil,), "detector": evil})],
    )
    run = replace(content(report, title=evil), config_yaml=evil, warnings=[evil], versions={evil: evil})

    page = Page(render_report(run))

    assert "script" not in {tag for tag, _ in page.tags}
    assert not [k for _, attrs in page.tags for k in attrs if "script" in k or k.startswith("on")]
    assert EVIL in page.text


def test_page_is_a_function_of_its_content(html: str) -> None:
    """The same content gives the same page."""
    assert html == render_report(content())


def test_page_states_what_ran(html: str) -> None:
    """Date, seed, settings, versions, model, digests, timings and warnings are on the page."""
    text = Page(html).text

    for fact in (
        "02 January 2025, 03:04 UTC", "seed 7", "name: tiles",
        "torch 9.9.9", "fp123", "Apache-2.0",
        "d1" * 32, "f1" * 8, "ab" * 32, "Time of the last command What was found finished counts nothing.",
        "1 min 01 s", "1 h 02 min", "a photo is small", "tile/test/scratch/000",
    ):  # fmt: skip
        assert fact in text, fact


def test_page_shows_both_arms_and_their_difference(html: str) -> None:
    """The table of metrics has a row for each arm and one for the difference, which is signed."""
    text = Page(html).text

    assert "Without generated defects 0.850 0.800 0.900 0.310" in text
    assert "With generated defects 0.900 0.880 0.930 0.440" in text
    assert "Difference +0.050 +0.080 +0.030 +0.130" in text
    assert f"Guessing 0.500 {97 / 231:.3f} 0.500 n/a" in text


def differences_on(page: str) -> list[tuple[str, str]]:
    """Return class and text of each cell of the short table's row of differences."""
    (row,) = re.findall(r'<tr class="difference">(.*?)</tr>', page, re.DOTALL)
    return re.findall(r'<td class="(\w+)">(.*?)</td>', row)


@pytest.mark.parametrize(
    ("margin", "colours"),
    [(0.04, ["up", "up", "even", "up"]), (0.2, ["even"] * 4), (None, ["even"] * 4)],
)
def test_differences_have_a_colour_where_their_interval_excludes_0(margin: float | None, colours: list[str]) -> None:
    """Gains of 0.05, 0.08, 0.03 and 0.13; without intervals nothing is clear. Defects have intervals of their own."""
    scores = {"perlin": BASE_ARM, "generated": GOOD_ARM}
    compared = None if margin is None else comparison(scores, margin=margin)
    losses = None if margin is None else comparison({"perlin": GOOD_ARM, "generated": BASE_ARM}, margin=margin)

    page = render_report(content(category(comparison=compared)))
    worse = render_report(content(category(comparison=losses)))

    assert differences_on(page) == list(zip(colours, ("+0.050", "+0.080", "+0.030", "+0.130"), strict=True))
    assert [c for c, _ in differences_on(worse)] == [c.replace("up", "down") for c in colours]
    coloured = sum(c == "up" for c in colours)
    assert len(re.findall(r'<td class="(?:up|down)"', page)) == 2 * coloured
    if compared is not None:
        alike = [d.model_copy(update={"per_defect": {}}) for d in compared.differences]
        bare = render_report(content(category(comparison=compared.model_copy(update={"differences": tuple(alike)}))))
        assert len(re.findall(r'<td class="(?:up|down)"', bare)) == coloured


def test_ledger_on_the_page_reconciles_and_gives_reasons(html: str) -> None:
    """Counts per defect, their sum and the reason of every request that was not made are shown."""
    text = Page(html).text

    assert "Defect Planned Replacements Made Filtered Blocked Failed scratch 4 0 3 0 1 0 All 4 0 3 0 1 0" in text
    assert "No box of 30x20 px fits the foreground of 'a'. scratch-000003" in text
    assert "do not agree" not in text


def verdict_on(number: int, decision: Decision) -> ReviewVerdict:
    return ReviewVerdict(request_id=f"scratch-{number:06d}", decision=decision, who="ada", when=dt.datetime.now(dt.UTC))


def test_page_counts_what_reviewers_said(html: str) -> None:
    """Beside the images made of each defect, in the ledger and on the card; a report without verdicts is silent."""
    said = {0: Decision.REJECT, 2: Decision.FIX}
    verdicts = {number: verdict_on(number, decision) for number, decision in said.items()}

    text = Page(render_report(content(category(verdicts=verdicts)))).text

    assert "Reviewed 0 accepted, 1 rejected, 1 fixed; 2 to learn from" in text
    assert "Review: 1 rejected (neither shown nor learned from), 1 fixed; 2 to learn from." in text
    assert "Failed Accepted Rejected Fixed To learn from scratch 4 0 3 0 1 0 0 1 1 2 All 4 0 3 0 1 0 0 1 1 2" in text
    assert "do not agree" not in text
    assert not re.search("[Rr]eview|Accepted", Page(html).text)


def test_defect_whose_images_were_all_rejected_says_so() -> None:
    """There were images; nobody has to look for the reason in the ledger."""
    verdicts = {number: verdict_on(number, Decision.REJECT) for number in range(3)}
    report = category(defects=[replace(defect(), examples=[])], verdicts=verdicts)

    text = Page(render_report(content(report))).text

    assert "All 3 images of this defect were rejected in review." in text
    assert "No image was made" not in text


F, M = (Outcome.FILTERED, "no visible change"), (Outcome.MADE, None)


@pytest.mark.parametrize(
    ("chains", "words"),
    [
        ([[M], [M]], "Images made 2 of 2 Defects 1"),
        ([[M], [F, M], [F, F, M]], "Images made 3 of 3 Filtered 3, each replaced by another try Defects"),
        ([[M], [F, M], [F, F, F]], "Images made 2 of 3 Filtered 4, 3 replaced by another try Defects"),
        ([[M], [F]], "Images made 1 of 2 Filtered 1, none replaced by another try Defects"),
        (
            [[M], [F, (Outcome.BLOCKED, "no place")], [(Outcome.FAILED, "a photo is gone")]],
            "Images made 1 of 3 Filtered 1, each replaced by another try Blocked 1 Failed 1 Defects",
        ),
    ],
)
def test_images_made_are_counted_of_those_wanted(chains: list[list[tuple[Outcome, str | None]]], words: str) -> None:
    """Replacements are tries, not further images that were wanted; the ledger's table tells them apart too."""
    ledger: list[LedgerRow] = []
    for chain in chains:
        for attempt, (outcome, reason) in enumerate(chain):
            before = ledger[-1].request_id if attempt else None
            ledger.append(row(len(ledger), outcome, reason).model_copy(update={"replaces": before}))
    counts = {outcome.value: sum(r.outcome is outcome for r in ledger) for outcome in Outcome}
    replacements = len(ledger) - len(chains)
    summary = {"planned": len(ledger), "replacements": replacements, **counts}

    text = Page(render_report(content(category(ledger=ledger, dataset_summary=summary)))).text

    assert words in text
    assert f"All {len(chains)} {replacements} {' '.join(map(str, counts.values()))}" in text
    assert "do not agree" not in text
    assert ("A replacement is another try" in text) is (replacements > 0)


def test_totals_that_disagree_are_shown() -> None:
    """A ledger that does not match the dataset's summary is called out."""
    text = Page(render_report(content(category(ledger=[row(0)])))).text

    assert "The totals do not agree." in text
    assert "planned: 1 in the ledger, 4 in the dataset's summary" in text


def test_background_that_changed_is_shown(html: str) -> None:
    """An image that differs from its normal photo outside the planned place is counted, one that does not is not."""
    changed = example(0)
    changed.generated[0, 0] += 1
    report = category(defects=[replace(defect(), examples=[changed, example(1)])])

    assert "1 of the images loaded for this report differ" in Page(render_report(content(report))).text
    assert "differ from the normal photo outside" not in Page(html).text


def test_a_failed_category_has_a_card_with_its_reason() -> None:
    """Beside those that are finished, and counted apart from them."""
    text = Page(render_report(replace(content(), failed=[("plate", "loss is <nan>")]))).text

    assert "1 category, 1 more failed" in text
    assert "plate Failed: nothing of it is in this report. loss is <nan>" in " ".join(text.split())
    assert "failed" not in Page(render_report(content())).text.split("Result")[0]


def test_run_without_detectors_predictions_or_images_still_renders() -> None:
    """Everything that may be missing may be missing."""
    empty = replace(defect(), examples=[], loss_curve=[])
    report = category(
        evaluations=[], detector_curves={}, predictions=[], ledger=[], defects=[empty], dataset_summary={}
    )
    run = replace(content(report), warnings=[], timings=[], versions={})

    text = Page(render_report(run)).text

    assert "No detector was trained" in text
    assert "No image was made for this defect" in text


def test_two_categories_with_three_defects_stay_under_five_megabytes() -> None:
    """The page of a usual run can be mailed, with photos larger than the thumbnails."""
    names = ("scratch", "pit", "stain")
    reports = [category(c, defects=[defect(n, examples=8, side=320) for n in names]) for c in ("tile", "plate")]

    page = render_report(content(*reports))

    assert 1_000_000 < len(page.encode()) < 5_000_000


def test_full_ledger_is_capped_and_says_so() -> None:
    """A long ledger lists what was not made first and says how many rows are left out."""
    ledger = [row(i) for i in range(500)] + [row(500, Outcome.FILTERED, "no visible change")]

    table = ledger_table(ledger, {})
    text = Page(render_report(content(category(ledger=ledger)))).text

    assert table.rows[0].outcome is Outcome.FILTERED
    assert len(table.rows) + table.hidden_rows == 501
    assert f"{table.hidden_rows} more rows are not shown here" in text


def test_reasons_that_differ_in_numbers_alone_are_one_group() -> None:
    """Requests are grouped by the kind of their reason, and no request is lost."""
    rows = [row(i, Outcome.BLOCKED, f"No box of {i}x{i} px fits '{'ab'[i % 2]}'.") for i in range(40)]
    rows += [row(99, Outcome.FAILED, "out of memory")]

    reasons = ledger_table(rows, {}).reasons

    assert [(r.outcome, r.count, r.varies) for r in reasons] == [
        (Outcome.BLOCKED, 40, True),
        (Outcome.FAILED, 1, False),
    ]
    assert len(reasons[0].shown_ids) + reasons[0].hidden_ids == 40


@pytest.mark.parametrize(
    ("after", "margin", "tone", "words"),
    [
        (0.44, 0.02, "better", "raised pixel AP from 0.31 to 0.44"),
        (0.44, 0.16, "same", "made no clear difference: pixel AP 0.310 without them, 0.440 with them"),
        (0.25, 0.02, "worse", "did not help: pixel AP fell from 0.31 to 0.25"),
        (0.25, 0.07, "same", "made no clear difference: pixel AP 0.310 without them, 0.250 with them"),
        (0.314, 0.001, "same", "made no clear difference: pixel AP 0.310 without them, 0.314 with them"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_verdict_says_what_the_intervals_say(after: float, margin: float, tone: str, words: str, order: int) -> None:
    """A gain or a loss is one only where its interval excludes 0, whichever arm comes first; the interval is shown."""
    scores = {"perlin": BASE_ARM, "generated": (*BASE_ARM[:3], after)}

    verdict = judged(dict(list(scores.items())[::order]), margin=margin)

    change = after - BASE_ARM[3]
    assert verdict.tone == tone
    assert words in verdict.sentence
    interval = f"{change:+.3f} [{change - margin:+.3f}, {change + margin:+.3f}]"
    assert verdict.caveats[0] == f"Difference {interval}, 95 % interval, 3 seeds."


def test_verdict_of_one_seed_says_so() -> None:
    """Its interval is about the choice of photos alone."""
    verdict = judged({"perlin": BASE_ARM, "generated": GOOD_ARM}, seeds=(0,))

    assert verdict.tone == "better"
    assert verdict.caveats[0].endswith("95 % interval, one seed.")
    assert "One seed tells little: another may say otherwise." in verdict.caveats


def test_verdict_without_intervals_claims_nothing() -> None:
    """Two means alone do not tell a gain from chance."""
    verdict = judge([evaluation("perlin", BASE_ARM), evaluation("generated", GOOD_ARM)])

    assert verdict.tone == "unknown"
    assert "is not known: pixel AP 0.310 without them, 0.440 with them, and no interval" in verdict.sentence
    assert verdict.caveats == ("One seed tells little: another may say otherwise.",)


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        (0.40, "ahead of pasted support defects: pixel AP +0.040 [+0.020, +0.060]"),
        (0.48, "behind pasted support defects: pixel AP -0.040 [-0.060, -0.020]"),
        (0.43, "not told apart from pasted support defects: pixel AP +0.010 [-0.010, +0.030]"),
    ],
)
def test_verdict_compares_with_pasted_support_defects(pasted: float, words: str) -> None:
    """What pasting gives for free is said beside a gain, where that arm was trained."""
    verdict = judged({"perlin": BASE_ARM, "cutpaste": (*GOOD_ARM[:3], pasted), "generated": GOOD_ARM})

    assert verdict.tone == "better"
    assert f"They are {words}." in verdict.caveats
    assert "pasted" not in " ".join(judged({"perlin": BASE_ARM, "generated": GOOD_ARM}).caveats)


def test_verdict_names_metrics_that_clearly_moved_the_other_way() -> None:
    """A gain in one metric never hides a loss in another; what may be chance is no loss."""
    scores = {"perlin": BASE_ARM, "generated": (0.70, 0.79, 0.90, 0.44)}

    verdict = judged(scores)

    assert verdict.tone == "better"
    assert "Image AUROC fell from 0.85 to 0.70." in verdict.caveats
    assert "Image AP" not in " ".join(verdict.caveats)


def test_page_shows_the_verdict_of_the_comparison() -> None:
    """The card does not claim what the table under it does not show."""
    scores = {"perlin": BASE_ARM, "generated": GOOD_ARM}
    report = category(comparison=comparison(scores, margin=0.2))

    page = Page(render_report(content(report)))

    assert "Generated defects made no clear difference: pixel AP 0.310 without them, 0.440 with them." in page.text
    assert "Difference +0.130 [-0.070, +0.330], 95 % interval" in page.text
    assert ("article", {"class": "card same"}) in page.tags


def test_verdict_refuses_arms_tested_on_different_photos() -> None:
    """Numbers of different test sets are not compared."""
    verdict = judge([evaluation("perlin", BASE_ARM), evaluation("generated", GOOD_ARM, num_defective=50)])

    assert verdict.tone == "unknown"
    assert "different photos" in verdict.sentence


def test_verdict_falls_back_when_pixel_metrics_are_missing() -> None:
    """Without pixel labels the headline is an image metric; without any it says so; small and weak are said."""
    scores = {"perlin": (0.5, 0.3, None, None), "generated": (0.55, 0.4, None, None)}
    intervals = comparison({"perlin": (0.5, 0.3), "generated": (0.55, 0.4)})
    images = judge([evaluation(arm, values, num_defective=9) for arm, values in scores.items()], intervals)
    nothing = judge([evaluation(arm, (None, None, None, None)) for arm in ("perlin", "generated")])
    alone = judge([evaluation("generated", GOOD_ARM)])

    assert "raised image AP from 0.30 to 0.40" in images.sentence
    assert any(c.startswith("Small test set: 9 defective") for c in images.caveats)
    assert any("best image AUROC 0.55" in c for c in images.caveats)
    assert nothing.tone == "unknown"
    assert "no second arm" in alone.sentence


def test_a_part_with_most_of_the_defective_pixels_is_named() -> None:
    """Where the headline is about pixels; a gain in the mean over defects is told where pixel AP has none."""
    scores = {"perlin": (0.8, 0.8, 0.9, 0.200), "generated": (0.8, 0.8, 0.9, 0.203)}
    found = comparison(scores)
    macro = Estimate(value=0.1, low=0.05, high=0.15)
    gains = tuple(d.model_copy(update={"metrics": {**d.metrics, "pixel_ap_macro": macro}}) for d in found.differences)
    evaluations = [
        evaluation(arm, values, seed=seed).model_copy(update={"pixel_ap_macro": ap})
        for (arm, values), ap in zip(scores.items(), (0.3, 0.4), strict=True)
        for seed in range(3)
    ]
    one_part = {"differences": gains, "largest_group": "g153", "largest_share": 0.48}

    spread, held = (judge(evaluations, found.model_copy(update=u)) for u in ({"differences": gains}, one_part))

    assert spread.tone == "same"
    assert "Pixel AP, mean over defects rose from 0.30 to 0.40." in spread.caveats
    (named,) = (caveat for caveat in held.caveats if caveat not in spread.caveats)
    assert named.startswith("48% of all defective test pixels lie on one part (g153): pixel AP is mostly about it")


def test_boxes_keep_pixel_metrics_out_of_the_headline() -> None:
    """A detector that marks the defect alone loses pixel AP against boxes; the page says so, and only then."""
    scores = {"perlin": BASE_ARM, "generated": (0.90, 0.88, 0.93, 0.20)}
    masks = [evaluation(arm, values) for arm, values in scores.items()]
    boxes = [e.model_copy(update={"num_boxed": 5}) for e in masks]
    note = "5 of 97 defective test photos are labelled by boxes: pixel numbers count the surface in them as missed."

    before, after = (judge(evaluations, comparison(scores)) for evaluations in (masks, boxes))
    alone = judge(boxes[1:])
    plain, noted = (Page(render_report(content(category(evaluations=own)))).text for own in (masks, boxes))

    assert "pixel AP fell from 0.31 to 0.20" in before.sentence
    assert "raised image AP from 0.80 to 0.88" in after.sentence
    assert note in after.caveats
    assert "Pixel" not in " ".join(after.caveats)
    assert "image AP 0.88".lower() in alone.sentence.lower()
    assert note in alone.caveats
    assert f"tile: {note}" in noted
    assert "labelled by boxes" not in plain


def test_photos_without_a_label_are_counted_on_the_page() -> None:
    """It says which numbers they are in."""
    evaluations = [evaluation("perlin", BASE_ARM).model_copy(update={"num_unmarked": 7})]
    note = "7 of 97 defective test photos have no mask or box: they count in image numbers, and in no pixel number."

    assert note in judge(evaluations).caveats
    assert "Pixel AP" in judge(evaluations).sentence
    most = [e.model_copy(update={"num_unmarked": 49}) for e in evaluations]
    assert "Image AP" in judge(most).sentence
    assert f"tile: {note}" in Page(render_report(content(category(evaluations=evaluations)))).text


def test_outline_surrounds_the_mask_and_leaves_the_photo_alone() -> None:
    """The line lies outside of the mask, is drawn for a one-pixel mask too, and the input is not written to."""
    photo, mask = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), bool)
    mask[40, 20] = True

    same_size = outline(photo, mask, side=64)
    small = outline(np.full((512, 512, 3), 90, np.uint8), np.pad(mask, (0, 448)), side=64, colour=BOX_COLOUR)

    assert (photo == 90).all()
    assert (same_size[mask] == 90).all()
    assert (same_size == LABEL_COLOUR).all(-1).any()
    assert (small == BOX_COLOUR).all(-1).any()


@pytest.mark.parametrize(("x", "y"), [(0, 0), (40, 10), (90, 90)])
def test_detail_enlarges_the_region_of_the_mask(x: int, y: int) -> None:
    """The whole mask is inside the detail, at the border of the frame too, and fills a good part of it."""
    mask = box_mask(100, x=x, y=y, size=10)

    shown = detail(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), mask, side=80)

    assert shown.shape == (80, 80, 3)
    share = (shown > 127).mean() * 17**2
    assert 80 < share < 120


def test_detail_of_a_mask_as_large_as_the_frame_is_the_frame() -> None:
    """Nothing outside of the frame is asked for; an empty mask shows everything."""
    photo = texture(1)[:40]

    assert (detail(photo, np.ones((40, SIDE), bool), side=SIDE) == photo).all()
    assert (detail(photo, np.zeros((40, SIDE), bool), side=SIDE) == photo).all()


def test_heat_overlay_tints_only_where_the_map_is_high() -> None:
    """At 0 the photo is unchanged, at the peak it is red; values that are not numbers count as 0."""
    photo, heat = np.full((32, 32, 3), 128, np.uint8), np.zeros((32, 32), np.float32)
    heat[16:], heat[0] = 2.0, np.nan

    shown = heat_overlay(photo, heat, peak=2.0, side=32)

    assert (shown[:15] == 128).all()
    assert (shown[20:, :, 0] > shown[20:, :, 1] + 60).all()
    assert (heat_overlay(photo, heat * 0, peak=0.0, side=32) == photo).all()


def test_contact_sheet_holds_every_example() -> None:
    """Strips are laid out in columns; every example's generated picture is on the sheet; none is an error."""
    examples = [example(i) for i in range(5)]

    sheet = contact_sheet(examples, columns=2, side=SIDE)

    assert sheet.dtype == np.uint8
    assert sheet.shape[0] == 3 * (SIDE + 6) + 6
    windows = [np.abs(sheet[6:102, 6 + 2 * 102 :][:, :SIDE].astype(int) - e.generated).max() for e in examples]
    assert windows[0] == 0
    assert all(w > 0 for w in windows[1:])
    with pytest.raises(ValueError, match="0 examples"):
        contact_sheet([], columns=2)


def test_data_uris_keep_the_picture() -> None:
    """PNG is exact; JPEG is close, colours of thin lines included."""
    photo = outline(np.full((64, 64, 3), 90, np.uint8), box_mask(64), side=64)
    png = cv2.imdecode(np.frombuffer(encode_png(photo), np.uint8), cv2.IMREAD_COLOR)
    jpeg = cv2.imdecode(np.frombuffer(base64.b64decode(to_data_uri(photo)[23:]), np.uint8), cv2.IMREAD_COLOR)

    assert png is not None
    assert jpeg is not None
    assert (png[..., ::-1] == photo).all()
    line = (photo == LABEL_COLOUR).all(-1)
    assert np.abs(jpeg[..., ::-1][line].mean(0) - LABEL_COLOUR).max() < 12


def test_chart_draws_finite_values_inside_its_frame() -> None:
    """Points lie inside the axes, broken values are left out, a long curve is thinned, nothing gives no chart."""
    curve = [(i, 5.0 + np.sin(i / 50)) for i in range(5000)] + [(5000, float("nan")), (5001, float("inf"))]

    chart = line_chart({"a": curve, "empty": []}, x_label="step", y_label="loss")

    assert chart is not None
    (line,) = chart.lines
    points = [tuple(map(float, p.split(","))) for p in line.points.split()]
    assert 100 < len(points) <= 240
    assert all(chart.left <= x <= chart.right and chart.top <= y <= chart.bottom for x, y in points)
    assert all(chart.top - 0.1 <= t.at <= chart.bottom + 0.1 for t in chart.y_ticks)
    assert line_chart({"a": [(0, float("nan"))]}, x_label="step", y_label="loss") is None


def test_chart_of_a_wide_range_is_logarithmic_and_of_one_point_is_drawn() -> None:
    """A loss that falls by orders of magnitude stays readable; a single or constant value does not fail."""
    wide = line_chart({"a": [(0, 100.0), (1, 0.01)]}, x_label="step", y_label="loss")
    single = line_chart({"a": [(0, 0.0)]}, x_label="step", y_label="loss")

    assert wide is not None
    assert wide.y_label == "loss (log scale)"
    assert [t.label for t in wide.y_ticks] == ["0.01", "0.1", "1", "10", "100"]
    assert single is not None
    assert re.fullmatch(r"[\d.]+,[\d.]+", single.lines[0].points)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.11, 0.24), (-3, 17), (1e-5, 1.1e-5), (5, 5)])
def test_ticks_are_round_and_enclose_the_values(low: float, high: float) -> None:
    """Axes start and end at round numbers around the data, with a handful of steps."""
    ticks = nice_ticks(low, high)

    assert ticks[0] <= low * (1 + 1e-9)
    assert ticks[-1] >= high * (1 - 1e-9)
    assert 2 <= len(ticks) <= 9
