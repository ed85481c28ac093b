"""`anogen evaluate` as a person meets it: after a run it trains what is missing, and its numbers can be recomputed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from anogen_core.evaluation import ArmEstimates, Comparison, Estimate, Evaluation
from anogen_core.metrics.predictions import METRICS, Predictions
from anogen_core.storage.artifacts import ArtifactStore
from flows.cli.evaluating import table

Anogen = Callable[..., "subprocess.CompletedProcess[str]"]


def _detectors(output: Path) -> dict[str, int]:
    """Return when each detector's record was written."""
    return {p.parent.name: p.stat().st_mtime_ns for p in (output / "artifacts").glob("detector-*/artifact.json")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_evaluate_after_run_trains_only_what_is_missing(
    small_run: dict[str, object], anogen: Anogen, tmp_path: Path
) -> None:
    """A run's detectors are reused; JSON is the whole answer; the report shows the same numbers."""
    run_file, output = tmp_path / "run.yaml", tmp_path / "out"
    settings = {**small_run, "output": str(output), "support": {"shots": 2, "defects": ["felt/cut", "felt/spot"]}}
    run_file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert anogen("run", run_file).returncode == 0
    from_run = _detectors(output)

    said = anogen("evaluate", run_file, "--seeds", "2", "--json", "--set", "evaluation.replicates=100")

    assert said.returncode == 0, said.stderr
    answer = json.loads(said.stdout)
    (comparison,) = (Comparison.model_validate(c) for c in answer["comparisons"])
    evaluations = [Evaluation.model_validate(e) for e in answer["evaluations"]]
    after = _detectors(output)
    assert len(from_run) == 2
    assert {key: after[key] for key in from_run} == from_run
    assert len(after) == 8
    assert [a.arm for a in comparison.arms] == ["perlin", "support_only", "cutpaste", "generated"]
    assert comparison.seeds == (0, 1)
    assert len({e.predictions for e in evaluations}) == 8
    for evaluation in evaluations:
        stored = ArtifactStore(f"{output}/artifacts").read(str(evaluation.predictions), "predictions.npz")
        again = Predictions.from_bytes(stored)
        assert again.metrics() == {name: getattr(evaluation, name) for name in METRICS}
        assert not set(again.sample_id.tolist()) & set(evaluation.excluded_ids)
    value = comparison.arms[3].metrics["pixel_ap"]
    assert value is not None
    shown = f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
    assert shown in (output / "report.html").read_text(encoding="utf-8")


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

    lines = table(comparison).splitlines()

    assert "9 held-out photos in 8 groups, 6 defective; seeds 0, 1" in lines[0]
    column = lines[1].index("generated")
    assert all(line[column:].startswith(("0.400 [0.300, 0.500]", "n/a")) for line in lines[2:12])
    assert lines[13].split() == ["generated", "-", "perlin"]
    assert lines[14].endswith("+0.100 [+0.050, +0.150]")
