"""What does orchestration cost per shard, does a run of thousands of shards stay healthy, how fast are shards stored?

python benchmarks/orchestration.py overhead [shards]
python benchmarks/orchestration.py many [categories] [shards of each] [threads|dask]
python benchmarks/orchestration.py storage PLACE...

The first two run empty shards through the product's own policy, runners and collection, on a Prefect server as `anogen
run` starts one. The third writes and reads shards at each PLACE (a directory or s3://bucket/prefix) and compares with
the same bytes written and read without AnoGen.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from flows.local_api import LocalApi, quiet_environment

_RUNNERS: dict[str, dict[str, Any]] = {
    "threads": {"kind": "threads", "workers": 1},
    "dask": {"kind": "dask", "workers": 2},
}


def main() -> None:
    """Run what the command line names."""
    command, *rest = sys.argv[1:]
    if command == "storage":
        storage(rest)
        return
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as processes:
        if command == "overhead":
            overhead(Path(folder), int(rest[0]) if rest else 200)
        else:
            numbers = [int(word) for word in rest if word.isdigit()]
            categories, shards = (*numbers, 73, 27)[:2] if len(numbers) != 1 else (numbers[0], 27)
            many(Path(folder), categories, shards, "dask" if "dask" in rest else "threads", processes)


@contextmanager
def server(folder: Path) -> Iterator[dict[str, int]]:
    """Start a Prefect server as a run does; gives the processes to watch by name."""
    os.environ.update(quiet_environment(folder / "prefect"))
    api = LocalApi(folder / "prefect")
    api.wait()
    os.environ["PREFECT_API_URL"] = api.url
    try:
        yield {"server": api._process.pid, "flow": os.getpid()}  # noqa: SLF001
    finally:
        api.stop()


def overhead(folder: Path, count: int) -> None:
    """Print seconds per empty shard for each kind of runner, and the machine's load beside them."""
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| runner | shards | seconds | ms per shard | of these to submit |\n|---|---|---|---|---|")
    for name, settings in _RUNNERS.items():
        _print_overhead(folder, f"{name}, {settings['workers']} worker(s)", settings, count)
    with remote_dask(folder, workers=2) as address:
        _print_overhead(folder, "dask at an address, 2 workers", {"kind": "dask", "address": address}, count)


def _print_overhead(folder: Path, title: str, runner: dict[str, Any], count: int) -> None:
    run_empty(folder, runner, [2])  # workers import what they need
    (submitted, seconds), *_ = run_empty(folder, runner, [count])
    print(f"| {title} | {count} | {seconds:.1f} | {1000 * seconds / count:.0f} | {1000 * submitted / count:.0f} |")


def many(folder: Path, categories: int, shards: int, runner: str, processes: dict[str, int]) -> None:
    """Print the memory of every process over a run of many categories with many shards."""
    samples: list[tuple[float, dict[str, float]]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(2):
            samples.append((time.monotonic(), {name: _megabytes(pid) for name, pid in _all(processes).items()}))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, cpu = time.monotonic(), {name: _cpu_seconds(pid) for name, pid in processes.items()}
    done = run_empty(folder, _RUNNERS[runner], [shards] * categories)
    seconds = time.monotonic() - started
    used = {name: 1000 * (_cpu_seconds(pid) - cpu[name]) / categories / shards for name, pid in processes.items()}
    ended.set()
    watcher.join()
    print(f"{categories} categories with {shards} shards each on {runner}: {seconds:.0f} s")
    print("CPU time per shard in ms, ended children included: " + ", ".join(f"{n} {ms:.0f}" for n, ms in used.items()))
    quarter = max(1, len(done) // 4)
    parts = [sum(s for _, s in done[i : i + quarter]) / quarter / shards for i in range(0, quarter * 4, quarter)]
    print("ms per shard in each quarter of the categories: " + ", ".join(f"{1000 * p:.0f}" for p in parts))
    database = sum(p.stat().st_size for p in (folder / "prefect").glob("prefect.db*")) / 2**20
    print(f"database {database:.1f} MiB\n| part of the run | memory in MiB |\n|---|---|")
    for part in range(0, 101, 10):
        _, memory = samples[min(len(samples) - 1, part * len(samples) // 100)]
        print(f"| {part} % | {', '.join(f'{name} {value:.0f}' for name, value in memory.items())} |")


def run_empty(folder: Path, runner: dict[str, Any], counts: list[int]) -> list[tuple[float, float]]:
    """Run one category for each count of empty shards; return seconds to submit, and in all, of each."""
    from prefect import flow, task, unmapped  # noqa: PLC0415
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings  # noqa: PLC0415

    from anogen_core.config import RunConfig, parse_config  # noqa: PLC0415
    from anogen_core.settings import fingerprint  # noqa: PLC0415
    from anogen_core.shards import Shard  # noqa: PLC0415
    from anogen_core.storage.commit import ShardReceipt  # noqa: PLC0415
    from flows.collect import collect, fresh  # noqa: PLC0415
    from flows.runners import task_runners  # noqa: PLC0415
    from tasks import policy  # noqa: PLC0415

    values = {"output": str(folder / "out"), "reader": {"kind": "mvtec", "root": "-"}, "runner": runner}
    config = parse_config(values, source="benchmark")

    def key(shard: Shard, nonce: str, config: RunConfig) -> str:
        del config
        return f"empty-{fingerprint([nonce, shard.index])}"

    @task(task_run_name="empty shard {shard.index}", cache_key_fn=policy.by_content(key), **policy.DEVICE_WORK)
    def empty_shard(shard: Shard, nonce: str, config: RunConfig) -> dict[str, Any]:
        del nonce, config
        counts = {"made": 0, "filtered": 0, "blocked": 0, "failed": 0}
        return {"shard": shard.index, "attempt": "0", "digest": "0", "seconds": 0.0, **counts}

    @flow(persist_result=False)
    def category(number: int, count: int) -> tuple[float, float]:
        started = time.monotonic()
        shards = [Shard(index=i, requests=()) for i in range(count)]
        nonce = f"{started} {number}"
        futures = fresh(empty_shard, known=False).map(shards, nonce=unmapped(nonce), config=unmapped(config))
        submitted = time.monotonic() - started
        collect(futures, ShardReceipt, stage=f"category {number}: generate")
        return submitted, time.monotonic() - started

    @flow(persist_result=False)
    def fleet() -> list[tuple[float, float]]:
        with task_runners(config.runner) as new_runner:
            return [
                category.with_options(task_runner=new_runner())(number, count) for number, count in enumerate(counts)
            ]

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return fleet()


@contextmanager
def remote_dask(folder: Path, workers: int) -> Iterator[str]:
    """Start a scheduler and workers as processes of their own; gives the scheduler's address."""
    dask = str(Path(sys.executable).with_name("dask"))
    file = folder / "scheduler.json"
    started = [
        subprocess.Popen(  # noqa: S603
            [dask, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for words in (
            ["scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={file}"],
            *[["worker", f"--scheduler-file={file}", "--host=127.0.0.1", "--nthreads=1", "--no-dashboard"]] * workers,
        )
    ]
    try:
        while not file.exists():
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def storage(places: list[str]) -> None:
    """Print how fast shards of 64 photos of 256 px are written and read, beside the same bytes without AnoGen."""
    import numpy as np  # noqa: PLC0415

    from anogen_core.storage import Dataset, DatasetWriter, open_store  # noqa: PLC0415
    from anogen_core.storage import layout as names  # noqa: PLC0415

    rng = np.random.Generator(np.random.PCG64(0))
    images = rng.normal(120, 6, (64, 256, 256, 3)).clip(0, 255).astype(np.uint8)
    masks = np.zeros((64, 256, 256), np.uint8)
    masks[:, 90:120, 100:160] = 255
    columns = ("place", "shards written", "plain objects", "shards read", "plain objects", "sealed")
    print(f"In MB/s of stored bytes:\n\n| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    count = 16
    for place in places:
        base = f"{place}/speed-{os.getpid()}"
        writer = DatasetWriter(f"{base}/set.zarr", _spec(count))
        writer.create()
        plain = open_store(f"{base}/plain")
        write = [
            partial(writer.write_shard, i, _rows(i), images, box_masks=masks, masks=masks, seconds=0.0)
            for i in range(count)
        ]
        written = _timed(write)
        sealed = _timed([writer.seal])
        store = open_store(f"{base}/set.zarr")
        keys = [names.chunk_key(name, shard) for shard in range(count) for name in names.PIXEL_ARRAYS]
        objects = {key: store.read(key) for key in keys}
        size = sum(map(len, objects.values())) / 1e6
        seconds = [
            written,
            _timed([partial(plain.put, key, data) for key, data in objects.items()]),
            _timed([partial(deque, Dataset(f"{base}/set.zarr"), 0)]),
            _timed([partial(plain.read, key) for key in objects]),
            sealed,
        ]
        open_store(base).delete("")
        print(f"| {place.split(':')[0]} | {' | '.join(f'{size / s:.0f}' for s in seconds)} |")
    raw = images.nbytes + 2 * masks.nbytes
    print(f"One shard is {raw / 1e6:.1f} MB of pixels, stored as {size / count:.1f} MB; {count} shards of each.")


def _timed(calls: list[Callable[[], Any]]) -> float:
    """Return how long the calls take one after another."""
    started = time.monotonic()
    for call in calls:
        call()
    return time.monotonic() - started


def _spec(count: int) -> Any:
    from anogen_core.records import BaseModelInfo  # noqa: PLC0415
    from anogen_core.storage import DatasetSpec  # noqa: PLC0415

    return DatasetSpec(
        name="speed-0001", category="speed", height=256, width=256, shard_size=64, num_shards=count,
        num_requests=64 * count, defects=("cut",), config_fingerprint="0123456789abcdef",
        base_model=BaseModelInfo(name="none", fingerprint="f00d", licence="none"),
    )  # fmt: skip


def _rows(shard: int) -> list[Any]:
    from anogen_core.records import LedgerRow, Outcome  # noqa: PLC0415

    return [
        LedgerRow(
            request_id=f"cut-{64 * shard + i:06}", row=None, category="speed", defect="cut", outcome=Outcome.MADE,
            reason=None, seed=i, box=[100, 90, 60, 30], angle=0.0, crop=None, normal_id="n", normal_uri="n",
            normal_sha256="0" * 64, embedding_digest="1" * 64, model_fingerprint="f00d",
        )
        for i in range(64)
    ]  # fmt: skip


def _all(processes: dict[str, int]) -> dict[str, int]:
    """Return the watched processes and the Dask workers that are there now."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    workers = [int(pid) for pid in children if b"multiprocessing.spawn" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return processes | {f"worker {number}": pid for number, pid in enumerate(workers)}


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


if __name__ == "__main__":
    main()
