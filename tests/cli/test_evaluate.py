"""`anogen evaluate` as a person meets it: after a run it trains what is missing, and its numbers can be recomputed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from anogen_core.metrics.predictions import METRICS, Predictions
from anogen_core.records import Comparison, Evaluation
from anogen_core.storage.artifacts import ArtifactStore

Anogen = Callable[..., "subprocess.CompletedProcess[str]"]


def _detectors(output: Path) -> dict[str, int]:
    """Return when each detector's record was written."""
    return {p.parent.name: p.stat().st_mtime_ns for p in (output / "artifacts").glob("detector-*/artifact.json")}


def test_evaluate_after_run_trains_only_what_is_missing(
    small_run: dict[str, object], anogen: Anogen, tmp_path: Path
) -> None:
    """A run's detectors are reused; JSON is the whole answer; the table and the report show the same numbers."""
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
    table = anogen("evaluate", run_file, "--seeds", "2", "--set", "evaluation.replicates=100")
    assert table.returncode == 0, table.stderr
    assert _detectors(output) == after
    value = comparison.arms[3].metrics["pixel_ap"]
    assert value is not None
    shown = f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
    assert shown in table.stdout
    assert shown in (output / "report.html").read_text(encoding="utf-8")
