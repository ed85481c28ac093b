"""`anogen run` as a person meets it: one command, resumable, and everything it made can be read and checked."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
import zarr

from anogen_core.errors import InputError
from anogen_core.stages.result import choose_category, read_result

Anogen = Callable[..., "subprocess.CompletedProcess[str]"]


def write_run_file(path: Path, settings: dict[str, object], output: Path | str) -> Path:
    path.write_text(yaml.safe_dump({**settings, "output": str(output)}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, small_run: dict[str, object]
) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """One undisturbed run: its directory, and what the command said."""
    base = tmp_path_factory.mktemp("run")
    run_file = write_run_file(base / "run.yaml", small_run, base / "out")
    said = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", "run", str(run_file)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return base, said


def _datasets(base: Path) -> list[Path]:
    return sorted((base / "out" / "datasets").glob("*.zarr"))


def _digests(base: Path) -> dict[str, str]:
    return {path.name: json.loads((path / "manifest.json").read_text())["digest"] for path in _datasets(base)}


def test_run_ends_with_the_datasets_and_the_report(finished: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    """Standard output is the answer alone: one line per dataset and the report; both exist."""
    base, said = finished

    lines = said.stdout.splitlines()

    assert [line.split(": ")[0] for line in lines] == ["dataset", "dataset", "report"]
    assert all(Path(line.split(": ")[1]).exists() for line in lines)
    assert "Traceback" not in said.stderr
    assert not list((base / "out" / "datasets").glob("*.parts"))
    assert list((base / "out" / "running").iterdir()) == []


def test_the_report_is_written_again_from_whatever_names_the_run(
    finished: tuple[Path, "subprocess.CompletedProcess[str]"], anogen: Anogen
) -> None:
    """Its output, a dataset in it and its run file all lead to the same report."""
    base = finished[0]
    file = base / "out" / "report.html"

    for source in (base / "out", f"{_datasets(base)[0]}/", base / "run.yaml"):
        file.unlink()
        said = anogen("report", source)
        assert said.stdout == f"report: {file}\n", said.stderr
        assert file.is_file()


def test_a_moved_output_leads_to_what_it_holds(
    finished: tuple[Path, "subprocess.CompletedProcess[str]"], anogen: Anogen, tmp_path: Path
) -> None:
    """The report is written again from its own datasets, and an exported embedding has its preview."""
    base, there = finished[0], read_result(str(finished[0] / "out"))
    moved, away = tmp_path / "moved", base / "away"
    shutil.copytree(base / "out", moved)
    (moved / "report.html").unlink()
    (base / "out").rename(away)
    try:
        said = anogen("report", moved)
        embedding = there.categories[0].embeddings[0].uri.rpartition("/")[2]
        exported = anogen("embeddings", "export", moved, embedding, tmp_path / "exported")
    finally:
        away.rename(base / "out")

    assert said.stdout == f"report: {moved}/report.html\n", said.stderr
    assert (tmp_path / "exported" / "preview.png").is_file(), exported.stderr
    found = read_result(str(moved)).categories
    assert found[0].dataset is not None
    for made in found:
        for ref in (made.dataset, *made.embeddings, *made.checkpoints):
            assert ref is not None
            assert Path(ref.uri).parent.parent == moved
    assert there == read_result(f"{base}/out")
    assert Path(there.categories[0].dataset.uri).parent.parent == base / "out"  # type: ignore[union-attr]


def test_dataset_reads_with_zarr_and_numpy_alone(finished: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    """By the format's description alone: the totals reconcile and every background is byte-equal to its photo."""
    import cv2

    for path in _datasets(finished[0]):
        group = zarr.open_group(str(path), mode="r")
        ledger = pq.read_table(path / "samples.parquet").to_pylist()
        assert len(ledger) == 10
        assert sorted(row["row"] for row in ledger if row["outcome"] == "made") == list(range(group["image"].shape[0]))
        for row in ledger:
            if row["outcome"] != "made":
                assert row["reason"]
                continue
            image, mask = group["image"][row["row"]], group["box_mask"][row["row"]]
            normal = np.asarray(cv2.imread(row["normal_uri"]))[..., ::-1]
            x, y, w, h = row["box"]
            assert np.array_equal(image[mask == 0], normal[mask == 0])
            assert set(np.unique(mask)) == {0, 255}
            assert mask[y : y + h, x : x + w].sum() == mask.sum()


def test_progress_counts_all_images_from_the_beginning(
    finished: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    """Not those of the shards in work alone."""
    _, said = finished

    counts = re.findall(r"(bolt|felt): generate (\d+)/(\d+)", said.stderr)

    assert {name: int(done) for name, done, _ in counts} == {"bolt": 10, "felt": 10}
    assert {total for _, _, total in counts} == {"10"}


def test_second_run_finds_everything_finished(
    finished: tuple[Path, "subprocess.CompletedProcess[str]"], anogen: Anogen
) -> None:
    """Running again makes nothing again: same digests, and no stored object of a dataset is touched."""
    base, _ = finished
    before = {p: p.stat().st_mtime_ns for d in _datasets(base) for p in d.rglob("*") if p.is_file()}
    digests = _digests(base)

    said = anogen("run", base / "run.yaml")

    assert said.returncode == 0, said.stderr
    assert "made: nothing; kept: 4 learned defects, 2 datasets, 4 detectors" in said.stderr
    assert "made: 4 learned defects, 2 datasets, 4 detectors; kept: nothing" in finished[1].stderr
    assert _digests(base) == digests
    assert {p: p.stat().st_mtime_ns for d in _datasets(base) for p in d.rglob("*") if p.is_file()} == before


def test_a_failed_category_leaves_the_others_to_use(
    finished: tuple[Path, "subprocess.CompletedProcess[str]"], anogen: Anogen, photos: Path, tmp_path: Path
) -> None:
    """The finished one is printed, reported and predicts; the failed one has a reason; the exit code is 1."""
    base, output = finished[0], tmp_path / "out"
    shutil.copytree(base / "out", output)
    (output / "run.json").unlink()
    bolt, felt = sorted((output / "datasets").glob("*.zarr"))
    (bolt / "manifest.json").unlink()
    photo = photos / "felt" / "test" / "good" / "000.png"

    said = anogen("run", base / "run.yaml", "--set", f"output={output}")
    wanted = anogen("predict", output, photo, "--category", "bolt")
    other = anogen("predict", output, photo, "--category", "felt")

    reason = "is a Zarr group without a manifest of AnoGen."
    assert said.returncode == 1
    assert said.stdout == f"dataset: {felt}\nreport: {output}/report.html\n"
    assert "anogen: 1 of 2 categories failed (bolt):\n  bolt: " in said.stderr
    assert reason in said.stderr.splitlines()[-1]
    assert reason in (output / "report.html").read_text(encoding="utf-8")
    assert wanted.returncode == 2
    assert "bolt: it failed in the last run to" in wanted.stderr
    assert reason in wanted.stderr
    with pytest.raises(InputError, match=r"several categories\. Expected one of: felt"):
        choose_category(read_result(str(output)), None, str(output))
    assert other.returncode == 0, other.stderr


def test_inspect_verify_regenerate_and_pull(
    finished: tuple[Path, "subprocess.CompletedProcess[str]"], anogen: Anogen, tmp_path: Path
) -> None:
    """What reads a dataset agrees with it; one flipped byte is found."""
    dataset = _datasets(finished[0])[0]
    made = [row for row in pq.read_table(dataset / "samples.parquet").to_pylist() if row["outcome"] == "made"]

    summary = json.loads(anogen("inspect", dataset, "--json").stdout)
    assert summary["planned"] == sum(summary[k] for k in ("made", "filtered", "blocked", "failed")) == 10
    assert summary["image_size"] == [64, 64]
    assert sum(summary["defects"].values()) == summary["made"] == len(made)
    assert summary["sealed"] is True
    assert summary["base_model"]["licence"] == "none needed"

    again = anogen("regenerate", dataset, made[-1]["request_id"])
    assert again.returncode == 0, again.stderr
    assert "identical" in again.stdout

    assert anogen("pull", dataset, tmp_path / "pulled", "--as", "mvtec").returncode == 0
    assert len(list((tmp_path / "pulled").rglob("test/*/*.png"))) == len(made)

    damaged = tmp_path / dataset.name
    shutil.copytree(dataset, damaged)
    shard = max((p for p in (damaged / "image").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    assert anogen("verify", dataset).returncode == 0
    found = anogen("verify", damaged)
    assert found.returncode == 1
    assert str(shard.relative_to(damaged)) in found.stdout


def test_killed_run_resumes_to_the_same_dataset(
    finished: tuple[Path, "subprocess.CompletedProcess[str]"],
    small_run: dict[str, object],
    anogen: Anogen,
    tmp_path: Path,
) -> None:
    """`kill -9` at a random moment, twice, then once to the end: the digests of an undisturbed run."""
    run_file = write_run_file(tmp_path / "run.yaml", small_run, tmp_path / "out")
    delays = random.Random(0)
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", "from flows.cli import main; main()", "run", str(run_file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Somewhere between the first artefact and the end of the second category.
        started = time.monotonic()
        while not (tmp_path / "out" / "artifacts").exists() and time.monotonic() - started < 120:
            time.sleep(0.05)
        time.sleep(delays.uniform(0, 6))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    said = anogen("run", run_file)

    assert said.returncode == 0, said.stderr
    assert _digests(tmp_path) == _digests(finished[0])


@pytest.mark.s3
def test_dask_workers_write_the_same_datasets_to_an_object_store(
    finished: tuple[Path, "subprocess.CompletedProcess[str]"],
    small_run: dict[str, object],
    s3_bucket: str,
    anogen: Anogen,
    tmp_path: Path,
) -> None:
    """Law 1: where shards are made, of how many in a first run, and where they go, changes no byte.

    Every reader takes the address.
    """
    run_file = write_run_file(tmp_path / "run.yaml", small_run, f"{s3_bucket}/line-3")

    options = ("--set", "evaluation.enabled=false")
    fewer = anogen("run", run_file, *options, "--set", "generation.images_per_defect=3")
    said = anogen("run", run_file, *options, "--set", "runner={kind: dask, workers: 2}")

    assert (fewer.returncode, said.returncode) == (0, 0), said.stderr
    assert "images are there already" not in fewer.stderr
    assert "bolt: 6 of 10 images are there already and are reused." in said.stderr
    addresses = [line.split(": ")[1] for line in said.stdout.splitlines()]
    assert all(address.startswith(f"{s3_bucket}/line-3/") for address in addresses)
    for address in addresses[:-1]:
        summary = json.loads(anogen("inspect", address, "--json").stdout)
        assert summary["digest"] == _digests(finished[0])[address.rsplit("/", 1)[1]]
    assert anogen("verify", addresses[0]).returncode == 0
    assert anogen("pull", addresses[0], tmp_path / "pulled").returncode == 0
    assert list((tmp_path / "pulled").rglob("test/*/*.png"))


def test_wrong_bucket_is_told_before_compute(
    small_run: dict[str, object], s3_bucket: str, anogen: Anogen, tmp_path: Path
) -> None:
    """A bucket that is not there ends the run with one message and without a dataset."""
    run_file = write_run_file(tmp_path / "run.yaml", small_run, f"{s3_bucket}-missing/x")

    said = anogen("run", run_file)

    assert said.returncode == 1
    assert "anogen-tests-missing" in said.stderr
    assert "Traceback" not in said.stderr


def test_an_output_that_became_read_only_is_told(small_run: dict[str, object], anogen: Anogen, tmp_path: Path) -> None:
    """Files of an earlier run that cannot be written to are one message about the output."""
    run_file = write_run_file(tmp_path / "run.yaml", small_run, tmp_path / "out")
    (tmp_path / "out" / ".anogen" / "prefect" / "server.log").mkdir(parents=True)

    said = anogen("run", run_file)

    assert said.returncode == 2
    assert said.stderr.startswith(f"anogen: output: {tmp_path / 'out'} cannot be written to (")
    assert "fault of AnoGen" not in said.stderr


@pytest.mark.parametrize("runner", [{"kind": "threads"}, {"kind": "dask", "workers": 1}], ids=["threads", "dask"])
def test_interrupted_run_stops_soon_and_says_so(
    runner: dict[str, object], small_run: dict[str, object], tmp_path: Path
) -> None:
    """Ctrl-C in the middle of learning: one message, exit code 130, and a checkpoint to go on from."""
    endless = {"steps": 100_000, "validate_every": 5, "patience": 100_000}
    settings = {**small_run, "inversion": endless, "runner": runner}
    run_file = write_run_file(tmp_path / "run.yaml", settings, tmp_path / "out")
    process = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", "run", str(run_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = time.monotonic()
    while not (tmp_path / "out" / "artifacts" / "scratch").exists() and time.monotonic() - started < 120:
        time.sleep(0.1)

    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "Interrupted. Finished work is kept" in said[1]
    assert "Traceback" not in said[1]
    assert list((tmp_path / "out" / "artifacts" / "scratch").iterdir())


def test_terminated_run_stops_soon_and_can_be_resumed(small_run: dict[str, object], tmp_path: Path) -> None:
    """SIGTERM in the middle of learning ends the process long before its work; the checkpoint is kept."""
    settings = {**small_run, "inversion": {"steps": 100_000, "validate_every": 5, "patience": 100_000}}
    run_file = write_run_file(tmp_path / "run.yaml", settings, tmp_path / "out")
    process = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", "run", str(run_file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = time.monotonic()
    while not (tmp_path / "out" / "artifacts" / "scratch").exists() and time.monotonic() - started < 120:
        time.sleep(0.1)

    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)

    assert process.returncode != 0
    assert "Traceback" not in said[1]
    assert list((tmp_path / "out" / "artifacts" / "scratch").iterdir())


def test_threads_that_wait_leave_the_cores_to_other_processes(tmp_path: Path) -> None:
    """The setting is in the environment before PyTorch, and with it GNU OpenMP, is loaded."""
    said = _openmp_settings(tmp_path, {})
    if "GOMP_SPINCOUNT" not in said:
        pytest.skip("this PyTorch computes without GNU OpenMP")
    assert "GOMP_SPINCOUNT = '1000'" in said
    assert "GOMP_SPINCOUNT = '7'" in _openmp_settings(tmp_path, {"GOMP_SPINCOUNT": "7"})
    assert "GOMP_SPINCOUNT = '0'" in _openmp_settings(tmp_path, {"OMP_WAIT_POLICY": "passive"})


def _openmp_settings(tmp_path: Path, settings: dict[str, str]) -> str:
    """Return the settings that GNU OpenMP prints as it is loaded for a command that reads a run file."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP_"))}
    said = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", "run", str(tmp_path / "none.yaml")],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=environment | settings | {"OMP_DISPLAY_ENV": "verbose"},
    )
    assert said.returncode == 2, said.stderr
    return said.stderr
