"""`anogen review` as a process of its own, and what `anogen inspect` says afterwards."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anogen_core.records import BaseModelInfo, LedgerRow, Outcome
from anogen_core.storage import DatasetSpec, DatasetWriter
from flows.cli import reading
from tests.datasets import encode_pixels


def test_review_serves_stores_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The address is printed, a verdict is stored, Ctrl+C ends with the counts, inspect shows them."""
    uri = _dataset(tmp_path)
    reading.inspect(uri, as_json=False)
    assert "reviewed" not in capsys.readouterr().out
    command = [sys.executable, "-c", "from flows.cli import main; main()", "review", uri, "--port", "0", "--who", "ada"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        page = _ask(url).decode()
        token = re.findall(r'name="token" content="([^"]+)"', page)[0]
        _ask(f"{url}api/judge", {"row": 0, "decision": "reject"}, token)
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=30)

    assert said == "0 accepted, 1 rejected, 0 fixed, 0 undecided\n"
    assert process.returncode == 0, told
    assert "Traceback" not in told
    reading.inspect(uri, as_json=False)
    assert "reviewed    0 accepted, 1 rejected, 0 fixed, 0 undecided" in capsys.readouterr().out
    reading.inspect(uri, as_json=True)
    assert json.loads(capsys.readouterr().out)["verdicts"] == {"reject": 1}


def test_review_of_what_is_no_dataset_ends_with_two(
    tmp_path: Path, anogen: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    """One sentence that names the place."""
    said = anogen("review", tmp_path / "nowhere.zarr")

    assert said.returncode == 2
    assert "nowhere.zarr: there is no dataset" in said.stderr


def _ask(url: str, body: object = None, token: str = "") -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"X-Review-Token": token})  # noqa: S310 - our own server
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        content: bytes = answer.read()
        return content


def _dataset(root: Path) -> str:
    spec = DatasetSpec(
        name="bolt-0001",
        category="bolt",
        height=16,
        width=16,
        shard_size=1,
        num_shards=1,
        num_requests=1,
        defects=("cut",),
        config_fingerprint="0123456789abcdef",
        base_model=BaseModelInfo(name="tiny", fingerprint="f00d", licence="none"),
    )
    row = LedgerRow(
        request_id="cut-0",
        row=None,
        category="bolt",
        defect="cut",
        outcome=Outcome.MADE,
        reason=None,
        seed=0,
        box=[0, 0, 4, 4],
        angle=0.0,
        crop=None,
        normal_id="bolt/train/good/0",
        normal_uri="/gone.png",
        normal_sha256="0" * 64,
        embedding_digest="1" * 64,
        model_fingerprint="f00d",
    )
    mask = np.zeros((1, 16, 16), np.uint8)
    mask[:, :4, :4] = 255
    writer = DatasetWriter(str(root / "bolt-0001.zarr"), spec)
    writer.create()
    image = np.zeros((1, 16, 16, 3), np.uint8)
    writer.write_shard(0, [row], encode_pixels(image, box_masks=mask, masks=mask), seconds=1.0)
    return writer.seal().uri
