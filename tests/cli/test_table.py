"""The table that `anogen evaluate` prints."""

from anogen_core.evaluation import ArmEstimates, Comparison, Estimate, Evaluation
from anogen_core.metrics.predictions import METRICS
from flows.cli.evaluating import table


def test_table_on_standard_output_is_aligned() -> None:
    """A caption, one line per metric with a column per arm, then the gains of the last arm."""
    low, high = (Estimate(value=v, low=v - 0.1, high=v + 0.1) for v in (0.3, 0.4))
    gain = Estimate(value=0.1, low=0.05, high=0.15)
    comparison = Comparison(
        category="tile", detector="draem", seeds=(0, 1), replicates=100, num_images=9, num_defective=6, num_groups=8,
        arms=(
            ArmEstimates(arm="perlin", metrics=dict.fromkeys(METRICS, low)),
            ArmEstimates(arm="generated", metrics={**dict.fromkeys(METRICS, high), "pixel_iap": None}),
        ),
        differences=(ArmEstimates(arm="generated", against="perlin", metrics=dict.fromkeys(METRICS, gain)),),
    )  # fmt: skip

    lines = table(comparison, [], {"generated": 200}).splitlines()

    assert "9 held-out photos in 8 groups, 6 defective; seeds 0, 1" in lines[0]
    column = lines[1].index("generated")
    assert all(line[column:].startswith(("0.400 [0.300, 0.500]", "n/a")) for line in lines[2:13])
    assert lines[14].split() == ["generated", "-", "perlin"]
    assert lines[15].endswith("+0.100 [+0.050, +0.150]")


def test_table_says_how_many_photos_are_labelled_by_boxes() -> None:
    """In one line under the caption, and only then."""
    comparison = Comparison(
        category="tile", detector="fpn", seeds=(0,), replicates=100, num_images=14, num_defective=10, num_groups=14,
        arms=(ArmEstimates(arm="perlin", metrics={}),), differences=(),
    )  # fmt: skip
    masks = Evaluation(
        category="tile", detector="fpn", arm="perlin", seed=0, image_auroc=0.9, image_ap=0.9, pixel_auroc=0.9,
        pixel_ap=0.7, num_images=14, num_defective=10, excluded_ids=(),
    )  # fmt: skip
    boxes = masks.model_copy(update={"num_boxed": 5})

    plain, noted = (table(comparison, [e], {}).splitlines() for e in (masks, boxes))

    note = "5 of 10 defective test photos are labelled by boxes: pixel numbers count the surface in them as missed."
    assert noted == [plain[0], note, *plain[1:]]
