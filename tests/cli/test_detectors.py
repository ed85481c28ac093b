"""What a finished run's detectors are for: `anogen predict`, `anogen onnx`, `anogen evaluate`."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anogen_core.config import stored_config
from anogen_core.data.frame import DECODING, read_photo
from anogen_core.errors import InputError
from anogen_core.evaluation import Comparison, Evaluation
from anogen_core.metrics.predictions import METRICS, Predictions
from anogen_core.records import Decision, ReviewVerdict
from anogen_core.resizing import RULE
from anogen_core.stages.calibration import best_threshold, lenient_threshold
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.prediction import load_inspector
from anogen_core.stages.reporting import dataset_examples, write_report
from anogen_core.stages.result import FailedCategory, read_result, write_result
from anogen_core.storage import Dataset
from anogen_core.storage.artifacts import ArtifactStore
from anogen_core.storage.verdicts import VerdictWriter
from flows.cli.arguments import named_output
from flows.cli.predicting import _file_names, _photos

Anogen = Callable[..., "subprocess.CompletedProcess[str]"]


SCORES = st.lists(st.integers(0, 8), min_size=1, max_size=20)


@given(SCORES, SCORES)
def test_threshold_parts_best_of_all(defective: list[int], normal: list[int]) -> None:
    """No other threshold has a larger difference between the shares found, whatever the numbers of both are."""
    bad, good = np.array(defective, np.float32), np.array(normal, np.float32)

    def parted(threshold: float) -> float:
        return float((bad >= threshold).mean() - (good >= threshold).mean())

    assert parted(best_threshold(bad, good)) == pytest.approx(max(parted(t) for t in range(10)))
    assert best_threshold(np.repeat(bad, 7), good) == best_threshold(bad, good)


@given(SCORES, st.floats(0, 1))
def test_asked_false_alarms_are_kept_and_used(normal: list[int], share: float) -> None:
    """The threshold alarms at no more normal photos than asked, and no lower one of theirs would keep that."""
    good = np.array(normal, np.float32)

    threshold = lenient_threshold(good, share)

    assert (good >= threshold).mean() <= share + 1e-9
    lower = good[good < threshold]
    assert not len(lower) or (good >= lower.max()).mean() > share


def test_every_photo_has_a_heat_map_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a photo is called as another is with its directory, or lies in the directory where one is."""
    monkeypatch.chdir(tmp_path)
    given = ("in/good/000.png", "in/crack/000.png", "in/crack-000.png", "000.png", "in/crack/000.bmp")
    paths = [Path(photo) for photo in given]

    names = _file_names(paths)

    assert list(names) == paths
    assert len(set(names.values())) == 5
    assert names[paths[0]] == "good-000.png"
    assert names[paths[3]] == f"{tmp_path.name}-000.png"
    assert _file_names([Path("a/1.png"), Path("b/2.png")]) == {Path("a/1.png"): "1.png", Path("b/2.png"): "2.png"}


def test_images_that_are_not_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a directory photos are taken; images of other formats are counted, the first ones by name, other files not."""
    for name in ("a.png", "B.JPG", "c.webp", "deep/d.GIF", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert _photos([tmp_path]) == [tmp_path / "B.JPG", tmp_path / "a.png"]

    said = capsys.readouterr().err
    assert f"2 files of formats that are not read are skipped: {tmp_path}/c.webp, {tmp_path}/deep/d.GIF." in said
    for i in range(9):
        (tmp_path / f"deep/{i}.webp").touch()
    with pytest.raises(InputError, match="holds no photo"):
        _photos([tmp_path / "deep"])
    said = capsys.readouterr().err
    assert "10 files" in said
    assert said.count("deep/") == 5


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("runs/out", "runs/out"),
        ("s3://bucket/out/", "s3://bucket/out"),
        ("out/datasets/x.zarr", "out"),
        ("s3://bucket/out/datasets/x.zarr/", "s3://bucket/out"),
        ("datasets/x.zarr", "."),
        ("x.zarr", ".."),
        ("/x/datasets/y.zarr", "/x"),
    ],
)
def test_a_dataset_names_its_output(source: str, output: str) -> None:
    """From wherever it is named."""
    assert named_output(source) == output


@pytest.fixture(scope="module")
def finished(small_run: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return run file and output of a finished run of one category with detectors."""
    folder = tmp_path_factory.mktemp("finished")
    run_file, output = folder / "run.yaml", folder / "out"
    settings = {**small_run, "output": str(output), "support": {"shots": 2, "defects": ["felt/cut", "felt/spot"]}}
    run_file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", "run", str(run_file)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return run_file, output


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_finished_run_predicts_new_photos(
    finished: tuple[Path, Path], photos: Path, anogen: Anogen, tmp_path: Path
) -> None:
    """Photos get the scores that the evaluation stored; heat maps have the photo's size; bad files fail alone."""
    output = finished[1]
    foreign = cv2.imencode(".webp", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()
    bad_files = {"broken.png": b"no photo", "named.webp": foreign, "renamed.png": foreign}
    for name, data in bad_files.items():
        (tmp_path / name).write_bytes(data)
    given = [photos / "felt" / "test", *(tmp_path / name for name in bad_files)]

    said = anogen("predict", output, *given, "--json", "--heat", tmp_path / "heat")

    assert said.returncode == 1
    assert re.findall(r"(\S+): is not a PNG, JPEG, BMP or TIFF image", said.stderr) == [str(path) for path in given[1:]]
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
    assert all(bool(p["regions"]) == p["anomalous"] for p in answer["predictions"])
    bad = stored.score[stored.defective]
    assert 0 <= answer["calibration"]["generated_misses"] <= 1
    assert answer["calibration"]["real_misses"] == pytest.approx(float((bad < threshold).mean()))
    heat = sorted((tmp_path / "heat").glob("*.png"))
    assert [str(file) for file in heat] == sorted(p["heat_map"] for p in answer["predictions"])
    assert all(Path(p["heat_map"]).name.startswith(Path(p["image"]).parent.name) for p in answer["predictions"])
    photo = next((photos / "felt" / "test").rglob("*.png"))
    assert cv2.imread(str(heat[0])).shape == cv2.imread(str(photo)).shape  # type: ignore[union-attr]

    strict = anogen("predict", output, photo, "--json", "--false-alarms", "0")
    assert json.loads(strict.stdout)["calibration"]["normal_false_alarms"] == 0


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.slow
def test_a_detector_is_used_from_an_output_that_may_only_be_read(
    finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Its threshold is computed each time, and is the one that is stored where that may be."""

    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    output, asked = finished[1], 0.3 + number / 1000
    before = [path for path in output.rglob("*") if path.is_file()]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        closed = load_inspector(str(output), false_alarms=asked).calibration
    assert [path for path in output.rglob("*") if path.is_file()] == before

    assert load_inspector(str(output), false_alarms=asked).calibration == closed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_odd_about_a_photo_is_told(
    finished: tuple[Path, Path], photos: Path, anogen: Anogen, tmp_path: Path
) -> None:
    """Photos are scored and told of as `anogen check` does, and when the frame squeezes or enlarges them alone."""
    photo = next((photos / "felt" / "test").rglob("*.png"))
    bgr = cv2.imread(str(photo))
    assert bgr is not None
    given = _files_of_all_kinds(bgr, tmp_path / "given")
    cv2.imwrite(str(given / "tiny.png"), bgr[:3, :3])
    pages = [Image.fromarray(bgr), Image.fromarray(bgr[::-1])]
    pages[0].save(given / "pages.tif", save_all=True, append_images=pages[1:])

    said = anogen("predict", finished[1], photo, given, "--json")

    assert said.returncode == 0, said.stderr
    answers = json.loads(said.stdout)["predictions"]
    told = {Path(p["image"]).name: " ".join(w["what"] for w in p["warnings"]) for p in answers}
    assert told.pop(photo.name) == told.pop("L.png") == ""
    for name, what in {
        "turned.jpg": r"\(EXIF orientation 6\)",
        "long.png": r"^is 40x400 .* are 64x64: it is squeezed into the frame of 64x64\.$",
        "tiny.png": r"^is 3x3 .* are 64x64: it is enlarged to the frame of 64x64\.$",
        "pages.tif": "only the first is read",
        "twelve.png": "no value above 4095",
        "LA.png": "alpha channel",
        "RGBA.png": "alpha channel",
    }.items():
        assert re.search(what, told.pop(name))
    assert told == {}
    lines = re.findall(r"^warning: (\S+): ", said.stderr, re.MULTILINE)
    assert sorted(lines) == sorted(p["image"] for p in answers for _ in p["warnings"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_with_a_frame_of_another_form_photos_are_compared_with_the_runs_photos(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    """A set frame squeezes all photos alike: then their size as stored is what others should have."""
    output = Path(shutil.copytree(finished[1], tmp_path / "out"))
    assert load_inspector(str(output)).calibration.photo_size == (64, 64)
    result = json.loads((output / "run.json").read_text())
    result["settings"]["frame"]["size"] = [64, 64]
    (output / "run.json").write_text(json.dumps(result))
    for record in (output / "artifacts").glob("calibration-*/artifact.json"):
        record.write_text(record.read_text().replace('"photo_size":[64,64]', '"photo_size":[64,128]'))

    inspector = load_inspector(str(output))

    assert inspector.frame == (64, 64)
    assert inspector.usual == (64, 128)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_onnx_file_says_what_predict_says(
    finished: tuple[Path, Path], photos: Path, anogen: Anogen, tmp_path: Path
) -> None:
    """The documented example gives the scores of `predict`, whatever proportions, channels, depth or EXIF data are."""
    output = Path(shutil.copytree(finished[1], tmp_path / "out"))
    settings = json.loads((output / "run.json").read_text())
    settings["settings"]["frame"]["white_level"] = 4095
    (output / "run.json").write_text(json.dumps(settings))
    photo = next((photos / "felt" / "test").rglob("*.png"))
    bgr = cv2.imread(str(photo))
    assert bgr is not None
    given = _files_of_all_kinds(bgr, tmp_path / "given")
    answer = json.loads(anogen("predict", output, photo, given, "--json").stdout)
    assert len(answer["predictions"]) == 7

    written = anogen("onnx", output, tmp_path / "line" / "felt.onnx")

    assert written.returncode == 0, written.stderr
    assert written.stdout.strip() == str(tmp_path / "line" / "felt.onnx")
    assert "differs from PyTorch by at most" in written.stderr
    for said in answer["predictions"]:
        names = _follow_the_documentation(Path(written.stdout.strip()), Path(said["image"]))
        about = names["about"]
        assert names["score"][0] == pytest.approx(said["score"], abs=1e-4)
        decoded = names["decoded"](said["image"], about["white_level"])
        np.testing.assert_array_equal(decoded, read_photo(Path(said["image"]), white_level=4095))
        assert about["calibration"]["threshold"] == said["threshold"]
        assert about["decode"]["rule"] == DECODING
        assert about["resize"]["rule"] == RULE
    assert about["frame"] == [about["image_size"]] * 2 == list(bgr.shape[:2])


def _files_of_all_kinds(bgr: np.ndarray[Any, Any], folder: Path) -> Path:
    """Write a photo long, grey, grey with alpha, with alpha, of 12 bits in 16, and stored turned by a quarter."""
    folder.mkdir()
    cv2.imwrite(str(folder / "long.png"), cv2.resize(bgr, (400, 40)))
    cv2.imwrite(str(folder / "twelve.png"), bgr.astype(np.uint16) * 16)
    rgb = Image.fromarray(np.ascontiguousarray(bgr[..., ::-1]))
    for mode in ("L", "LA", "RGBA"):
        rgb.convert(mode).save(folder / f"{mode}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.rotate(90).resize((96, 64)).save(folder / "turned.jpg", exif=exif)
    return folder


def _follow_the_documentation(file: Path, photo: Path) -> dict[str, Any]:
    """Return the variables of the example of docs/evaluation.md after it was run on a photo."""
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (example,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "onnxruntime" in code)
    names: dict[str, Any] = {}
    exec(example.replace("FILE.onnx", str(file)).replace("PHOTO.png", str(photo)), names)  # noqa: S102
    return names


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rejected_images_decide_no_threshold(
    finished: tuple[Path, Path], photos: Path, anogen: Anogen, tmp_path: Path
) -> None:
    """A threshold that was stored before the review is not found again; without photos, what to do is told."""
    output = Path(shutil.copytree(finished[1], tmp_path / "out"))
    photo = next((photos / "felt" / "test").rglob("*.png"))
    before = load_inspector(str(output), category=None, arm=None, false_alarms=None).calibration
    (made,) = read_result(str(output)).categories
    assert made.dataset is not None
    dataset = Dataset(f"{output}/datasets/{Path(made.dataset.uri).name}")
    rows = dataset.made()
    writer = VerdictWriter(dataset.uri, dataset.manifest.digest)
    for row in rows[1:]:
        writer.add(
            ReviewVerdict(request_id=row.request_id, decision=Decision.REJECT, who="ada", when=datetime.now(UTC))
        )

    said = anogen("predict", output, photo, "--json")

    calibration = json.loads(said.stdout)["calibration"]
    assert before.num_generated == len(rows)
    assert calibration["num_generated"] == 1
    result = json.loads((output / "run.json").read_text())
    result["settings"]["reader"]["root"] = str(tmp_path / "nowhere")
    (output / "run.json").write_text(json.dumps(result))
    assert json.loads(anogen("predict", output, photo, "--json").stdout)["calibration"] == calibration
    asked = anogen("predict", output, photo, "--arm", "perlin")
    assert asked.returncode == 2
    assert "run `anogen predict` once where the run's photos are" in asked.stderr


def _detectors(output: Path) -> dict[str, int]:
    """Return when each detector's record was written."""
    return {p.parent.name: p.stat().st_mtime_ns for p in (output / "artifacts").glob("detector-*/artifact.json")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_evaluate_after_run_trains_only_what_is_missing(finished: tuple[Path, Path], anogen: Anogen) -> None:
    """A run's detectors are reused; JSON is the whole answer; the report shows the same numbers."""
    run_file, output = finished
    from_run = _detectors(output)

    said = anogen(
        "evaluate", run_file, "--seeds", "2", "--amounts", "2,4000", "--json", "--set", "evaluation.replicates=100",
        "--set", "evaluation.arms=[perlin, cutpaste+generated, generated]",
    )  # fmt: skip

    assert said.returncode == 0, said.stderr
    assert "felt: 10 images are too few for these arms, left out: generated:4000." in said.stderr
    answer = json.loads(said.stdout)
    (comparison,) = (Comparison.model_validate(c) for c in answer["comparisons"])
    evaluations = [Evaluation.model_validate(e) for e in answer["evaluations"]]
    after = _detectors(output)
    assert len(from_run) == 2
    assert {key: after[key] for key in from_run} == from_run
    assert len(after) == 8
    assert [a.arm for a in comparison.arms] == ["generated:2", "perlin", "cutpaste+generated", "generated"]
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
    page = (output / "report.html").read_text(encoding="utf-8")
    assert shown in page
    assert "How many images are enough" in page
    assert "left out: generated:4000." in page


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_evaluate_can_draw_a_dataset_for_each_seed(finished: tuple[Path, Path], anogen: Anogen, tmp_path: Path) -> None:
    """The run's own is the first; the plan, the table and the report tell of the others; again nothing is made."""
    run_file, output = finished[0], Path(shutil.copytree(finished[1], tmp_path / "out"))
    here = ("--set", f"output={output}", "--set", "evaluation.replicates=100")
    planned = anogen("check", run_file, *here, "--set", "evaluation.seeds=2", "--set", "evaluation.redraw=true")
    before = {p.name for p in (output / "datasets").glob("*.zarr")}
    arms = ("--set", "evaluation.arms=[perlin, generated]")

    said, again = (anogen("evaluate", run_file, "--seeds", "2", "--redraw", *here, *arms) for _ in range(2))

    assert "1 more dataset(s) are to be made for further seeds" in planned.stdout
    assert said.returncode == again.returncode == 0, said.stderr + again.stderr
    assert "seeds 0, 1, each on a dataset of its own" in said.stdout
    assert again.stdout == said.stdout
    (made,) = read_result(str(output)).categories
    after = {p.name for p in (output / "datasets").glob("*.zarr")}
    assert after - before == {Path(dataset.uri).name for dataset in made.redrawn}
    assert len(after) == len(before) + 1
    assert made.made == {"datasets": 0, "detectors": 0}
    report = (output / "report.html").read_text(encoding="utf-8")
    assert "drawn anew for each seed" in report
    assert all(dataset.uri in report for dataset in made.redrawn)
    assert "used by the last run" in anogen("datasets", output).stdout.splitlines()[0]
    lonely = anogen("evaluate", run_file, "--seeds", "1", "--redraw", *here, "--set", "evaluation.arms=[perlin]")
    assert "warning: evaluation.redraw changes nothing with one seed" in lonely.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_report_shows_photos_that_are_as_they_were(finished: tuple[Path, Path], photos: Path, tmp_path: Path) -> None:
    """A support photo that is gone and a normal photo that was replaced are left out; the former is told."""
    output = Path(shutil.copytree(finished[1], tmp_path / "out"))
    root = Path(shutil.copytree(photos, tmp_path / "photos"))
    result = read_result(str(output))
    stored = stored_config(result.settings, output=str(output), source="run.json")
    config = stored.model_copy(update={"reader": stored.reader.model_copy(update={"root": str(root)})})
    (made,) = result.categories
    (first, *_) = (s for s in read_category(config, "felt").samples if s.sha256 in made.embeddings[0].support_sha256)
    examples = dataset_examples(config, made, first.defect, 3)
    assert made.dataset is not None
    row = Dataset(made.dataset.uri).request(examples[0].request_id)
    normal = root / Path(row.normal_uri).relative_to(photos)
    Path(first.image_uri).unlink()
    Image.fromarray(255 - np.asarray(Image.open(normal))).save(normal)
    again = config.model_copy(update={"reader": config.reader.model_copy(update={"root": f"{root}/"})})

    report = Path(write_report(again, result)).read_text()

    assert (
        f"1 of {len(made.embeddings[0].support_sha256)} photos that {first.defect} was learned from are not" in report
    )
    assert f"Support photo {first.sample_id} " not in report
    left = {example.request_id for example in dataset_examples(again, made, first.defect, 3)}
    assert examples[0].request_id not in left


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_category_that_fails_or_is_left_out_keeps_its_earlier_detectors(
    finished: tuple[Path, Path], photos: Path, anogen: Anogen, tmp_path: Path
) -> None:
    """However often it fails, and whatever the settings of these runs; what finishes takes their place."""
    output = Path(shutil.copytree(finished[1], tmp_path / "out"))
    photo = next((photos / "felt" / "test" / "cut").rglob("*.png"))
    before = load_inspector(str(output)).inspect(photo)[0]
    good = read_result(str(output))
    config = stored_config(good.settings, output=str(output), source="run.json")
    other = config.model_copy(update={"frame": config.frame.model_copy(update={"white_level": 4095}), "seed": 5})
    for reason in ("the photo is gone", "the disk is full"):
        write_result(other, [], failed=[FailedCategory(category="felt", reason=reason)])

    said = anogen("predict", output, photo, "--json")

    assert said.returncode == 0, said.stderr
    answer = json.loads(said.stdout)
    assert answer["predictions"][0]["score"] == pytest.approx(before.score)
    assert answer["calibration"]["threshold"] == before.threshold
    warning = f"felt failed in the last run to {output} (the disk is full): this is an earlier run's."
    assert answer["warning"] == warning
    assert f"warning: {warning}\n" in said.stderr
    assert load_inspector(str(output), category="felt").warning == warning
    write_result(config, good.categories)
    assert read_result(str(output)).earlier == ()
    assert load_inspector(str(output)).warning is None
    write_result(config, [one.model_copy(update={"category": "bolt"}) for one in good.categories])
    with pytest.raises(InputError, match=r"several categories\. Expected one of: bolt, felt"):
        load_inspector(str(output))
    warning = f"felt was not part of the last run to {output}: this is an earlier run's."
    assert load_inspector(str(output), category="felt").warning == warning


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_arms_without_generated_images_learn_and_generate_nothing(
    small_run: dict[str, object], tmp_path: Path, anogen: Anogen
) -> None:
    """Support photos and defects pasted at planned places are compared; nothing can set a threshold for `predict`."""
    run_file, output = tmp_path / "run.yaml", tmp_path / "out"
    settings = {**small_run, "output": str(output), "support": {"shots": 2, "defects": ["felt/cut", "felt/spot"]}}
    run_file.write_text(yaml.safe_dump(settings), encoding="utf-8")

    said = anogen(
        "evaluate", run_file, "--seeds", "1", "--set", "evaluation.replicates=100",
        "--set", "evaluation.arms=[perlin, support_only, 'cutpaste:4', 'cutpaste:11', cutpaste]", "--json",
    )  # fmt: skip

    assert said.returncode == 0, said.stderr
    (comparison,) = (Comparison.model_validate(c) for c in json.loads(said.stdout)["comparisons"])
    assert [a.arm for a in comparison.arms] == ["perlin", "support_only", "cutpaste:4", "cutpaste"]
    assert "too few for these arms, left out: cutpaste:11" in said.stderr
    assert len(_detectors(output)) == 4
    assert {p.name.split("-")[0] for p in (output / "artifacts").iterdir()}.isdisjoint({"embedding", "likeness"})
    assert not (output / "datasets").exists()
    assert "no detector learned from generated images" in (output / "report.html").read_text(encoding="utf-8")
    asked = anogen("predict", output, next(Path(str(small_run["reader"]["root"])).rglob("*.png")))  # type: ignore[index]
    assert asked.returncode == 2
    assert "the last run generated nothing of felt" in asked.stderr


def test_wrong_choices_are_named(anogen: Anogen, tmp_path: Path) -> None:
    """An output without a finished run is one message."""
    said = anogen("predict", tmp_path, tmp_path / "photo.png")

    assert said.returncode == 2
    assert "holds no run.json" in said.stderr
