"""Where more generated images no longer help."""

from itertools import combinations

import pytest

from anogen_core.evaluation import ArmEstimates, Comparison, Estimate
from anogen_core.metrics.predictions import METRICS
from anogen_core.report.sweep import sweep_of


def comparison(scores: dict[str, float], *, margin: float = 0.02) -> Comparison:
    """Return arms whose metrics are all the same; differences are clear when larger than the margin."""

    def estimates(value: float) -> dict[str, Estimate | None]:
        return dict.fromkeys(METRICS, Estimate(value=value, low=value - margin, high=value + margin))

    return Comparison(
        category="tile", detector="fpn", seeds=(0,), replicates=100, num_images=9, num_defective=6, num_groups=8,
        arms=tuple(ArmEstimates(arm=arm, metrics=estimates(value)) for arm, value in scores.items()),
        differences=tuple(
            ArmEstimates(arm=arm, against=other, metrics=estimates(scores[arm] - scores[other]))
            for other, arm in combinations(scores, 2)
        ),
    )  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_the_smallest_amount_that_none_beats_is_named(order: int) -> None:
    """Whichever arm the run file has first."""
    scores = {"perlin": 0.2, "generated:25": 0.4, "generated:50": 0.5, "generated:100": 0.51, "generated": 0.515}

    sweep = sweep_of(comparison(dict(list(scores.items())[::order])), {"generated": 200})

    assert sweep is not None
    (table,) = sweep.tables
    assert [amount for amount, _ in table.rows] == ["0", "25", "50", "100", "200"]
    gains = [cells[-1] for _, cells in table.rows]
    assert gains[:3] == ["", "+0.200 [+0.180, +0.220]", "+0.100 [+0.080, +0.120]"]
    assert table.sentence.startswith("More than 50 images are not shown to help.")
    assert "200 images minus that of 50: +0.015 [-0.005, +0.035]" in table.sentence
    assert sweep.chart is not None
    assert len(sweep.chart.lines[0].spans) == 5


def test_a_gain_that_goes_on_is_said() -> None:
    """The last step was still worth its images."""
    sweep = sweep_of(comparison({"perlin": 0.2, "generated:25": 0.3, "generated": 0.4}), {"generated": 50})

    assert sweep is not None
    assert "still rises at 50 images (+0.100 [+0.080, +0.120] over 25)" in sweep.tables[0].sentence


def test_one_amount_alone_has_no_sentence_to_defend() -> None:
    """Nothing smaller or larger to compare it with."""
    sweep = sweep_of(comparison({"generated:25": 0.3, "cutpaste": 0.2}), {"generated": 50})

    assert sweep is None


def test_another_metric_may_be_followed() -> None:
    """As where boxes make the pixel metrics tell less: its gains, its sentence and its curve."""
    sweep = sweep_of(comparison({"perlin": 0.2, "generated:25": 0.3}), {}, metric="image_ap")

    assert sweep is not None
    assert sweep.metric == "Image AP"
    assert sweep.tables[0].columns[-1] == "Image AP, gain over the row above"
    assert sweep.tables[0].sentence.startswith("Image AP still rises")
    assert sweep.chart is not None
    assert sweep.chart.y_label == "Image AP"


def test_without_amounts_there_is_no_sweep() -> None:
    """The usual arms."""
    assert sweep_of(comparison({"perlin": 0.2, "generated": 0.4}), {"generated": 50}) is None
