"""`anogen predict` as a person meets it: photos in, scores and verdicts out, with the threshold's own error."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anogen_core.metrics.predictions import Predictions
from anogen_core.stages.prediction import best_threshold
from anogen_core.stages.result import read_result
from anogen_core.storage.artifacts import ArtifactStore

Anogen = Callable[..., "subprocess.CompletedProcess[str]"]


@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=30).filter(
        lambda x: any(b for _, b in x)
    )
)
def test_threshold_has_the_best_f1_of_all(pairs: list[tuple[int, bool]]) -> None:
    """No other threshold is better on the same scores, and the stated F1 is that of the threshold."""
    scores = np.array([score for score, _ in pairs], np.float32)
    defective = np.array([bad for _, bad in pairs])

    def f1(threshold: float) -> float:
        found = scores >= threshold
        return float(2 * (found & defective).sum() / (found.sum() + defective.sum()))

    threshold, stated = best_threshold(scores, defective)

    assert stated == pytest.approx(f1(threshold))
    assert stated == pytest.approx(max(f1(float(score)) for score in scores))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_finished_run_predicts_new_photos(
    small_run: dict[str, object], photos: Path, anogen: Anogen, tmp_path: Path
) -> None:
    """Photos get the scores that the evaluation stored; heat maps have the photo's size; a bad file fails alone."""
    run_file, output = tmp_path / "run.yaml", tmp_path / "out"
    settings = {**small_run, "output": str(output), "support": {"shots": 2, "defects": ["felt/cut", "felt/spot"]}}
    run_file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert anogen("run", run_file).returncode == 0
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no photo")

    said = anogen("predict", output, photos / "felt" / "test", broken, "--json", "--heat", tmp_path / "heat")

    assert said.returncode == 1
    assert "broken.png" in said.stderr
    assert "on held-out real photos it missed" in said.stderr
    answer = json.loads(said.stdout)
    (result,) = read_result(str(output)).categories
    evaluation = next(e for e in result.evaluations if e.arm == "generated")
    stored = Predictions.from_bytes(
        ArtifactStore(f"{output}/artifacts").read(str(evaluation.predictions), "predictions.npz")
    )
    expected = dict(zip(stored.sample_id.tolist(), stored.score.tolist(), strict=True))
    scores = {"/".join(Path(p["image"]).with_suffix("").parts[-4:]): p["score"] for p in answer["predictions"]}
    assert expected
    for sample_id, score in expected.items():
        assert scores[sample_id] == pytest.approx(score, abs=1e-5)
    threshold = answer["calibration"]["threshold"]
    assert all(p["anomalous"] == (p["score"] >= threshold) for p in answer["predictions"])
    bad = stored.score[stored.defective]
    assert answer["calibration"]["real_misses"] == pytest.approx(float((bad < threshold).mean()))
    heat = sorted((tmp_path / "heat").glob("*.png"))
    assert len(heat) == len(answer["predictions"])
    photo = next((photos / "felt" / "test").rglob("*.png"))
    assert cv2.imread(str(heat[0])).shape == cv2.imread(str(photo)).shape  # type: ignore[union-attr]

    written = anogen("onnx", output, tmp_path / "line" / "felt.onnx")

    assert written.returncode == 0, written.stderr
    assert written.stdout.strip() == str(tmp_path / "line" / "felt.onnx")
    assert "differs from PyTorch by at most" in written.stderr
    session = onnxruntime.InferenceSession(written.stdout.strip(), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["anogen"])
    assert about["calibration"]["threshold"] == threshold
    rgb = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
    assert about["frame"] == [about["image_size"]] * 2 == list(rgb.shape[:2])
    (score,), _ = session.run(["score", "anomaly_map"], {"photo": rgb[None]})
    assert score == pytest.approx(scores["/".join(photo.with_suffix("").parts[-4:])], abs=1e-4)


def test_wrong_choices_are_named(anogen: Anogen, tmp_path: Path) -> None:
    """An output without a finished run is one message."""
    said = anogen("predict", tmp_path, tmp_path / "photo.png")

    assert said.returncode == 2
    assert "holds no run.json" in said.stderr
