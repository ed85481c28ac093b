"""The rules of the house that a reviewer would otherwise check by hand."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import anogen_core
from anogen_core.settings import Settings

ROOT = Path(__file__).parents[1]
PACKAGES = ("anogen_core", "tasks", "flows", "deployments")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


def _all_settings() -> Iterator[type[Settings]]:
    for module in pkgutil.walk_packages(anogen_core.__path__, "anogen_core."):
        importlib.import_module(module.name)
    waiting = list(Settings.__subclasses__())
    while waiting:
        cls = waiting.pop()
        yield cls
        waiting += cls.__subclasses__()


def test_dependencies_point_one_way() -> None:
    """Deployments → flows → tasks → anogen_core, and the core knows no workflow engine."""
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_source_file_is_longer_than_300_lines(path: Path) -> None:
    """One concept per file."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_every_settings_field_is_documented() -> None:
    """A field's docstring is its help text in the run file, the schema and the flow form."""
    undocumented = [
        f"{cls.__name__}.{name}"
        for cls in _all_settings()
        for name, field in cls.model_fields.items()
        if not field.description and name != "kind"
    ]

    assert undocumented == []


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parts[-2] == "flows"], ids=lambda p: p.name)
def test_mapped_calls_mark_what_is_not_mapped(path: Path) -> None:
    """A settings model is iterable: every keyword of `.map` is `unmapped`, and `unmapped` stands nowhere else."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    maps = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "map"
    ]
    inside = {id(k.value) for call in maps for k in call.keywords}
    unmapped = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "unmapped"
    ]

    for call in maps:
        for keyword in call.keywords:
            value = keyword.value
            assert isinstance(value, ast.Call), ast.unparse(call)
            assert isinstance(value.func, ast.Name), ast.unparse(call)
            assert value.func.id == "unmapped", ast.unparse(call)
    assert all(id(call) in inside for call in unmapped)


def test_core_reads_no_environment_and_seeds_no_global_generator() -> None:
    """Settings and generators are arguments."""
    forbidden = ("os.environ", "os.getenv", "torch.manual_seed", "np.random.seed", "random.seed(")
    found = [
        f"{path.name}: {word}"
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] == "anogen_core" and path.name != "seeding.py"
        for word in forbidden
        if word in path.read_text(encoding="utf-8")
    ]

    assert found == []
