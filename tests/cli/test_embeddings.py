"""`anogen embeddings` as a person meets it: import a defect, generate with it, list it, export it with a preview."""

import json
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from anogen_core.config import load_config
from anogen_core.seeding import torch_generator
from anogen_core.stages import embedding, generation
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.reporting import write_report
from anogen_core.stages.result import CategoryResult, write_result
from flows.cli.app import app

Anogen = Callable[..., "subprocess.CompletedProcess[str]"]


class Touch:
    """A pickle that makes a file when code in it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def _say(*arguments: str | Path) -> str:
    """Return what a command wrote to standard output."""
    said = CliRunner().invoke(app, ["embeddings", *map(str, arguments)])
    assert said.exit_code == 0, said.output
    return said.stdout


def _warn(*arguments: str | Path) -> str:
    """Return what a command wrote to standard error."""
    said = CliRunner().invoke(app, ["embeddings", *map(str, arguments)])
    assert said.exit_code == 0, said.output
    return said.stderr


def test_import_generate_list_and_export(small_run: dict[str, Any], tmp_path: Path) -> None:
    """An imported defect is generated and reported without learning it; the export shows what it looks like."""
    vectors = torch.randn((1, 24), generator=torch_generator(2))
    save_file({"<cut>": vectors}, tmp_path / "learned_embeds.safetensors")
    reader = {**small_run["reader"], "categories": ["bolt"]}
    settings = {**small_run, "output": "out", "reader": reader, "support": {"defects": ["cut"]}}
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(settings))

    line = _say("import", run_file, tmp_path / "learned_embeds.safetensors", "--defect", "bolt/cut")
    run_file.write_text(yaml.safe_dump({**settings, **yaml.safe_load(line)}))
    config = load_config(run_file)
    embeddings = embedding.learn(read_category(config, "bolt").supports, config)
    planned, shards = generation.plan_dataset(config, "bolt", embeddings)
    for shard in shards:
        generation.make_shard(shard, planned, config)
    made = CategoryResult(category="bolt", dataset=generation.seal_dataset(planned), embeddings=tuple(embeddings))
    report = write_report(config, write_result(config, [made]))

    assert embeddings[0].digest[:12] in Path(report).read_text()
    listed = json.loads(_say("ls", run_file, "--json"))
    assert {f"{e['about']['category']}/{e['about']['defect']}": e["key"] for e in listed} == config.embeddings
    first, second = _say("ls", tmp_path / "out").splitlines()
    assert first.startswith(f"bolt/cut@v1  {listed[0]['key']}  imported from ")
    assert first.endswith(" UTC, used by the last run")
    assert second.startswith("  1 x 24, 0 support photo(s), licence not stated; for base model ")
    exported = _say("export", tmp_path / "out", "bolt/cut", tmp_path / "cut").strip()
    assert torch.equal(load_file(exported)["<bolt-cut>"], vectors)
    preview = cv2.imread(str(tmp_path / "cut" / "preview.png"))
    assert preview is not None
    assert preview.shape == (128, 4 * 128, 3)

    save_file({"<cut>": -vectors}, tmp_path / "other.safetensors")
    said = _warn("import", run_file, tmp_path / "other.safetensors", "--defect", "bolt/cut", "--licence", "CC0-1.0")
    assert said.startswith("bolt/cut@v2  embedding-")
    assert "licence CC0-1.0; for base model" in said
    said = _warn("export", tmp_path / "out", "bolt/cut", tmp_path / "cut")
    assert said.startswith(f"bolt/cut: takes v1 of 2, which the last run used ({listed[0]['key']}); `bolt/cut@vN` or")
    assert torch.equal(load_file(exported)["<bolt-cut>"], vectors)
    assert _warn("export", tmp_path / "out", "bolt/cut@v2", tmp_path / "cut") == ""
    assert torch.equal(load_file(exported)["<bolt-cut>"], -vectors)
    (tmp_path / "out" / "run.json").unlink()
    assert "takes v2 of 2, the newest (" in _warn("export", tmp_path / "out", "bolt/cut", tmp_path / "cut")


def test_a_hostile_file_is_refused_with_one_message(
    anogen: Anogen, small_run: dict[str, object], tmp_path: Path
) -> None:
    """Exit code 2, the file named, no traceback, and nothing in it was run."""
    marker = tmp_path / "executed"
    (tmp_path / "embeddings.pt").write_bytes(pickle.dumps({"string_to_param": {"*": Touch(marker)}}))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**small_run, "output": "out"}))

    said = anogen("embeddings", "import", tmp_path / "run.yaml", tmp_path / "embeddings.pt", "--defect", "bolt/cut")

    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert "embeddings.pt: " in said.stderr
    assert "no code in it was run" in said.stderr
    assert not marker.exists()
