"""The whole factory on this machine without an engine: two categories, two Dask workers, one of them killed, two runs.

Starts what docker-compose.yml describes as plain processes, runs the same settings on it and by itself, and compares
the datasets. `make test-fleet` calls it; it takes about four minutes on two idle cores and leaves nothing behind
but pictures of the flow UI in `fleet-pictures/`.
"""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from anogen_core.errors import AnogenError
from anogen_core.procedural.demo import CATEGORIES
from anogen_core.records import GOOD
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.storage import Dataset, open_store, verify
from deployments.browser import NAMES, find_browser, open_page
from deployments.native import Stack

ROOT = Path(__file__).parents[1]
PLACE = "s3://anogen/factory"
SETTINGS: dict[str, Any] = {
    "name": "fleet",
    "inversion": {"steps": 6, "validate_every": 3, "validation_points": 2},
    "generation": {"images_per_defect": 4, "batch_size": 1, "sampler": {"num_inference_steps": 4}},
    "quality": {"gates": False, "embedding": False},
    "storage": {"shard_size": 1},
    "evaluation": {"arms": ["generated"]},
    "detector": {
        "kind": "draem",
        "reconstructive_width": 4,
        "discriminative_width": 4,
        "image_size": 64,
        "steps": 4,
        "batch_size": 2,
    },
}
_RUN_TIMEOUT = 900.0
_TAB = "(name => [...document.querySelectorAll('main *, body *')].findLast(e => e.innerText?.trim() == name))"
"""A function in the page that finds one of its tabs."""


def main() -> None:
    """Run the scenario and say at each step what was seen; any difference ends it with an error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that every service is ended
    with tempfile.TemporaryDirectory(prefix="anogen-fleet-") as name:
        folder = Path(name)
        names = [line.split("=")[0] for line in (ROOT / ".env.example").read_text().splitlines() if line[:1].isupper()]
        values = {n: secrets.token_hex(16) for n in names} | {"ANOGEN_RUNS": f"{folder}/runs"}
        with Stack(ROOT / "docker-compose.yml", folder, values) as stack:
            _write_photos(folder / "photos")
            _write_run(folder / "plain.yaml", str(folder / "plain"), folder, {"kind": "threads"})
            scheduler = f"tcp://127.0.0.1:{stack.port(8786)}"
            for run_file in ("fleet.yaml", "twin.yaml"):
                _write_run(folder / "runs" / run_file, PLACE, folder, {"kind": "dask", "address": scheduler})
            _say("starting the services of docker-compose.yml")
            stack.up(replicas={"dask-worker": 2})
            if stack.listening() != {"127.0.0.1"}:
                raise AnogenError(f"expected 127.0.0.1 only, services listen on {sorted(stack.listening())}")
            _say("every service listens on 127.0.0.1 only")
            os.environ.update(stack.environment("deployment"))
            _refuses_a_wrong_password()
            _disturbed_run(stack, folder / "runs" / "fleet.yaml", folder / "runs" / "twin.yaml")
            _scheduled_run(folder / "runs" / "fleet.yaml")
            _photograph(Path("fleet-pictures"), folder / "browser")
            _say("undisturbed run in threads, without any of the services")
            expected = _plain(folder / "plain.yaml", stack.environment("dask-worker"))
            os.environ.update(stack.environment("dask-worker"))
            os.environ.update(
                AWS_ACCESS_KEY_ID=values["S3_READER_KEY"], AWS_SECRET_ACCESS_KEY=values["S3_READER_SECRET"]
            )
            _compare(expected)
            _find_no_secret(folder / "logs", [values[n] for n in names if not n.endswith("_KEY")])
    _say("passed")


def _disturbed_run(stack: Stack, run_file: Path, twin_file: Path) -> None:
    """Start a run by hand, and another with its output, kill a worker while the first generates, and await both."""
    run = _submit(run_file)

    def generating(status: dict[str, Any]) -> bool:
        return any(s["name"].endswith(": generate") and 0 < s["percent"] < 100 for s in status["stages"])

    _wait(run, lambda status: bool(status["stages"]))
    twin = _submit(twin_file)
    _wait(run, generating)
    stack.kill("dask-worker-2")
    _say("killed one of two workers in the middle of generation")
    _wait(twin, lambda status: status["state"] == "Waiting")
    _say(f"{twin!r} is Waiting for {run!r}")
    _wait(run, lambda status: status["state"] == "Completed")
    _say(f"{run!r} is Completed")
    _wait(twin, lambda status: status["state"] == "Completed")
    _say(f"{twin!r} is Completed")


def _submit(run_file: Path) -> str:
    run = _anogen("run", str(run_file), "--name", run_file.stem, "--submit").splitlines()[0].removeprefix("run: ")
    _say(f"submitted {run!r}")
    return run


def _scheduled_run(run_file: Path) -> None:
    """Let the clock start a run of the finished work, and end the schedule."""
    before = {run["name"] for run in _status()}
    _anogen("deploy", str(run_file), "--interval", "1m")
    _say("registered with --interval 1m")
    deadline = time.monotonic() + _RUN_TIMEOUT
    while time.monotonic() < deadline:
        done = [r for r in _status() if r["name"] not in before and r["state"] == "Completed"]
        if done:
            _anogen("deploy", str(run_file))
            _say(f"the schedule's run {done[-1]['name']!r} is Completed")
            return
        time.sleep(2)
    raise AnogenError(f"no scheduled run ended in time: {_status()[:2]}")


def _photograph(pictures: Path, home: Path) -> None:
    """Take pictures of the flow UI as a user sees it who knows the password: all runs, and the first one's page."""
    program = find_browser()
    if program is None:
        _say(f"no pictures of the flow UI: none of {', '.join(NAMES)} is installed")
        return
    site = os.environ["PREFECT_API_URL"].removesuffix("/api")
    secret = base64.b64encode(os.environ["PREFECT_API_AUTH_STRING"].encode()).decode()
    run = _status()[-1]
    pictures.mkdir(exist_ok=True)
    with open_page(program, f"{site}/runs", home) as page:
        page.wait("document.readyState == 'complete'")
        page.evaluate(f"localStorage.setItem('prefect-password', {json.dumps(secret)})")
        page.call("Emulation.setDeviceMetricsOverride", width=1280, height=1600, deviceScaleFactor=1, mobile=False)
        for name, url, tab in (
            ("runs", f"{site}/runs", None),
            ("run", run["url"], "Logs"),
            ("artifacts", None, "Artifacts"),
        ):
            if url is not None:
                page.call("Page.navigate", url=url)
                page.wait(f"document.body.innerText.includes({json.dumps(run['name'])})")
            if tab is not None:
                page.wait(f"!!{_TAB}({json.dumps(tab)})")
                page.evaluate(f"{_TAB}({json.dumps(tab)}).click()")
            time.sleep(3)  # charts and pictures come after the words
            (pictures / f"{name}.png").write_bytes(page.picture())
    _say(f"pictures of the flow UI: {pictures}")


def _compare(expected: dict[str, str]) -> None:
    """Read everything back with the read-only key."""
    for name, digest in expected.items():
        uri = f"{PLACE}/datasets/{name}"
        problems = [*verify(uri)]
        found = Dataset(uri).summary()
        if problems or found["digest"] != digest or found["made"] == 0:
            raise AnogenError(f"{uri}: expected {digest}, found {found['digest']}, {found['made']} made; {problems}")
        _say(f"{uri}: {found['made']} images, verified, digest {digest[:16]} equals the undisturbed run's")


def _find_no_secret(logs: Path, words: list[str]) -> None:
    """Look into every log and every stored object."""
    store = open_store(PLACE)
    texts = {f"{PLACE}/{key}": store.read(key) for key in store.list()} | {
        str(p): p.read_bytes() for p in logs.iterdir()
    }
    guilty = [where for where, content in texts.items() if any(word.encode() in content for word in words)]
    if guilty:
        raise AnogenError(f"secrets are written in {guilty}")
    _say(f"no secret in {len(texts)} objects and logs")


def _refuses_a_wrong_password() -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings  # noqa: PLC0415

    from flows import remote  # noqa: PLC0415 - imports Prefect, which reads its settings now

    try:
        with temporary_settings({PREFECT_API_AUTH_STRING: "anogen:guess"}), remote.server():
            pass
    except AnogenError as error:
        _say(f"wrong password: {error}")
    else:
        raise AnogenError("the Prefect server let a wrong password in")


def _wait(run: str, reached: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + _RUN_TIMEOUT
    while time.monotonic() < deadline:
        status = next(r for r in _status() if r["name"] == run)
        if reached(status):
            return
        if status["ended"]:
            raise AnogenError(f"{run} is {status['state']}: {status['message']}")
        time.sleep(0.5)
    raise AnogenError(f"{run}: not there in time; {_status()[:1]}")


def _status() -> list[dict[str, Any]]:
    from flows import remote, run_status  # noqa: PLC0415

    with remote.server() as client:
        return [run.model_dump(mode="json") for run in run_status.recent(client, 20)]


def _plain(run_file: Path, settings: dict[str, str]) -> dict[str, str]:
    """Return dataset names and digests of a run in threads with the workers' number of arithmetic threads."""
    threads = {k: v for k, v in settings.items() if k.endswith("_NUM_THREADS")}
    said = _anogen("run", str(run_file), PREFECT_API_URL="", PREFECT_API_AUTH_STRING="", **threads)
    places = [line.removeprefix("dataset: ") for line in said.splitlines() if line.startswith("dataset: ")]
    return {Path(place).name: json.loads((Path(place) / "manifest.json").read_text())["digest"] for place in places}


def _anogen(*arguments: str, **environment: str) -> str:
    """Return what a command prints; a variable that is set to nothing is taken away."""
    said = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", "from flows.cli import main; main()", *arguments],
        env={k: v for k, v in {**os.environ, **environment}.items() if v},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=_RUN_TIMEOUT,
    )
    if said.returncode:
        raise AnogenError(f"anogen {' '.join(arguments)} ended with {said.returncode}")
    return said.stdout


def _write_run(path: Path, output: str, folder: Path, runner: dict[str, Any]) -> None:
    reader = {"kind": "mvtec", "root": str(folder / "photos")}
    path.write_text(yaml.safe_dump({**SETTINGS, "output": output, "reader": reader, "runner": runner}))


def _write_photos(root: Path) -> None:
    """Two categories of made-up photos: 8 normal, 3 for testing, 5 of each of two defects."""
    for category, (photograph, defects) in CATEGORIES.items():
        for split, label, count in (("train", GOOD, 8), ("test", GOOD, 3), *(("test", d, 5) for d in defects)):
            for index in range(count):
                generator = numpy_generator(derive_seed(0, category, split, label, index))
                image, mask = photograph(generator, None if label == GOOD else label)
                _write(root / category / split / label / f"{index:03d}.png", image[..., ::-1])
                if label != GOOD:
                    _write(
                        root / category / "ground_truth" / label / f"{index:03d}_mask.png", np.uint8(255) * (mask > 0)
                    )


def _write(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), pixels):
        raise AnogenError(f"{path}: cannot be written")


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except AnogenError as error:
        raise SystemExit(f"native_fleet: {error}") from error
