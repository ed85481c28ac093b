"""Wrong input: one clear message, the right exit code, never a traceback."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

Anogen = Callable[..., "subprocess.CompletedProcess[str]"]


def test_help_imports_neither_torch_nor_prefect() -> None:
    """`anogen --help` answers without loading anything heavy."""
    code = (
        "import sys; sys.argv = ['anogen', '--help']\n"
        "from flows.cli.app import app\n"
        "try: app()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'prefect', 'dask', 'numpy', 'diffusers', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert said.returncode == 0, said.stderr
    for command in ("demo", "init", "check", "run", "inspect", "verify", "regenerate", "review", "pull", "report"):
        assert command in said.stdout


def test_a_run_file_is_read_without_the_libraries_of_networks_and_flows() -> None:
    """They take longer to import than to find a wrong field does."""
    code = (
        "import sys; import flows.cli.starting\n"
        "heavy = {'prefect', 'dask', 'diffusers', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)

    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["check", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["inspect", "nowhere.zarr"], "nowhere.zarr"),
        (["report", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["embeddings", "ls", "nowhere"], "nowhere: holds nothing"),
        (["init", "new.yaml", "--data", "nowhere"], "nowhere"),
        (["init", "nowhere/new.yaml", "--data", "."], "there is no directory nowhere"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_paths_and_commands_end_with_two(
    anogen: Anogen, tmp_path: Path, arguments: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is not there is named in one message; exit code 2."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    said = anogen(*arguments)

    assert said.returncode == 2, said.stderr
    assert expected in said.stderr
    assert "Traceback" not in said.stderr


def test_an_output_that_cannot_be_is_named(anogen: Anogen, photos: Path, tmp_path: Path) -> None:
    """A file stands where the run would write."""
    (tmp_path / "taken").write_text("")
    run_file = tmp_path / "run.yaml"
    run_file.write_text(f"output: taken\nreader: {{kind: mvtec, root: {photos}}}\n")

    said = anogen("run", run_file)

    assert said.returncode == 2
    assert f"output: {tmp_path / 'taken'} cannot be written to" in said.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without a GPU")
def test_a_gpu_that_is_not_there_is_told(anogen: Anogen, photos: Path, tmp_path: Path) -> None:
    """With what to do; not as an assertion of PyTorch."""
    run_file = tmp_path / "run.yaml"
    run_file.write_text(f"output: out\ndevice: cuda\nreader: {{kind: mvtec, root: {photos}}}\n")

    said = anogen("check", run_file)

    assert said.returncode == 2
    assert "device: cuda, but PyTorch" in said.stderr


def test_a_field_given_twice_is_named(anogen: Anogen, tmp_path: Path) -> None:
    """YAML would take the last one and say nothing."""
    run_file = tmp_path / "run.yaml"
    run_file.write_text("output: out\nseed: 1\nreader: {kind: mvtec, root: .}\nseed: 2\n")

    said = anogen("check", run_file)

    assert said.returncode == 2
    assert "the field 'seed' stands there twice" in said.stderr
    assert "line 4" in said.stderr


def test_a_placeholder_that_was_not_filled_in_is_told(anogen: Anogen, tmp_path: Path) -> None:
    """`{{ out }}` is a mapping whose name is a mapping."""
    run_file = tmp_path / "run.yaml"
    run_file.write_text("output: {{ out }}\nreader: {kind: mvtec, root: .}\n")

    said = anogen("check", run_file)

    assert said.returncode == 2
    assert "is not valid YAML" in said.stderr


def test_every_wrong_field_is_listed_at_once(anogen: Anogen, tmp_path: Path) -> None:
    """A typo, a wrong type and a missing field are told together, each with its place in the file."""
    run_file = tmp_path / "run.yaml"
    run_file.write_text("output: out\nsed: 3\ninversion: {steps: many}\nmask_sampler: {kind: box, rotate: 'False'}\n")

    said = anogen("check", run_file)

    assert said.returncode == 2
    assert "4 field(s)" in said.stderr
    for expected in ("reader: Field required", "did you mean 'seed'", "inversion.steps", "mask_sampler.rotate"):
        assert expected in said.stderr


def test_broken_photos_stop_check_and_run_with_two(
    anogen: Anogen, photos: Path, small_run: dict[str, object], tmp_path: Path
) -> None:
    """Every bad file is listed at once by `check` and by `run`, before any compute; nothing is written."""
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    (root / "bolt/test/cut/000.png").write_bytes((root / "bolt/test/cut/000.png").read_bytes()[:200])
    mask = root / "bolt/ground_truth/spot/001_mask.png"
    Image.new("L", Image.open(mask).size).save(mask)
    shutil.copy(root / "felt/train/good/000.png", root / "felt/test/good/again.png")
    settings = {**small_run, "reader": {"kind": "mvtec", "root": str(root)}, "output": "out"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))

    checked = anogen("check", tmp_path / "run.yaml", "--json")
    ran = anogen("run", tmp_path / "run.yaml")

    assert checked.returncode == ran.returncode == 2
    errors = [p for p in json.loads(checked.stdout)["problems"] if p["severity"] == "error"]
    for name in ("000.png", "001", "again.png"):
        assert any(name in p["file"] or name in p["what"] for p in errors)
        assert name in ran.stderr
    assert all(p["what"] and p["fix"] for p in errors)
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "out" / "datasets").exists()


def test_a_damaged_file_is_told_by_its_message_alone(anogen: Anogen, photos: Path, tmp_path: Path) -> None:
    """OpenCV would print what it thinks of it while `init` looks at masks."""
    root = shutil.copytree(photos, tmp_path / "photos")
    mask = root / "bolt/ground_truth/spot/001_mask.png"
    mask.write_bytes(mask.read_bytes()[:100])

    said = anogen("init", tmp_path / "run.yaml", "--data", root)

    assert said.returncode == 0
    assert said.stderr == ""


@pytest.mark.parametrize("command", ["check", "run"])
def test_many_errors_are_counted_by_reason_after_they_are_listed(
    anogen: Anogen, photos: Path, tmp_path: Path, command: str
) -> None:
    """Every file keeps its line; the one that is empty among many that are no images is seen at the end."""
    root = shutil.copytree(photos, tmp_path / "photos")
    good = root / "bolt/train/good"
    for i in range(30):
        (good / f"x{i:02}.png").write_text("no image" if i else "")
    (tmp_path / "run.yaml").write_text(f"output: out\nreader: {{kind: mvtec, root: {root}}}\n")

    said = anogen(command, tmp_path / "run.yaml")

    lines = (said.stdout + said.stderr).splitlines()
    assert said.returncode == 2
    assert sum(line.startswith(f"error: {good}/x") for line in lines) == 30
    counted = lines.index("Errors by reason, each as the first file has it:")
    assert counted > max(number for number, line in enumerate(lines) if line.startswith("error: /"))
    assert lines[counted + 1].startswith("    29 x is not a PNG, JPEG, BMP or TIFF image")
    assert lines[counted + 2] == "     1 x is empty (0 bytes)."


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_plan_without_room_ends_with_one(
    anogen: Anogen, photos: Path, small_run: dict[str, object], tmp_path: Path, command: str
) -> None:
    """Nothing is learned where every request is blocked: defect, reason and remedy are told once for each defect."""
    mask = np.zeros((8, 8), np.uint8)
    mask[0, 0] = 255
    cv2.imwrite(str(tmp_path / "legal.png"), mask)
    foreground = {"method": "full", "legal": str(tmp_path / "legal.png")}
    generation = {"images_per_defect": 3}
    settings = {**small_run, "reader": {"kind": "mvtec", "root": str(photos)}, "output": "out"}
    settings |= {"foreground": foreground, "generation": generation}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))

    said = anogen(command, tmp_path / "run.yaml")

    assert said.returncode == 1, said.stdout + said.stderr
    lines = [line for line in (said.stdout + said.stderr).splitlines() if "all of 3 requests are blocked" in line]
    assert [line.removeprefix("error: ").split(":")[0] for line in lines] == [
        "bolt/cut", "bolt/spot", "felt/cut", "felt/spot"
    ]  # fmt: skip
    assert all("lower `mask_sampler.min_overlap`" in line and "--picture" in line for line in lines)
    assert said.stdout.count("3 x, for example: ") == (4 if command == "check" else 0)
    assert ("plan 12/12" in said.stderr.splitlines()) == (command == "check")
    assert not (tmp_path / "out" / "artifacts").exists()


def test_init_writes_a_run_file_that_checks(anogen: Anogen, photos: Path, tmp_path: Path) -> None:
    """`init` looks at the photos; its file is commented, names every field and passes `check` as it stands."""
    run_file = tmp_path / "run.yaml"

    made = anogen("init", run_file, "--data", photos)
    again = anogen("init", run_file, "--data", photos)
    checked = anogen("check", run_file, "--json")

    assert made.returncode == 0, made.stderr
    assert "bolt: 9 normal photos; cut 5, spot 5" in made.stdout
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert checked.returncode == 0, checked.stderr + checked.stdout
    plan = json.loads(checked.stdout)["plan"]
    assert [c["category"] for c in plan["categories"]] == ["bolt", "felt"]
    assert run_file.read_text().count("# ") > 40


def test_a_pretraining_without_time_says_how_to_go_on(anogen: Anogen, tmp_path: Path) -> None:
    """It ends well and names no model, because none is there."""
    (tmp_path / "settings.yaml").write_text("corpus: {num_scenes: 40, scene_size: 128}\n")
    work, out, settings = (tmp_path / name for name in ("work", "out", "settings.yaml"))

    ended = anogen("pretrain", "--work", work, "--out", out, "--settings", settings, "--minutes", "0")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "The time was up before there was a model to export. The same command goes on from there.\n"
    assert "of 40 scenes; running again goes on" in ended.stderr
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["inspect", "s3://lines/out/datasets/bolt-1.zarr"], ["report", "s3://lines/out"]]
)
def test_a_wrong_endpoint_is_told_soon(anogen: Anogen, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that read wait seconds for a server that never answered, not the minutes that a run has patience."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    started = time.monotonic()

    said = anogen(*arguments)

    assert time.monotonic() - started < 60
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith("anogen: s3://lines/out")
    assert said.stderr.endswith("Check AWS_ENDPOINT_URL and the network.\n")
    assert "Traceback" not in said.stderr
